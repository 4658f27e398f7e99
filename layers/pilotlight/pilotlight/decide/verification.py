"""Whether a region serves: a write accepted, and the same write read back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pilotlight.decide.request import SAME_AGAIN
from pilotlight.errors import PreconditionFailed

WRITTEN = (200, 201)


@dataclass(frozen=True, slots=True)
class Seen:
    """Status and body of the write and of the read; status 0 means no answer."""

    wrote: int
    answer: Any
    read: int
    found: Any


def token(epoch: int, execution: str) -> str:
    """Make what is written and looked for: the same for every try of one execution, so a retry is no second row."""
    return f"{epoch}-{hashlib.sha256(execution.encode()).hexdigest()[:24]}"


def works(seen: Seen, wanted: str, address: str, waited: int, budget: int) -> bool:
    """Decide whether the region serves.

    Raises
    ------
    PreconditionFailed
        The budget is spent; the message tells what the application answered.
    """
    served = (
        seen.wrote in WRITTEN
        and seen.read == 200
        and isinstance(seen.found, Mapping)
        and seen.found.get("token") == wanted
    )
    if not served and waited >= budget:
        raise PreconditionFailed(
            f"the application behind {address} does not take a write and give it back after {waited} s of waiting "
            f"(budget {budget} s): {describe(seen)}. Its database is promoted and its targets are healthy: "
            f"look at its log. Then {SAME_AGAIN}: it goes on from there."
        )
    return served


def describe(seen: Seen) -> str:
    """Say what the write and the read were answered."""
    read = f"; read {_answer(seen.read, seen.found)}" if seen.wrote in WRITTEN else ""
    return f"write {_answer(seen.wrote, seen.answer)}{read}"


def _answer(status: int, body: Any) -> str:
    return f"{status or 'no answer'} {str(body)[:200]}".rstrip()
