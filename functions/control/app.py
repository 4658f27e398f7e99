"""The lock, the plan, the record and the end of a switch."""

from __future__ import annotations

import datetime as dt
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pilotlight.aws import clients, compute, database, executions, notes, parameters, snapshots, standby, workload
from pilotlight.config import Environment, settings_from
from pilotlight.decide import failover, images, promotion, request, restore, tell
from pilotlight.decide.objects import backlog_told
from pilotlight.errors import PreconditionFailed, TransientError
from pilotlight.model import GRACEFUL, REPLICA, SNAPSHOT, Doors, Json, Record, Settings, as_json
from pilotlight.step import Call, current, serve

if TYPE_CHECKING:
    from collections.abc import Callable

_TRIES = 5


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _settings(environment: Environment) -> Settings:
    path = environment.configuration
    return settings_from(parameters.under(path), path)


def begin(call: Call) -> Json:
    """Check the input, then take the lock and the epoch in one conditional write."""
    environment = call.environment
    regions = environment.primary_region, environment.dr_region
    asked = request.check(call.payload.get("input"), *regions)
    settings = _settings(environment)
    store = call.store
    for _ in range(_TRIES):
        seen = store.read()
        running = executions.is_held(seen, absent=failover.just_taken(seen, _now()), but=call.execution)
        decision = failover.begin(seen, asked, call.execution, running, regions, _now(), settings.cool_down_seconds)
        if decision.outcome != "take" or store.replace(seen, decision.record):
            record = decision.record
            return {
                "outcome": decision.outcome,
                "epoch": record.epoch,
                "source": next(region for region in regions if region != asked.target),
                "target": asked.target,
                "mode": asked.mode,
                "method": asked.method,
                "passed": decision.passed,
                "interrupted": decision.interrupted,
                "insists": decision.insists,
                "next": tell.already_active(record) if decision.outcome == "already-active" else "",
            }
    raise TransientError("the record changes faster than it can be read: try again")


def plan(call: Call) -> Json:
    """Look at what stands in the target and say what will be done to it; refuse while nothing is changed."""
    environment = call.environment
    names = environment.names
    settings = _settings(environment)
    seen = call.store.read()
    there = _there(seen.target)
    found = database.describe(names.database, there("rds"))
    # Only where there is no replica is its door worth a look.
    looks = seen.mode != GRACEFUL and found is not None and not found.source
    # Retired, and its successor not built yet, is the replica of a re-protection that the loss cut short.
    looks_back = seen.mode != GRACEFUL and found is None
    kept = standby.identifiers(names.retired_prefix, there("rds")) if looks_back else ()
    insists = bool(call.payload.get("insists"))
    # Whoever may go on in any case, since the promotion was asked for, is not stopped by a tag that was moved.
    doors = _doors(call, seen.target) if looks and not insists else None
    method = str(call.payload.get("method", REPLICA))
    # Only what a snapshot is taken of is looked at in the region that is left: that one may be lost.
    by_snapshot = method == SNAPSHOT
    gib = snapshots.allocated_gib(names.database, _there(seen.source)("rds")) if by_snapshot else 0
    ours = compute.images(environment.name, there("ec2"))
    planned = as_json(
        failover.plan(
            seen,
            environment.name,
            settings,
            found,
            images.newest_complete(ours),
            compute.group(names.group, there("autoscaling")),
            compute.door(names.load_balancer, there("elbv2")),
            workload.functions(
                environment.name, settings.workload_functions, there("resourcegroupstaggingapi"), there("lambda")
            ),
            {
                "database": names.database,
                "group": names.group,
                "load_balancer": names.load_balancer,
                "make_image": tell.make("image", environment.name, environment.dr_region, environment.primary_region),
            },
            method=method,
            source_gib=gib,
            left_behind=failover.is_left_behind(seen, found, doors),
            retired=restore.model(kept, "", names.retired_prefix),
            now=_now(),
        )
    )
    # Past the point of no return there is only the way on, and what is left may be lost.
    if seen.mode == GRACEFUL and not seen.promotion and not call.payload.get("insists"):
        left = compute.images(environment.name, _there(seen.source)("ec2"))
        images.require_newest(left, ours, seen.source, seen.target, environment.name, environment.dr_region)
    return planned


def _doors(call: Call, region: str) -> Doors:
    """Find a region's two doors: by which one it is behind, a database that was left behind is known."""
    try:
        return database.doors(call.environment.name, clients.at("ec2", region))
    except PreconditionFailed as error:
        raise failover.unknown_door(error, call.environment.names.database, region) from error


