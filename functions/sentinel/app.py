"""Closes what should be closed in its own region. It opens nothing and deletes nothing.

The same function stands in both regions and runs every minute. Each part is looked at, decided and closed for itself:
one that does not answer keeps no other one open. Right before a part is changed the record is read again, since a
switch may have begun meanwhile.
"""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from pilotlight.aws import (
    clients,
    compute,
    database,
    faults,
    functions,
    metrics,
    notes,
    notify,
    parameters,
    rules,
    workload,
)
from pilotlight.aws.record import Store
from pilotlight.config import functions_named
from pilotlight.decide import sentinel as decide
from pilotlight.errors import PreconditionFailed, TransientError
from pilotlight.model import Measure, quiet_from
from pilotlight.step import Call, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pilotlight.model import Database, Doors, Json, Record

logger = Logger(service="sentinel")

_TRIES = 3
# What was closed and could not be noted: the record was in reach, and a moment later it was not. A sentinel runs every
# minute in one environment, so the next run finds it here; what is lost with the environment is in the log.
_unwritten: dict[str, str] = {}


def watch(call: Call) -> Json:
    """Compare this region with the record, and close what should be closed. That it looked is counted in any case."""
    counted = {"SentinelLooked": 1}
    try:
        return _watch(call, counted)
    finally:
        _count(call, counted)


def _watch(call: Call, counted: dict[str, int]) -> Json:
    try:
        record = _record(call)
    except TransientError as error:
        # One region's trouble is none of the other one's: nothing is changed, and nobody is woken every minute.
        logger.warning("the record cannot be read: nothing is changed", reason=str(error))
        counted["SentinelBlind"] = 1
        return {"outcome": "blind", "detail": str(error), "closed": 0}
    verdict = decide.judge(record, call.environment.region)
    if not verdict.closed:
        return {"outcome": verdict.outcome, "detail": verdict.why, "closed": 0}
    did, failed = _closed(call, verdict, record.epoch)
    told = _told(call, verdict, record.epoch, did)
    if did:
        counted["SentinelClosed"] = len(did)
    if failed:
        reasons = "; ".join(f"{part}: {reason}" for part, reason in failed.items())
        raise TransientError(
            f"{call.environment.region} has to be closed and is not wholly: {reasons}. The next minute tries again"
        )
    return {"outcome": "closed", "detail": verdict.why, "closed": len(did), "told": told}


def _closed(call: Call, verdict: decide.Verdict, epoch: int) -> tuple[dict[str, str], dict[str, str]]:
    """Close every part that is open; say what was done to which, and which could not be looked at or closed."""
    parts: dict[str, Callable[[], _Done]] = {
        "capacity": lambda: _capacity(call),
        "functions": lambda: _functions(call),
        "database": lambda: _database(call, verdict, epoch),
        "rules": lambda: _rules(call),
        "record": lambda: _active_region(call, verdict),
    }
    did, failed = {}, {}
    with ThreadPoolExecutor(len(parts)) as pool:
        for part, (done, reason) in zip(parts, pool.map(_attempt, parts.values()), strict=True):
            if done:
                logger.warning("closed", part=part, did=done, epoch=epoch, why=verdict.why)
                did[part] = done
            if reason:
                logger.error("not closed", part=part, reason=reason)
                failed[part] = reason
    return did, failed


class _Done(NamedTuple):
    """What was closed of a part, and why something of it was not."""

    did: str = ""
    reason: str = ""


def _attempt(part: Callable[[], _Done]) -> _Done:
    try:
        return part()
    except Exception as error:  # noqa: BLE001 - one part that fails in any way keeps no other one open
        return _Done(reason=str(faults.sorted_into_family(error)))


