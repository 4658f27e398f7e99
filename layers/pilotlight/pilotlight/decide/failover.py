"""Whether a failover may begin, and what it would do."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Literal

from pilotlight.decide import capacity, images, promotion
from pilotlight.decide.request import GRACEFUL
from pilotlight.errors import FatalError, PreconditionFailed
from pilotlight.model import Database, Door, Function, Group, Image, Plan, Record, Request, Settings

UNPLANNED = (
    "close the primary region if it answers (on the side; nothing waits for it)",
    "apply what the replica has received, then promote it",
)
PLANNED = (
    "check that both sides are ready; change nothing if they are not",
    "freeze the source: functions off, database read-only, connections ended",
    "prove that the replica has the last write; open the source again if the proof does not come",
    "promote the replica",
)
STEPS = (
    "start the application from the newest image and wait for healthy targets",
    "switch the workload functions and their triggers on",
    "verify by a write and a read through the load balancer",
    "record the DR region as active and tell the team",
)


@dataclass(frozen=True, slots=True)
class Begin:
    """What taking the lock comes to."""

    outcome: Literal["take", "already-active", "already-held"]
    record: Record


def begin(
    record: Record,
    request: Request,
    execution: str,
    holder_running: bool,
    region: str,
    now: dt.datetime,
    cool_down_seconds: int,
) -> Begin:
    """Decide whether an execution may take the lock.

    Invariant: at most one *running* execution holds the lock; whoever takes it raises the epoch, so every step of an
    earlier holder is refused from then on. A holder that no longer runs, or that failed, is taken over: that is how
    starting again resumes.

    Parameters
    ----------
    record
        What DR's state table says now.
    request
        The checked input.
    execution
        ARN of the execution that asks.
    holder_running
        Whether the execution named in ``record.holder`` is still running.
    region
        The region to make active: the one this runs in.
    now
        Current time, with zone.
    cool_down_seconds
        How long after a switch the next one needs ``force``.

    Raises
    ------
    PreconditionFailed
        Another failover is running, or the cool-down is not over.
    """
    if record.lock == "held" and record.holder == execution:
        return Begin("already-held", record)
    if record.lock == "held" and holder_running:
        raise PreconditionFailed(
            f"another switch is running and holds the lock: {record.holder} "
            f"(since {record.taken_at}, epoch {record.epoch}). This execution changed nothing. "
            f"Watch the other: aws stepfunctions describe-execution --region {region} --execution-arn {record.holder}"
        )
    if record.lock == "free":
        if record.active_region == region:
            return Begin("already-active", record)
        if not request.force and record.cool_down_until and now < dt.datetime.fromisoformat(record.cool_down_until):
            raise PreconditionFailed(
                f"the last switch was a moment ago and its cool-down ends at {record.cool_down_until}: "
                'nothing was changed. Wait, or start again with {"force": true}.'
            )
    resumes = record.lock != "free"
    return Begin(
        "take",
        replace(
            record,
            epoch=record.epoch + 1,
            lock="held",
            holder=execution,
            taken_at=now.isoformat(timespec="seconds"),
            # When the record already names this region, an earlier run got as far as recording it: same direction.
            source=record.source if resumes and record.source else record.active_region,
            target=region,
            mode=request.mode,
            reason=request.reason,
            cool_down_until=(now + dt.timedelta(seconds=cool_down_seconds)).isoformat(timespec="seconds"),
            failure="",
            fence="",
            promotion=record.promotion if resumes else "",
        ),
    )


def require_current(record: Record, epoch: int, execution: str) -> None:
    """Refuse a step that belongs to a switch that is over.

    Raises
    ------
    FatalError
        Another execution has taken the lock since. Retrying cannot help.
    """
    if record.epoch == epoch and record.holder == execution and record.lock == "held":
        return
    raise FatalError(
        f"this step belongs to epoch {epoch} of {execution}, but the record is at epoch {record.epoch} "
        f"({record.lock}, holder {record.holder or 'none'}): it changed nothing"
    )


def plan(
    record: Record,
    environment: str,
    settings: Settings,
    database: Database | None,
    image: Image | None,
    group: Group | None,
    door: Door | None,
    functions: tuple[Function, ...],
    names: dict[str, str],
) -> Plan:
    """Say what will be done, or why it cannot be, before anything is changed.

    Parameters
    ----------
    names
        What is looked for: ``database``, ``group``, ``load_balancer``, ``environment`` names, for messages.

    Raises
    ------
    PreconditionFailed
        Something that DR must already have is not there. The message says what to do.
    """
    target = record.target
    if database is None:
        raise PreconditionFailed(
            f"database {names['database']} does not exist in {target}: there is no replica to promote, "
            f"and nothing was changed. Make it (deploy the stack in {target}, or restore a snapshot under that name), "
            "then start the failover again."
        )
    promotion.check(database)
    if group is None:
        raise PreconditionFailed(
            f"Auto Scaling group {names['group']} does not exist in {target}: nothing was changed. "
            f"Deploy the stack in {target}, then start the failover again."
        )
    capacity.check_launchable(group)
    if door is None:
        raise PreconditionFailed(
            f"load balancer {names['load_balancer']} with a listener does not exist in {target}: nothing was changed. "
            f"Deploy the stack in {target}, then start the failover again."
        )
    chosen = images.require(image, environment, record.source, target)
    wanted = capacity.wanted(settings.capacity, group.capacity)
    return Plan(
        environment=environment,
        mode=record.mode,
        source=record.source,
        target=target,
        epoch=record.epoch,
        database=database.identifier,
        database_state=promotion.describe(database),
        database_host=database.host,
        database_port=database.port,
        backup_retention_days=max(settings.backup_retention_days, database.backup_retention_days),
        image=chosen.identifier,
        image_name=chosen.name,
        image_created=chosen.created,
        group=group.name,
        launch_template=group.launch_template,
        capacity=wanted,
        healthy_targets=min(settings.healthy_targets, wanted.desired),
        functions=tuple(function.name for function in functions),
        door=door.url,
        verify_path=settings.verify_path,
        application_host=settings.application_host,
        poll_seconds=settings.budgets.poll,
        most_lag_seconds=settings.most_lag_seconds,
        budgets=settings.budgets,
        steps=(*(PLANNED if record.mode == GRACEFUL else UNPLANNED), *STEPS),
    )
