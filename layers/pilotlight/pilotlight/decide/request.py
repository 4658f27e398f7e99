"""What may be asked of the failover."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pilotlight.errors import PreconditionFailed
from pilotlight.model import GRACEFUL, REPLICA, SNAPSHOT, UNGRACEFUL, Record, Request

_EXAMPLE = '{"mode": "ungraceful" or "graceful", "target": "<region>", "reason": "why", "force": false}'
_FIELDS = {"mode", "reason", "force", "target", "method", "trigger", "automatic"}
_LONGEST_REASON = 500
WITH_FORCE = 'start with the same input and "force": true added to it (FORCE=1 of make)'
"""How to insist on a planned switch: alone, `force` would be an unplanned failover of a region that is well."""
SAME_AGAIN = "start the same again, with the input it was started with"
"""How to go on after a failure, in a cause that unplanned and planned switches share.

A failback that is gone on with as a failover, because a cause said so, leaves the region that serves by then.
"""


def check(payload: object, primary: str, dr: str) -> Request:
    """Read the input of an execution.

    Parameters
    ----------
    payload
        What the execution was started with: nothing, ``{}``, or any of ``mode``, ``target``, ``method``, ``reason``,
        ``force`` and ``automatic``; or the ``trigger`` that an alarm starts it with, which goes with none of them.
    primary, dr
        The two regions; ``target`` is one of them, and DR where it is not given.

    Raises
    ------
    PreconditionFailed
        Anything else. The message names the field; nothing has been changed.
    """
    if payload is None:
        return Request(target=dr)
    if not isinstance(payload, Mapping):
        raise _refused(f"the input is {type(payload).__name__}, not an object")
    unknown = sorted(set(payload) - _FIELDS)
    if unknown:
        raise _refused(f"unknown field {', '.join(map(repr, unknown))}")
    if "trigger" in payload:
        return Request(reason=triggered(payload, _refused), target=dr, automatic=True)
    mode = _mode(payload)
    return Request(
        mode=mode,
        reason=_reason(payload),
        force=_force(payload),
        target=_target(payload, mode, primary, dr),
        method=_method(payload, mode),
        automatic=_automatic(payload, mode),
    )


def triggered(payload: Mapping[str, Any], refused: Callable[[str], PreconditionFailed]) -> str:
    """Read what an alarm starts a workflow with, and give it as the reason of the switch.

    Raises
    ------
    PreconditionFailed
        It names no alarm, or something else beside it: what an alarm starts is decided, and not wished for.
    """
    trigger = payload["trigger"]
    if set(payload) != {"trigger"}:
        raise refused("'trigger' stands alone: what an alarm starts is decided by the workflow itself")
    if not isinstance(trigger, Mapping) or not isinstance(trigger.get("alarm"), str) or not trigger["alarm"]:
        raise refused("'trigger' must name the 'alarm' that rang")
    return f"alarm {trigger['alarm']} of {trigger.get('at') or 'an unknown time'}"[:_LONGEST_REASON]


def _mode(payload: Mapping[str, Any]) -> str:
    mode = payload.get("mode", UNGRACEFUL)
    if mode not in (UNGRACEFUL, GRACEFUL):
        raise _refused(f"'mode' is {mode!r}, not 'ungraceful' or 'graceful'")
    return str(mode)


def _target(payload: Mapping[str, Any], mode: str, primary: str, dr: str) -> str:
    target = payload.get("target", dr)
    if target not in (primary, dr):
        raise _refused(f"'target' is {target!r}, neither {primary!r} nor {dr!r}")
    # The lock, the record and the workflow live in DR: what is left without a word from the other side can only be the
    # primary.
    if "target" in payload and mode != GRACEFUL:
        raise _refused("'target' needs 'mode' to be 'graceful': an unplanned failover always goes to DR")
    return str(target)


def _method(payload: Mapping[str, Any], mode: str) -> str:
    method = payload.get("method", REPLICA)
    if method not in (REPLICA, SNAPSHOT):
        raise _refused(f"'method' is {method!r}, not 'replica' or 'snapshot'")
    if "method" in payload and mode != GRACEFUL:
        raise _refused("'method' needs 'mode' to be 'graceful': an unplanned failover promotes the replica")
    return str(method)


def _reason(payload: Mapping[str, Any]) -> str:
    reason = payload.get("reason", "")
    if not isinstance(reason, str) or len(reason) > _LONGEST_REASON:
        raise _refused(f"'reason' must be text of at most {_LONGEST_REASON} characters")
    return reason


def _automatic(payload: Mapping[str, Any], mode: str) -> bool:
    automatic = payload.get("automatic", False)
    if not isinstance(automatic, bool):
        raise _refused(f"'automatic' is {automatic!r}, not true or false")
    if automatic and mode != GRACEFUL:
        raise _refused("'automatic' needs 'mode' to be 'graceful': it is what a failback that an alarm started says")
    return automatic


def _force(payload: Mapping[str, Any]) -> bool:
    force = payload.get("force", False)
    # bool("false") is True: a string is refused, not interpreted.
    if not isinstance(force, bool):
        raise _refused(f"'force' is {force!r}, not true or false")
    return force


def finishing(record: Record) -> str:
    """Word the input that goes on with an unfinished switch: any other one may begin another switch."""
    return f'{{"mode": "{GRACEFUL}", "target": "{record.target}"}}' if record.mode == GRACEFUL else "no input"


def _refused(why: str) -> PreconditionFailed:
    return PreconditionFailed(f"{why}. Nothing was changed. Start with no input, or with {_EXAMPLE}.")
