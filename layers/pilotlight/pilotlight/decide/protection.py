"""When a standby has to be built anew, and each move towards it. What lost its role is kept, always."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from pilotlight.decide import pace, promotion, switchover, tell
from pilotlight.decide.request import finishing
from pilotlight.decide.workload import to_standby
from pilotlight.errors import PreconditionFailed
from pilotlight.model import (
    GRACEFUL,
    REPROTECT,
    SNAPSHOT,
    Database,
    DatabaseSnapshot,
    Doors,
    Function,
    Group,
    Json,
    Protection,
    Quiet,
    Record,
    Settings,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Collection

RETIRED_EPOCH = "pilotlight:retired-epoch"
_EXAMPLE = '{"region": "<the region that is not active>", "rebuild": true, "reason": "why"}'
_FIELDS = {"region", "rebuild", "reason"}
_LONGEST_REASON = 500
_NOTHING = "Nothing was changed."
_KEPT = "Nothing was deleted."
# A mail names so many tables; the evidence has all.
_NAMED_TABLES = 20
_AGAIN = "then start the re-protection again: it goes on from there."


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of a re-protection. No region means the one that is not active."""

    region: str = ""
    rebuild: bool = True
    reason: str = ""


def check(payload: object) -> Asked:
    """Read the input of an execution.

    Raises
    ------
    PreconditionFailed
        It is not what it should be. The message names the field; nothing has been changed.
    """
    if payload is None:
        return Asked()
    if not isinstance(payload, Mapping):
        raise _refused(f"the input is {type(payload).__name__}, not an object")
    unknown = sorted(set(payload) - _FIELDS)
    if unknown:
        raise _refused(f"unknown field {', '.join(map(repr, unknown))}")
    region, rebuild, reason = payload.get("region", ""), payload.get("rebuild", True), payload.get("reason", "")
    if not isinstance(region, str):
        raise _refused(f"'region' is {region!r}, not the name of a region")
    # bool("false") is True: a string is refused, not interpreted.
    if not isinstance(rebuild, bool):
        raise _refused(f"'rebuild' is {rebuild!r}, not true or false")
    if not isinstance(reason, str) or len(reason) > _LONGEST_REASON:
        raise _refused(f"'reason' must be text of at most {_LONGEST_REASON} characters")
    return Asked(region, rebuild, reason)


def standby(record: Record, asked: Asked, primary: str, dr: str) -> str:
    """Say which region is to be protected: the one that is not active.

    Raises
    ------
    PreconditionFailed
        Another one was asked for.
    """
    found = dr if record.active_region == primary else primary
    if asked.region in ("", found):
        return found
    why = "is the active region" if asked.region == record.active_region else "is neither of the two regions"
    raise _refused(f"'region' is {asked.region!r}, which {why}; the standby is {found!r}")


def _refused(why: str) -> PreconditionFailed:
    return PreconditionFailed(f"{why}. {_NOTHING} Start with no input, or with {_EXAMPLE}.")


def require_free(record: Record, running: bool, region: str) -> None:
    """Insist that nobody is switching, and that no switch was left in the middle.

    Parameters
    ----------
    running
        Whether the execution that is named as holder still runs.
    region
        Where the executions are, for messages.

    Raises
    ------
    PreconditionFailed
        A switch is running, or one has asked for a promotion and did not end: only finishing it says who is active. Or
        one may have left the active region closed in part, which taking the lock for something else would forget.
    """
    if record.lock == "held" and running:
        raise PreconditionFailed(
            f"another execution is running and holds the lock: {record.holder} "
            f"(since {record.taken_at}, epoch {record.epoch}), or it has just ended: try again in a minute. This "
            "execution changed nothing. "
            f"Watch the other: aws stepfunctions describe-execution --region {region} --execution-arn {record.holder}"
        )
    if record.unfinished and record.promotion:
        raise PreconditionFailed(
            f"the switch to {record.target} (epoch {record.epoch}, {record.mode}) did not end, and it asked for the "
            f"promotion at {record.promotion}: who is active is only known when it has. {_NOTHING} "
            f"Finish it: {_finished(record, region)}. Then start the re-protection."
        )
    if record.lock != "free" and record.frozen:
        raise PreconditionFailed(
            f"the switch to {record.target} (epoch {record.epoch}, {record.mode}) did not end, and a planned one began "
            f"to close {record.active_region} at {record.frozen}: functions may be off, and the database closed. "
            f"{_NOTHING} Start that switch again, with {finishing(record)} (or the failback): it opens what is closed "
            "first. Or open it by hand, as the runbook says. Then start the re-protection."
        )


