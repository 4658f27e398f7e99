"""Functions and state machines of the lab act under their roles, and a permission that is missing is missed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from botocore.exceptions import ClientError

from tests.lab.functions import ROLE, make_function
from tests.lab.running import ACCOUNT, DR, PRIMARY

if TYPE_CHECKING:
    from tests.lab.running import RunningLab

MANAGED: Final = "arn:aws:iam::aws:policy"
TRUST: Final = {"Effect": "Allow", "Principal": {"Service": "*"}, "Action": "sts:AssumeRole"}
LIST_QUEUES = (
    "import boto3\ndef handler(event, context):\n    return boto3.client('sqs').list_queues()['ResponseMetadata']"
)


def _role(lab: RunningLab, name: str, action: str, resource: str = "*", condition: Any = None) -> str:
    roles = lab.client("iam")
    may = {"Effect": "Allow", "Action": action, "Resource": resource, "Condition": condition or {}}
    roles.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [TRUST]}))
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


def test_a_traced_function_may_do_no_more_than_others(lab: RunningLab) -> None:
    """SAM attaches this policy to the role of every function with `Tracing: Active`."""
    role = _role(lab, "traced", "sqs:SendMessage")
    lab.client("iam").attach_role_policy(RoleName="traced", PolicyArn=f"{MANAGED}/AWSXrayWriteOnlyAccess")
    functions = make_function(lab, DR, "traced", LIST_QUEUES, role=role)

    refused = functions.invoke(FunctionName="traced")
    assert refused["FunctionError"]
    assert b"AccessDenied" in refused["Payload"].read()


def test_a_policy_that_aws_does_not_have_is_not_made_up(lab: RunningLab) -> None:
    roles = lab.client("iam")
    _role(lab, "hopeful", "sqs:SendMessage")
    with pytest.raises(ClientError, match="NoSuchEntity.*SuchAPolicy"):
        roles.attach_role_policy(RoleName="hopeful", PolicyArn=f"{MANAGED}/SuchAPolicy")
    template = {
        "Resources": {
            "Role": {
                "Type": "AWS::IAM::Role",
                "Properties": {
                    "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [TRUST]},
                    "ManagedPolicyArns": [f"{MANAGED}/SuchAPolicy"],
                },
            }
        }
    }
    stacks = lab.client("cloudformation")
    stacks.create_stack(StackName="hopeful", TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])

    def failed() -> str:
        events = stacks.describe_stack_events(StackName="hopeful")["StackEvents"]
        return next((one["ResourceStatusReason"] for one in events if one["ResourceStatus"] == "CREATE_FAILED"), "")

    assert f"{MANAGED}/SuchAPolicy" in lab.wait_until(failed)


def test_two_regions_stacks_of_one_name_have_a_role_each(lab: RunningLab) -> None:
    def of_its_own(region: str) -> dict[str, Any]:
        allowed = {"Effect": "Allow", "Action": "sqs:ListQueues", "Resource": f"arn:aws:sqs:{region}:{ACCOUNT}:*"}
        policy = {"PolicyName": "may", "PolicyDocument": {"Version": "2012-10-17", "Statement": [allowed]}}
        trusting = {"Version": "2012-10-17", "Statement": [TRUST]}
        role = {"AssumeRolePolicyDocument": trusting, "Policies": [policy]}
        return {"Resources": {"Role": {"Type": "AWS::IAM::Role", "Properties": role}}}

    found = set()
    for region in (PRIMARY, DR):
        stacks = lab.client("cloudformation", region)
        body = json.dumps(of_its_own(region))
        stacks.create_stack(StackName="both", TemplateBody=body, Capabilities=["CAPABILITY_IAM"])
        stacks.get_waiter("stack_create_complete").wait(StackName="both", WaiterConfig={"Delay": 1})
        role = stacks.describe_stack_resource(StackName="both", LogicalResourceId="Role")["StackResourceDetail"]
        found.add(role["PhysicalResourceId"])
    assert len(found) == 2


def test_each_thing_that_a_request_names_has_to_be_allowed(lab: RunningLab) -> None:
    ours = f"arn:aws:ssm:{DR}:{ACCOUNT}:parameter/ours"
    code = (
        "import boto3\n"
        "def handler(event, context):\n"
        "    return boto3.client('ssm').get_parameters(Names=event)['InvalidParameters']\n"
    )
    functions = make_function(lab, DR, "names", code, role=_role(lab, "names", "ssm:GetParameters", ours))

    assert "FunctionError" not in functions.invoke(FunctionName="names", Payload=b'["/ours"]')
    refused = functions.invoke(FunctionName="names", Payload=b'["/ours", "/theirs"]')
    assert b"parameter/theirs" in refused["Payload"].read()


def test_reading_a_functions_concurrency_is_not_changing_it(lab: RunningLab) -> None:
    code = (
        "import boto3\n"
        "def handler(event, context):\n"
        "    wanted = {'ReservedConcurrentExecutions': 1} if event == 'put' else {}\n"
        "    ask = getattr(boto3.client('lambda'), event + '_function_concurrency')\n"
        "    return ask(FunctionName='reader', **wanted)['ResponseMetadata']['HTTPStatusCode']\n"
    )
    functions = make_function(lab, DR, "reader", code, role=_role(lab, "reader", "lambda:GetFunctionConcurrency"))

    assert functions.invoke(FunctionName="reader", Payload=b'"get"')["Payload"].read() == b"200"
    refused = functions.invoke(FunctionName="reader", Payload=b'"put"')["Payload"].read()
    assert b"perform: lambda:PutFunctionConcurrency" in refused


def test_a_metric_is_put_into_the_namespace_that_is_allowed(lab: RunningLab) -> None:
    ours = {"StringEquals": {"cloudwatch:namespace": "Ours"}}
    code = (
        "import boto3\n"
        "def handler(event, context):\n"
        "    data = [{'MetricName': 'a', 'Value': 1}]\n"
        "    boto3.client('cloudwatch').put_metric_data(Namespace=event, MetricData=data)\n"
    )
    role = _role(lab, "measures", "cloudwatch:PutMetricData", condition=ours)
    functions = make_function(lab, DR, "measures", code, role=role)

    assert "FunctionError" not in functions.invoke(FunctionName="measures", Payload=b'"Ours"')
    assert (
        b"cloudwatch:PutMetricData" in functions.invoke(FunctionName="measures", Payload=b'"Theirs"')["Payload"].read()
    )