def _each(moves: Mapping[str, Callable[[], object]], more: str = "") -> _Done:
    """Carry moves out one by one; one that fails keeps no other one back."""
    did, reasons = [], []
    for what, move in moves.items():
        try:
            move()
            did.append(what)
        except Exception as error:  # noqa: BLE001 - as above
            reasons.append(f"{what}: {faults.sorted_into_family(error)}")
    return _Done(f"{', '.join(did)} {more}".strip() if did else "", "; ".join(reasons))


# --- The parts


def _capacity(call: Call) -> _Done:
    name, scaling = call.environment.names.group, clients.near("autoscaling")
    found = compute.group(name, scaling)
    if found is None or not decide.runs(found) or not _still(call):
        return _Done()
    compute.resize(name, found.capacity.emptied, client=scaling)
    return _Done(f"from {found.capacity.desired} to 0")


def _functions(call: Call) -> _Done:
    environment, lambdas = call.environment, clients.near("lambda")
    name = f"{environment.prefix}/config/workload-functions"
    named = functions_named(parameters.values((name,)).get(name, ""))
    seen = workload.standing(environment.name, named, None, lambdas)
    if seen.missing:
        logger.info("named, and not in this region: there is nothing to close", functions=seen.missing)
    trouble = "; ".join(f"{name}: {reason}" for name, reason in seen.failed.items())
    changes = decide.silenced(seen.found)
    if not changes or not _still(call):
        return _Done(reason=trouble)
    done = _each({change.function: partial(workload.apply, [change], lambdas) for change in changes}, "off")
    return _Done(done.did, "; ".join(reason for reason in (trouble, done.reason) if reason))


def _database(call: Call, verdict: decide.Verdict, epoch: int) -> _Done:
    names, rds = call.environment.names, clients.near("rds")
    found = database.describe(names.database, rds)
    if found is None or not decide.may_write(found):
        return _Done()
    frozen = database.is_frozen(names.parameter_group, rds)
    doors, trouble = _doors(call)
    todo = decide.shutting(found, doors, verdict, frozen=frozen)
    if not todo.anything or not _still(call):
        return _Done(reason=trouble)
    # In this order: what is read-only takes no write of a connection that slips in while the door is being changed.
    moves: dict[str, Callable[[], object]] = {}
    if todo.freeze:
        moves["read-only"] = partial(database.set_read_only, names.parameter_group, frozen=True, client=rds)
    if todo.door and doors is not None:
        moves["behind its closed door"] = partial(database.set_door, names.database, doors.closed, rds)
    if todo.quiet:
        moves["its connections ended"] = partial(_quiet, call, found, epoch, just_frozen=todo.freeze)
    done = _each(moves)
    # That connections are ended is no news in itself: it is done every minute.
    did = done.did if todo.freeze or todo.door else ""
    return _Done(did, "; ".join(reason for reason in (trouble, done.reason) if reason))


def _doors(call: Call) -> tuple[Doors | None, str]:
    try:
        return database.doors(call.environment.name, clients.near("ec2")), ""
    except PreconditionFailed as error:
        # Whatever became of the doors, it can be frozen.
        return None, str(error)


def _quiet(call: Call, found: Database, epoch: int, *, just_frozen: bool) -> None:
    """End the connections that are left. Only the region's own SQL function is inside that network."""
    place = {"host": found.host, "port": found.port}
    asked = {"action": "quiet", "execution": call.context.function_name, "epoch": epoch, "database": place}
    answer = functions.ask(call.environment.names.sql, asked, clients.near("lambda"))
    seen = quiet_from(answer)
    logger.info("the database was quieted", read_only=seen.read_only, left=seen.connections, position=seen.position)
    # RDS applies the parameter within seconds: the next look is to find it.
    if not seen.read_only and not just_frozen:
        raise TransientError(f"{found.identifier} takes writes although its parameter group says read-only")


def _rules(call: Call) -> _Done:
    events, names = clients.near("events"), call.environment.names
    on = [name for name in (names.parameter_sync, names.image) if rules.is_on(name, events)]
    if not on or not _still(call):
        return _Done()
    return _each({name: partial(rules.switch, name, events, on=False) for name in on}, "off")


