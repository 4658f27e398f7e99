"""Builds a standby anew: closes its region, keeps the database that lost its role, makes a replica in its place."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

from pilotlight.aws import (
    clients,
    compute,
    database,
    executions,
    faults,
    functions,
    notes,
    parameters,
    standby,
    workload,
)
from pilotlight.config import Environment, settings_from
from pilotlight.decide import failover, protection, switchover, tell
from pilotlight.decide import workload as decide
from pilotlight.errors import FatalError, PilotLightError, PreconditionFailed, TransientError
from pilotlight.model import (
    REPROTECT,
    Database,
    Function,
    Group,
    Json,
    Protection,
    Record,
    Settings,
    as_json,
    protection_from,
    quiet_from,
)
from pilotlight.step import Call, current, serve

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRIES = 5


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class _Seen(NamedTuple):
    """Both sides as they stand."""

    found: Database | None
    active: Database | None
    group: Group | None
    functions: tuple[Function, ...]


def begin(call: Call) -> Json:
    """Check the input; take the lock and the epoch in one conditional write, unless the standby is all it should be."""
    asked = protection.check(call.payload.get("input"))
    environment = call.environment
    settings = _settings(environment)
    store = call.store
    for _ in range(_TRIES):
        seen = store.read()
        region = protection.standby(seen, asked, environment.primary_region, environment.dr_region)
        if seen.lock == "held" and seen.holder == call.execution:
            return _begun("already-held", seen, region, asked.rebuild)
        running = executions.is_held(seen, absent=failover.just_taken(seen, _now()))
        protection.require_free(seen, running, environment.region)
        # A re-protection that did not end is ended, even where nothing is left to do: its lock is to be freed.
        unfinished = seen.lock != "free" and seen.mode == REPROTECT
        if not unfinished and _is_protected(environment, settings, seen, region):
            told = protection.already_protected(seen, region, _objects_left(environment, seen))
            return _begun("already-protected", seen, region, asked.rebuild, told)
        taken = protection.take(seen, asked, region, call.execution, _now())
        if store.replace(seen, taken):
            return _begun("taken", taken, region, asked.rebuild)
    raise TransientError("the record changes faster than it can be read: try again")


def _begun(outcome: str, record: Record, region: str, rebuild: bool, told: str = "") -> Json:
    return {
        "outcome": outcome,
        "epoch": record.epoch,
        "region": region,
        "active": record.active_region,
        "rebuild": rebuild,
        "next": told,
    }


def _objects_left(environment: Environment, record: Record) -> str:
    """Word the command that goes on with the objects; empty where nothing is left of them."""
    if not protection.objects_are_left(record, notes.read(environment.state_table, "objects-return")):
        return ""
    return tell.make("objects", environment.name, environment.dr_region)


def plan(call: Call) -> Json:
    """Look at both sides and say what will be done; refuse while nothing is changed."""
    environment, names = call.environment, call.environment.names
    record, settings = call.store.read(), _settings(environment)
    region, rds = record.target, clients.at("rds", record.target)
    seen = _look(environment, settings, record, region)
    source = seen.active.arn if seen.active else ""
    if seen.active is not None:
        doors = database.doors(environment.name, clients.at("ec2", record.active_region))
        protection.require_open(seen.active, doors, record.active_region)
    kept = set(standby.identifiers(names.retired_prefix, rds))
    if protection.must_retire(seen.found, source):
        # A name whose snapshot is another database's is taken as well.
        first = names.final_snapshot(names.retired(record.since))
        taken = standby.snapshot(first, rds)
        if taken is not None and seen.found is not None and taken.resource != seen.found.resource:
            kept.add(names.retired(record.since))
    number = protection.retirement(record, seen.found, source, kept, names.retired)
    name = "" if number is None else names.retired(number)
    final = names.final_snapshot(name) if name else ""
    if final and not protection.must_retire(seen.found, source) and standby.snapshot(final, rds) is None:
        final = ""
    return as_json(
        protection.plan(
            record,
            environment.name,
            settings,
            seen.found,
            seen.active,
            None if number is None else (number, name),
            final,
            seen.functions,
            bool(call.payload["rebuild"]),
            names.database,
        )
    )


def close(call: Call) -> Json:
    """Silence the region: functions off, no instances; the door shut and read-only where its database makes room.

    A region that returns after its loss is as it was: its database takes writes, its instances serve, its functions
    take messages. A replica is never frozen by us: what reads from the group is its successor too.
    """
    p, environment = _protection(call), call.environment
    lambdas, rds, scaling = (clients.at(service, p.region) for service in ("lambda", "rds", "autoscaling"))
    seen = workload.change_each(p.functions, decide.to_standby, lambdas)
    group = compute.group(environment.names.group, scaling)
    if group is not None and not protection.is_idle(group):
        _still(call)
        compute.resize(environment.names.group, group.capacity.emptied, client=scaling)
    _correct(p.region, {environment.active_region_parameter: p.active})
    old = _found(p)
    if p.retire and old is not None and protection.must_retire(old, p.source):
        doors = database.doors(environment.name, clients.at("ec2", p.region))
        _still(call)
        if not switchover.is_closed(old, doors):
            database.set_door(p.database, doors.closed, rds)
        if not old.source:
            database.set_read_only(environment.names.parameter_group, frozen=True, client=rds)
    # Last: a function that cannot be switched off leaves nothing else open.
    workload.require_all(seen.failed)
    return {"closed": True, "functions": len(seen.found)}


def quiet(call: Call) -> Json:
    """End the connections to the old database, and say whether it has come to rest."""
    p = _protection(call)
    old = _found(p)
    # What replicates is written to by nobody else.
    if not p.retire or old is None or old.source or not protection.must_retire(old, p.source):
        return {"done": True, "position": "", "detail": ""}
    seen, detail = None, ""
    try:
        answer = _ask(call, p.region, "quiet", {"host": old.host, "port": old.port})
        seen = quiet_from(answer)
    except PilotLightError as error:
        detail = str(error)
    # One that is being renamed or restarted will be there to be asked.
    passing = seen is None and old.status != "available"
    budget = p.budgets.protection if passing else p.budgets.freeze
    return {
        "done": protection.at_rest(seen, str(call.payload.get("position", "")), call.waited, budget),
        "position": seen.position if seen else "",
        "detail": detail,
    }


def compare(call: Call) -> Json:
    """Count and list what the old database has and the active one never got."""
    p = _protection(call)
    old = _found(p) if p.retire else None
    if old is None or not protection.must_retire(old, p.source):
        old = _retired(p)
    if old is None:
        return {"divergence": None}
    # What cannot be listed is caught by the workflow, which goes on: the database is kept all the same.
    position = _ask(call, p.active, "position", {"host": p.source_host, "port": p.source_port})
    asked = {"executed": position["executed"], "name": p.retired}
    place = {"host": old.host, "port": old.port}
    return {"divergence": _ask(call, p.region, "compare", place, patience="listening", **asked)}


def snapshot(call: Call) -> Json:
    """Bring the final snapshot of the old database one move closer, and say how far it is."""
    p = _protection(call)
    rds = clients.at("rds", p.region)
    old = _found(p)
    if not p.retire or old is None or not protection.must_retire(old, p.source):
        return {"done": True, "status": "", "waited": call.waited}
    seen = standby.snapshot(p.snapshot, rds)
    move = protection.next_snapshot_move(seen, old, p.snapshot, call.waited, p.budgets.protection)
    if move == "take":
        tags = protection.retired_tags(p, call.payload.get("divergence"), _now())
        # The name is noted on the instance before anything carries it: whoever starts again goes on under it.
        standby.tag(old.arn, tags, rds)
        standby.take_snapshot(p.snapshot, p.database, standby.inherited(old.tags) | tags, rds)
    return {"done": move == "done", "status": seen.status if seen else "asked for", "waited": call.waited}


def retire(call: Call) -> Json:
    """Bring the old database one move closer to its own name, and say how far it is."""
    p = _protection(call)
    found, retired = _found(p), _retired(p)
    if not p.retire:
        return {"done": True, **protection.standing(found, retired, p), "waited": call.waited}
    rds = clients.at("rds", p.region)
    move = protection.next_retirement_move(found, retired, p, call.waited)
    if move == "rename" and found is not None:
        _still(call)
        standby.tag(found.arn, protection.retired_tags(p, call.payload.get("divergence"), _now()), rds)
        standby.rename(p.database, p.retired, rds)
    return {"done": move == "done", **protection.standing(found, retired, p), "waited": call.waited}


def build(call: Call) -> Json:
    """Bring the replica one move closer to being there, and say how far it is."""
    p, environment = _protection(call), call.environment
    found = _found(p)
    move = protection.next_building_move(found, p, call.waited)
    rds = clients.at("rds", p.region)
    if move != "wait":
        # A replica reads its own group: it is writable the moment it is promoted, and not before.
        database.set_read_only(environment.names.parameter_group, frozen=False, client=rds)
    if move == "create":
        model = _model(call, p)
        given = standby.shape(model.identifier, rds) if model else _plain_shape(p)
        doors = database.doors(environment.name, clients.at("ec2", p.region))
        standby.create_replica(p.database, p.source, given, doors.open, rds)
    return {"done": move == "done", **protection.standing(found, None, p), "waited": call.waited}


def _model(call: Call, p: Protection) -> Database | None:
    """Find what the replica shall be like: the one that served until the active region became active.

    What was retired after it may be a replica or a restore that was called off before it had all its settings.
    """
    first = call.environment.names.retired(call.store.read().since)
    return database.describe(first, clients.at("rds", p.region)) or _retired(p)


def _plain_shape(p: Protection) -> Json:
    """No retired database to be like: its source, then."""
    return standby.plain_shape(p.environment, standby.shape(p.database, clients.at("rds", p.active)))


def keep_backups(call: Call) -> Json:
    """Bring the replica one move closer to backups, and its door to open; say how far it is."""
    p, environment = _protection(call), call.environment
    rds = clients.at("rds", p.region)
    found, retired = _found(p), _model(call, p)
    days = max(p.backup_retention_days, retired.backup_retention_days if retired else 0)
    windows = (retired.backup_window, retired.maintenance_window) if retired else ("", "")
    move = protection.next_backup_move(found, p, days, windows, call.waited)
    if move == "keep":
        standby.keep_backups(p.database, days, windows, rds)
    elif move == "done" and found is not None:
        doors = database.doors(environment.name, clients.at("ec2", p.region))
        if found.security_groups != (doors.open,):
            _still(call)
            database.set_door(p.database, doors.open, rds)
    return {"done": move == "done", **protection.standing(found, None, p), "waited": call.waited}


def follow(call: Call) -> Json:
    """Say whether the replica follows, by RDS and by the active database's heartbeat in it."""
    p = _protection(call)
    found = _found(p)
    heard: Json = {}
    if found is not None:
        try:
            _ask(call, p.active, "beat", {"host": p.source_host, "port": p.source_port})
            answer = _ask(call, p.region, "heard", {"host": found.host, "port": found.port})
            heard = {"age": answer["heartbeat_age_seconds"], "detail": answer["detail"]}
        except PilotLightError as error:
            heard = {"age": None, "detail": str(error)}
    done = protection.follows(found, heard, p, call.waited)
    return {"done": done, "heartbeat_age_seconds": heard.get("age"), "waited": call.waited}


