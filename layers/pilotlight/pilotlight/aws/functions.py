"""Lambda, asked as a service: a step that only another network can do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pilotlight.errors import FatalError, PilotLightError, PreconditionFailed, TransientError

if TYPE_CHECKING:
    from pilotlight.model import Json

_FAMILIES: dict[str, type[PilotLightError]] = {
    **{family.__name__: family for family in (TransientError, PreconditionFailed, FatalError)},
    # How Lambda says that it ended the function, or that the function died: the next one may well live. The state
    # machines retry the same (`Lambda.Unknown` is their word for a failure without a type).
    "": TransientError,
    "Sandbox.Timedout": TransientError,
    "Runtime.ExitError": TransientError,
}


def ask(name: str, payload: Json, client: Any) -> Json:
    """Call a function and return its answer.

    Raises
    ------
    TransientError, PreconditionFailed, FatalError
        Whatever the function raised, under the same family; one that Lambda ended is transient, anything unknown fatal.
    """
    answer = client.invoke(FunctionName=name, Payload=json.dumps(payload).encode())
    body = json.loads(answer["Payload"].read() or b"null")
    if "FunctionError" in answer:
        told = body if isinstance(body, dict) else {}
        family = _FAMILIES.get(str(told.get("errorType") or ""), FatalError)
        raise family(f"{name}: {told.get('errorMessage') or 'failed without a message'}")
    result: Json = body
    return result


def send_off(name: str, payload: Json, client: Any) -> None:
    """Call a function and don't wait for it."""
    client.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(payload).encode())
