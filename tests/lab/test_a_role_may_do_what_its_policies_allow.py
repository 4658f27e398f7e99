"""Functions and state machines of the lab act under their roles, and a permission that is missing is missed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.lab.functions import ROLE, make_function
from tests.lab.running import ACCOUNT, DR

if TYPE_CHECKING:
    from tests.lab.running import RunningLab

LIST_QUEUES = (
    "import boto3\ndef handler(event, context):\n    return boto3.client('sqs').list_queues()['ResponseMetadata']"
)


def _role(lab: RunningLab, name: str, action: str, resource: str = "*") -> str:
    roles = lab.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "*"}, "Action": "sts:AssumeRole"}
    may = {"Effect": "Allow", "Action": action, "Resource": resource}
    roles.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))
    roles.put_role_policy(
        RoleName=name, PolicyName="may", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [may]})
    )
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def _run(lab: RunningLab, name: str, definition: dict[str, Any], role: str) -> dict[str, Any]:
    machines = lab.client("stepfunctions")
    arn = machines.create_state_machine(name=name, definition=json.dumps(definition), roleArn=role)["stateMachineArn"]
    execution = machines.start_execution(stateMachineArn=arn)["executionArn"]
    described: dict[str, Any] = {}

    def ended() -> bool:
        described.update(machines.describe_execution(executionArn=execution))
        return bool(described["status"] != "RUNNING")

    lab.wait_until(ended)
    return described


def test_a_function_is_refused_what_its_role_does_not_allow(lab: RunningLab) -> None:
    make_function(lab, DR, "narrow", LIST_QUEUES, role=_role(lab, "narrow", "sqs:SendMessage"))
    functions = make_function(lab, DR, "wide", LIST_QUEUES, role=_role(lab, "wide", "sqs:ListQueues"))

    refused = functions.invoke(FunctionName="narrow")
    assert refused["FunctionError"]
    assert b"AccessDenied" in refused["Payload"].read()
    assert "FunctionError" not in functions.invoke(FunctionName="wide")


def test_a_state_machine_invokes_only_what_its_role_names(lab: RunningLab) -> None:
    make_function(lab, DR, "named", "def handler(event, context):\n    return 1\n")
    function = f"arn:aws:lambda:{DR}:{ACCOUNT}:function:named"
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": function},
        "End": True,
    }
    definition = {"StartAt": "Call", "States": {"Call": task}}

    may = _run(lab, "may", definition, _role(lab, "may", "lambda:InvokeFunction", function))
    may_not = _run(lab, "may-not", definition, _role(lab, "may-not", "lambda:InvokeFunction", f"{function}-other"))

    assert may["status"] == "SUCCEEDED"
    assert (may_not["status"], may_not["error"]) == ("FAILED", "Lambda.AWSLambdaException")


def test_an_execution_ends_when_its_machines_time_is_over(lab: RunningLab) -> None:
    wait = {"Type": "Wait", "Seconds": 500, "End": True}
    ended = _run(lab, "slow", {"StartAt": "Wait", "TimeoutSeconds": 50, "States": {"Wait": wait}}, ROLE)
    assert ended["status"] == "TIMED_OUT"
