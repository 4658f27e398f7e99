"""Verifies the region as a user would: a write and a read through its own load balancer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pilotlight.aws import door
from pilotlight.decide import verification
from pilotlight.step import Call, current, serve

if TYPE_CHECKING:
    from pilotlight.model import Json


def verify(call: Call) -> Json:
    """Write a token, read it back, and say whether that worked."""
    plan = call.plan
    token = verification.token(call.epoch, call.execution)
    wrote, answer = door.ask("POST", plan.door, plan.verify_path, {"token": token}, plan.application_host)
    read, found = (
        door.ask("GET", plan.door, f"{plan.verify_path}?token={token}", host=plan.application_host)
        if wrote in verification.WRITTEN
        else (0, "")
    )
    seen = verification.Seen(wrote, answer, read, found)
    works = verification.works(seen, token, plan.door + plan.verify_path, call.waited, plan.budgets.verify)
    return {"done": works, "token": token, "seen": verification.describe(seen), "waited": call.waited}


handler = serve("verify", {"verify": current(verify)})
