"""EventBridge: events that MiniStack does not send, and how a function gets one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lab.durations import duration
from lab.emulator import here, replace, scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.world import Lab

    Handler = Callable[..., Any]


def install(lab: Lab) -> None:
    """Complete MiniStack's events.

    Parameters
    ----------
    lab
        Its clock times deliveries.
    """
    _parameter_events(lab)
    _lambda_targets()


def send(lab: Lab, region: str, source: str, kind: str, detail: dict[str, Any], resources: list[str]) -> None:
    """Send an event as an AWS service does: to the region's default bus, a moment later.

    Parameters
    ----------
    lab
        Its clock times the delivery.
    region
        Where it happened.
    source
        For example ``aws.ssm``.
    kind
        The event's detail-type.
    detail
        What JSON can carry.
    resources
        ARNs.
    """
    from ministack.services import eventbridge

    entry = {"Source": source, "DetailType": kind, "Detail": json.dumps(detail), "Resources": resources}

    def deliver() -> None:
        with scope(lab, region):
            eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)

    lab.after(duration("parameter-event"), deliver, "aws-event")


def _parameter_events(lab: Lab) -> None:
    """'Parameter Store Change', for parameters made by CloudFormation too."""
    from ministack.services import ssm

    def announce(operation: str, name: str, kind: str, arn: str) -> None:
        detail = {"operation": operation, "name": name, "type": kind}
        send(lab, here(), "aws.ssm", "Parameter Store Change", detail, [arn])

    def put(original: Handler) -> Handler:
        def putting(data: dict[str, Any]) -> Any:
            existed = data.get("Name") in ssm._parameters
            response = original(data)
            if response[0] < 400:
                parameter = ssm._parameters[data["Name"]]
                announce("Update" if existed else "Create", data["Name"], parameter["Type"], parameter["ARN"])
            return response

        return putting

    def delete(original: Handler) -> Handler:
        def deleting(data: dict[str, Any]) -> Any:
            names = data.get("Names") or [data.get("Name")]
            before = [ssm._parameters[name] for name in names if name in ssm._parameters]
            response = original(data)
            for parameter in before:
                if parameter["Name"] not in ssm._parameters:
                    announce("Delete", parameter["Name"], parameter["Type"], parameter["ARN"])
            return response

        return deleting

    def label(original: Handler) -> Handler:
        def labelling(data: dict[str, Any]) -> Any:
            response = original(data)
            if response[0] < 400:
                parameter = ssm._parameters[data["Name"]]
                announce("LabelParameterVersion", parameter["Name"], parameter["Type"], parameter["ARN"])
            return response

        return labelling

    replace(ssm, "_put_parameter", put)
    replace(ssm, "_label_parameter_version", label)
    replace(ssm, "_delete_parameter", delete)
    replace(ssm, "_delete_parameters", delete)


def _lambda_targets() -> None:
    """EventBridge invokes a function asynchronously: retried and sent to its destination like any such invocation."""
    from ministack.services import eventbridge, lambda_svc

    def dispatch(_: Handler) -> Handler:
        def dispatched(arn: str, payload: str) -> None:
            function, config, _name = lambda_svc._get_func_record_for_ref(arn)
            if function and config:
                record = lambda_svc._execution_record_for_config(function, config)
                lambda_svc.invoke_async_with_retry(record, json.loads(payload))

        return dispatched

    replace(eventbridge, "_dispatch_to_lambda", dispatch)
