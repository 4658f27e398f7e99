"""How often a workflow looks at what it waits for, so that its history does not end before its patience does.

An execution's history ends at 25 000 events, and the execution with it, by an error that nothing catches. A look takes
five of them, the choice after it two, and the wait two.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

from pilotlight.model import GRACEFUL, SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pilotlight.model import Budgets

EVENTS_A_LOOK: Final = 9
EVENTS_A_PROOF: Final = 16
"""Events of a proof that the source takes back: it is looked at once more, and has written on."""
EVENTS_UNDECIDED: Final = 32
"""Events of a minute in which nothing could be decided: a look that was tried six times, a mail, and the wait."""
MOST_EVENTS: Final = 20_000
"""Events that a switch plans with. The rest is for what is tried again."""
MOST_LOOKS: Final = 300
"""Looks that a re-protection takes in each of its waits, beside those in its first minutes."""
SNAPSHOT_LOOKS: Final = 1_000
"""Looks at snapshot, copy and restore together."""

_ONCE: Final = 600
_DECIDING: Final = 6_500


def polling(budgets: Budgets, mode: str, method: str) -> int:
    """Say how many seconds a switch waits between two looks: what is set, or more where that is too much to write down.

    What it looks at every second (until the replica has applied what it received; until the source is at rest; until
    the proof has come) has ceilings of its own, and goes first.
    """
    return next(
        seconds for seconds in count(budgets.poll) if events_of_a_switch(budgets, mode, method, seconds) <= MOST_EVENTS
    )


def events_of_a_switch(budgets: Budgets, mode: str, method: str, poll: int) -> int:
    """Count the events of a switch in which every wait takes all its time.

    Parameters
    ----------
    budgets
        Its budgets.
    mode, method
        As it was asked for.
    poll
        Seconds between two looks at what takes minutes.
    """
    # The promotion's budget is for the promotion, and again for opening what was promoted.
    polled: Iterable[int] = (
        budgets.promotion,
        budgets.promotion,
        budgets.compute,
        budgets.workload,
        budgets.verify,
    )
    events = _ONCE + EVENTS_A_LOOK * sum(_looks(budget, poll) for budget in polled)
    if mode != GRACEFUL:
        return events + _DECIDING + EVENTS_A_LOOK * _looks(budgets.drain, 1)
    events += EVENTS_A_LOOK * _looks(budgets.freeze, 1) + EVENTS_A_PROOF * _looks(budgets.proof, 1)
    if method == SNAPSHOT:
        events += EVENTS_A_LOOK * _looks(budgets.snapshot, rarely(budgets, poll))
    return events


def rarely(budgets: Budgets, poll: int) -> int:
    """Say how many seconds a switch waits between two looks at snapshot, copy and restore."""
    return max(poll, -(-budgets.snapshot // SNAPSHOT_LOOKS))


def slowly(budgets: Budgets) -> int:
    """Say how many seconds a re-protection waits between two looks once it has waited for minutes."""
    return max(budgets.poll, -(-max(budgets.protection, budgets.freeze) // MOST_LOOKS))


def _looks(budget: int, every: int) -> int:
    return -(-budget // every) + 1