def _finished(record: Record, region: str) -> str:
    """Say how an unfinished switch is finished: with another input, the failover is another switch."""
    holder = record.holder.split(":")
    machine = holder[-2] if len(holder) > 1 else "the failover"
    if record.mode != GRACEFUL:
        return f"start {machine} again, with no input"
    if record.target == region:
        return f"start {machine} again, with {finishing(record)}"
    return (
        f"start the failback again, or {machine} with {finishing(record)} and no other input: that would take the "
        "service back to the region it left"
    )


def take(record: Record, asked: Asked, region: str, execution: str, now: dt.datetime) -> Record:
    """Say what the record reads once this execution holds the lock. Who is active, and since when, stays."""
    return replace(
        record,
        epoch=record.epoch + 1,
        lock="held",
        holder=execution,
        taken_at=now.isoformat(timespec="seconds"),
        source=record.active_region,
        target=region,
        mode=REPROTECT,
        reason=asked.reason,
        failure="",
        fence="",
        promotion="",
        insists="",
    )


def must_retire(found: Database | None, source: str) -> bool:
    """Whether a standby's database has to make room: a primary, or a replica that no longer follows the active one.

    One that is being created has no past, and is waited for. A replica that stopped, or lags, may be mended.
    """
    if found is None or found.status == "creating":
        return False
    return found.source != source or found.replication in ("error", "terminated")


def is_protected(found: Database | None, source: str, group: Group | None, functions: tuple[Function, ...]) -> bool:
    """Whether the standby is all it should be: a replica that follows, with backups, and nothing else running.

    Parameters
    ----------
    found
        The standby's database.
    source
        ARN of the active one.
    group, functions
        The standby's.
    """
    return (
        found is not None
        and found.status not in ("creating", *promotion.TERMINAL)
        and found.source == source
        and found.replicates
        and found.backup_retention_days > 0
        and is_idle(group)
        and not any(to_standby(function).anything for function in functions)
    )


def is_idle(group: Group | None) -> bool:
    """Whether a group starts no instances."""
    return group is None or (group.capacity.minimum, group.capacity.desired) == (0, 0)


def retirement(
    record: Record, found: Database | None, source: str, kept: Collection[str], name: Callable[[int], str]
) -> int | None:
    """Say in which epoch the standby's database lost its role, which gives it its name; None where there is none.

    Parameters
    ----------
    found
        The standby's database. If it has to make room, it is named after the epoch in which the active region was
        recorded, or after this one if that name is taken. A name that an earlier run has noted on it stays.
    kept
        Names that are taken.
    name
        Epoch to name.
    """
    if found is not None and must_retire(found, source):
        noted = found.tags.get(RETIRED_EPOCH, "")
        if noted.isdecimal():
            return int(noted)
        return record.since if record.since and name(record.since) not in kept else record.epoch
    # An earlier run got as far as the new name: what it retired since the active region became active.
    numbers = [record.since, *range(record.epoch, record.since, -1)]
    return next((number for number in sorted(set(numbers), reverse=True) if name(number) in kept), None)


def require_open(active: Database, doors: Doors, region: str) -> None:
    """Insist that the active database takes writes: a standby of one that was left closed would hide that it is.

    Raises
    ------
    PreconditionFailed
        A planned switch that was killed in its freeze has left it behind its closed door.
    """
    if switchover.is_closed(active, doors):
        raise PreconditionFailed(
            f"database {active.identifier} of the active region {region} is behind its closed door: a planned switch "
            f"was interrupted in its freeze, and the service is down. {_NOTHING} Start that switch again, which opens "
            f"it, {_AGAIN}"
        )


