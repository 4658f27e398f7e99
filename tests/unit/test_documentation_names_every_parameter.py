"""A parameter that is not described is one that nobody sets rightly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
TEMPLATE = (PROJECT / "template.yaml").read_text()
GUIDE = (PROJECT / "docs/deploy.md").read_text()


def _parameters() -> dict[str, str]:
    """Read name and default out of the section, which is written plainly; the tags of CloudFormation need no parser."""
    section = TEMPLATE.split("\nParameters:\n", 1)[1]
    section = re.split(r"^\S", section, maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.split(r"^  (\w+):\n", section, flags=re.MULTILINE)[1:]
    found = {}
    for name, block in zip(blocks[::2], blocks[1::2], strict=True):
        default = re.search(r"^    Default: (.*)$", block, re.MULTILINE)
        found[name] = "**required**" if default is None else default[1].strip("'")
    return found


PARAMETERS = _parameters()
ROWS = {
    row[0]: row[1]
    for row in (re.findall(r"^\| `(\w+)` \| (.*?) \|", line) for line in GUIDE.splitlines())
    for row in row
}


def test_the_template_has_parameters() -> None:
    assert len(PARAMETERS) > 10


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_has_a_row_with_its_default(name: str) -> None:
    assert name in ROWS, f"{name} has no row in docs/deploy.md"
    default = PARAMETERS[name]
    assert ROWS[name] == (default if default.startswith("*") else f"`{default}`" if default else "none")


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_about_a_parameter_that_exists(name: str) -> None:
    assert name in PARAMETERS
