"""Whether a failover may begin, and what it would do."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Literal

from pilotlight.decide import capacity, images, pace, promotion, switchover, traffic
from pilotlight.decide.request import SAME_AGAIN, finishing
from pilotlight.decide.restore import freeze_estimate
from pilotlight.errors import FatalError, PreconditionFailed
from pilotlight.model import (
    GRACEFUL,
    REPLICA,
    REPROTECT,
    SNAPSHOT,
    Database,
    Door,
    Doors,
    Function,
    Group,
    Image,
    Plan,
    Record,
    Request,
    Settings,
)

ALARM = "alarm"
"""Who has started a switch, where nobody has."""

_NOT_YET_KNOWN = dt.timedelta(seconds=60)


def steps(mode: str, source: str, target: str, method: str, image: str, moves: str) -> tuple[str, ...]:
    """Say in words what a switch will do, in order, from which image, and who moves the traffic."""
    first: tuple[str, ...] = (
        f"close {source} if it answers (on the side; nothing waits for it)",
        "apply what the replica has received, then promote it",
    )
    if mode == GRACEFUL:
        by_snapshot = method == SNAPSHOT
        brought = (f"take a snapshot of {source}'s database, copy it to {target}, restore it there",)
        first = (
            "check that both sides are ready; change nothing if they are not",
            f"bring the parameters over that {target} lacks; change nothing if one does not cross",
            f"freeze {source}: functions off, database read-only, connections ended",
            *(brought if by_snapshot else ()),
            f"prove that {'what was restored' if by_snapshot else 'the replica'} in {target} has the last write; open "
            f"{source} again if the proof does not come",
            "note that there is no way back" + ("" if by_snapshot else f", then promote the replica in {target}"),
        )
    last = (f"make {source} a standby: no instances",) if mode == GRACEFUL else ()
    return (
        *first,
        f"open the database in {target} where it is still frozen or behind its closed door",
        f"start the application in {target} from the newest image, {image}, and wait for healthy targets",
        "switch the workload functions and their triggers on",
        "verify by a write and a read through the load balancer",
        f"record {target} as active",
        moves,
        *last,
        "tell the team",
    )


@dataclass(frozen=True, slots=True)
class Begin:
    """What taking the lock comes to.

    ``passed`` says that an earlier run of this planned switch was past the point of no return, so only the way on is
    left. ``interrupted`` says that one ended before it, and may have left the source closed, in whole or in part: it is
    opened before anything else, since the other region may be lost by now.
    ``insists`` says that a database which was left behind may take over, with what it lacks.
    ``a-switch-runs`` is said to what an alarm began where an unplanned switch is at work already.
    """

    outcome: Literal["take", "already-active", "already-held", "a-switch-runs"]
    record: Record
    passed: bool = False
    interrupted: bool = False
    insists: bool = False


def begin(
    record: Record,
    request: Request,
    execution: str,
    holder_running: bool,
    regions: tuple[str, str],
    now: dt.datetime,
    cool_down_seconds: int,
) -> Begin:
    """Decide whether an execution may take the lock.

    Invariant: at most one *running* execution holds the lock; whoever takes it raises the epoch, so every step of an
    earlier holder is refused from then on. A holder that no longer runs, or that failed, is taken over: that is how
    starting again resumes. One running holder is preempted: who builds a standby gives way to an unplanned failover.

    The cool-down keeps what is automatic from switching to and fro, so it is asked of unplanned failovers alone. A
    planned switch is a person's wish, proves what it needs before it changes anything, and loses nothing: a failback
    soon after a failover needs no force. One that an alarm has started begins a cool-down, as an unplanned one does.

    An unplanned failover leaves a region that is lost. Where a planned switch to the primary is past its point of no
    return, that region may serve, so somebody has to say that it is lost: a person by ``force``, or the decision behind
    an alarm. No input alone may be meant to finish that switch.

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
    regions
        The primary's and DR's, in this order.
    now
        Current time, with zone.
    cool_down_seconds
        How long after a switch the next unplanned one needs ``force``.

    Raises
    ------
    PreconditionFailed
        Another switch is running or has to be finished first, the cool-down is not over, or nobody says that the region
        that would be left is lost.
    """
    primary, dr = regions
    target = request.target or dr
    planned = request.mode == GRACEFUL
    if record.lock == "held" and record.holder == execution:
        passed, closed = planned and bool(record.promotion), planned and bool(record.frozen)
        return Begin(
            "already-held", record, passed=passed, interrupted=closed and not passed, insists=bool(record.insists)
        )
    unfinished = record.unfinished
    if not unfinished and record.active_region == target:
        return Begin("already-active", record)
    if record.lock == "held" and holder_running and not (record.mode == REPROTECT and not planned):
        if request.automatic and not planned and record.mode != GRACEFUL:
            # An alarm that was delivered twice: both have decided, and the other was quicker. Nobody has to start it.
            return Begin("a-switch-runs", record)
        raise PreconditionFailed(
            f"another switch is running and holds the lock: {record.holder} "
            f"(since {record.taken_at}, epoch {record.epoch}), or it has just ended: try again in a minute. This "
            "execution changed nothing. "
            f"Watch the other: aws stepfunctions describe-execution --region {dr} --execution-arn {record.holder}"
        )
    if planned and unfinished:
        _require_same_switch(record, target, dr)
    if unfinished and not planned and not request.force and not request.automatic:
        _require_lost(record, target)
    if (
        not planned
        and not unfinished
        and not request.force
        and record.cool_down_until
        and now < dt.datetime.fromisoformat(record.cool_down_until)
    ):
        raise PreconditionFailed(
            f"the last switch was a moment ago and its cool-down ends at {record.cool_down_until}: "
            'nothing was changed. Wait, or start again with {"force": true}.'
        )
    # A note about another target is dropped by an unplanned failover alone: the region it was about is lost.
    promotion = record.promotion if unfinished and record.target == target else ""
    # Not the recorded active region: an earlier run may have got as far as recording the target.
    source = primary if target == dr else dr
    # A promotion that was noted: of this region, or of one that was lost before its switch was over. That note may be
    # dropped here; what follows from it is not.
    goes_on = unfinished and (bool(record.promotion) or (record.insists, record.target) == (request.mode, target))
    insists = request.force or goes_on
    taken = replace(
        record,
        epoch=record.epoch + 1,
        lock="held",
        holder=execution,
        taken_at=now.isoformat(timespec="seconds"),
        source=source,
        target=target,
        mode=request.mode,
        reason=request.reason,
        started_by=ALARM if request.automatic else "",
        cool_down_until=record.cool_down_until
        if planned and not request.automatic
        else (now + dt.timedelta(seconds=cool_down_seconds)).isoformat(timespec="seconds"),
        failure="",
        fence="",
        promotion=promotion,
        insists=request.mode if insists else "",
    )
    return Begin(
        "take",
        taken,
        passed=planned and bool(promotion),
        # An unplanned failover to the region that is left now may have failed to open it, after such a run.
        interrupted=planned
        and unfinished
        and not promotion
        and (record.mode == GRACEFUL or record.target == source or bool(record.frozen)),
        insists=insists,
    )


def just_taken(record: Record, now: dt.datetime) -> bool:
    """Whether the lock was taken so lately that its holder may not be known yet to whoever is asked whether it runs."""
    return lately(record.taken_at, now)


def lately(moment: str, now: dt.datetime) -> bool:
    """Whether an execution that began then may not be known yet to whoever is asked whether it runs."""
    try:
        return now - dt.datetime.fromisoformat(moment) < _NOT_YET_KNOWN
    except (TypeError, ValueError):
        return False


def recorded(record: Record) -> Record:
    """Say what the record is once the target serves. Asked again, it keeps the epoch of the first time.

    What lost its role then is named after that epoch.
    """
    if record.active_region == record.target:
        return record
    return replace(record, active_region=record.target, since=record.epoch, switched=record.mode)


def released(record: Record) -> Record:
    """Say what the record is when a switch is done: no lock, and no note of a promotion that is under way.

    A planned switch of a person's ends the cool-down of an earlier one: it has just shown both sides to be well, and
    when the region it went to is lost the day after, or the minute after, nobody is to wait. One that an alarm started
    keeps its own: a primary that is lost again right after it answered steadily comes and goes.
    """
    return replace(
        record,
        lock="free",
        promotion="",
        frozen="",
        insists="",
        cool_down_until="" if record.mode == GRACEFUL and record.started_by != ALARM else record.cool_down_until,
    )


def _require_same_switch(record: Record, target: str, dr: str) -> None:
    """Insist that a planned switch does not cut in on an unfinished one that has gone too far."""
    if record.promotion and (record.mode != GRACEFUL or record.target != target):
        # From DR nothing but a planned switch leads away, and that one needs DR.
        lost = "" if record.target == dr else f' If {record.target} is lost, start with {{"force": true}}.'
        raise PreconditionFailed(
            f"the switch to {record.target} (epoch {record.epoch}) is past its point of no return since "
            f"{record.promotion} and not finished: nothing was changed. Finish it first: start with "
            f"{finishing(record)}.{lost}"
        )
    if record.active_region == target and not record.promotion:
        raise PreconditionFailed(
            f"{target} is recorded as active, and the switch to {record.target} (epoch {record.epoch}) is not finished "
            f"and may have left it closed: nothing was changed. Start that one again, with {finishing(record)}: it "
            "opens what is closed before it goes on. Or open it by hand, as the runbook says."
        )


def _require_lost(record: Record, target: str) -> None:
    """Insist that somebody says that it is lost, before a region is left that a planned switch has brought up."""
    passed = record.promotion or record.active_region == record.target
    if record.mode != GRACEFUL or record.target == target or not passed:
        return
    raise PreconditionFailed(
        f"the planned switch to {record.target} (epoch {record.epoch}) is past its point of no return and not "
        f"finished: {record.target} may be taking writes that {target} lacks. Nothing was changed. If {record.target} "
        f"is well, finish that switch: start the failback again, or this with {finishing(record)}. If {record.target} "
        f'is lost, and so is what was written there since, start with {{"force": true}}.'
    )


def is_left_behind(record: Record, database: Database | None, doors: Doors | None) -> bool:
    """Whether a database is what an earlier switch left: no replica, behind its closed door, of a region not active."""
    return (
        record.active_region != record.target
        and database is not None
        and not database.source
        and doors is not None
        and switchover.is_closed(database, doors)
    )


def unknown_door(why: PreconditionFailed, identifier: str, region: str) -> PreconditionFailed:
    """Refuse a database of which nobody knows whether an earlier switch left it: it may lack days of writes."""
    return PreconditionFailed(
        f"database {identifier} in {region} is no replica, and whether an earlier switch left it there is told by its "
        f"door, which cannot be: {why}. Nothing was changed. If it is the one that has to take over, with whatever it "
        'lacks, start again with {"force": true}.'
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


def require_own(record: Record, epoch: int, execution: str) -> None:
    """Refuse to end what is somebody else's. Who has released the lock already may ask again.

    Raises
    ------
    FatalError
        Another execution has taken the lock since.
    """
    if record.lock != "free" or (record.epoch, record.holder) != (epoch, execution):
        require_current(record, epoch, execution)


def _kept(retired: str, identifier: str, target: str) -> str:
    """Name what is left of a replica that a re-protection has put away, and not replaced before the region was lost."""
    if not retired:
        return ""
    return (
        f"{retired} is there, with what it had when it was retired (see its tags). To take over with that, give it the "
        f"name back (aws rds modify-db-instance --region {target} --db-instance-identifier {retired} "
        f"--new-db-instance-identifier {identifier} --apply-immediately), wait until it is available, then "
        f"{SAME_AGAIN}. Otherwise: "
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
    *,
    method: str = REPLICA,
    source_gib: int = 0,
    left_behind: bool = False,
    retired: str = "",
    now: dt.datetime | None = None,
) -> Plan:
    """Say what will be done, or why it cannot be, before anything is changed.

    Parameters
    ----------
    names
        What is looked for, for messages: ``database``, ``group``, ``load_balancer``; and ``make_image``, the command
        that makes an image.
    method
        By which way a planned switch brings the database over.
    source_gib
        Storage of the source, where that is by snapshot.
    left_behind
        Whether the database is what an earlier switch left behind, and nobody insists on it all the same.
    retired
        Where there is no database: the newest that lost its name, which may be the replica that was to be replaced.
    now
        Current time, to tell the image's age by.

    Raises
    ------
    PreconditionFailed
        Something that the target must already have is not there. The message says what to do.
    """
    target = record.target
    # A planned switch may find its source closed and opens that first; what the target lacks is said afterwards.
    if database is None and record.mode != GRACEFUL:
        raise PreconditionFailed(
            f"database {names['database']} does not exist in {target}: there is no replica to promote, "
            f"and nothing was changed. {_kept(retired, names['database'], target)}"
            f"Make it (start {environment}-dr-reprotect, deploy the stack in {target} if it "
            f"never was, or restore a snapshot under that name), then {SAME_AGAIN}."
        )
    if left_behind:
        raise PreconditionFailed(
            f"database {names['database']} in {target} is no replica: an earlier switch left it, closed and as it was "
            f"then, and it lacks every write that {record.active_region} has taken since. Nothing was changed. If "
            f"{record.active_region} is well, start {environment}-dr-reprotect, which builds a replica. If it is lost "
            'and so is what was written there since, start again with {"force": true}.'
        )
    if database is not None:
        promotion.check(database)
    if group is None:
        raise PreconditionFailed(
            f"Auto Scaling group {names['group']} does not exist in {target}: nothing was changed. "
            f"Deploy the stack in {target}, then {SAME_AGAIN}."
        )
    capacity.check_launchable(group, target)
    if door is None:
        raise PreconditionFailed(
            f"load balancer {names['load_balancer']} with a listener does not exist in {target}: nothing was changed. "
            f"Deploy the stack in {target}, then {SAME_AGAIN}."
        )
    chosen = images.require(image, environment, record.source, target, names["make_image"])
    age = images.age_hours(chosen, now) if now else -1.0
    version = chosen.tags.get(images.VERSION, "")
    wanted = capacity.wanted(settings.capacity, group.capacity)
    moved_by = traffic.by(settings.hosted_zone)
    poll = pace.polling(settings.budgets, record.mode, method)
    return Plan(
        environment=environment,
        mode=record.mode,
        source=record.source,
        target=target,
        epoch=record.epoch,
        database=names["database"],
        database_state=promotion.describe(database) if database else "missing",
        database_host=database.host if database else "",
        database_port=database.port if database else 0,
        backup_retention_days=max(settings.backup_retention_days, database.backup_retention_days if database else 0),
        image=chosen.identifier,
        image_name=chosen.name,
        image_created=images.moment(chosen),
        group=group.name,
        launch_template=group.launch_template,
        capacity=wanted,
        healthy_targets=min(settings.healthy_targets, wanted.desired),
        functions=tuple(function.name for function in functions),
        door=door.url,
        verify_path=settings.verify_path,
        application_host=settings.application_host,
        poll_seconds=poll,
        most_lag_seconds=settings.most_lag_seconds,
        budgets=settings.budgets,
        steps=steps(
            record.mode,
            record.source,
            target,
            method,
            images.told(chosen.identifier, version, age),
            traffic.step(moved_by, settings.application_host, target),
        ),
        method=method,
        freeze_estimate=freeze_estimate(method, source_gib) if record.mode == GRACEFUL else "",
        image_age_hours=age,
        image_version=version,
        traffic=moved_by,
        slow_poll_seconds=pace.rarely(settings.budgets, poll),
    )
