"""Speaks to the region that a planned switch leaves, whichever it is: it is there, and it can be waited for."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Final

from pilotlight.aws import clients, compute, database, executions, faults, functions, parameters, snapshots, workload
from pilotlight.config import functions_named
from pilotlight.decide import failover, restore, switchover
from pilotlight.decide import workload as decide
from pilotlight.errors import TransientError
from pilotlight.model import SNAPSHOT, Database, Doors, Function, Json, Quiet, Record, quiet_from
from pilotlight.step import Call, current, serve

_LONGEST_TOLD: Final = 2_000


def _source(call: Call) -> str:
    return str(call.payload["source"])


def _database(call: Call) -> Database | None:
    return database.describe(call.environment.names.database, clients.at("rds", _source(call)))


def _other(call: Call) -> str:
    return call.environment.other(_source(call))


def _other_database(call: Call) -> Database | None:
    return database.describe(call.environment.names.database, clients.at("rds", _other(call)))


def _ask(call: Call, action: str, **more: object) -> Json:
    """Let the source's own SQL function look or act: only it is inside that network."""
    order = call.for_sql(action, call.payload["database"], **more)
    return functions.ask(call.environment.names.sql, order, clients.at("lambda", _source(call)))


def ready(call: Call) -> Json:
    """Check both sides; say where the source's database is, and whether an earlier switchover left it closed."""
    seen, doors = _database(call), _doors(call)
    closed = seen is not None and switchover.is_closed(seen, doors)
    plan, other = call.plan, None if closed else _other_database(call)
    if not closed and plan.method == SNAPSHOT:
        gib = snapshots.allocated_gib(plan.database, clients.at("rds", _source(call)))
        restore.require_ready(seen, other, plan.target, gib, plan.budgets.snapshot)
    elif not closed:
        lag = call.payload.get("lag")
        seconds, insists = None if lag is None else int(lag), bool(call.payload.get("insists"))
        switchover.require_ready(seen, other, seconds, plan.most_lag_seconds, insists=insists)
    return {"host": seen.host if seen else "", "port": seen.port if seen else 0, "closed": closed}


def mark(call: Call) -> Json:
    """Write the marker that the replica will be asked for."""
    return _ask(call, "mark")


def close(call: Call) -> Json:
    """Stop the functions, shut the database's door, make it read-only. The instances stay, so calling off is quick."""
    source, environment = _source(call), call.environment
    lambdas, rds = clients.at("lambda", source), clients.at("rds", source)
    _note(call)
    workload.require_all(workload.change_each(call.plan.functions, decide.to_standby, lambdas).failed)
    doors = _doors(call)
    # A run that was killed meanwhile may have been followed by one that has opened the source.
    failover.require_current(call.store.read(), call.epoch, call.execution)
    database.set_door(environment.names.database, doors.closed, rds)
    database.set_read_only(environment.names.parameter_group, frozen=True, client=rds)
    return {"closed": True}


def _note(call: Call) -> None:
    """Record that the source is being closed, before anything is: whoever comes next knows that it has to be opened."""
    seen = call.store.read()
    failover.require_current(seen, call.epoch, call.execution)
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    if not seen.frozen and not call.store.replace(seen, replace(seen, frozen=now)):
        raise TransientError("the record changed while it was noted that the source is closed: try again")


def quiet(call: Call) -> Json:
    """End the connections that are left, and say whether the source has come to rest."""
    seen = _seen(call)
    before, budget = str(call.payload.get("position", "")), call.plan.budgets.freeze
    return {"done": switchover.is_quiet(seen, before, call.waited, budget), "position": seen.position}


def still(call: Call) -> Json:
    """Look once more: what was written since the proof has to be proven too."""
    seen = _seen(call)
    proven, budget = str(call.payload["position"]), call.plan.budgets.proof
    return {"done": switchover.is_still(seen, proven, call.waited, budget), "position": seen.position}


