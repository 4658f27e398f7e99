"""What switches a workload function on or off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pilotlight.decide.request import SAME_AGAIN
from pilotlight.errors import PreconditionFailed

if TYPE_CHECKING:
    from pilotlight.model import Function


@dataclass(frozen=True, slots=True)
class Change:
    """What to change on one function. Concurrency -1 means: no reservation."""

    function: str
    concurrency: int | None = None
    triggers_on: tuple[str, ...] = ()
    triggers_off: tuple[str, ...] = ()

    @property
    def anything(self) -> bool:
        """Whether there is anything to do."""
        return self.concurrency is not None or bool(self.triggers_on) or bool(self.triggers_off)


UNRESERVED = -1
_MOST_NAMED = 20


def to_active(function: Function) -> Change:
    """Decide what makes a function live.

    Only a reservation of 0 is the switch: any other number is the team's and stays. Back on means no reservation,
    because setting a number can fail where the account's unreserved pool is small, unless the function says the number
    it needs in its tag ``pilotlight:reserved-concurrency``.
    """
    off = function.reserved_concurrency == 0
    return Change(
        function=function.name,
        concurrency=(UNRESERVED if function.active_concurrency is None else function.active_concurrency)
        if off
        else None,
        triggers_on=tuple(trigger.identifier for trigger in function.triggers if trigger.state == "Disabled"),
    )


def to_standby(function: Function) -> Change:
    """Decide what silences a function: triggers first, because a reservation of 0 drops asynchronous events."""
    return Change(
        function=function.name,
        concurrency=None if function.reserved_concurrency == 0 else 0,
        triggers_off=tuple(
            trigger.identifier
            for trigger in function.triggers
            if trigger.state in ("Enabled", "Enabling", "Creating", "Updating")
        ),
    )


def is_active(functions: tuple[Function, ...], region: str, waited: int, budget: int) -> bool:
    """Decide whether every function is live with all its triggers enabled.

    Raises
    ------
    PreconditionFailed
        The budget is spent; the message names what is not on.
    """
    waiting = [
        f"{function.name} ({_state(function)})"
        for function in functions
        if function.reserved_concurrency == 0 or any(trigger.state != "Enabled" for trigger in function.triggers)
    ]
    if waiting and waited >= budget:
        raise PreconditionFailed(
            f"after {waited} s of waiting (budget {budget} s) not live yet: {'; '.join(waiting)}. "
            "Enable the triggers by hand "
            f"(aws lambda update-event-source-mapping --region {region} --enabled --uuid …), then {SAME_AGAIN}."
        )
    return not waiting


def not_on(functions: tuple[Function, ...]) -> str:
    """Name the functions that are not on, or on their way to it, with all their triggers; empty if there is none."""
    left = [
        f"{function.name} ({_state(function)})"
        for function in functions
        if function.reserved_concurrency == 0
        or any(trigger.state not in ("Enabled", "Enabling") for trigger in function.triggers)
    ]
    more = f", and {len(left) - _MOST_NAMED} more" if len(left) > _MOST_NAMED else ""
    return "; ".join(left[:_MOST_NAMED]) + more


def _state(function: Function) -> str:
    concurrency = "concurrency 0" if function.reserved_concurrency == 0 else "concurrency on"
    triggers = ", ".join(f"{trigger.identifier} {trigger.state}" for trigger in function.triggers)
    return f"{concurrency}; triggers {triggers or 'none'}"