def plan(
    record: Record,
    environment: str,
    settings: Settings,
    found: Database | None,
    active: Database | None,
    retired_as: tuple[int, str] | None,
    snapshot: str,
    functions: tuple[Function, ...],
    rebuild: bool,
    database: str,
) -> Protection:
    """Say what will be done, or why it cannot be, before anything is changed.

    Parameters
    ----------
    found, active
        The databases of the standby and of the active region.
    retired_as
        Epoch and name of the database that is or was retired.
    snapshot
        Name of its final snapshot, empty where there is none and none will be.
    database
        What both databases are called.

    Raises
    ------
    PreconditionFailed
        One of the two is in a state that only a person ends.
    """
    region = record.target
    if active is None or active.source or active.replication or active.status in promotion.TERMINAL:
        seen = promotion.describe(active) if active else "missing"
        raise PreconditionFailed(
            f"database {database} of the active region {record.active_region} is {seen}: only a primary that works can "
            f"have a replica. {_NOTHING} Repair it (or, if the region is lost, fail over), {_AGAIN}"
        )
    if rebuild and not active.backup_retention_days:
        raise PreconditionFailed(
            f"database {database} of {record.active_region} keeps no backups, and without them it can have no replica. "
            f"{_NOTHING} Switch them on (aws rds modify-db-instance --region {record.active_region} "
            f"--db-instance-identifier {database} --apply-immediately --backup-retention-period "
            f"{settings.backup_retention_days}), {_AGAIN}"
        )
    if found is not None:
        _require_sound(found, region, f"{_NOTHING} ")
        if found.status == "creating" and (found.source != active.arn or not rebuild):
            raise PreconditionFailed(
                f"database {database} in {region} is being created, and not as what is asked for. {_NOTHING} "
                f"Wait until it is available, {_AGAIN}"
            )
    retire = must_retire(found, active.arn)
    epoch, name = retired_as or (0, "")
    budgets = settings.budgets
    return Protection(
        environment=environment,
        region=region,
        active=record.active_region,
        epoch=record.epoch,
        rebuild=rebuild,
        database=database,
        database_state=promotion.describe(found) if found else "missing",
        source=active.arn,
        source_host=active.host,
        source_port=active.port,
        retire=retire,
        retired=name,
        retired_epoch=epoch,
        snapshot=snapshot,
        functions=tuple(function.name for function in functions),
        backup_retention_days=settings.backup_retention_days,
        most_lag_seconds=settings.most_lag_seconds,
        poll_seconds=budgets.poll,
        slow_poll_seconds=pace.slowly(budgets),
        budgets=budgets,
        steps=tuple(_steps(region, record.active_region, name if retire else "", rebuild, database)),
    )


def _steps(region: str, active: str, retired: str, rebuild: bool, database: str) -> list[str]:
    steps = [f"close {region}: functions off, no instances"]
    if retired:
        steps += [
            f"close its database {database} to everybody, and wait until it is quiet",
            f"list what it has and {active} never got",
            f"take its final snapshot {retired}-final",
            f"keep it as {retired}, protected from deletion",
        ]
    if rebuild:
        steps += [
            f"see that {database} in {region} is a replica of {active}'s; create it if there is none",
            "keep backups on it, and wait until it follows",
        ]
    return steps


def _require_sound(found: Database, region: str, done: str) -> None:
    if found.status in promotion.TERMINAL:
        raise PreconditionFailed(
            f"database {found.identifier} in {region} is '{found.status}', and no waiting ends that. {done}"
            f"Repair it in the RDS console until it is 'available' (or give it another name yourself), {_AGAIN}"
        )


def at_rest(seen: Quiet | None, before: str, waited: int, budget: int) -> bool:
    """Decide whether the old database has come to rest: read-only, and at the same last write in two looks.

    Parameters
    ----------
    seen
        What it says of itself; None where it cannot be asked. That is waited for and then done without: what cannot
        be asked can still be kept.
    before
        The position of the look before.

    Raises
    ------
    PreconditionFailed
        It goes on writing until the budget is spent.
    """
    if seen is not None and seen.read_only and seen.position and seen.position == before:
        return True
    if waited < budget:
        return False
    if seen is None:
        return True
    raise PreconditionFailed(
        f"the old database is not quiet after {waited} s (budget {budget} s): read-only "
        f"{'yes' if seen.read_only else 'no'}, {seen.connections} connections left, at "
        f"{seen.position or 'an unknown position'}. It was closed, and it is where it was. Stop what goes on writing, "
        f"or raise freeze-budget-seconds, {_AGAIN}"
    )


