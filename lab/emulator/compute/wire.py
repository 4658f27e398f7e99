"""The query protocol, as far as this package speaks it: flat parameters in, XML out."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any
from xml.sax.saxutils import escape

Params = Mapping[str, Any]
Reply = tuple[int, dict[str, str], bytes]
Handler = Callable[[Params], Reply]


class AwsError(Exception):
    """An error of the AWS API: its code and its message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def answering(errors: Callable[[str, str, int], Reply]) -> Callable[[Handler], Handler]:
    """Let handlers raise :class:`AwsError`, and answer it as the service does.

    Parameters
    ----------
    errors
        The service's own: code, message and status to a reply.

    Returns
    -------
    Callable
        Wraps a handler.
    """

    def wrap(handler: Handler) -> Handler:
        @wraps(handler)
        def answer(params: Params) -> Reply:
            try:
                return handler(params)
            except AwsError as error:
                return errors(error.code, escape(error.message), 400)

        return answer

    return wrap


def one(params: Params, key: str, default: str = "") -> str:
    """Return a parameter's value."""
    value = params.get(key, default)
    if isinstance(value, list):
        value = value[0] if value else default
    return str(value)


def number(params: Params, key: str) -> int | None:
    """Return a parameter's value as a number; None when it is not there."""
    value = one(params, key)
    return int(value) if value else None


def flag(params: Params, key: str, *, default: bool = False) -> bool:
    """Return a parameter's value as a truth value."""
    value = one(params, key)
    return value.lower() == "true" if value else default


def many(params: Params, prefix: str) -> list[str]:
    """Return the values of ``prefix.1``, ``prefix.2`` and so on."""
    found: list[str] = []
    while value := one(params, f"{prefix}.{len(found) + 1}"):
        found.append(value)
    return found


def filters(params: Params, name: str = "Name", prefix: str = "Filter", values: str = "Value") -> dict[str, list[str]]:
    """Return the filters of a Describe call: name to values."""
    found: dict[str, list[str]] = {}
    index = 1
    while key := one(params, f"{prefix}.{index}.{name}"):
        found[key] = many(params, f"{prefix}.{index}.{values}")
        index += 1
    return found


def tags(params: Params, prefix: str) -> list[dict[str, str]]:
    """Return the tags under ``prefix``: ``prefix.1.Key``, ``prefix.1.Value`` and so on."""
    found: list[dict[str, str]] = []
    while key := one(params, f"{prefix}.{len(found) + 1}.Key"):
        found.append({"Key": key, "Value": one(params, f"{prefix}.{len(found) + 1}.Value")})
    return found


def tag_specifications(params: Params, kind: str) -> list[dict[str, str]]:
    """Return the tags that a request gives to a kind of resource (EC2's ``TagSpecification.N``)."""
    found: list[dict[str, str]] = []
    index = 1
    while resource := one(params, f"TagSpecification.{index}.ResourceType"):
        if resource == kind:
            found += tags(params, f"TagSpecification.{index}.Tag")
        index += 1
    return found


def render(value: Any, item: str) -> str:
    """Return a value as XML.

    Parameters
    ----------
    value
        Dictionaries become elements, lists ``item`` elements; what is None is left out.
    item
        ``item`` for EC2, ``member`` for the others.

    Returns
    -------
    str
        Escaped.
    """
    if isinstance(value, Mapping):
        return "".join(
            f"<{key}>{render(content, item)}</{key}>" for key, content in value.items() if content is not None
        )
    if isinstance(value, (list, tuple)):
        return "".join(f"<{item}>{render(content, item)}</{item}>" for content in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(str(value))


def now() -> str:
    """Return the time of day as AWS writes it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
