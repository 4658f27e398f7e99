"""The RDS API's requests and answers, read and written after the API's own model.

The model is the one that boto3 carries, so names, nesting and types are AWS's and not ours.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from xml.sax.saxutils import escape

from botocore.loaders import Loader
from botocore.model import ListShape, ServiceModel, StructureShape

if TYPE_CHECKING:
    from botocore.model import Shape

_MODEL: Final = ServiceModel(Loader().load_service_model("rds", "service-2"), "rds")


class ApiError(Exception):
    """What RDS refuses, as the caller sees it.

    Parameters
    ----------
    code
        AWS's error code, as on the wire.
    message
        AWS's words where they are known.
    status
        The HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


def read(action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Read a request's parameters.

    Parameters
    ----------
    action
        For example ``CreateDBInstance``.
    parameters
        As MiniStack hands them on: flat names to a value, or to a list of one.

    Returns
    -------
    dict[str, Any]
        As boto3's caller wrote them: nested, typed, only what was given.
    """
    shape = _MODEL.operation_model(action).input_shape
    flat = {name: value[0] if isinstance(value, list) else value for name, value in parameters.items()}
    found: dict[str, Any] = _read(shape, flat, "") if shape is not None else {}
    return found


def answer(action: str, result: Mapping[str, Any]) -> str:
    """Write an answer's result as XML.

    Parameters
    ----------
    action
        For example ``CreateDBInstance``.
    result
        As boto3's caller is to see it.

    Returns
    -------
    str
        The element ``<ActionResult>``.
    """
    shape = _MODEL.operation_model(action).output_shape
    body = _write(shape, result) if shape is not None else ""
    return f"<{action}Result>{body}</{action}Result>"


def element(shape: str, value: Mapping[str, Any]) -> str:
    """Write the inside of one structure as XML.

    Parameters
    ----------
    shape
        Its name in the model, for example ``DBInstance``.
    value
        What the model does not know is left out.

    Returns
    -------
    str
        The elements of its members.
    """
    return _write(_MODEL.shape_for(shape), value)


def members(shape: str) -> frozenset[str]:
    """Return the names of a structure's members.

    Parameters
    ----------
    shape
        Its name in the model, for example ``ModifyDBInstanceMessage``.

    Returns
    -------
    frozenset[str]
        Their names.
    """
    structure = _MODEL.shape_for(shape)
    return frozenset(structure.members) if isinstance(structure, StructureShape) else frozenset()


def _read(shape: Shape, flat: Mapping[str, str], prefix: str) -> Any:
    if isinstance(shape, StructureShape):
        dot = f"{prefix}." if prefix else ""
        names = {name: dot + member.serialization.get("name", name) for name, member in shape.members.items()}
        return {
            name: _read(shape.members[name], flat, path)
            for name, path in names.items()
            if path in flat or any(key.startswith(f"{path}.") for key in flat)
        }
    if isinstance(shape, ListShape):
        # `Tags.member.1` or `Tags.Tag.1`: SDKs and Step Functions differ.
        item = re.compile(rf"({re.escape(prefix)}\.[^.]+\.(\d+))(?:\.|$)")
        items = {int(match[2]): match[1] for match in map(item.match, flat) if match}
        return [_read(shape.member, flat, items[index]) for index in sorted(items)]
    text = flat[prefix]
    match shape.type_name:
        case "boolean":
            return text.lower() == "true"
        case "integer" | "long":
            try:
                return int(text)
            except ValueError:
                raise ApiError("MalformedInput", f"{prefix} is not a number: {text}") from None
        case _:
            return text


def _write(shape: Shape, value: Any) -> str:
    if isinstance(shape, StructureShape):
        if not isinstance(value, Mapping):
            return ""
        written = []
        for name, member in shape.members.items():
            if value.get(name) in (None, ""):
                continue
            tag = member.serialization.get("name", name)
            written.append(f"<{tag}>{_write(member, value[name])}</{tag}>")
        return "".join(written)
    if isinstance(shape, ListShape):
        tag = shape.member.serialization.get("name", "member")
        return "".join(f"<{tag}>{_write(shape.member, item)}</{tag}>" for item in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return escape(str(value))


def escaped(text: str) -> str:
    """Return ``text`` fit to stand in XML.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
        Without markup.
    """
    return escape(text)