def next_snapshot_move(
    snapshot: DatabaseSnapshot | None, found: Database, name: str, waited: int, budget: int
) -> Literal["take", "wait", "done"]:
    """Decide the next move towards a final snapshot.

    Raises
    ------
    PreconditionFailed
        It failed, its name is another database's, or the budget is spent.
    """
    if snapshot is not None:
        if snapshot.resource and found.resource and snapshot.resource != found.resource:
            raise PreconditionFailed(
                f"snapshot {name} exists and is of another database than {found.identifier}. {_KEPT} "
                f"Copy it to another name and delete this one, {_AGAIN}"
            )
        if snapshot.status == "available":
            return "done"
        if snapshot.status not in ("creating", "pending"):
            raise PreconditionFailed(
                f"the final snapshot {name} is '{snapshot.status}'. {found.identifier} is where it was, closed. "
                f"Delete that snapshot, {_AGAIN}"
            )
    what = f"the final snapshot {name} of {promotion.describe(found)} {found.identifier}"
    _in_time(what, promotion.events(found), waited, budget)
    return "take" if snapshot is None and found.status == "available" else "wait"


def next_retirement_move(
    found: Database | None, retired: Database | None, protection: Protection, waited: int
) -> Literal["rename", "wait", "done"]:
    """Decide the next move towards an old database that is kept under its own name.

    Parameters
    ----------
    found, retired
        What stands under the standby's name, and under the name for what is retired.

    Raises
    ------
    PreconditionFailed
        The name is another's, an instance is in a state that only a person ends, or the budget is spent.
    """
    there = found is not None and must_retire(found, protection.source)
    if not there and retired is not None and retired.status == "available" and not promotion.under_way(retired):
        return "done"
    for instance in (found, retired):
        if instance is not None:
            _require_sound(instance, protection.region, f"{_KEPT} ")
    # Looked at one after the other: one instance that got its name in between shows under both.
    same = found is not None and retired is not None and bool(found.resource) and found.resource == retired.resource
    if found is not None and there and retired is not None and not same:
        raise PreconditionFailed(
            f"{protection.retired} exists in {protection.region} beside {found.identifier}, which was to get it. "
            f"{_KEPT} Give {protection.retired} another name, {_AGAIN}"
        )
    what = f"the new name {protection.retired} of {protection.database}"
    _in_time(what, _events(protection), waited, protection.budgets.protection)
    renaming = same or (found is not None and "DBInstanceIdentifier" in found.pending)
    return "rename" if found is not None and there and found.status == "available" and not renaming else "wait"


def next_building_move(
    found: Database | None, protection: Protection, waited: int
) -> Literal["create", "wait", "done"]:
    """Decide the next move towards a replica under the standby's name.

    Raises
    ------
    PreconditionFailed
        Something else has that name, its creation failed, or the budget is spent.
    """
    if found is not None:
        if found.status == "failed":
            raise PreconditionFailed(
                f"replica {found.identifier} in {protection.region} could not be created: it is 'failed'. {_KEPT} "
                f"See why ({promotion.events_of(found.identifier, protection.region)}), delete that replica, which "
                f"never held anything, {_AGAIN}"
            )
        _require_sound(found, protection.region, f"{_KEPT} ")
        if found.source != protection.source:
            raise PreconditionFailed(
                f"{found.identifier} in {protection.region} is {promotion.describe(found)}, and not the replica of "
                f"{protection.source} that it was to become. {_KEPT} See who made it, {_AGAIN}"
            )
        if found.status == "available":
            return "done"
    _in_time(
        f"the replica {protection.database} in {protection.region} "
        f"({promotion.describe(found) if found else 'not accepted by RDS yet'})",
        _events(protection),
        waited,
        protection.budgets.protection,
    )
    return "create" if found is None else "wait"


