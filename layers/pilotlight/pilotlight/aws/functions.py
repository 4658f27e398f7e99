"""Lambda, asked as a service: a step that only another network can do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pilotlight.errors import FatalError, PilotLightError, PreconditionFailed, TransientError

if TYPE_CHECKING:
    from pilotlight.model import Json

_FAMILIES: dict[str, type[PilotLightError]] = {
    family.__name__: family for family in (TransientError, PreconditionFailed, FatalError)
}


def ask(name: str, payload: Json, client: Any) -> Json:
    """Call a function and return its answer.

    Raises
    ------
    TransientError, PreconditionFailed, FatalError
        Whatever the function raised, under the same family; anything unknown is fatal.
    """
    answer = client.invoke(FunctionName=name, Payload=json.dumps(payload).encode())
    body = json.loads(answer["Payload"].read() or b"null")
    if "FunctionError" in answer:
        known = _FAMILIES.get(str(body.get("errorType", "")))
        raise (known or FatalError)(f"{name}: {body.get('errorMessage', 'failed without a message')}")
    result: Json = body
    return result


def send_off(name: str, payload: Json, client: Any) -> None:
    """Call a function and don't wait for it."""
    client.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(payload).encode())
