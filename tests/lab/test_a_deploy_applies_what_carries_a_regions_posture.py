"""CloudFormation in the lab applies the properties by which a region is active or standby, and keeps what it must."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.functions import ROLE
from tests.lab.running import DR

if TYPE_CHECKING:
    from tests.lab.running import RunningLab

NAME = "posture"


def _template(function: dict[str, Any], mapping: dict[str, Any], **more: Any) -> str:
    return json.dumps(
        {
            "Resources": {
                "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": NAME}},
                "Function": {
                    "Type": "AWS::Lambda::Function",
                    "Properties": {
                        "FunctionName": NAME,
                        "Runtime": "python3.13",
                        "Handler": "index.handler",
                        "Role": ROLE,
                        "Code": {"ZipFile": "def handler(event, context):\n    return 1\n"},
                        "Tags": [{"Key": "pilotlight:workload", "Value": "dev"}],
                        **function,
                    },
                },
                "Mapping": {
                    "Type": "AWS::Lambda::EventSourceMapping",
                    "Properties": {
                        "EventSourceArn": {"Fn::GetAtt": ["Queue", "Arn"]},
                        "FunctionName": {"Ref": "Function"},
                        **mapping,
                    },
                },
                **more,
            }
        }
    )


class _Stack:
    def __init__(self, lab: RunningLab) -> None:
        self.stacks = lab.client("cloudformation", DR)
        self.functions = lab.client("lambda", DR)
        self.lab = lab

    def deploy(self, template: str) -> None:
        exists = any(stack["StackName"] == NAME for stack in self.stacks.describe_stacks()["Stacks"])
        verb, waiter = ("update", "stack_update_complete") if exists else ("create", "stack_create_complete")
        getattr(self.stacks, f"{verb}_stack")(StackName=NAME, TemplateBody=template)
        self.stacks.get_waiter(waiter).wait(StackName=NAME, WaiterConfig={"Delay": 0.2, "MaxAttempts": 100})

    def delete(self) -> None:
        self.stacks.delete_stack(StackName=NAME)
        self.stacks.get_waiter("stack_delete_complete").wait(StackName=NAME, WaiterConfig={"Delay": 0.2})

    @property
    def reserved(self) -> int | None:
        answer: dict[str, int] = self.functions.get_function_concurrency(FunctionName=NAME)
        return answer.get("ReservedConcurrentExecutions")

    @property
    def mapping(self) -> dict[str, Any]:
        mapping: dict[str, Any] = self.functions.list_event_source_mappings(FunctionName=NAME)["EventSourceMappings"][0]
        return mapping


@pytest.fixture
def stack(lab: RunningLab) -> Any:
    stack = _Stack(lab)
    yield stack
    stack.delete()


def test_a_standby_function_is_switched_off_and_an_active_one_on(stack: _Stack) -> None:
    stack.deploy(_template({"ReservedConcurrentExecutions": 0}, {"Enabled": False}))
    assert (stack.reserved, stack.mapping["State"]) == (0, "Disabled")
    with pytest.raises(stack.functions.exceptions.TooManyRequestsException):
        stack.functions.invoke(FunctionName=NAME)

    stack.deploy(_template({}, {"Enabled": True}))
    assert (stack.reserved, stack.mapping["State"]) == (None, "Enabled")
    assert json.load(stack.functions.invoke(FunctionName=NAME)["Payload"]) == 1


def test_a_reservation_that_the_template_never_spoke_of_outlives_a_deploy(stack: _Stack) -> None:
    stack.deploy(_template({}, {"Enabled": True}))
    stack.functions.put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=7)

    stack.deploy(_template({"MemorySize": 256}, {"Enabled": True}))

    assert stack.reserved == 7


def test_a_mapping_takes_time_to_change_and_refuses_another_change_meanwhile(stack: _Stack) -> None:
    stack.deploy(_template({}, {"Enabled": False}))
    uuid = stack.mapping["UUID"]
    stack.lab.set_scale(1)

    assert stack.functions.update_event_source_mapping(UUID=uuid, Enabled=True)["State"] == "Enabling"
    with pytest.raises(stack.functions.exceptions.ResourceInUseException):
        stack.functions.update_event_source_mapping(UUID=uuid, Enabled=False)
    stack.lab.set_scale(50)
    stack.lab.wait_until(lambda: stack.mapping["State"] == "Enabled")


def test_functions_are_found_by_their_tag(stack: _Stack) -> None:
    stack.deploy(_template({}, {}))
    tagging = stack.lab.client("resourcegroupstaggingapi", DR)

    found = tagging.get_resources(
        ResourceTypeFilters=["lambda:function"], TagFilters=[{"Key": "pilotlight:workload", "Values": ["dev"]}]
    )["ResourceTagMappingList"]

    assert [resource["ResourceARN"].rsplit(":", 1)[1] for resource in found] == [NAME]


def test_two_security_groups_name_each_other(stack: _Stack) -> None:
    def group() -> dict[str, Any]:
        return {
            "Type": "AWS::EC2::SecurityGroup",
            "Properties": {"GroupDescription": "one of two", "VpcId": {"Ref": "Vpc"}},
        }

    def rule(direction: str, own: str, other_name: str, other: str) -> dict[str, Any]:
        return {
            "Type": f"AWS::EC2::SecurityGroup{direction}",
            "Properties": {
                "GroupId": {"Fn::GetAtt": [own, "GroupId"]},
                other_name: {"Fn::GetAtt": [other, "GroupId"]},
                "IpProtocol": "tcp",
                "FromPort": 3306,
                "ToPort": 3306,
            },
        }

    stack.deploy(
        _template(
            {},
            {},
            Vpc={"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.9.0.0/16"}},
            Web=group(),
            Data=group(),
            In=rule("Ingress", "Data", "SourceSecurityGroupId", "Web"),
            Out=rule("Egress", "Web", "DestinationSecurityGroupId", "Data"),
        )
    )
    ids = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for resource in stack.stacks.describe_stack_resources(StackName=NAME)["StackResources"]
    }
    groups = stack.lab.client("ec2", DR).describe_security_groups(GroupIds=[ids["Data"]])["SecurityGroups"]

    pairs = [pair["GroupId"] for rule in groups[0]["IpPermissions"] for pair in rule["UserIdGroupPairs"]]
    assert pairs == [ids["Web"]]
