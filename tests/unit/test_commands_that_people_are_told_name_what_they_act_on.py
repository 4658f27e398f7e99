"""Whoever is woken pastes what a mail says. `make` without names acts on the environment `dev` of the default regions,
and `aws` without a region on whatever the laptop is set to."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TARGETS = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
# What is put into a text when it is made: a name, or all of them.
FILLED = "{}"
MAKE = re.compile(rf"\bmake (?P<target>{'|'.join(TARGETS)}|\{{\}})(?P<options>(?: (?:[A-Z_]+=\S*|\{{\}}))*)")
AWS = re.compile(r"\baws [a-z0-9]+ [a-z]+(?:-[a-z]+)+(?P<options>[^()]*)")
SOURCES = sorted(
    path for folder in ("layers/pilotlight", "functions", "scripts") for path in (ROOT / folder).rglob("*.py")
)


def bare(text: str) -> list[str]:
    """Find the commands in a text that leave open what they act on."""
    makes = [
        found[0]
        for found in MAKE.finditer(text)
        # "make {} a standby" is no command.
        if (found["target"] != FILLED or "=" in found["options"])
        and not re.search(r" \{\}| ENVIRONMENT=.* DR_REGION=", found["options"])
    ]
    return makes + [found[0] for found in AWS.finditer(text) if "--region" not in found["options"]]


def texts(node: ast.AST) -> Iterator[str]:
    """Give the strings of a module as they read, with what is filled in as ``{}``; no docstrings."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else FILLED for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        documents = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
        told_already = isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)
        if not documents and not told_already:
            yield from texts(child)


def strings(node: object) -> Iterator[str]:
    """Give what a machine says: everything but its comments, with a variable that a text ends with as ``{}``."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name != "Comment":
                yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)
    elif isinstance(node, str):
        yield re.sub(r"' & \$\w+", f" {FILLED}", node)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_in_the_code(path: Path) -> None:
    assert [one for text in texts(ast.parse(path.read_text())) for one in bare(text)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "statemachine").glob("*.json")), ids=lambda path: path.name)
def test_in_the_state_machines(path: Path) -> None:
    assert [one for text in strings(json.loads(path.read_text())) for one in bare(text)] == []


def test_in_what_alarms_say() -> None:
    said = re.findall(
        r"AlarmDescription:(.*?)\n      [A-Z]",
        "".join(path.read_text() for path in [ROOT / "template.yaml", *(ROOT / "infra").glob("*.yaml")]),
        re.DOTALL,
    )
    assert len(said) > 10
    assert [one for text in said for one in bare(" ".join(text.split()))] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Going back: make failback.", ["make failback"]),
        ("make automation ON=1", ["make automation ON=1"]),
        ("make retired ENVIRONMENT={}", ["make retired ENVIRONMENT={}"]),
        (f"say why: make {FILLED} REASON='why'", [f"make {FILLED} REASON='why'"]),
        ("make objects ENVIRONMENT= {} DR_REGION= {}", []),
        (f"make automation ON=1 {FILLED}", []),
        (f"make {FILLED} a standby", []),
        (
            "See why (aws rds describe-events --source-type db-instance), and --region",
            ["aws rds describe-events --source-type db-instance"],
        ),
        (f"aws rds describe-events --region {FILLED} --source-type db-instance", []),
    ],
)
def test_a_bare_command_is_seen(text: str, found: list[str]) -> None:
    assert bare(text) == found
