"""Tells the team. Invoked on the side: no workflow waits for it, and a failed e-mail blocks nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pilotlight.aws import executions, notes, notify
from pilotlight.decide import ending, tell
from pilotlight.once import once
from pilotlight.step import Call, serve

if TYPE_CHECKING:
    from pilotlight.model import Json


def send(call: Call) -> Json:
    """Publish a notification once for each execution and kind."""
    return _send(call, call.execution, call.payload["notification"])


def ended(call: Call) -> Json:
    """Take note of an execution that ended badly: the net below the workflow's own error handling.

    A machine that was stopped or ran out of time runs no Catch, and some errors are caught by none: its lock may still
    read "held", and nobody was told. A question that it asked can be answered no more, and goes from the notes.
    """
    told = _told_of_its_end(call)
    pending = notes.read(call.environment.state_table, "approval")
    withdrawn = pending.get("execution") == call.execution and notes.replace(
        call.environment.state_table, "approval", pending, {}
    )
    return told | {"withdrawn": withdrawn}


def _told_of_its_end(call: Call) -> Json:
    execution, status, environment = call.execution, str(call.payload["status"]), call.environment
    end, store = executions.end(execution, str(call.payload.get("error") or "")), call.store
    seen = store.read()
    if seen.holder == execution and seen.lock != "free":
        cause = seen.failure
        if seen.lock == "held":
            cause = f"{tell.KILLED} {ending.ended(status, end)} ({execution})"
            store.replace(seen, replace(seen, lock="failed", failure=cause))
        return _send(call, execution, tell.failed(seen, environment.name, environment.dr_region, cause, ""))
    if not ending.is_unheard(status, ending.machine_of(execution), end):
        return {"told": False}
    regions = environment.primary_region, environment.dr_region
    return _send(call, execution, ending.unheard(execution, status, end, seen, environment.name, regions))


def _send(call: Call, execution: str, notification: Json) -> Json:
    def publish() -> Json:
        arn = call.environment.topic_arn
        return {"message_id": notify.publish(arn, notification["subject"], notification["message"])}

    return {"told": True} | once(call, f"{execution}-{notification['kind']}", publish)


handler = serve("notify", {"send": send, "ended": ended})
