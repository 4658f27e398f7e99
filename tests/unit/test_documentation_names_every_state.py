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
# Each machine has the runbook of its name.
RUNBOOKS = ("failover", "reprotect", "failback", "image")
PICTURES = {
    name: (PROJECT / f"docs/{name}.svg").read_text() for name in ("decision", "failover", "switchover", "by-snapshot")
}
# States that one picture gathers under a name, and the other shows one by one.
GATHERED = "Freeze and prove"
CAN_FAIL_OR_WAIT = ("Task", "Wait", "Fail", "Parallel", "Map")


def _states(machine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, state in machine["States"].items():
        yield name, state
        for branch in (*state.get("Branches", ()), *filter(None, [state.get("ItemProcessor")])):
            yield from _states(branch)


def _machine(name: str) -> dict[str, dict[str, Any]]:
    return dict(_states(json.loads((PROJECT / f"statemachine/{name}.asl.json").read_text())))


STATES = _machine("failover")
NOTABLE = [
    pytest.param(runbook, state, id=f"{runbook}-{state}")
    for runbook in RUNBOOKS
    for state, definition in _machine(runbook).items()
    if definition["Type"] in CAN_FAIL_OR_WAIT
]


def _sections(runbook: str) -> list[str]:
    """Read the headings in the chapters that go through the states."""
    chapters = re.split(r"^## ", (PROJECT / f"docs/runbooks/{runbook}.md").read_text(), flags=re.MULTILINE)
    states = "".join(chapter for chapter in chapters if re.match(r"\d\. State by state", chapter))
    return re.findall(r"^### (.+)$", states, re.MULTILINE)


def test_every_machine_has_a_runbook() -> None:
    machines = {path.name.removesuffix(".asl.json") for path in (PROJECT / "statemachine").glob("*.asl.json")}
    assert machines == set(RUNBOOKS)


@pytest.mark.parametrize(("runbook", "state"), NOTABLE)
def test_a_state_that_can_fail_or_wait_has_a_section(runbook: str, state: str) -> None:
    assert state in _sections(runbook), f"'{state}' has no section in docs/runbooks/{runbook}.md"


@pytest.mark.parametrize(
    ("runbook", "section"), [(runbook, section) for runbook in RUNBOOKS for section in _sections(runbook)]
)
def test_a_section_is_about_a_state_that_exists(runbook: str, section: str) -> None:
    assert section in _machine(runbook)


def _named(picture: str) -> set[str]:
    return {html.unescape(name) for name in re.findall(r'class="(?:name|title)[^"]*"[^>]*>([^<]+)<', PICTURES[picture])}


@pytest.mark.parametrize("name", [name for name, state in STATES.items() if state["Type"] in ("Task", "Wait")])
def test_a_picture_shows_every_step_and_wait(name: str) -> None:
    assert any(name in _named(picture) for picture in PICTURES)


@pytest.mark.parametrize("picture", PICTURES)
def test_a_picture_shows_nothing_that_does_not_exist(picture: str) -> None:
    assert _named(picture) - set(STATES) <= {GATHERED}
