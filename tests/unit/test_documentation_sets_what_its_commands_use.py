"""On the worst day a command is copied from the middle of a page: an unset name in it asks something else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(path for path in [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"] if path.parent.name != "adr")
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
USED = re.compile(r"\$\{?([A-Za-z_]\w*)")
# AWS's own word for a launch template's version, and what every shell has.
GIVEN = {"Latest", "PATH", "PWD"}


def is_set(name: str, before: str) -> bool:
    return bool(re.search(rf"(?:^|[\s;(]){name}=|\bfor {name} in\b|\bread (?:-\w+ )*{name}\b", before))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_name_in_a_command_is_set_before_it(page: Path) -> None:
    text = page.read_text()
    for block in BLOCK.finditer(text):
        # Runbooks are read from the top: their first block is for the whole page.
        start = 0 if page.parent.name == "runbooks" else block.start()
        for used in USED.finditer(block[1]):
            name, at = used[1], block.start(1) + used.start()
            assert name in GIVEN or is_set(name, text[start:at]), f"{page.name}: ${name} is not set"


def test_there_are_commands_to_look_at() -> None:
    assert sum(len(USED.findall(block)) for page in PAGES for block in BLOCK.findall(page.read_text())) > 20
