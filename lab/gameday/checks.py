"""From what was seen to what held. Each check is independent of what the workflow says about itself, where that can be.

Invariant: a check that cannot be decided has not held. Not knowing is a result, and never a good one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.gameday.model import Check, Phase, Timeline, Writes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class WorkloadFunction:
    """A business function and its triggers as they stand. ``reserved`` is None without a reserved concurrency."""

    name: str
    reserved: int | None
    triggers: tuple[str, ...]


@dataclass(frozen=True)
class Standing:
    """How a region stands, by the AWS API and by SQL; what could not be read is None and listed in ``unread``."""

    region: str
    database: Mapping[str, Any] | None = None
    read_only: bool | None = None
    wanted_capacity: tuple[int, int, int] | None = None
    wanted_healthy: int | None = None
    capacity: tuple[int, int, int] | None = None
    images: tuple[str, ...] = ()
    newest_image: str | None = None
    healthy: int | None = None
    functions: tuple[WorkloadFunction, ...] | None = None
    active_region: str | None = None
    unread: Mapping[str, str] = field(default_factory=dict)


def after_failover(
    phase: Phase, timeline: Timeline, standing: Standing, writes: Writes, *, fence: str, primary: str
) -> list[Check]:
    """Say what had to hold after an unplanned failover, and whether it did.

    Parameters
    ----------
    phase
        The failover.
    timeline
        Its execution's.
    standing
        How the region that serves now stands.
    writes
        What became of the writes.
    fence
        The only function that speaks to the lost region.
    primary
        The lost region.

    Returns
    -------
    list[Check]
        In the order in which people ask.
    """
    return [
        Check(
            "The failover succeeded",
            phase.status == "SUCCEEDED",
            f"one command, no input; the execution ended {phase.status}" + (f": {phase.cause}" if phase.cause else ""),
        ),
        _restored(phase, standing.region),
        _nothing_lost(writes),
        _content(writes),
        _read_back(writes, standing.region),
        _not_waited(timeline, fence, primary, standing.region),
        _promoted(standing),
        _compute(standing),
        _workload(standing),
        Check(
            f"{standing.region} is on record as the active region",
            standing.active_region == standing.region,
            f"the parameter that deployments follow says {standing.active_region or 'nothing'}"
            + _why(standing, "record"),
        ),
    ]


def all_held(checks: Sequence[Check]) -> bool:
    """Say whether everything held.

    Parameters
    ----------
    checks
        What had to hold.

    Returns
    -------
    bool
        False without a single check: nothing shown is nothing held.
    """
    return bool(checks) and all(check.held for check in checks)


def _restored(phase: Phase, region: str) -> Check:
    after = phase.writes.acknowledged_after
    if phase.rto_seconds is None:
        return Check("The service is back", False, f"no write was acknowledged by {region}")
    return Check(
        "The service is back",
        after > 0,
        f"first write acknowledged by {region} {phase.rto_seconds:.0f} AWS seconds after the loss, {after} since",
    )


def _nothing_lost(writes: Writes) -> Check:
    name = "No acknowledged write that had reached the replica is lost"
    if not writes.acknowledged_before:
        return Check(name, False, "no write had been acknowledged before the loss: nothing was put to the test")
    if not writes.lost:
        return Check(
            name, True, f"all {writes.acknowledged} acknowledged writes were looked for, row by row: all are there"
        )
    names = ", ".join(writes.lost_ids[:3]) + (" …" if writes.lost > 3 else "")
    if writes.lost_out_of_order:
        return Check(
            name,
            False,
            f"{writes.lost} lost ({names}); {writes.lost_out_of_order} of them were acknowledged before a write that "
            "did arrive was sent, so they had reached the replica",
        )
    if writes.received_unapplied != 0:
        held = "an unknown number of" if writes.received_unapplied is None else str(writes.received_unapplied)
        return Check(
            name, False, f"{writes.lost} lost ({names}); the replica was promoted with {held} received writes unapplied"
        )
    return Check(
        name,
        True,
        f"{writes.lost} acknowledged in the last moment never left the lost region ({names}); "
        "everything that the replica had received was applied",
    )


def _content(writes: Writes) -> Check:
    return Check(
        "Every row that is there holds what was written",
        writes.altered == 0 and writes.acknowledged > 0,
        f"{writes.altered} of {writes.acknowledged - writes.lost} rows differ from what the client sent",
    )


def _read_back(writes: Writes, region: str) -> Check:
    return Check(
        f"The application in {region} gives the orders back",
        writes.read_back > 0 and writes.read_back_failed == 0,
        f"{writes.read_back - writes.read_back_failed} of {writes.read_back} orders read through its load balancer",
    )


def _not_waited(timeline: Timeline, fence: str, primary: str, region: str) -> Check:
    name = "Nothing on the critical path waited for the lost region"
    if not timeline.steps:
        return Check(name, False, "the execution's history could not be read")
    if fence in timeline.functions:
        return Check(name, False, f"{fence}, which speaks to {primary}, is on the critical path")
    if any(fence in step.functions for step in timeline.steps):
        how = "in a branch that ended before others"
    elif fence in timeline.sent or any(fence in step.sent for step in timeline.steps):
        how = "and was sent off without waiting for its answer"
    else:
        how = "and was not called"
    return Check(
        name,
        True,
        f"{timeline.calls} calls and {timeline.waits} waits on the path, all inside {region}; "
        f"{fence} alone speaks to {primary}, {how}",
    )


def _promoted(standing: Standing) -> Check:
    name = "The database is promoted, by more than its status"
    found = standing.database
    if found is None:
        return Check(name, False, "the database could not be described" + _why(standing, "database"))
    wrong = [
        problem
        for problem, present in {
            f"its status is {found.get('DBInstanceStatus')}": found.get("DBInstanceStatus") != "available",
            "it still names a source": bool(found.get("ReadReplicaSourceDBInstanceIdentifier")),
            "it still reports replication": any(
                each.get("StatusType") == "read replication" for each in found.get("StatusInfos") or ()
            ),
            "changes are pending": bool(found.get("PendingModifiedValues")),
            "automated backups are off": not found.get("BackupRetentionPeriod"),
            "it takes no writes": standing.read_only is not False,
        }.items()
        if present
    ]
    if wrong:
        return Check(name, False, "; ".join(wrong) + _why(standing, "sql"))
    return Check(
        name,
        True,
        "available, no source, no replication, nothing pending, "
        f"backups kept {found['BackupRetentionPeriod']} days, takes writes",
    )


def _compute(standing: Standing) -> Check:
    name = "Compute runs at production size, on the newest image"
    wanted, found = standing.wanted_capacity, standing.capacity
    if wanted is None or found is None or standing.healthy is None or standing.wanted_healthy is None:
        return Check(name, False, "it could not be read" + _why(standing, "compute"))
    stale = [image for image in standing.images if image != standing.newest_image]
    held = (
        all(is_ >= should for is_, should in zip(found, wanted, strict=True))
        and len(standing.images) >= wanted[1]
        and standing.healthy >= standing.wanted_healthy
        and not stale
    )
    return Check(
        name,
        held,
        f"min/desired/max {'/'.join(map(str, found))} (configured {'/'.join(map(str, wanted))}), "
        f"{standing.healthy} healthy behind the load balancer ({standing.wanted_healthy} needed), "
        + (
            f"{len(stale)} on an older image than {standing.newest_image}"
            if stale
            else f"all on {standing.newest_image}"
        ),
    )


def _workload(standing: Standing) -> Check:
    name = "The business functions are on"
    if standing.functions is None:
        return Check(name, False, "they could not be read" + _why(standing, "workload"))
    off = [
        each.name
        for each in standing.functions
        if each.reserved == 0 or any(state != "Enabled" for state in each.triggers)
    ]
    triggers = sum(len(each.triggers) for each in standing.functions)
    names = ", ".join(each.name for each in standing.functions)
    if off:
        return Check(name, False, f"still off: {', '.join(off)}")
    return Check(
        name,
        bool(standing.functions),
        f"{names or 'no function is tagged'}: concurrency free, triggers enabled: {triggers}",
    )


def _why(standing: Standing, part: str) -> str:
    return f" ({standing.unread[part]})" if part in standing.unread else ""
