"""Auto Scaling groups: their sizes and what they decide to do, without doing it."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

Lifecycle = Literal["Pending", "InService", "Terminating"]

# Auto Scaling tries again and again after a failed launch, with longer and longer pauses.
_FIRST_PAUSE: Final = 30.0
_LONGEST_PAUSE: Final = 600.0

_order = itertools.count()


class InvalidSizeError(Exception):
    """Auto Scaling refuses these sizes (``ValidationError``)."""


class Sizes(NamedTuple):
    """A group's minimum, maximum and desired capacity."""

    minimum: int
    maximum: int
    desired: int

    def update(self, *, minimum: int | None = None, maximum: int | None = None, desired: int | None = None) -> Sizes:
        """Return the sizes after UpdateAutoScalingGroup; what is not given stays.

        Parameters
        ----------
        minimum, maximum
            New bounds. A desired capacity that is not given follows them: up to the minimum, down to the maximum.
        desired
            New desired capacity.

        Returns
        -------
        Sizes
            Consistent.

        Raises
        ------
        InvalidSizeError
            When the bounds cross or the desired capacity is outside of them.
        """
        low = self.minimum if minimum is None else minimum
        high = self.maximum if maximum is None else maximum
        if low < 0 or low > high:
            raise InvalidSizeError(f"Max bound, {high}, must be greater than or equal to min bound, {low}")
        if desired is None:
            return Sizes(low, high, min(max(self.desired, low), high))
        if not low <= desired <= high:
            raise InvalidSizeError(
                f"Desired capacity:{desired} must be between the specified min size:{low} and max size:{high}"
            )
        return Sizes(low, high, desired)

    def set_desired(self, desired: int) -> Sizes:
        """Return the sizes after SetDesiredCapacity.

        Parameters
        ----------
        desired
            New desired capacity.

        Returns
        -------
        Sizes
            With the same bounds.

        Raises
        ------
        InvalidSizeError
            When it is outside of the bounds.
        """
        if desired > self.maximum:
            bound = f"above max value {self.maximum}"
        elif desired < self.minimum:
            bound = f"below min value {self.minimum}"
        else:
            return self._replace(desired=desired)
        raise InvalidSizeError(f"New SetDesiredCapacity value {desired} is {bound} for the AutoScalingGroup.")


@dataclass(eq=False)
class Activity:
    """One line of DescribeScalingActivities."""

    activity_id: str
    description: str
    cause: str
    start: str
    status: str = "InProgress"
    message: str = ""
    progress: int = 0
    end: str = ""

    def finish(self, status: str, end: str, message: str = "") -> None:
        """Close the line: it has come to ``status`` at ``end``."""
        self.status, self.end, self.message, self.progress = status, end, message, 100


@dataclass(eq=False)
class Member:
    """An instance of a group."""

    instance_id: str
    zone: str
    template: dict[str, str]
    instance_type: str
    activity: Activity
    protected: bool = False
    lifecycle: Lifecycle = "Pending"
    healthy: bool = True
    in_service_since: float = 0.0
    order: int = field(default_factory=lambda: next(_order))

    @property
    def version(self) -> int:
        """The number of the launch template's version that it was started from."""
        return int(self.template.get("Version") or 0)


@dataclass(eq=False)
class Backoff:
    """When a group may try to launch again."""

    failures: int = 0
    until: float = 0.0

    def failed(self, now: float) -> None:
        """Note a launch that failed."""
        self.until = now + min(_FIRST_PAUSE * 2**self.failures, _LONGEST_PAUSE)
        self.failures += 1

    def succeeded(self) -> None:
        """Note a launch that worked, or a change that makes it worth trying at once."""
        self.failures, self.until = 0, 0.0


def missing(members: Sequence[Member], desired: int) -> int:
    """Return how many instances a group has to launch."""
    return max(desired - len(_counted(members)), 0)


def surplus(members: Sequence[Member], desired: int) -> list[Member]:
    """Return the instances that a group has to give up, by the default termination policy.

    Parameters
    ----------
    members
        The group's instances.
    desired
        The desired capacity.

    Returns
    -------
    list[Member]
        From the fullest zone first; there, the oldest version and then the oldest instance.
    """
    counted = _counted(members)
    chosen: list[Member] = []
    while len(counted) - len(chosen) > desired:
        left = [member for member in counted if member not in chosen]
        able = [member for member in left if not member.protected]
        if not able:
            break
        fill = Counter(member.zone for member in left)
        chosen.append(min(able, key=lambda member: (-fill[member.zone], member.version, member.order)))
    return chosen


def emptiest(places: Sequence[tuple[str, str]], members: Sequence[Member]) -> tuple[str, str]:
    """Return the subnet and zone to launch in: the one with the fewest instances.

    Parameters
    ----------
    places
        Subnet and zone of each place the group may use.
    members
        The group's instances.

    Returns
    -------
    tuple[str, str]
        One of ``places``.
    """
    fill = Counter(member.zone for member in _counted(members))
    return min(places, key=lambda place: fill[place[1]])


def _counted(members: Sequence[Member]) -> list[Member]:
    return [member for member in members if member.lifecycle != "Terminating"]