def record(call: Call) -> Json:
    """Record the target as active: in the state table, and in the parameter that its deployments follow."""
    store = call.store
    seen = store.read()
    # What is written holds of what was read: of this switch, or of nobody's.
    failover.require_current(seen, call.epoch, call.execution)
    region = seen.target
    if not store.replace(seen, failover.recorded(seen)):
        raise TransientError(f"the record changed while {region} was being recorded as active: try again")
    parameters.put(call.environment.active_region_parameter, region, clients.at("ssm", region))
    return {"active_region": region, "epoch": seen.epoch}


def finish(call: Call) -> Json:
    """Release the lock and say what is next. Asked again, it gives the same answer."""
    store = call.store
    seen = store.read()
    failover.require_own(seen, call.epoch, call.execution)
    if not store.replace(seen, failover.released(seen)):
        raise TransientError("the record changed while the lock was being released: try again")
    objects = _objects(call, seen)
    return {
        "notification": tell.succeeded(seen, call.payload, call.environment.primary_region, objects),
        "next": tell.next_steps(seen, call.payload, call.environment.primary_region),
        "objects": objects,
    }


def _objects(call: Call, seen: Record) -> Json:
    """Read what was noted of the objects when this switch began."""
    noted = notes.read(call.environment.state_table, "objects-switch")
    known = noted if noted.get("target") == seen.target and noted.get("epoch") == seen.epoch else {}
    return known | {"told": backlog_told(known)}


def fail(call: Call) -> Json:
    """Record a failure, leave the lock to whoever starts again, and say what is done and what is not."""
    name, cause = _reason(call.payload.get("error", {}))
    store = call.store
    seen = store.read()
    environment, dr = call.environment.name, call.environment.dr_region
    if (seen.epoch, seen.holder, seen.lock) not in (
        (call.epoch, call.execution, "held"),
        (call.epoch, call.execution, "failed"),
    ):
        # Overtaken, or over: the record belongs to somebody else now.
        message = f"{cause} (this was epoch {call.epoch}; the record is at epoch {seen.epoch}, {seen.lock})"
        told = tell.gave_way(call.execution, seen, environment, dr, f"{name}: {message}")
        return {"error": name, "cause": message, "notification": told}
    # The runbook's table is by the error's name.
    named = f"{name}: {cause}"
    failed = replace(seen, lock="failed", failure=named[:2000])
    if not store.replace(seen, failed):
        raise TransientError("the record changed while the failure was being recorded: try again")
    posture = _posture(call, failed)
    return {
        "error": name,
        "cause": f"{cause} {posture} {tell.way_on(failed, environment, named)} "
        f"{tell.again(failed, environment, dr, named)[0]}",
        "notification": tell.failed(failed, environment, dr, named, posture),
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
    """Say how the target stands, part by part. A part that cannot be read is said so and stops nothing.

    All at once, because a target that is lost may hang: it costs the time of one call then.
    """
    names = call.environment.names
    region = seen.target or call.environment.dr_region
    there = _there(region)
    rds, scaling, tagging, lambdas = map(there, ("rds", "autoscaling", "resourcegroupstaggingapi", "lambda"))

    def stands_database() -> str:
        found = database.describe(names.database, rds)
        return f"database {names.database} is {promotion.describe(found) if found else 'missing'}"

    def stands_compute() -> str:
        found = compute.group(names.group, scaling)
        if found is None:
            return f"group {names.group} is missing"
        return f"group {names.group} is set to {found.capacity.desired} with {len(found.instances)} instances"

    def stands_workload() -> str:
        settings = _settings(call.environment)
        functions = workload.functions(call.environment.name, settings.workload_functions, tagging, lambdas)
        live = sum(1 for function in functions if function.reserved_concurrency != 0)
        return f"{live} of {len(functions)} workload functions are on"

    parts = {"the database": stands_database, "the group": stands_compute, "the workload": stands_workload}
    with ThreadPoolExecutor(len(parts)) as pool:
        told = list(pool.map(_or_unreadable, parts, parts.values()))
    return f"As it stands in {region}: {'; '.join(told)}; recorded active: {seen.active_region}."


def _there(region: str) -> Callable[[str], Any]:
    return lambda service: clients.at(service, region)


def _or_unreadable(name: str, part: Callable[[], str]) -> str:
    try:
        return part()
    except Exception as error:  # noqa: BLE001 - telling what is known must not hide the failure itself
        return f"{name} cannot be read ({type(error).__name__})"


handler = serve(
    "control",
    {"begin": begin, "plan": current(plan), "record": current(record), "finish": finish, "fail": fail},
)
