"""Whether the region that was left is known to be closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def summarise(source: str, outcomes: Mapping[str, tuple[bool, str]]) -> str:
    """Say in one line what was closed in the source region and what could not be.

    Parameters
    ----------
    outcomes
        Part to (worked, detail).
    """
    closed = [f"{part} {detail}" for part, (worked, detail) in outcomes.items() if worked]
    failed = {part: detail for part, (worked, detail) in outcomes.items() if not worked}
    # A lost region fails every part for the same reason: said once.
    reasons = ", ".join(sorted(set(failed.values())))
    if not failed:
        return f"confirmed: {', '.join(closed)}"
    if not closed:
        return f"NOT confirmed: {source} answered to nothing ({reasons})"
    return f"in part only: {', '.join(closed)}; NOT {', '.join(failed)} ({reasons})"