def next_backup_move(
    found: Database | None, protection: Protection, days: int, windows: tuple[str, str], waited: int
) -> Literal["keep", "wait", "done"]:
    """Decide the next move towards a replica that keeps backups: it is created without.

    Parameters
    ----------
    days
        How long they are kept.
    windows
        For backups and for maintenance; empty for RDS's choice.

    Raises
    ------
    PreconditionFailed
        The replica is gone or broken, or the budget is spent.
    """
    found = _require_there(found, protection)
    wanted = [window.lower() for window in windows]
    has = (found.backup_window.lower(), found.maintenance_window.lower())
    kept = found.backup_retention_days >= days and all(
        not window or window == seen for window, seen in zip(wanted, has, strict=True)
    )
    at_ease = found.status == "available" and not promotion.under_way(found)
    if kept and at_ease:
        return "done"
    what = f"backups of {protection.database} ({promotion.describe(found)})"
    _in_time(what, _events(protection), waited, protection.budgets.protection)
    return "keep" if at_ease else "wait"


def follows(found: Database | None, heard: Json, protection: Protection, waited: int) -> bool:
    """Decide whether the replica follows: RDS says so, and it has heard the active database's heart lately.

    Parameters
    ----------
    heard
        What its own SQL function says: ``age`` of the last beat in seconds or None, ``detail`` where it does not.

    Raises
    ------
    PreconditionFailed
        It does not within the budget.
    """
    found = _require_there(found, protection)
    age = heard.get("age")
    replicating = found.source == protection.source and found.replicates
    if replicating and age is not None and int(age) <= protection.most_lag_seconds:
        return True
    beat = f"last heard the active heart {age} s ago" if age is not None else "has not heard the active heart"
    _in_time(
        f"replication of {protection.database} in {protection.region} (replication {found.replication or 'none'}, "
        f"{beat}{': ' + str(heard['detail']) if heard.get('detail') else ''})",
        _events(protection),
        waited,
        protection.budgets.protection,
    )
    return False


def _require_there(found: Database | None, protection: Protection) -> Database:
    if found is None:
        raise PreconditionFailed(
            f"replica {protection.database} is gone from {protection.region} again: see who deleted it, {_AGAIN}"
        )
    _require_sound(found, protection.region, f"{_KEPT} ")
    return found


def _events(protection: Protection) -> str:
    return promotion.events_of(protection.database, protection.region)


def _in_time(what: str, events: str, waited: int, budget: int) -> None:
    if waited >= budget:
        raise PreconditionFailed(
            f"{what} took more than {waited} s of waiting (budget {budget} s). {_KEPT} What RDS was asked for goes on. "
            f"Look at the events ({events}), raise protection-budget-seconds if it only needs longer, {_AGAIN}"
        )


def retired_tags(protection: Protection, divergence: Json | None, now: dt.datetime) -> dict[str, str]:
    """Say what is written on a retired database: when it lost its role, and what nobody else has."""
    tags = {
        "pilotlight:role": "retired",
        RETIRED_EPOCH: str(protection.retired_epoch),
        "pilotlight:retired-at": now.isoformat(timespec="seconds"),
    }
    if divergence is None:
        return tags
    return tags | {
        "pilotlight:divergence-transactions": str(divergence["transactions"]),
        "pilotlight:divergence-rows": str(divergence["rows"]),
        "pilotlight:divergence-statements": str(_statements(divergence)),
    }


def already_protected(record: Record, region: str, objects: str = "") -> str:
    """Say that there is nothing to do.

    Parameters
    ----------
    objects
        The command that goes on with the objects, where copying what never crossed has not come to its end: that is
        not done where nothing has to be built.
    """
    told = f"{region} follows {record.active_region}, keeps backups and runs nothing: nothing was changed."
    left = "What never crossed of the objects has not been compared and copied to the end since the last switch"
    return f"{told} {left}. This goes on with it: {objects}" if objects else told


def objects_are_left(record: Record, noted: Json) -> bool:
    """Whether the objects were not compared and copied to the end since the active region became active.

    Parameters
    ----------
    noted
        What the last copying noted at its end.
    """
    return bool(record.since) and not (noted.get("since") == record.since and noted.get("done"))


