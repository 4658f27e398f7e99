"""Promotes the replica."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

from pilotlight.aws import database
from pilotlight.decide import promotion
from pilotlight.errors import TransientError
from pilotlight.step import Call, current, serve

if TYPE_CHECKING:
    from pilotlight.model import Json


def promote(call: Call) -> Json:
    """Bring the database one move closer to promoted, and say how far it is."""
    plan = call.plan
    found = database.describe(plan.database)
    move = promotion.next_move(found, plan.database, call.waited, plan.budgets.promotion)
    if move == "promote":
        _note(call)
    taken = move == "promote" and database.promote(plan.database, plan.backup_retention_days)
    return {
        "done": move == "done",
        "status": "promotion requested" if taken else promotion.describe(found) if found else "",
        "waited": call.waited,
    }


def _note(call: Call) -> None:
    """Record that the promotion is asked for, before it is: from here on nothing opens the source again."""
    seen = call.store.read()
    if not seen.promotion and not call.store.replace(seen, replace(seen, promotion=_now())):
        raise TransientError("the record changed while the promotion was being noted: try again")


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


handler = serve("database", {"promote": current(promote)})
