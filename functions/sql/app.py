"""Looks into the database by SQL, from inside the VPC. It changes nothing, so it needs no epoch and no state table."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pilotlight import sql
from pilotlight.aws.secret import credentials
from pilotlight.decide import promotion
from pilotlight.step import Call, serve

if TYPE_CHECKING:
    from pilotlight.model import Json


def drain(call: Call) -> Json:
    """Say whether the replica has applied all it received, and whether to wait for the rest."""
    plan = call.plan
    login = credentials(call.environment.names.secret)
    with contextlib.closing(sql.connect(plan.database_host, plan.database_port, login)) as connection:
        seen = sql.replication(connection)
    return {
        "outcome": promotion.drained(seen, call.waited, plan.budgets.drain),
        "received_unapplied": seen.unapplied,
        "applied": seen.applied,
        "received": seen.received,
        "executed": seen.executed,
        "source_connected": seen.source_connected,
        "detail": seen.error,
        "waited": call.waited,
    }


handler = serve("sql", {"drain": drain})
