"""The lock, the plan, the record and the end of a switch."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from pilotlight.aws import compute, database, executions, parameters, workload
from pilotlight.config import Environment, settings_from
from pilotlight.decide import failover, images, promotion, request, tell
from pilotlight.errors import TransientError
from pilotlight.model import Json, Record, Settings, as_json
from pilotlight.step import Call, current, serve

if TYPE_CHECKING:
    from collections.abc import Callable

_TRIES = 5


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _settings(environment: Environment) -> Settings:
    path = f"{environment.prefix}/config"
    return settings_from(parameters.under(path), path)


def begin(call: Call) -> Json:
    """Check the input, then take the lock and the epoch in one conditional write."""
    asked = request.check(call.payload.get("input"))
    settings = _settings(call.environment)
    store = call.store
    for _ in range(_TRIES):
        seen = store.read()
        running = seen.holder != call.execution and seen.lock == "held" and executions.is_running(seen.holder)
        decision = failover.begin(
            seen, asked, call.execution, running, call.environment.region, _now(), settings.cool_down_seconds
        )
        if decision.outcome != "take" or store.replace(seen, decision.record):
            record = decision.record
            return {
                "outcome": decision.outcome,
                "epoch": record.epoch,
                "source": record.source or call.environment.primary_region,
                "target": call.environment.region,
                "mode": record.mode,
                "next": tell.already_active(record) if decision.outcome == "already-active" else "",
            }
    raise TransientError("the record changes faster than it can be read: try again")


def plan(call: Call) -> Json:
    """Look at what stands in DR and say what will be done to it; refuse while nothing is changed."""
    environment = call.environment
    names = environment.names
    settings = _settings(environment)
    return as_json(
        failover.plan(
            call.store.read(),
            environment.name,
            settings,
            database.describe(names.database),
            images.newest_complete(compute.images(environment.name)),
            compute.group(names.group),
            compute.door(names.load_balancer),
            workload.functions(environment.name, settings.workload_functions),
            {"database": names.database, "group": names.group, "load_balancer": names.load_balancer},
        )
    )


def record(call: Call) -> Json:
    """Record this region as active: in the state table, and in the parameter that a deployment follows."""
    store = call.store
    seen = store.read()
    region = call.environment.region
    if not store.replace(seen, replace(seen, active_region=region)):
        raise TransientError("the record changed while this region was being recorded as active: try again")
    parameters.put(f"{call.environment.prefix}/active-region", region)
    return {"active_region": region, "epoch": seen.epoch}


def finish(call: Call) -> Json:
    """Release the lock and say what is next. Asked again, it gives the same answer."""
    store = call.store
    seen = store.read()
    if seen.lock != "free" or (seen.epoch, seen.holder) != (call.epoch, call.execution):
        failover.require_current(seen, call.epoch, call.execution)
    if not store.replace(seen, replace(seen, lock="free")):
        raise TransientError("the record changed while the lock was being released: try again")
    return {"notification": tell.succeeded(seen, call.payload), "next": tell.next_steps(seen, call.payload)}


def fail(call: Call) -> Json:
    """Record a failure, leave the lock to whoever starts again, and say what is done and what is not."""
    name, cause = _reason(call.payload.get("error", {}))
    store = call.store
    seen = store.read()
    if (seen.epoch, seen.holder, seen.lock) not in (
        (call.epoch, call.execution, "held"),
        (call.epoch, call.execution, "failed"),
    ):
        # Overtaken, or over: the record belongs to somebody else now.
        message = f"{cause} (this was epoch {call.epoch}; the record is at epoch {seen.epoch}, {seen.lock})"
        return {"error": name, "cause": message, "notification": tell.failed(seen, call.environment.name, message, "")}
    failed = replace(seen, lock="failed", failure=f"{name}: {cause}"[:2000])
    if not store.replace(seen, failed):
        raise TransientError("the record changed while the failure was being recorded: try again")
    posture = _posture(call, failed)
    return {
        "error": name,
        "cause": f"{cause} {posture} {tell.way_on(failed)}",
        "notification": tell.failed(failed, call.environment.name, cause, posture),
    }


def _reason(error: Json) -> tuple[str, str]:
    """Take the family and the message out of what Step Functions caught."""
    name = str(error.get("Error", "FatalError"))
    cause = str(error.get("Cause", ""))
    try:
        cause = str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        cause = cause or f"{name} without a reason; look at the execution's history"
    return name, cause


def _posture(call: Call, seen: Record) -> str:
    """Say how DR stands, part by part. A part that cannot be read is said so and stops nothing."""
    names = call.environment.names

    def stands_database() -> str:
        found = database.describe(names.database)
        return f"database {names.database} is {promotion.describe(found) if found else 'missing'}"

    def stands_compute() -> str:
        found = compute.group(names.group)
        if found is None:
            return f"group {names.group} is missing"
        return f"group {names.group} is set to {found.capacity.desired} with {len(found.instances)} instances"

    def stands_workload() -> str:
        settings = _settings(call.environment)
        functions = workload.functions(call.environment.name, settings.workload_functions)
        live = sum(1 for function in functions if function.reserved_concurrency != 0)
        return f"{live} of {len(functions)} workload functions are on"

    parts = [
        _or_unreadable("the database", stands_database),
        _or_unreadable("the group", stands_compute),
        _or_unreadable("the workload", stands_workload),
    ]
    return f"As it stands in {seen.target}: {'; '.join(parts)}; recorded active: {seen.active_region}."


def _or_unreadable(name: str, part: Callable[[], str]) -> str:
    try:
        return part()
    except Exception as error:  # noqa: BLE001 - telling what is known must not hide the failure itself
        return f"{name} cannot be read ({type(error).__name__})"


handler = serve(
    "control",
    {"begin": begin, "plan": current(plan), "record": current(record), "finish": finish, "fail": fail},
)