def next_steps(protection: Protection, divergence: Json | None, primary: str, dr: str) -> str:
    """Say what the team does now, a command on a line of its own."""
    region, environment = protection.region, protection.environment
    steps = []
    if protection.retired and crossed_all(divergence) is not True:
        steps.append(
            f"Reconcile: {lost(divergence)} {_where(divergence)}Whatever you decide, {protection.retired} in "
            f"{region} has it all."
        )
    back = tell.make("failback", environment, dr)
    if not protection.rebuild and region == primary:
        steps.append(
            f"{region} has no database now: go on with the failback by snapshot.\n     {back} METHOD={SNAPSHOT}"
        )
    elif not protection.rebuild:
        again = tell.make("reprotect", environment, dr)
        steps.append(f"{region} has no database now, and cannot take over. This builds a replica there:\n     {again}")
    elif region == primary:
        steps.append(f"{region} can take over again. Going back is a planned switch:\n     {back}")
    else:
        steps.append(f"{region} can take over again. Nothing else is to be done.")
    if protection.retired:
        purge = f"{tell.make('retire-purge', environment, dr, primary)} ID={protection.retired}"
        steps.append(
            f"{protection.retired} costs like any database. This removes it when nobody needs it any more, after you "
            f"typed its name; its snapshot {protection.snapshot or '(none)'} stays:\n     {purge}"
        )
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))


def crossed_all(divergence: Json | None) -> bool | None:
    """Whether everything that the old database had is in the new one; None where nobody knows."""
    if divergence is None:
        return None
    transactions = int(divergence["transactions"])
    if divergence["listed"] and not divergence["truncated"]:
        return int(divergence["rows"]) == 0 and _statements(divergence) == 0
    return True if transactions == 0 else None if transactions < 0 else False


def _statements(divergence: Json) -> int:
    """Count the changes of schemas and accounts; what was noted before they were counted has no word of them."""
    return int(divergence.get("statements", 0))


def lost(divergence: Json | None) -> str:
    """Say in a sentence what never crossed."""
    if divergence is None:
        return "Nothing was compared."
    if crossed_all(divergence) is True:
        return "Everything that the old database had is in the new one."
    if not divergence["listed"]:
        count = "an unknown number of" if divergence["transactions"] < 0 else str(divergence["transactions"])
        return f"{count} transactions never crossed, and they could not be listed ({divergence['detail']})."
    counted = divergence["tables"]
    named = sorted(counted, key=lambda table: (-sum(counted[table].values()), table))[:_NAMED_TABLES]
    tables = ", ".join(
        f"{table} {' '.join(f'{count} {kind}' for kind, count in sorted(counted[table].items()) if count)}"
        for table in sorted(named)
    )
    others = len(counted) - len(named) + int(divergence.get("more_tables", 0))
    if others:
        tables += f", and {others} more tables: see the evidence"
    more = "at least " if divergence["truncated"] else ""
    statements = _statements(divergence)
    also = f" and {statements} statements (changes of schemas or accounts: the list has them)" if statements else ""
    changes = f"{divergence['rows']} row changes{also} in {divergence['transactions']} transactions"
    return f"{more}{changes} never crossed{': ' if tables else ''}{tables}."


def _where(divergence: Json | None) -> str:
    place = divergence.get("evidence", "") if divergence else ""
    return f"The list is {place}. " if place else ""


def succeeded(
    record: Record,
    protection: Protection,
    divergence: Json | None,
    corrected: Collection[str],
    primary: str,
    dr: str,
) -> Json:
    """Word the notification of a re-protection that worked."""
    region = protection.region
    head = f"follows {protection.active}" if protection.rebuild else "has its old database retired"
    lines = [
        f"{protection.environment} runs in {protection.active}. {region} {head}.",
        f"Reason given: {record.reason or 'none'}",
        "",
    ]
    if protection.retired:
        lines += [
            f"Retired    {protection.retired}, protected from deletion, behind its closed door",
            f"Snapshot   {protection.snapshot or 'none'}",
            f"Lost       {lost(divergence)} {_where(divergence)}".rstrip(),
        ]
    if protection.rebuild:
        lines.append(f"Replica    {protection.database} in {region} replicates, with backups")
    if corrected:
        lines.append(f"Corrected  {', '.join(corrected)}")
    return {
        "kind": "succeeded",
        "subject": f"[{protection.environment}] {region} {head} (epoch {protection.epoch})",
        "message": "\n".join((*lines, "", "Next:", next_steps(protection, divergence, primary, dr))),
    }


def standing(found: Database | None, retired: Database | None, protection: Protection) -> dict[str, Any]:
    """Say how far a loop is, for whoever looks at the execution."""
    return {
        "database": promotion.describe(found) if found else "missing",
        "retired": f"{protection.retired} {promotion.describe(retired)}" if retired else "",
    }