def reopen(call: Call) -> Json:
    """Take the freeze back: writable, door open, functions on. Asked again, it changes nothing more.

    A trigger that is still on its way to disabled cannot be enabled yet, so it is asked again until all are on. Nothing
    of the database waits for that.

    It needs no lock of its own execution: a person may call it after a switchover that was killed. What it does need is
    that nobody else is at work, and that the other side is no primary. Where that side is lost, the record alone has to
    say so: it is near, and nothing is brought up there before it is noted. Nor does it need a plan: an earlier run may
    have left the source closed, and a plan needs the other side.
    """
    source, environment = _source(call), call.environment
    try:
        replica, answers = _other_database(call), True
    except Exception as error:
        if not faults.is_silence(error):
            raise
        replica, answers = None, False
    method = call.payload.get("method") or (call.plan.method if call.payload.get("plan") else "")
    restored = answers and method == SNAPSHOT and _is_shut(call, replica)

    def may_open() -> Record:
        """Look at the record before each change: all the looks between them may take a minute."""
        seen = call.store.read()
        just = failover.just_taken(seen, dt.datetime.now(dt.UTC))
        switchover.require_may_open(
            seen,
            source,
            replica,
            answers=answers,
            restored=restored,
            overtaken=executions.is_held(seen, absent=just, but=call.execution),
        )
        return seen

    lambdas, rds = clients.at("lambda", source), clients.at("rds", source)
    may_open()
    database.set_read_only(environment.names.parameter_group, frozen=False, client=rds)
    doors = _doors(call)
    may_open()
    database.set_door(environment.names.database, doors.open, rds)
    found, unseen = _functions_seen(call)
    seen = may_open()
    failed = workload.apply_each(map(decide.to_active, found), lambdas)
    # The database serves by now: a function that is not on is told, and is no reason to call the source closed.
    after, unseen_again = _functions_seen(call)
    left = "; ".join(filter(None, (unseen or unseen_again or decide.not_on(after), *map(str, failed.values()))))
    left = left[:_LONGEST_TOLD]
    if not left and seen.frozen and not call.store.replace(seen, replace(seen, frozen="")):
        raise TransientError("the record changed while the source was being opened: try again")
    seen_here = _database(call)
    place = {"host": seen_here.host, "port": seen_here.port} if seen_here else {"host": "", "port": 0}
    return {"opened": True, "done": not left, "left": left, "database": place}


def _functions_seen(call: Call) -> tuple[tuple[Function, ...], str]:
    """Look at the functions that are to be switched on; say why, where that cannot be."""
    try:
        return _functions(call), ""
    except Exception as error:  # noqa: BLE001 - whatever keeps it from being seen is told
        return (), str(faults.sorted_into_family(error))[:_LONGEST_TOLD]


def _functions(call: Call) -> tuple[Function, ...]:
    """Find what is to be switched on: what the plan names, or where there is none, what it would have named."""
    own, lambdas = call.context.invoked_function_arn, clients.at("lambda", _source(call))
    if call.payload.get("plan"):
        return workload.look(call.plan.functions, own, lambdas)
    named = functions_named(parameters.under(call.environment.configuration).get("workload-functions", "-"))
    tagging = clients.at("resourcegroupstaggingapi", _source(call))
    return workload.look(workload.names(call.environment.name, named, tagging), own, lambdas, named)


def _is_shut(call: Call, restored: Database | None) -> bool:
    """Whether nobody gets into what was restored in the target, or nothing was."""
    if restored is None:
        return True
    doors = database.doors(call.environment.name, clients.at("ec2", _other(call)))
    return switchover.is_closed(restored, doors)


def beat(call: Call) -> Json:
    """Let the source's heartbeat go on after it was opened again."""
    return _ask(call, "beat")


def stand_down(call: Call) -> Json:
    """Make the source a standby in what is left: no instances, and the new active region in its record."""
    source, environment = _source(call), call.environment
    scaling = clients.at("autoscaling", source)
    found = compute.group(environment.names.group, scaling)
    if found is not None:
        failover.require_current(call.store.read(), call.epoch, call.execution)
        compute.resize(environment.names.group, found.capacity.emptied, client=scaling)
    parameters.put(environment.active_region_parameter, call.plan.target, clients.at("ssm", source))
    return {"standby": source}


def _doors(call: Call) -> Doors:
    return database.doors(call.environment.name, clients.at("ec2", _source(call)))


def _seen(call: Call) -> Quiet:
    answer = _ask(call, "quiet")
    return quiet_from(answer)


handler = serve(
    "source",
    {
        "ready": current(ready),
        "mark": current(mark),
        "close": current(close),
        "quiet": current(quiet),
        "still": current(still),
        "open": reopen,
        "beat": beat,
        "stand_down": current(stand_down),
    },
)
