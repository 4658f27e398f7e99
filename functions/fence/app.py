"""Tries to close the region that is being left. Runs beside the failover: nothing waits for it, and it may fail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pilotlight.aws import clients, compute, database, parameters, workload
from pilotlight.decide import workload as decide
from pilotlight.decide.closing import summarise
from pilotlight.once import once
from pilotlight.step import Call, current, serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from pilotlight.config import Environment
    from pilotlight.model import Json


def close(call: Call) -> Json:
    """Close compute, functions and the database's door in the source region, all at once, and note how it went."""
    return once(call, f"fence-{call.epoch}", lambda: _close(call))


def _close(call: Call) -> Json:
    source = str(call.payload["source"])
    environment = call.environment
    parts: dict[str, Callable[[], str]] = {
        "capacity": lambda: _compute(environment, source),
        "functions": lambda: _functions(call.plan.functions, source),
        "database": lambda: _database(environment, source),
        "record": lambda: _record(environment, source),
    }
    with ThreadPoolExecutor(len(parts)) as pool:
        outcomes = dict(zip(parts, pool.map(_attempt, parts.values()), strict=True))
    outcome = summarise(source, outcomes)
    call.store.note_fence(call.epoch, outcome)
    return {"outcome": outcome}


def _attempt(part: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, part()
    except Exception as error:  # noqa: BLE001 - the region may be lost in any way; each part is tried for itself
        return False, type(error).__name__


def _compute(environment: Environment, source: str) -> str:
    client = clients.far("autoscaling", source)
    found = compute.group(environment.names.group, client)
    if found is None:
        return "no group"
    compute.resize(environment.names.group, found.capacity.emptied, client=client)
    return f"from {found.capacity.desired} to 0"


def _functions(names: tuple[str, ...], source: str) -> str:
    client = clients.far("lambda", source)
    seen = workload.change_each(names, decide.to_standby, client)
    workload.require_all(seen.failed)
    return f"{len(seen.found)} off" + (f" ({', '.join(seen.missing)} not there)" if seen.missing else "")


def _database(environment: Environment, source: str) -> str:
    doors = database.doors(environment.name, clients.far("ec2", source))
    database.set_door(environment.names.database, doors.closed, clients.far("rds", source))
    return "behind its closed door"


def _record(environment: Environment, source: str) -> str:
    parameters.put(environment.active_region_parameter, environment.region, clients.far("ssm", source))
    return f"{environment.region} recorded as active"


handler = serve("fence", {"close": current(close)})
