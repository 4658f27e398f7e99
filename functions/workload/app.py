"""Switches the team's functions on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pilotlight.aws import clients, workload
from pilotlight.decide import workload as decide
from pilotlight.step import Call, current, serve

if TYPE_CHECKING:
    from pilotlight.model import Json


def activate(call: Call) -> Json:
    """Switch on what is off, and say whether all functions and triggers are live."""
    plan = call.plan
    lambdas = clients.at("lambda", plan.target)
    seen = workload.look(plan.functions, call.context.invoked_function_arn, lambdas)
    live = decide.is_active(seen, plan.target, call.waited, plan.budgets.workload)
    workload.apply(map(decide.to_active, seen), lambdas)
    return {"done": live, "functions": len(seen), "waited": call.waited}


handler = serve("workload", {"activate": current(activate)})