def finish(call: Call) -> Json:
    """Correct what the application reads, release the lock and say what is next. Asked again, it answers the same."""
    p = _protection(call)
    store = call.store
    seen = store.read()
    failover.require_own(seen, call.epoch, call.execution)
    found = _found(p)
    corrected: list[str] = []
    if p.rebuild and found is not None:
        prefix = call.environment.prefix
        wanted = {f"{prefix}/database-endpoint": found.host, f"{prefix}/database-port": str(found.port)}
        corrected = _correct(p.region, wanted)
    if not store.replace(seen, failover.released(seen)):
        raise TransientError("the record changed while the lock was being released: try again")
    divergence = call.payload.get("divergence")
    regions = call.environment.primary_region, call.environment.dr_region
    return {
        "notification": protection.succeeded(seen, p, divergence, corrected, *regions),
        "next": protection.next_steps(p, divergence, *regions),
    }


def _still(call: Call) -> None:
    """Look at the lock right before what a switch could not bear: a step outlives its run, if that is killed."""
    failover.require_current(call.store.read(), call.epoch, call.execution)


def _settings(environment: Environment) -> Settings:
    path = environment.configuration
    return settings_from(parameters.under(path), path)


def _protection(call: Call) -> Protection:
    return protection_from(call.payload["protection"])


