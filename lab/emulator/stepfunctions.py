"""Step Functions: time is the lab's clock's, and errors carry the names and causes that AWS gives them."""

from __future__ import annotations

import json
import re
import threading
import time
from datetime import UTC, datetime
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

    _tell_the_time(lab)
    _end_in_time(lab)
    _wait_for_answers(lab)
    _give_each_attempt_a_token()
    _say_nothing_of_a_time_out()
    _end_functions_without_a_name(lab)
    replace(stepfunctions, "_fail_execution", _once)

    # AWS names a task's error after the exception class of its SDK for Java, for example
    # `Rds.DbInstanceNotFoundException`; MiniStack uses the code on the wire, `Rds.DBInstanceNotFound`.
    replace(stepfunctions, "_prefix_sdk_error", sdk_error_names)


def _tell_the_time(lab: Lab) -> None:
    """Let expressions read AWS time: ``$now()``, ``$millis()``, and when their execution began.

    All three at once: a difference between them is how machines count what is no Wait.
    """
    from jsonata.functions import Functions
    from ministack.services import stepfunctions

    at_zero = time.time() - lab.clock.aws_now()
    began: dict[str, str] = {}

    def millis() -> int:
        return int((at_zero + lab.clock.aws_now()) * 1000)

    def now(picture: str | None = None, timezone: str | None = None) -> Any:
        return Functions.datetime_from_millis(millis(), picture, timezone)

    def register(original: Callable[[Any], None]) -> Callable[[Any], None]:
        def registering(expression: Any) -> None:
            original(expression)
            expression.register_lambda("millis", millis)
            expression.register_lambda("now", now)

        return registering

    def run(original: Callable[[str], None]) -> Callable[[str], None]:
        def running(execution_arn: str) -> None:
            moment = datetime.fromtimestamp(millis() / 1000, UTC).isoformat(timespec="milliseconds")
            began[execution_arn] = moment.replace("+00:00", "Z")
            original(execution_arn)

        return running

    def evaluate(original: Callable[..., Any]) -> Callable[..., Any]:
        def evaluating(expression: str, given: Any, context: Any = None, *more: Any) -> Any:
            execution = (context or {}).get("Execution", {})
            if moment := began.get(str(execution.get("Id"))):
                context = {**context, "Execution": {**execution, "StartTime": moment}}
            return original(expression, given, context, *more)

        return evaluating

    replace(stepfunctions, "_register_sfn_jsonata_functions", register)
    replace(stepfunctions, "_run_execution", run)
    replace(stepfunctions, "_evaluate_jsonata", evaluate)


def _say_nothing_of_a_time_out() -> None:
    """Give a task that ran out of time its event, and no cause: AWS says `States.Timeout` and nothing more.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_TaskTimedOutEventDetails.html
    """
    from ministack.services import stepfunctions

    def invoke(original: Callable[..., Any]) -> Callable[..., Any]:
        def invoking(*call: Any) -> Any:
            try:
                return original(*call)
            except stepfunctions._ExecutionError as error:
                if error.error == "States.Timeout":
                    raise stepfunctions._ExecutionError("States.Timeout", "") from None
                raise

        return invoking

    def add(original: Callable[..., Any]) -> Callable[..., Any]:
        def adding(execution: dict[str, Any], kind: str, details: dict[str, Any] | None = None) -> Any:
            told = (details or {}).get("taskFailedEventDetails", {})
            if kind == "TaskFailed" and told.get("error") in ("States.Timeout", "States.HeartbeatTimeout"):
                silent = {name: value for name, value in told.items() if name != "cause"}
                return original(execution, "TaskTimedOut", {"taskTimedOutEventDetails": silent})
            return original(execution, kind, details)

        return adding

    replace(stepfunctions, "_invoke_resource_with_timeout", invoke)
    replace(stepfunctions, "_add_event", add)


def _end_functions_without_a_name(lab: Lab) -> None:
    """Offer the control with which a function that Lambda ended by its time-out has no error type.

    Newer runtimes name it `Sandbox.Timedout`, as MiniStack does; of others Step Functions says `Lambda.Unknown`, in a
    sentence that quotes JSON and is none.
    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
    """
    from ministack.services import stepfunctions

    regions: set[str] = set()

    def unnamed(region: str, on: bool = True) -> list[str]:
        """Let Lambda name no error where it ends a region's functions by their time-out."""
        if region not in lab.regions:
            raise ValueError(f"the lab has the regions {', '.join(lab.regions)}, not {region}")
        (regions.add if on else regions.discard)(region)
        return sorted(regions)

    def call(original: Callable[..., Any]) -> Callable[..., Any]:
        def calling(*given: Any) -> Any:
            try:
                return original(*given)
            except stepfunctions._ExecutionError as error:
                if error.error != "Sandbox.Timedout" or here() not in regions:
                    raise
                said = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000Z} {json.loads(error.cause)['errorMessage']}"
                payload = json.dumps({"errorMessage": said}, separators=(",", ":"))
                raise stepfunctions._ExecutionError(
                    "Lambda.Unknown",
                    "The cause could not be determined because Lambda did not return an error type. Returned payload: "
                    f"{payload}",
                ) from None

        return calling

    replace(stepfunctions, "_call_lambda", call)
    lab.controls["functions"] = {"unnamed-time-outs": unnamed}


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


def _give_each_attempt_a_token() -> None:
    """Give each attempt of a task a token of its own: MiniStack keeps one, and takes no answer to it any more."""
    from ministack.services import stepfunctions

    def anew(original: Callable[..., Any]) -> Callable[..., Any]:
        def arguments(state: dict[str, Any], given: Any, context: dict[str, Any] | None = None) -> Any:
            if context is not None and str(state.get("Resource", "")).endswith(".waitForTaskToken"):
                context["Task"] = {"Token": stepfunctions.new_uuid()}
            return original(state, given, context)

        return arguments

    for name in ("_apply_jsonata_arguments", "_apply_parameters"):
        replace(stepfunctions, name, anew)


def _expire(lab: Lab, answer: dict[str, Any], seconds: float, error: str) -> None:
    """Let a task fail after so many AWS seconds; each heartbeat begins them anew where it is heartbeats that count."""
    seen = answer["heartbeat"]
    while lab.clock.sleep_aws(seconds) and not answer["event"].is_set():
        if error == "States.HeartbeatTimeout" and answer["heartbeat"] != seen:
            seen = answer["heartbeat"]
            continue
        answer["error"] = {"Error": error, "Cause": ""}
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
