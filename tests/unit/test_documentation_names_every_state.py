"""Whoever is paged sees a state's name. The runbook and the pictures have to know it."""

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
RUNBOOK = PROJECT / "docs/runbooks/failover.md"
PICTURES = {name: (PROJECT / f"docs/{name}.svg").read_text() for name in ("failover", "switchover")}
# States that one picture gathers under a name, and the other shows one by one.
GATHERED = "Freeze and prove"
CAN_FAIL_OR_WAIT = ("Task", "Wait", "Fail", "Parallel", "Map")


def _states(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in machine["States"].items():
        yield name, state
        for branch in (*state.get("Branches", ()), *filter(None, [state.get("ItemProcessor")])):
            yield from _states(branch)


STATES = dict(_states(json.loads((PROJECT / "statemachine/failover.asl.json").read_text())))
NOTABLE = [name for name, state in STATES.items() if state["Type"] in CAN_FAIL_OR_WAIT]


def _sections() -> list[str]:
    chapter = RUNBOOK.read_text().split("## 6. State by state", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^### (.+)$", chapter, re.MULTILINE)


@pytest.mark.parametrize("name", NOTABLE)
def test_a_state_that_can_fail_or_wait_has_a_section(name: str) -> None:
    assert name in _sections(), f"'{name}' has no section in {RUNBOOK.relative_to(PROJECT)}"


@pytest.mark.parametrize("section", _sections())
def test_a_section_is_about_a_state_that_exists(section: str) -> None:
    assert section in STATES


def _named(picture: str) -> set[str]:
    return {html.unescape(name) for name in re.findall(r'class="(?:name|title)[^"]*"[^>]*>([^<]+)<', PICTURES[picture])}


@pytest.mark.parametrize("name", [name for name, state in STATES.items() if state["Type"] in ("Task", "Wait")])
def test_a_picture_shows_every_step_and_wait(name: str) -> None:
    assert any(name in _named(picture) for picture in PICTURES)


@pytest.mark.parametrize("picture", PICTURES)
def test_a_picture_shows_nothing_that_does_not_exist(picture: str) -> None:
    assert _named(picture) - set(STATES) <= {GATHERED}
