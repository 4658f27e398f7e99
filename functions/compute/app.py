"""Starts the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pilotlight.aws import clients, compute, parameters
from pilotlight.decide import capacity
from pilotlight.decide.request import SAME_AGAIN
from pilotlight.errors import PreconditionFailed
from pilotlight.step import Call, current, serve

if TYPE_CHECKING:
    from pilotlight.model import Group, Json, Plan


def pin(call: Call) -> Json:
    """Make (or find) the launch template version of the planned image, and record the image as the region's."""
    plan = call.plan
    template = _group(plan).launch_template or plan.launch_template
    version = compute.pinned_version(template, plan.image, clients.at("ec2", plan.target))
    # What a later version of the template resolves its image from: a deployment must not bring an older one back.
    parameters.put(f"{call.environment.prefix}/image-id", plan.image, clients.at("ssm", plan.target))
    return {"version": version, "image": plan.image}


def raise_capacity(call: Call) -> Json:
    """Set the group to production size if it is not, and say how many targets are healthy."""
    plan = call.plan
    version = str(call.payload["version"])
    scaling = clients.at("autoscaling", plan.target)
    found = _group(plan)
    wanted = capacity.wanted(plan.capacity, found.capacity)
    if (found.capacity, found.version) != (wanted, version):
        compute.resize(plan.group, wanted, plan.launch_template, version, scaling)
        found = _group(plan)
    targets = compute.targets(found.target_groups, clients.at("elbv2", plan.target))
    problems = compute.launch_problems(plan.group, scaling) if call.waited >= plan.budgets.compute else ()
    enough = capacity.is_enough(found, targets, plan.healthy_targets, call.waited, plan.budgets.compute, problems)
    return {
        "done": enough,
        "healthy": capacity.healthy(found, targets),
        "needed": plan.healthy_targets,
        "desired": wanted.desired,
        "waited": call.waited,
    }


def _group(plan: Plan) -> Group:
    found = compute.group(plan.group, clients.at("autoscaling", plan.target))
    if found is None:
        raise PreconditionFailed(
            f"Auto Scaling group {plan.group} is gone: deploy the stack in {plan.target}, then {SAME_AGAIN}"
        )
    return found


handler = serve("compute", {"pin": current(pin), "raise": current(raise_capacity)})