def _active_region(call: Call, verdict: decide.Verdict) -> _Done:
    """Let this region's own record, which deployments and the parameter sync follow, say who serves instead."""
    name = call.environment.active_region_parameter
    said = parameters.values((name,)).get(name)
    if said in (None, verdict.successor) or not _still(call):
        return _Done()
    parameters.put(name, verdict.successor)
    return _Done(f"{verdict.successor} instead of {said}")


# --- The record, and what is told


def _store(call: Call) -> Store:
    return Store(call.environment.state_table, call.environment.primary_region, _table(call))


def _table(call: Call) -> Any:
    """Make a client for DR's tables: the other region, seen from the primary, may be lost."""
    return _in_dr(call, "dynamodb")


def _in_dr(call: Call, service: str) -> Any:
    dr = call.environment.dr_region
    return clients.near(service) if call.environment.region == dr else clients.far(service, dr)


def _record(call: Call) -> Record:
    """Read the record.

    Raises
    ------
    TransientError
        It is out of reach, or there is none yet: a primary is deployed before its DR region.
    FatalError
        This function may not read it.
    """
    try:
        found = _store(call).find()
    except ClientError as error:
        if faults.code(error) == "ResourceNotFoundException":
            raise TransientError(f"there is no table {call.environment.state_table} yet") from error
        raise faults.sorted_into_family(error) from error
    except BotoCoreError as error:
        raise faults.sorted_into_family(error) from error
    if found is None:
        raise TransientError(f"{call.environment.state_table} has no record of who is active")
    return found


def _still(call: Call) -> bool:
    return decide.judge(_record(call), call.environment.region).closed


def _told(call: Call, verdict: decide.Verdict, epoch: int, did: dict[str, str]) -> int:
    """Note what was closed beside the record, and tell people once; say of how many parts they were told now.

    Whoever writes the note tells: of two runs that overlap, one does.
    """
    _unwritten.update(did)
    environment = call.environment
    table, subject = environment.state_table, f"posture-{environment.region}"
    try:
        for _ in range(_TRIES):
            seen, now = notes.read(table, subject, _table(call)), dt.datetime.now(dt.UTC)
            note = decide.noted(seen, environment.region, verdict, epoch, _unwritten, now) if _unwritten else seen
            news = decide.untold(note, now)
            if not _unwritten and not news:
                return 0
            claimed = note | {"told": {**note["told"], **news}}
            if notes.replace(table, subject, seen, claimed, _table(call)):
                _unwritten.clear()
                return _published(call, note, claimed, news)
    except Exception as error:  # noqa: BLE001 - who cannot tell has closed all the same, and the next run tells
        logger.error("not noted", reason=str(faults.sorted_into_family(error)), closed=_unwritten)
    return 0


def _published(call: Call, note: Json, claimed: Json, news: dict[str, str]) -> int:
    if not news:
        return 0
    environment = call.environment
    told = decide.notification(environment.name, note, news)
    try:
        notify.publish(environment.topic_arn, told["subject"], told["message"], _in_dr(call, "sns"))
    except Exception as error:  # noqa: BLE001 - the note says that nobody was told, so the next run tries again
        logger.error("nobody was told", reason=str(faults.sorted_into_family(error)), news=told["message"])
        notes.replace(environment.state_table, f"posture-{environment.region}", claimed, note, _table(call))
        return 0
    return len(news)


def _count(call: Call, counted: Mapping[str, int]) -> None:
    found = [Measure(name, value, "Count") for name, value in counted.items()]
    try:
        metrics.put(call.environment.name, found, clients.brisk("cloudwatch"))
    except Exception as error:  # noqa: BLE001 - a figure that is missing closes nothing and opens nothing
        logger.error("not counted", metrics=dict(counted), reason=str(faults.sorted_into_family(error)))


handler = serve("sentinel", {"watch": watch})
