"""The templates as the tests read them: YAML with CloudFormation's short forms, nothing resolved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

type Json = dict[str, Any]


# Parsed in C where libyaml is there: in Python it takes seconds.
class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    pass


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> Json:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        return {name: value.split(".", 1) if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _short_form)


def load(path: Path) -> Json:
    document = yaml.load(path.read_text(), _Loader)
    assert isinstance(document, dict)
    return document


PATHS = (ROOT / "template.yaml", *sorted((ROOT / "infra").glob("*.yaml")))
TEMPLATES = {path.stem: load(path) for path in PATHS}
MAIN = TEMPLATES["template"]


def resources(*types: str) -> list[tuple[str, str, Json]]:
    """All resources of some types (or all): template, logical id, resource."""
    return [
        (template, name, resource)
        for template, document in TEMPLATES.items()
        for name, resource in document["Resources"].items()
        if not types or resource["Type"] in types
    ]


def ids(found: list[tuple[str, str, Json]]) -> list[str]:
    return [f"{template}-{name}" for template, name, _ in found]


def functions() -> dict[str, Json]:
    """The SAM functions, with what the globals give them."""
    shared = MAIN["Globals"]["Function"]
    return {
        name: shared | resource["Properties"]
        for name, resource in MAIN["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def steps() -> dict[str, Json]:
    """The functions that a switch calls: by logical id, with what the globals give them."""
    others = ("PairFunction", "ParameterSyncFunction", "SentinelFunction", "ImageFunction")
    return {name: function for name, function in functions().items() if name not in others}


def many(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(value: Any) -> Iterator[Json]:
    """Every policy statement anywhere below a value."""
    if isinstance(value, dict):
        if "Effect" in value and ("Action" in value or "NotAction" in value):
            yield value
        for below in value.values():
            yield from statements(below)
    elif isinstance(value, list):
        for below in value:
            yield from statements(below)


def references(value: Any) -> set[str]:
    """Names that a value refers to by Ref, GetAtt, If or Sub."""
    found: set[str] = set()
    if isinstance(value, dict):
        for key, below in value.items():
            if key in ("Ref", "Condition") and isinstance(below, str):
                found.add(below)
            elif key == "Fn::GetAtt":
                found.add(below[0])
            elif key == "Fn::If":
                found |= {below[0]} | references(below[1:])
            elif key == "Fn::Sub":
                text, *more = many(below)
                found |= {part.split("}")[0].split(".")[0] for part in text.split("${")[1:]} | references(more)
            else:
                found |= references(below)
    elif isinstance(value, list):
        for below in value:
            found |= references(below)
    return found
