"""From what was seen to what held. Each check is independent of what the workflow says about itself, where that can be.

Invariant: a check that cannot be decided has not held. Not knowing is a result, and never a good one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from lab.gameday.model import Check, Phase, Timeline, Writes
from lab.gameday.numbers import whole

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


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


@dataclass(frozen=True)
class Kept:
    """How a retired database is kept. ``doors`` are its security groups' tags; ``unread`` says why nothing is known."""

    region: str
    identifier: str
    status: str = ""
    protected: bool = False
    doors: tuple[str, ...] = ()
    snapshot: str = ""
    unread: str = ""


@dataclass(frozen=True)
class Proof:
    """Where the source's last transaction was when it was proven to be across, and where it is now.

    Empty where nobody could say.
    """

    proven: str
    now: str
    unread: str = ""


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
    found = [
        Check(
            "The failover succeeded",
            phase.status == "SUCCEEDED",
            f"{_how(phase)}; the execution ended {phase.status}" + (f": {phase.cause}" if phase.cause else ""),
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
    return [replace(check, phase="failover") for check in found]


def by_itself(phase: Phase) -> Check:
    """Say whether an alarm began the failover, as it had to where no person does.

    Parameters
    ----------
    phase
        The failover.

    Returns
    -------
    Check
        With what began it.
    """
    return Check(
        "A failover begins by itself",
        phase.trigger != "manual",
        f"{phase.trigger} rang" if phase.trigger != "manual" else "no alarm began it in time: a person had to",
        "failover",
    )


def closed_itself(region: str, returned: float | None, shut: float | None) -> Check:
    """Say whether a region that lost its role closed itself when it came back.

    Parameters
    ----------
    region
        Its name.
    returned, shut
        AWS seconds: when it came back, and when it was seen to be closed; None if it was not.

    Returns
    -------
    Check
        With how long it took.
    """
    took = f"closed {whole(shut - returned)} AWS seconds after it was back" if shut and returned else "it stayed open"
    return Check(f"{region} closes itself when it comes back", shut is not None, took, "reprotect")


def _how(phase: Phase) -> str:
    return "one command, no input" if phase.trigger == "manual" else f"nobody touched anything: {phase.trigger} rang"


def after_reprotect(
    phase: Phase, failover: Writes, unpromised: Collection[str], kept: Kept | None, region: str
) -> list[Check]:
    """Say what had to hold after the returned region was protected again.

    Parameters
    ----------
    phase
        The re-protection, with what it reported and what was found.
    failover
        What became of the writes up to the return.
    unpromised
        Orders that a client sent and was promised nothing of: they may be anywhere.
    kept
        How the retired database is kept; None if there is none.
    region
        The returned region.

    Returns
    -------
    list[Check]
        In the order in which people ask.
    """
    return [
        _succeeded(phase, "Re-protection succeeded", ("protected",)),
        _named_exactly(phase, failover, unpromised),
        _refused(phase, region),
        _none_lost(phase, f"No order was lost while {region} was protected again"),
        _kept(kept, f"The old database of {region} is kept, closed and protected"),
    ]


def after_failback(
    switchover: Phase, failback: Phase, carried: tuple[int, int], proof: Proof, kept: Kept | None, places: Places
) -> list[Check]:
    """Say what had to hold after everything was brought back to the primary.

    Parameters
    ----------
    switchover
        The planned switch.
    failback
        The whole.
    carried
        How many orders the left region had before, and how many of them are missing now.
    proof
        The source's position when it was proven, and now.
    kept
        How the left region's database is kept; None if there is none.
    places
        How both regions stand at the end.

    Returns
    -------
    list[Check]
        In the order in which people ask.
    """
    primary, dr = places.primary, places.dr
    orders, missing = carried
    return [
        _frozen(switchover, primary.region),
        _none_lost(switchover, "The planned switch lost no order"),
        Check(
            f"Everything that {dr.region} had is in {primary.region}",
            orders > 0 and not missing,
            f"{orders - missing} of {orders} orders that were seen in {dr.region} before",
            "switchover",
        ),
        _unmoved(proof, dr.region),
        _succeeded(failback, "Failback succeeded", ("failed-back",)),
        _none_lost(failback, "No order was lost before or after the switch"),
        _kept(kept, f"The old database of {dr.region} is kept, closed and protected", "failback"),
        *(replace(check, phase="steady") for check in (_promoted(primary), _compute(primary), _workload(primary))),
        _pilot_light(dr, primary.region),
        Check(
            f"{primary.region} is on record as the active region, in both",
            {primary.active_region, dr.active_region} == {primary.region},
            ", ".join(f"{each.region} says {each.active_region or 'nothing'}" for each in (primary, dr)),
            "steady",
        ),
    ]


def earlier_orders(orders: int, missing: int) -> Check:
    """Say whether what earlier circles left is still there.

    Parameters
    ----------
    orders
        How many were there at an earlier circle's end.
    missing
        How many of them are missing now.

    Returns
    -------
    Check
        One more thing that had to hold.
    """
    return Check(
        "The orders of earlier circles are still there", not missing, f"{orders - missing} of {orders}", "steady"
    )


@dataclass(frozen=True)
class Places:
    """How both regions stand at the end of a circle."""

    primary: Standing
    dr: Standing


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
        f"first write acknowledged by {region} {whole(phase.rto_seconds)} AWS seconds after the loss, {after} since",
    )


def _succeeded(phase: Phase, name: str, outcomes: Collection[str]) -> Check:
    outcome = phase.output.get("outcome") or "nothing"
    return Check(
        name,
        phase.status == "SUCCEEDED" and outcome in outcomes,
        f"one command, no input; the execution ended {phase.status}, its outcome is {outcome}"
        + (f": {phase.cause}" if phase.cause else ""),
        phase.name,
    )


def _named_exactly(phase: Phase, failover: Writes, unpromised: Collection[str]) -> Check:
    name = "The report names exactly what never crossed"
    found, stray = phase.divergence, phase.stray
    if found is None or stray is None or found.reported is None:
        return Check(name, False, "re-protection reported nothing of it", phase.name)
    if found.unread or found.evidence_ids is None or found.old_ids is None:
        return Check(name, False, f"it could not be compared: {found.unread or 'a part is missing'}", phase.name)
    old, listed = set(found.old_ids), set(found.evidence_ids)
    promised = {*failover.lost_ids, *stray.acknowledged_ids}
    nobodys = old - promised
    wrong = [
        problem
        for problem, present in {
            f"it counts {found.orders} orders, the old database has {len(old)} more than the active one": found.orders
            != len(old),
            f"its list has {len(listed - old)} orders that are not so": bool(listed - old),
            f"its list lacks {len(old - listed)} orders": bool(old - listed),
            f"{len(promised - old)} promised orders are in no database": bool(promised - old),
            f"{len(nobodys - set(unpromised))} orders were sent by nobody": bool(nobodys - set(unpromised)),
        }.items()
        if present
    ]
    told = f"{failover.lost} lost in the failover, {stray.acknowledged} of stray clients"
    if nobodys:
        told += f", {len(nobodys)} that nobody was promised"
    if wrong:
        return Check(name, False, "; ".join(wrong) + f" ({told})", phase.name)
    return Check(
        name,
        True,
        f"{len(old)} orders are in the old database alone, {found.orders} in the report, {len(listed)} in its list, "
        f"the same by their ids: {told}",
        phase.name,
    )


def _refused(phase: Phase, region: str) -> Check:
    name = f"{region} takes no order any more"
    stray, end = phase.stray, phase.moment("ended")
    if stray is None or end is None:
        return Check(name, False, "nobody tried", phase.name)
    if not stray.clients:
        return Check(name, True, "no stray client was there to try", phase.name)
    late = stray.last_at is not None and stray.last_at >= end
    return Check(
        name,
        not late,
        f"{stray.clients} stray clients went on: {stray.acknowledged} of {stray.attempts} orders were acknowledged, "
        + ("the last after re-protection had ended" if late else "none since it was closed"),
        phase.name,
    )


def _none_lost(phase: Phase, name: str) -> Check:
    writes = phase.writes
    names = f" ({', '.join(writes.lost_ids[:3])}{' …' if writes.lost > 3 else ''})" if writes.lost else ""
    return Check(
        name,
        not writes.lost and not writes.altered and phase.status == "SUCCEEDED",
        f"{writes.acknowledged} acknowledged, {writes.lost} lost{names}"
        + (f", {writes.altered} altered" if writes.altered else ""),
        phase.name,
    )


def _kept(kept: Kept | None, name: str, phase: str = "reprotect") -> Check:
    if kept is None or kept.unread:
        return Check(name, False, kept.unread if kept else "no database was retired", phase)
    held = kept.status == "available" and kept.protected and kept.doors == ("closed",) and kept.snapshot == "available"
    return Check(
        name,
        held,
        f"{kept.identifier}: {kept.status}, deletion protection {'on' if kept.protected else 'off'}, door "
        f"{'/'.join(kept.doors) or 'unknown'}, final snapshot {kept.snapshot or 'missing'}",
        phase,
    )


def _frozen(phase: Phase, region: str) -> Check:
    name = f"The service is back in {region}"
    if phase.freeze_seconds is None:
        return Check(name, False, f"no order was acknowledged by {region} after the switch", phase.name)
    return Check(
        name,
        True,
        f"nobody could order for {whole(phase.freeze_seconds)} AWS seconds: closed, proven, promoted",
        phase.name,
    )


def _unmoved(proof: Proof, region: str) -> Check:
    name = f"{region} was not written after the proof"
    if not proof.proven or not proof.now:
        return Check(
            name, False, "it could not be compared: " + (proof.unread or "a position is missing"), "switchover"
        )
    return Check(
        name,
        proof.proven == proof.now,
        f"proven at {proof.proven}, and still there"
        if proof.proven == proof.now
        else f"proven at {proof.proven}, now at {proof.now}",
        "switchover",
    )


def _pilot_light(standing: Standing, source: str) -> Check:
    name = f"{standing.region} is the standby again"
    found, functions = standing.database, standing.functions
    if found is None or functions is None or standing.capacity is None:
        parts = (_why(standing, part) for part in ("database", "compute", "workload"))
        return Check(name, False, "it could not be read" + "".join(parts), "steady")
    infos = [each for each in found.get("StatusInfos") or () if each.get("StatusType") == "read replication"]
    of = str(found.get("ReadReplicaSourceDBInstanceIdentifier") or "")
    wrong = [
        problem
        for problem, present in {
            f"its database is {found.get('DBInstanceStatus')}": found.get("DBInstanceStatus") != "available",
            f"its database is no replica of {source}'s": f":{source}:" not in of,
            "its replica does not replicate": not infos or not all(each.get("Normal") for each in infos),
            "its replica keeps no backups": not found.get("BackupRetentionPeriod"),
            "its database takes writes": standing.read_only is not True,
            f"its group is set to {standing.capacity}": standing.capacity[:2] != (0, 0),
            "functions are on": any(
                each.reserved != 0 or any(state != "Disabled" for state in each.triggers) for each in functions
            ),
        }.items()
        if present
    ]
    return Check(
        name,
        not wrong,
        "; ".join(wrong) + _why(standing, "sql")
        if wrong
        else f"a replica of {source}'s database that replicates and keeps backups, no instances, functions off",
        "steady",
    )


def _nothing_lost(writes: Writes) -> Check:
    name = "No acknowledged write that had reached the replica is lost"
    if not writes.acknowledged_before:
        return Check(name, False, "no write had been acknowledged before the loss: nothing was put to the test")
    if not writes.lost:
        return Check(
            name, True, f"all {writes.acknowledged} acknowledged writes were looked for, row by row: all are there"
        )
    names = ", ".join(writes.lost_ids[:1]) + (" …" if writes.lost > 1 else "")
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
