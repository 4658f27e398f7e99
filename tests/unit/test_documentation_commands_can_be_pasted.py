"""Whoever follows a runbook at night pastes its commands, and has one environment in mind: the one that they named."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PAGES = sorted([PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")])
RUNBOOKS = sorted((PROJECT / "docs/runbooks").glob("*.md"))
BLOCKS = [
    pytest.param(block, id=f"{page.relative_to(PROJECT)}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))
]
# What the Makefile takes from the environment, and what a runbook calls it.
MAKE = {"ENVIRONMENT": "ENV", "PRIMARY_REGION": "PRIMARY", "DR_REGION": "DR"}


@pytest.mark.parametrize("block", BLOCKS)
def test_a_shell_reads_every_command(block: str) -> None:
    bash = shutil.which("bash")
    assert bash
    # <account> and … stand for what the reader puts there.
    text = re.sub(r"<[^<>|&]+>", "X", block)
    read = subprocess.run([bash, "-n"], input=text, capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stderr


@pytest.mark.parametrize("name", MAKE)
def test_make_takes_it_from_the_environment(name: str) -> None:
    assert re.search(rf"^{name} +\?= ", (PROJECT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("runbook", RUNBOOKS, ids=lambda path: path.stem)
def test_make_acts_on_the_environment_that_a_runbook_names(runbook: Path) -> None:
    first = re.search(r"^```sh\n(.*?)^```", runbook.read_text(), re.MULTILINE | re.DOTALL)
    assert first
    # The AWS CLI that `make setup` has installed, in a shell that has none.
    assert "export PATH=$PWD/.venv/bin:$PATH" in first[1]
    for name, ours in MAKE.items():
        assert re.search(rf"^export .*\b{name}=\${ours}\b", first[1], re.MULTILINE)
