"""Step Functions, seen from inside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from pilotlight.aws import clients, faults
from pilotlight.model import End

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pilotlight.model import Json, Record

# A state that was tried again six times leaves some thirty events.
_LAST_EVENTS = 100
_OUTCOMES = ("EvaluationFailed", "TaskFailed", "TaskStartFailed", "TaskSubmitFailed", "TaskSucceeded", "TaskTimedOut")


def is_running(arn: str, client: Any = None, *, absent: bool = False) -> bool:
    """Whether an execution is still running.

    Parameters
    ----------
    arn
        The execution's.
    absent
        What holds of one that Step Functions does not know. It tells what was so a moment ago, so one that has just
        begun may not be known yet; an old one is no more.
    """
    if not arn:
        return False
    try:
        status = (client or clients.near("stepfunctions")).describe_execution(executionArn=arn)["status"]
    except ClientError as error:
        if faults.code(error) == "ExecutionDoesNotExist":
            return absent
        if faults.code(error) == "InvalidArn":
            return False
        raise
    return bool(status in ("RUNNING", "PENDING_REDRIVE"))


def is_held(record: Record, *, absent: bool, but: str = "") -> bool:
    """Whether an execution that still runs holds the lock.

    Parameters
    ----------
    record
        Who holds it.
    absent
        As for `is_running`.
    but
        An execution that does not count: whoever asks.
    """
    return record.lock == "held" and record.holder != but and is_running(record.holder, absent=absent)


def end(arn: str, named: str = "", client: Any = None) -> End:
    """Read how an execution ended, and in which state; what cannot be read is unknown.

    Parameters
    ----------
    arn
        The execution's.
    named
        Its error, as the event of its end had it: empty, or "null", where it had none.
    """
    client = client or clients.near("stepfunctions")
    error = "" if named == "null" else named
    try:
        told = client.describe_execution(executionArn=arn)
        events = client.get_execution_history(
            executionArn=arn, reverseOrder=True, maxResults=_LAST_EVENTS, includeExecutionData=False
        )["events"]
    except (BotoCoreError, ClientError):
        # Whoever asks tells people, and does so in any case.
        return End(error=error)
    state, own, wordless = _last(events)
    return End(
        error=told.get("error") or error,
        cause=told.get("cause") or "",
        state=state,
        own=own,
        wordless=wordless,
        asked=_object(told.get("input")),
    )


def _last(events: Iterable[Json]) -> tuple[str, bool | None, bool]:
    """Find the last state that was entered, whether it is a Fail state, and whether the step before it failed.

    A choice between the two tells nobody anything.
    """
    state, own, over = "", None, False
    for event in events:
        kind = str(event["type"])
        over = over or kind.startswith("Execution")
        if not state and kind.endswith("StateEntered"):
            state = str(event["stateEnteredEventDetails"]["name"])
            # What is told before its end is in the history may not be all of it.
            own = kind == "FailStateEntered" if over else None
        elif state and kind != "ChoiceStateEntered" and (kind in _OUTCOMES or kind.endswith("StateEntered")):
            return state, own, kind in _OUTCOMES and kind != "TaskSucceeded"
    return state, own, False


def _object(text: str | None) -> Json | None:
    try:
        found = json.loads(text or "")
    except ValueError:
        return None
    return found if isinstance(found, dict) else {}


def answer(token: str, output: Json, client: Any = None) -> bool:
    """Give an execution the answer that it waits for; say whether it still did."""
    try:
        (client or clients.near("stepfunctions")).send_task_success(taskToken=token, output=json.dumps(output))
    except ClientError as error:
        if faults.code(error) in ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken"):
            return False
        raise
    return True
