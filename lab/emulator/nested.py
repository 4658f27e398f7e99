"""Executions that start executions and wait for them, `startExecution.sync:2`, as on AWS.

MiniStack runs such a child within its parent's step: nobody hears that it started or how it ended, its parent's
history does not name it, a parent that is stopped leaves it running, and its failure reaches the parent under its own
name. Here a child is an execution like any other that its parent watches.
"""

from __future__ import annotations

import json
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from lab.emulator import replace
from lab.emulator.history import execution_here, is_abandoned

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.world import Lab

NESTED: Final = "arn:aws:states:::states:startExecution.sync"
_LOOK_EVERY: Final = 0.5
# TimeoutSeconds of the task that this thread carries out.
_most: ContextVar[float | None] = ContextVar("_most", default=None)


def install(lab: Lab) -> None:
    """Let a parent watch its child.

    Parameters
    ----------
    lab
        Its clock times the child's task, unlike one that is computed: what a child waits for is AWS time.
    """
    from ministack.services import stepfunctions

    def in_aws_time(original: Callable[[str, Any, float], Any]) -> Callable[[str, Any, float], Any]:
        def invoke(resource: str, given: Any, seconds: float) -> Any:
            if not resource.startswith(NESTED):
                return original(resource, given, seconds)
            token = _most.set(seconds)
            try:
                return stepfunctions._invoke_resource(resource, given)
            finally:
                _most.reset(token)

        return invoke

    replace(stepfunctions, "_invoke_resource_with_timeout", in_aws_time)
    replace(stepfunctions, "_invoke_nested_start_execution_sync", lambda _: lambda *call: _run(lab, *call))


def _run(lab: Lab, resource: str, given: Any) -> dict[str, Any]:
    from ministack.services import stepfunctions

    parent = stepfunctions._executions.get(execution_here())
    started = _answer(stepfunctions._start_execution(stepfunctions._nested_start_execution_request(given)))
    arn, ends_at = str(started["executionArn"]), lab.clock.aws_now() + (_most.get() or float("inf"))
    submitted = {"ExecutionArn": arn, "StartDate": started["startDate"]}
    action = resource.rsplit(":states:", 1)[-1]
    stepfunctions._add_event(
        parent,
        "TaskSubmitted",
        {
            "taskSubmittedEventDetails": {
                "resourceType": "states",
                "resource": action,
                "output": json.dumps(submitted, default=str),
                "outputDetails": {"truncated": False},
            }
        },
    )
    while (child := _answer(stepfunctions._describe_execution({"executionArn": arn})))["status"] == "RUNNING":
        # AWS stops the child of a parent that is stopped, and of a branch whose sibling has failed. Of a parent that
        # runs out of time, and of a task that does, it does not say that. The lab ends the child there as well, so
        # that none outlives its test; a machine of ours gives its children less time than it has itself.
        if parent["status"] != "RUNNING" or is_abandoned():
            stepfunctions._stop_execution({"executionArn": arn})
            # The parent is over: its thread ends here, and threads end quietly on this one exception.
            raise SystemExit
        if lab.clock.aws_now() >= ends_at:
            stepfunctions._stop_execution({"executionArn": arn})
            raise stepfunctions._ExecutionError("States.Timeout", "")
        if not lab.clock.sleep_aws(_LOOK_EVERY):
            raise SystemExit
    told = {name[0].upper() + name[1:]: value for name, value in child.items() if value is not None}
    if child["status"] != "SUCCEEDED":
        # Whatever the child's error is called, the parent's is this one; the child's is within the cause.
        told.pop("Output", None)
        raise stepfunctions._ExecutionError("States.TaskFailed", json.dumps(told, default=str))
    if resource.endswith(":2"):
        told["Output"] = json.loads(child["output"])
    return told


def _answer(response: tuple[int, Any, bytes | str]) -> dict[str, Any]:
    from ministack.services import stepfunctions

    status, _, body = response
    answer: dict[str, Any] = json.loads(body)
    if status >= 400:
        code = str(answer.get("__type", "AWSStepFunctions"))
        raise stepfunctions._ExecutionError(f"StepFunctions.{code}Exception", str(answer.get("message", "")))
    return answer
