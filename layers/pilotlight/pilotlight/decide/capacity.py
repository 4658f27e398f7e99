"""How large a group becomes, and when that is enough."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pilotlight.decide.request import SAME_AGAIN
from pilotlight.errors import PreconditionFailed
from pilotlight.model import Capacity, Group, Target

if TYPE_CHECKING:
    from collections.abc import Iterable

_NEEDED = ("Launch", "AddToLoadBalancer")


def wanted(configured: Capacity, running: Capacity) -> Capacity:
    """Choose the sizes: what is configured, or planned, and never lower than what runs by now."""
    desired = max(configured.desired, running.desired)
    return Capacity(
        minimum=max(configured.minimum, running.minimum),
        desired=desired,
        maximum=max(configured.maximum, running.maximum, desired),
    )


def check_launchable(group: Group, region: str) -> None:
    """Refuse a group that has been told not to launch.

    Raises
    ------
    PreconditionFailed
        A process that the failover needs is suspended; the message gives the command.
    """
    blocked = [process for process in _NEEDED if process in group.suspended]
    if blocked:
        raise PreconditionFailed(
            f"Auto Scaling group {group.name} has {', '.join(blocked)} suspended, so it would never come up. "
            f"aws autoscaling resume-processes --region {region} --auto-scaling-group-name {group.name} "
            f"--scaling-processes {' '.join(blocked)} and {SAME_AGAIN}."
        )


def healthy(group: Group, targets: Iterable[Target]) -> int:
    """Count members of the group that the load balancer sends traffic to.

    A returned UpdateAutoScalingGroup is a wish, and ``InService`` only says that an instance runs: what counts is a
    healthy target. Targets that are no members (any more) are no capacity.
    """
    members = {instance.identifier for instance in group.instances if instance.lifecycle == "InService"}
    return sum(1 for target in targets if target.state == "healthy" and target.identifier in members)


def is_enough(
    group: Group, targets: tuple[Target, ...], needed: int, waited: int, budget: int, problems: tuple[str, ...]
) -> bool:
    """Decide whether enough targets are healthy.

    Parameters
    ----------
    needed
        Healthy targets that must be there.
    waited, budget
        Seconds waited so far, and the most there may be.
    problems
        What Auto Scaling says of launches that failed, newest first.

    Raises
    ------
    PreconditionFailed
        The budget is spent. The message tells what the instances, the targets and Auto Scaling say.
    """
    count = healthy(group, targets)
    if count >= needed:
        return True
    if waited >= budget:
        raise PreconditionFailed(
            f"{count} of {needed} targets are healthy after {waited} s of waiting (budget {budget} s). "
            f"Instances: {_tally(instance.lifecycle for instance in group.instances)}. "
            f"Targets: {_tally(_why(target) for target in targets)}. "
            f"Launches: {problems[0] if problems else 'no failure reported'}. "
            f"The group {group.name} stays at {group.capacity.desired}. "
            f"Repair what stops them (health path, image, quota, capacity), then {SAME_AGAIN}: it goes on from there."
        )
    return False


def _why(target: Target) -> str:
    return f"{target.state} ({target.reason})" if target.reason else target.state


def _tally(words: Iterable[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in sorted(Counter(words).items())) or "none"
