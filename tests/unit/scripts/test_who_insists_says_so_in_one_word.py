"""`FORCE=1` reaches the state machine, with the mode that was asked for; without it nothing insists."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from typing import Any

ROOT = Path(__file__).parents[3]
# Says what the command line says, and what it was given.
AWS = """#!/bin/sh
case "$*" in *get-caller-identity*) echo 123456789012 ;; *) echo "$*" >> "$CALLS" ;; esac
"""


def started(order: str, calls: Path, tools: Path) -> dict[str, Any]:
    """Run what a target of the Makefile runs, and return the input that it starts with."""
    told = subprocess.run(
        ["make", "--dry-run", *order.split()], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    (command,) = (line for line in told.splitlines() if line.startswith("scripts/failover "))
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "CALLS": str(calls)}
    subprocess.run(["bash", "-c", command], cwd=ROOT, env=environment, check=True, capture_output=True)
    given: dict[str, Any] = json.loads(calls.read_text().partition("--input ")[2])
    return given


@pytest.mark.parametrize(
    ("order", "given"),
    [
        ("failover", {"mode": "ungraceful"}),
        ("failover FORCE=1", {"mode": "ungraceful", "force": True}),
        ("switchover", {"mode": "graceful"}),
        ("switchover FORCE=1", {"mode": "graceful", "force": True}),
    ],
)
def test_what_make_starts(order: str, given: dict[str, Any], tmp_path: Path) -> None:
    tool = tmp_path / "aws"
    tool.write_text(AWS)
    tool.chmod(0o755)
    assert started(order, tmp_path / "calls", tmp_path) == given
