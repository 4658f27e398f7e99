"""Whoever reads the runbook of the way back finds each state there, and none that does not exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
STATES: dict[str, Any] = json.loads((PROJECT / "statemachine/failback.asl.json").read_text())["States"]
CHAPTER = (PROJECT / "docs/runbooks/failback.md").read_text().split("## 6. State by state", 1)[1].split("\n## ", 1)[0]
SECTIONS = re.findall(r"^### (.+)$", CHAPTER, re.MULTILINE)


@pytest.mark.parametrize("name", [name for name, state in STATES.items() if state["Type"] in ("Task", "Wait", "Fail")])
def test_a_state_that_can_fail_or_wait_has_a_section(name: str) -> None:
    assert name in SECTIONS


def test_every_section_is_about_a_state_that_exists_and_in_its_order() -> None:
    order = list(STATES)
    assert [order.index(section) for section in SECTIONS] == sorted(order.index(section) for section in SECTIONS)
