"""Promotes the replica."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pilotlight.aws import database
from pilotlight.decide import promotion
from pilotlight.step import Call, current, serve

if TYPE_CHECKING:
    from pilotlight.model import Json


def promote(call: Call) -> Json:
    """Bring the database one move closer to promoted, and say how far it is."""
    plan = call.plan
    found = database.describe(plan.database)
    move = promotion.next_move(found, plan.database, call.waited, plan.budgets.promotion)
    taken = move == "promote" and database.promote(plan.database, plan.backup_retention_days)
    return {
        "done": move == "done",
        "status": "promotion requested" if taken else promotion.describe(found) if found else "",
        "waited": call.waited,
    }


handler = serve("database", {"promote": current(promote)})
