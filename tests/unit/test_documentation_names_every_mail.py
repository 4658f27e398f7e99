"""Whoever is woken by a mail looks for its subject: each that can be sent has a row, and each row is about one."""

from __future__ import annotations

import ast
import itertools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs/runbooks/README.md").read_text()
# What differs from mail to mail, in a row as in a subject read from the code.
SOME = "…"
# Sent by SNS itself: what a function's failure destination sends has no subject of ours.
BY_AWS = {"AWS Notification - Subscription Confirmation", "AWS Notification Message"}


class Subjects:
    """Reads from a module what a subject can say; what it gets from elsewhere is ``…``."""

    def __init__(self, module: ast.Module) -> None:
        self.names: dict[str, list[ast.expr]] = {}
        self.found: list[ast.expr] = []
        for node in ast.walk(module):
            if isinstance(node, ast.Assign):
                for target, value in _assigned(node.targets[0], node.value):
                    self.names.setdefault(target, []).append(value)
            elif isinstance(node, ast.FunctionDef):
                said = [part.value for part in ast.walk(node) if isinstance(part, ast.Return) and part.value]
                self.names.setdefault(node.name, []).extend(said)
            elif isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                self.found += [
                    value for key, value in pairs if isinstance(key, ast.Constant) and key.value == "subject"
                ]
            elif isinstance(node, ast.keyword) and node.arg == "Subject":
                self.found.append(node.value)

    def all(self) -> set[str]:
        return {text for node in self.found for text in self.of(node) if text != SOME}

    def of(self, node: ast.expr, depth: int = 0) -> set[str]:
        """Say all that an expression can be."""
        said = {SOME}
        match node:
            case ast.Constant(value=str(text)):
                said = {text}
            case ast.JoinedStr(values=parts):
                said = {"".join(piece) for piece in itertools.product(*(self.of(part, depth) for part in parts))}
            case ast.FormattedValue(value=inner) | ast.Subscript(value=inner) | ast.Attribute(value=inner):
                said = self.of(inner, depth)
            case ast.IfExp(body=one, orelse=other):
                said = self.of(one, depth) | self.of(other, depth)
            case ast.Dict(values=values) | ast.Tuple(elts=values):
                said = set().union(*(self.of(value, depth) for value in values))
            case ast.Call(func=func, args=args) if _method(func) != "join":
                fallback = self.of(args[1], depth) if len(args) == 2 and _method(func) == "get" else set()
                said = self.of(func, depth) | fallback
            case ast.Name(id=name) if depth < 4:
                said = set().union(*(self.of(value, depth + 1) for value in self.names.get(name, ()))) or said
        return said


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, its in zip(target.elts, value.elts, strict=True):
            yield from _assigned(one, its)


def _method(func: ast.expr) -> str:
    return func.attr if isinstance(func, ast.Attribute) else ""


def _ours() -> Iterator[str]:
    for place in ("layers/pilotlight", "functions", "scripts"):
        for source in sorted((PROJECT / place).rglob("*.py")):
            for text in Subjects(ast.parse(source.read_text())).all():
                # A decision is of one of the two.
                for what in ("failover", "failback") if "{what}" in text else ("",):
                    yield re.sub(r"\{\w*\}", SOME, text.replace("{what}", what))
    for machine in sorted((PROJECT / "statemachine").glob("*.asl.json")):
        # JSONata: what stands in quotes, after the name of the machine.
        for said in re.findall(r'"subject": ("\{%.*%\}")', machine.read_text()):
            yield f"{machine.name.split('.')[0]} {SOME.join(re.findall(r"'([^']*)'", json.loads(said)))}"


def _alarms() -> Iterator[str]:
    for template in (PROJECT / "template.yaml", *sorted((PROJECT / "infra").glob("*.yaml"))):
        for block in re.split(r"^  (?=\w+:$)", template.read_text(), flags=re.MULTILINE):
            name = re.search(r"^      AlarmName: !Sub \$\{Environment\}-(\S+)$", block, re.MULTILINE)
            if name and re.search(r"^      AlarmActions:", block, re.MULTILINE):
                yield f'ALARM: "dev-{name[1]}"'


SUBJECTS = sorted({*_ours(), *_alarms()})
ROWS = [
    span
    for line in PAGE.split("\n## Which mail it was\n")[1].split("\n## ")[0].splitlines()
    if line.startswith("| `")
    for span in re.findall(r"`([^`]+)`", line.split(" | ")[0])
]


def _is_of(row: str, subject: str) -> bool:
    # The name of an alarm may be the beginning of another one's.
    return bool(re.search(".*".join(re.escape(part.strip()) for part in row.split(SOME)), subject))


def test_subjects_and_rows_are_found() -> None:
    assert len(SUBJECTS) > 60
    assert len(ROWS) > 50
    assert [row for row in ROWS if len(re.sub(r"\W", "", row)) < 8] == []


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_mail_has_a_row(subject: str) -> None:
    assert any(_is_of(row, subject) for row in ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_about_a_mail_that_is_sent(row: str) -> None:
    assert row in BY_AWS or any(_is_of(row, subject) for subject in SUBJECTS)
