"""What may be asked of the failover."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilotlight.errors import PreconditionFailed
from pilotlight.model import Request

_EXAMPLE = '{"mode": "ungraceful" or "graceful", "reason": "why", "force": false}'
_LONGEST_REASON = 500
GRACEFUL = "graceful"


def check(payload: object) -> Request:
    """Read the input of an execution.

    Parameters
    ----------
    payload
        What the execution was started with: nothing, ``{}``, or any of ``mode``, ``reason`` and ``force``.

    Raises
    ------
    PreconditionFailed
        Anything else. The message names the field; nothing has been changed.
    """
    if payload is None:
        return Request()
    if not isinstance(payload, Mapping):
        raise _refused(f"the input is {type(payload).__name__}, not an object")
    unknown = sorted(set(payload) - {"mode", "reason", "force"})
    if unknown:
        raise _refused(f"unknown field {', '.join(map(repr, unknown))}")
    return Request(mode=_mode(payload), reason=_reason(payload), force=_force(payload))


def _mode(payload: Mapping[str, Any]) -> str:
    mode = payload.get("mode", "ungraceful")
    if mode not in ("ungraceful", GRACEFUL):
        raise _refused(f"'mode' is {mode!r}, not 'ungraceful' or 'graceful'")
    return str(mode)


def _reason(payload: Mapping[str, Any]) -> str:
    reason = payload.get("reason", "")
    if not isinstance(reason, str) or len(reason) > _LONGEST_REASON:
        raise _refused(f"'reason' must be text of at most {_LONGEST_REASON} characters")
    return reason


def _force(payload: Mapping[str, Any]) -> bool:
    force = payload.get("force", False)
    # bool("false") is True: a string is refused, not interpreted.
    if not isinstance(force, bool):
        raise _refused(f"'force' is {force!r}, not true or false")
    return force


def _refused(why: str) -> PreconditionFailed:
    return PreconditionFailed(f"{why}. Nothing was changed. Start with no input, or with {_EXAMPLE}.")
