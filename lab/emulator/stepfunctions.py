"""Step Functions: waits follow the lab's clock, and SDK errors carry the names that AWS gives them."""

from __future__ import annotations

import json
import re
from functools import cache
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
    # A task's TimeoutSeconds stays real: what a function computes takes real time whatever the scale.
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
