"""Whoever looks for a resource begins at the table of what stands where."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs/architecture.md").read_text()


def test_the_table_has_a_row_for_each_template_and_for_nothing_else() -> None:
    rows = re.findall(r"^\| `(infra/[\w-]+\.yaml)` \|", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(f"infra/{path.name}" for path in (PROJECT / "infra").glob("*.yaml"))


def test_the_table_names_what_stands_in_both_regions() -> None:
    row = re.search(r"^\| `template.yaml` \| (.*)$", PAGE, re.MULTILINE)
    assert row
    # What is DR's alone has it in its name.
    named = re.findall(
        r"FunctionName: !Sub \$\{Environment\}-(?!dr-)([\w-]+)$", (PROJECT / "template.yaml").read_text(), re.MULTILINE
    )
    assert named
    assert [name for name in named if f"`dev-{name}`" not in row[1]] == []
