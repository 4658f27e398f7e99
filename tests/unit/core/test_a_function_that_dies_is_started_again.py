"""A function can be ended by Lambda in the middle of its work: by its time-out, or because its process is gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
MACHINES = sorted((ROOT / "statemachine").glob("*.asl.json"))
# Newer runtimes name a time-out and a crash; the others say Unknown of both.
# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
DIES = {"Lambda.Unknown", "Sandbox.Timedout", "Runtime.ExitError"}


def states(part: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(part, dict):
        yield from part.get("States", {}).items()
        for value in part.values():
            yield from states(value)
    elif isinstance(part, list):
        for value in part:
            yield from states(value)


@pytest.mark.parametrize("machine", MACHINES, ids=[path.name for path in MACHINES])
def test_every_step_that_is_tried_again_is_tried_again_when_its_function_dies(machine: Path) -> None:
    retried = [
        (name, set(retry["ErrorEquals"]))
        for name, state in states(json.loads(machine.read_text()))
        for retry in state.get("Retry", [])
        if "lambda:invoke" in state["Resource"] and "TransientError" in retry["ErrorEquals"]
    ]
    assert retried
    assert [name for name, errors in retried if not errors >= DIES] == []