def _found(p: Protection) -> Database | None:
    return database.describe(p.database, clients.at("rds", p.region))


def _retired(p: Protection) -> Database | None:
    return database.describe(p.retired, clients.at("rds", p.region)) if p.retired else None


def _look(environment: Environment, settings: Settings, record: Record, region: str) -> _Seen:
    names = environment.names
    tagging, lambdas = clients.at("resourcegroupstaggingapi", region), clients.at("lambda", region)
    try:
        return _Seen(
            database.describe(names.database, clients.at("rds", region)),
            database.describe(names.database, clients.at("rds", record.active_region)),
            compute.group(names.group, clients.at("autoscaling", region)),
            _standing(workload.standing(environment.name, settings.workload_functions, tagging, lambdas)),
        )
    except (PreconditionFailed, FatalError):
        raise
    except Exception as error:
        raise _unanswered(region, record.active_region, error) from error


def _standing(seen: workload.Standing) -> tuple[Function, ...]:
    """Take what is there; what is named and not there needs no closing."""
    workload.require_all(seen.failed)
    return seen.found


def _unanswered(region: str, active: str, error: Exception) -> PilotLightError:
    """Name the two regions where one of them does not answer: that is what whoever reads it has to wait for."""
    family = faults.sorted_into_family(error)
    if isinstance(family, FatalError):
        return family
    return TransientError(
        f"{region} or {active} does not answer ({family}). Nothing was changed. Start again when both do."
    )


