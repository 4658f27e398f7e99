"""An arrow between two states is believed at night: the machine has to go that way too."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[2]
BOX = re.compile(
    r'<rect class="card[^"]*" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"[^>]*/>\s*'
    r'<text class="name[^>]*>([^<]+)<'
)
ARROW = re.compile(r'<path class="[^"]*" d="([^"]+)" marker-end')
MOVE = re.compile(r"([MHV])([\d.]+)(?: ([\d.]+))?")
# The small print of that box says that the team is told in between.
ABRIDGED = {("Let the heart beat here", "This region is active")}
NEAR = 5


def _states(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in machine["States"].items():
        yield name, state
        for branch in state.get("Branches", ()):
            yield from _states(branch)


STATES = dict(_states(json.loads((PROJECT / "statemachine/failover.asl.json").read_text())))


def _next(state: str) -> set[str]:
    """Follow a state to those that a picture would show next: choices and passes are what an arrow stands for."""
    definition, found = STATES[state], set()
    ways = [definition, *definition.get("Choices", ()), *definition.get("Catch", ())]
    for name in {way["Next"] for way in ways if "Next" in way} | {definition.get("Default", state)} - {state}:
        found |= {name} | (_next(name) if STATES[name]["Type"] in ("Choice", "Pass") else set())
    return found


def _arrows(picture: str) -> Iterator[tuple[str, str]]:
    drawn = (PROJECT / f"docs/{picture}.svg").read_text()
    boxes = {html.unescape(name): tuple(map(float, sides)) for *sides, name in BOX.findall(drawn)}

    def at(x: float, y: float) -> str:
        for name, (left, top, width, height) in boxes.items():
            if left - NEAR <= x <= left + width + NEAR and top - NEAR <= y <= top + height + NEAR:
                return name
        return ""

    for path in ARROW.findall(drawn):
        points = [(0.0, 0.0)]
        for move, one, other in MOVE.findall(path):
            x, y = points[-1]
            points.append((x if move == "V" else float(one), float(other or one) if move != "H" else y))
        ends = at(*points[1]), at(*points[-1])
        # Some begin at a line, and some boxes are no states.
        if all(end in STATES for end in ends):
            yield ends


ARROWS = [
    pytest.param(*arrow, id=f"{picture}: {' → '.join(arrow)}")
    for picture in ("decision", "failover", "switchover", "by-snapshot")
    for arrow in _arrows(picture)
]


def test_arrows_are_found() -> None:
    assert len(ARROWS) > 70


@pytest.mark.parametrize(("one", "other"), ARROWS)
def test_an_arrow_leads_where_the_machine_goes(one: str, other: str) -> None:
    assert other in _next(one) or (one, other) in ABRIDGED
