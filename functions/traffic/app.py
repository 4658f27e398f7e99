"""Publishes whether DR is the active region. All that moves traffic follows this one number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pilotlight.aws import clients, metrics
from pilotlight.aws.record import Store
from pilotlight.decide import traffic
from pilotlight.step import Call, current, serve

if TYPE_CHECKING:
    from pilotlight.model import Json, Record


def follow(call: Call) -> Json:
    """Publish what the record says. Every minute, whatever else is going on: it needs the record and nothing more."""
    seen = _record(call)
    _publish(call, seen)
    return {"active_region": seen.active_region}


def move(call: Call) -> Json:
    """Publish it at once, right after the record was written, and say what follows from it."""
    seen = _record(call)
    _publish(call, seen)
    return traffic.moved(call.payload["plan"], seen)


def _record(call: Call) -> Record:
    environment = call.environment
    # Not patient: what does not answer now is asked again, by the workflow or in a minute.
    return Store(environment.state_table, environment.primary_region, clients.brisk("dynamodb")).read()


def _publish(call: Call, seen: Record) -> None:
    found = traffic.measures(seen, call.environment.dr_region)
    metrics.put(call.environment.name, found, clients.brisk("cloudwatch"), traffic.NAMESPACE)


handler = serve("traffic", {"follow": follow, "move": current(move)})
