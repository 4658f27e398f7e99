"""Step Functions: waits follow the lab's clock, and SDK errors carry the names that AWS gives them."""

from __future__ import annotations

import json
import re
import threading
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from lab.emulator import here, replace, scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.world import Lab

# `DBInstanceNotFound` is `DbInstanceNotFound` for the SDK for Java, which Step Functions names its errors after.
_ACRONYM = re.compile(r"[A-Z]+(?=[A-Z][a-z])")


def install(lab: Lab) -> None:
    """Tie Step Functions to the lab's clock and complete its SDK integrations.

    Parameters
    ----------
    lab
        Its clock times Wait states and the pauses before retries.
    """
    from ministack.services import stepfunctions

    # MiniStack reads SFN_WAIT_SCALE once, at import. Here a wait also follows when the scale changes while it lasts.
    # A task's TimeoutSeconds stays real: what a function computes takes real time whatever the scale. That of a task
    # that waits for an answer does not: people and other workflows live in AWS time.
    lab.clock.on_change(lambda scale: setattr(stepfunctions, "_SFN_WAIT_SCALE", 1 / scale))
    replace(stepfunctions, "_scaled_sleep", lambda _: lab.clock.sleep_aws)

    stepfunctions._AWS_SDK_SERVICE_MAP.update(
        {
            "autoscaling": {"protocol": "query"},
            "elasticloadbalancingv2": {"protocol": "query", "service_key": "elasticloadbalancing"},
        }
    )
    stepfunctions._AWS_SDK_ERROR_PREFIX.update(
        {"autoscaling": "AutoScaling", "elasticloadbalancingv2": "ElasticLoadBalancingV2"}
    )

    def sdk_error_names(original: Callable[[str, str], str]) -> Callable[[str, str], str]:
        def prefixed(service: str, code: str) -> str:
            return original(service, _java_names(service).get(code, code))

        return prefixed

    _end_in_time(lab)
    _wait_for_answers(lab)
    replace(stepfunctions, "_fail_execution", _once)

    # AWS names a task's error after the exception class of its SDK for Java, for example
    # `Rds.DbInstanceNotFoundException`; MiniStack uses the code on the wire, `Rds.DBInstanceNotFound`.
    replace(stepfunctions, "_prefix_sdk_error", sdk_error_names)


def _once(original: Callable[..., None]) -> Callable[..., None]:
    """Let an execution end once: in MiniStack, the step that fails after its execution was stopped fails it anew."""

    def fail(execution: dict[str, Any], error: str, cause: str) -> None:
        if execution["status"] == "RUNNING":
            original(execution, error, cause)

    return fail


def _end_in_time(lab: Lab) -> None:
    """End an execution that outlives its machine's TimeoutSeconds, which MiniStack does not read."""
    from ministack.core.responses import now_iso
    from ministack.services import stepfunctions

    def run(original: Callable[[str], None]) -> Callable[[str], None]:
        def running(execution_arn: str) -> None:
            execution, region = stepfunctions._executions.get(execution_arn), here()
            machine = stepfunctions._state_machines.get((execution or {}).get("stateMachineArn"))
            seconds = json.loads(machine["definition"]).get("TimeoutSeconds") if machine else None

            def expire() -> None:
                if execution["status"] == "RUNNING":
                    with scope(lab, region):
                        execution["status"], execution["stopDate"] = "TIMED_OUT", now_iso()
                        stepfunctions._add_event(execution, "ExecutionTimedOut", {})
                        stepfunctions._emit_execution_status_event(execution)

            if seconds:
                lab.after(seconds, expire, "execution-timeout")
            original(execution_arn)

        return running

    replace(stepfunctions, "_run_execution", run)


def _wait_for_answers(lab: Lab) -> None:
    """``.waitForTaskToken`` as AWS has it, in AWS time.

    MiniStack waits in real time, ignores HeartbeatSeconds, waits for ever when the function that was to ask has
    failed, cannot read a time-out that is a JSONata expression, and takes an answer that comes too late for one of
    another machine.
    """
    from ministack.core.responses import error_response_json
    from ministack.services import stepfunctions

    closed: set[str] = set()

    def wait(_: Callable[..., Any]) -> Callable[..., Any]:
        def waiting(resource: str, arguments: Any, token: str, state: dict[str, Any]) -> Any:
            answer: dict[str, Any] = {"event": threading.Event(), "result": None, "error": None, "heartbeat": None}
            stepfunctions._task_tokens[token] = answer
            for field, error in (("TimeoutSeconds", "States.Timeout"), ("HeartbeatSeconds", "States.HeartbeatTimeout")):
                if seconds := state.get(field):
                    lab.spawn(partial(_expire, lab, answer, float(seconds), error), "task-timeout")
            try:
                stepfunctions._invoke_resource(resource.replace(".waitForTaskToken", ""), arguments)
                answer["event"].wait()
            finally:
                closed.add(token)
                stepfunctions._task_tokens.pop(token, None)
            if error := answer["error"]:
                raise stepfunctions._ExecutionError(error["Error"], error["Cause"])
            return json.loads(answer["result"])

        return waiting

    def evaluate(original: Callable[..., Any]) -> Callable[..., Any]:
        def execute(state: dict[str, Any], given: Any, execution: Any, context: Any) -> Any:
            expressions = {
                field: stepfunctions._apply_jsonata_template(state[field], given, context)
                for field in ("TimeoutSeconds", "HeartbeatSeconds")
                if isinstance(state.get(field), str)
            }
            return original({**state, **expressions}, given, execution, context)

        return execute

    def answered(original: Callable[..., Any]) -> Callable[..., Any]:
        def answering(data: dict[str, Any]) -> Any:
            token = data.get("taskToken", "")
            known = stepfunctions._task_tokens.get(token)
            if token in closed or (known and known["event"].is_set()):
                message = "Task Timed Out: 'Provided task does not exist anymore'"
                return error_response_json("TaskTimedOut", message, 400)
            return original(data)

        return answering

    replace(stepfunctions, "_invoke_with_callback", wait)
    replace(stepfunctions, "_execute_task", evaluate)
    for name in ("_send_task_success", "_send_task_failure", "_send_task_heartbeat"):
        replace(stepfunctions, name, answered)


def _expire(lab: Lab, answer: dict[str, Any], seconds: float, error: str) -> None:
    """Let a task fail after so many AWS seconds; each heartbeat begins them anew where it is heartbeats that count."""
    seen = answer["heartbeat"]
    while lab.clock.sleep_aws(seconds) and not answer["event"].is_set():
        if error == "States.HeartbeatTimeout" and answer["heartbeat"] != seen:
            seen = answer["heartbeat"]
            continue
        answer["error"] = {"Error": error, "Cause": f"no answer came within {seconds:g} seconds"}
        answer["event"].set()


@cache
def _java_names(service: str) -> dict[str, str]:
    """Map the error codes of a query-protocol service to the SDK for Java's class names."""
    from botocore.exceptions import UnknownServiceError
    from botocore.session import Session

    try:
        model = Session().get_service_model({"elasticloadbalancingv2": "elbv2"}.get(service, service))
    except UnknownServiceError:
        return {}
    if model.metadata.get("protocol") != "query":
        return {}
    names = {}
    for name in model.shape_names:
        metadata = model.shape_for(name).metadata
        if metadata.get("exception"):
            code = metadata.get("error", {}).get("code", name)
            names[code] = _ACRONYM.sub(lambda match: match[0].capitalize(), _without_suffix(name)) + "Exception"
    return names


def _without_suffix(name: str) -> str:
    return re.sub(r"(Fault|Exception)$", "", name)