def _is_protected(environment: Environment, settings: Settings, record: Record, region: str) -> bool:
    seen = _look(environment, settings, record, region)
    source = seen.active.arn if seen.active else ""
    return protection.is_protected(seen.found, source, seen.group, seen.functions)


def _ask(call: Call, region: str, action: str, place: Mapping[str, Any], patience: str = "at", **more: object) -> Json:
    """Let a region's own SQL function look or act: only it is inside that network."""
    lambdas = clients.listening("lambda", region) if patience == "listening" else clients.at("lambda", region)
    try:
        return functions.ask(call.environment.names.sql, call.for_sql(action, place, **more), lambdas)
    except PilotLightError:
        raise
    except Exception as error:
        raise faults.sorted_into_family(error) from error


def _correct(region: str, wanted: Mapping[str, str]) -> list[str]:
    """Put the parameters of a region right; say which were not."""
    ssm = clients.at("ssm", region)
    have = parameters.values(tuple(wanted), ssm)
    wrong = [name for name, value in wanted.items() if have.get(name) != value]
    for name in wrong:
        parameters.put(name, wanted[name], ssm)
    return wrong


handler = serve(
    "standby",
    {
        "begin": begin,
        "plan": current(plan),
        "close": current(close),
        "quiet": current(quiet),
        "compare": current(compare),
        "snapshot": current(snapshot),
        "retire": current(retire),
        "build": current(build),
        "backups": current(keep_backups),
        "follow": current(follow),
        "finish": finish,
    },
)
