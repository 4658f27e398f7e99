"""What a failback is about to do, and how it ended. The work itself is its children's."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from pilotlight.aws import clients, database, executions, snapshots
from pilotlight.decide import failback, failover, switchover
from pilotlight.step import Call, serve

if TYPE_CHECKING:
    from pilotlight.model import Json


def plan(call: Call) -> Json:
    """Check the input, and say where to begin and what will be done; refuse while nothing is changed."""
    wish = failback.check(call.payload.get("input"))
    environment = call.environment
    identifier, record = environment.names.database, call.store.read()
    found = database.describe(identifier)
    closed = found is not None and switchover.is_closed(found, database.doors(environment.name, clients.near("ec2")))
    begins = failback.start(
        record,
        executions.is_held(record, absent=failover.just_taken(record, dt.datetime.now(dt.UTC))),
        environment.primary_region,
        environment.dr_region,
        found,
        closed=closed,
    )
    return failback.plan(
        wish,
        begins,
        call.execution,
        environment.name,
        environment.primary_region,
        environment.dr_region,
        snapshots.allocated_gib(identifier),
    )


def finish(call: Call) -> Json:
    """Say what is next."""
    return failback.succeeded(call.payload["failback"], call.payload["children"])


def fail(call: Call) -> Json:
    """Say what stopped it, how the regions stand, and how to go on."""
    payload = call.payload
    return failback.failed(payload["failback"], str(payload["at"]), payload["error"], call.store.read())


handler = serve("failback", {"plan": plan, "finish": finish, "fail": fail})
