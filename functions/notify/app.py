"""Tells the team. Invoked on the side: no workflow waits for it, and a failed e-mail blocks nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pilotlight.aws import notes, notify
from pilotlight.decide import tell
from pilotlight.once import once
from pilotlight.step import Call, serve

if TYPE_CHECKING:
    from pilotlight.model import Json


def send(call: Call) -> Json:
    """Publish a notification once for each execution and kind."""
    return _send(call, call.execution, call.payload["notification"])


def ended(call: Call) -> Json:
    """Take note of an execution that ended badly: the net below the workflow's own error handling.

    A machine that was stopped or ran out of time runs no Catch, so its lock still reads "held" and nobody was told.
    One that never held the lock is told of where the rule that saw its end says how. A question that it asked can be
    answered no more, and goes from the notes.
    """
    told = _told_of_its_end(call)
    pending = notes.read(call.environment.state_table, "approval")
    withdrawn = pending.get("execution") == call.execution and notes.replace(
        call.environment.state_table, "approval", pending, {}
    )
    return told | {"withdrawn": withdrawn}


def _told_of_its_end(call: Call) -> Json:
    execution = call.execution
    if "notification" in call.payload:
        return _send(call, execution, call.payload["notification"])
    store = call.store
    seen = store.read()
    if seen.holder != execution or seen.lock == "free":
        return {"told": False}
    cause = seen.failure
    if seen.lock == "held":
        cause = f"the execution ended {call.payload['status']} ({execution})"
        store.replace(seen, replace(seen, lock="failed", failure=cause))
    return _send(call, execution, tell.failed(seen, call.environment.name, call.environment.dr_region, cause, ""))


def _send(call: Call, execution: str, notification: Json) -> Json:
    def publish() -> Json:
        arn = call.environment.topic_arn
        return {"message_id": notify.publish(arn, notification["subject"], notification["message"])}

    return {"told": True} | once(call, f"{execution}-{notification['kind']}", publish)


handler = serve("notify", {"send": send, "ended": ended})
