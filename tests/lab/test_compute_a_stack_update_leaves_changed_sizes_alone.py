from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.compute import base_image
from tests.lab.running import PRIMARY, RunningLab

if TYPE_CHECKING:
    from collections.abc import Iterator

TEMPLATE: dict[str, Any] = {
    "Parameters": {
        "Image": {"Type": "String"},
        "Name": {"Type": "String"},
        "InstanceType": {"Type": "String"},
        "Min": {"Type": "Number"},
        "Port": {"Type": "Number"},
    },
    "Resources": {
        "LaunchTemplate": {
            "Type": "AWS::EC2::LaunchTemplate",
            "Properties": {
                "LaunchTemplateName": {"Ref": "Name"},
                "LaunchTemplateData": {"ImageId": {"Ref": "Image"}, "InstanceType": {"Ref": "InstanceType"}},
            },
        },
        "Group": {
            "Type": "AWS::AutoScaling::AutoScalingGroup",
            "UpdatePolicy": {"AutoScalingScheduledAction": {"IgnoreUnmodifiedGroupSizeProperties": True}},
            "Properties": {
                "AutoScalingGroupName": {"Ref": "Name"},
                "AvailabilityZones": {"Fn::GetAZs": ""},
                "LaunchTemplate": {
                    "LaunchTemplateId": {"Ref": "LaunchTemplate"},
                    "Version": {"Fn::GetAtt": ["LaunchTemplate", "LatestVersionNumber"]},
                },
                "MinSize": {"Ref": "Min"},
                "MaxSize": 4,
                "TargetGroupARNs": [{"Ref": "TargetGroup"}],
            },
        },
        "TargetGroup": {
            "Type": "AWS::ElasticLoadBalancingV2::TargetGroup",
            "Properties": {"Name": {"Ref": "Name"}, "Port": 8080, "Protocol": "HTTP"},
        },
        "LoadBalancer": {"Type": "AWS::ElasticLoadBalancingV2::LoadBalancer", "Properties": {"Name": {"Ref": "Name"}}},
        "Listener": {
            "Type": "AWS::ElasticLoadBalancingV2::Listener",
            "Properties": {
                "LoadBalancerArn": {"Ref": "LoadBalancer"},
                "Port": {"Ref": "Port"},
                "Protocol": "HTTP",
                "DefaultActions": [{"Type": "forward", "TargetGroupArn": {"Ref": "TargetGroup"}}],
            },
        },
    },
    "Outputs": {"DnsName": {"Value": {"Fn::GetAtt": ["LoadBalancer", "DNSName"]}}},
}


class Stack:
    """A group, deployed by CloudFormation."""

    def __init__(self, lab: RunningLab) -> None:
        self.name = f"stack-{uuid.uuid4().hex[:8]}"
        self._lab = lab
        self._cloudformation = lab.client("cloudformation", PRIMARY)
        self._groups = lab.client("autoscaling", PRIMARY)
        self._parameters: dict[str, object] = {
            "Image": base_image(lab, PRIMARY),
            "Name": self.name,
            "InstanceType": "t3.micro",
            "Min": 1,
            "Port": lab.port + 11,
        }
        self.template = json.loads(json.dumps(TEMPLATE))

    def deploy(self, verb: str, **changes: object) -> str:
        self._parameters |= changes
        getattr(self._cloudformation, f"{verb}_stack")(
            StackName=self.name,
            TemplateBody=json.dumps(self.template),
            Parameters=[{"ParameterKey": key, "ParameterValue": str(value)} for key, value in self._parameters.items()],
        )
        self._lab.wait_until(lambda: not self.described()["StackStatus"].endswith("IN_PROGRESS"), 60, "the stack")
        return str(self.described()["StackStatus"])

    def described(self) -> dict[str, Any]:
        found: dict[str, Any] = self._cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]
        return found

    def resize(self, **sizes: int) -> None:
        self._groups.update_auto_scaling_group(AutoScalingGroupName=self.name, **sizes)

    def group(self) -> tuple[int, int, str]:
        """Return the minimum, the desired capacity and the version of the launch template."""
        found = self._groups.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"][0]
        return found["MinSize"], found["DesiredCapacity"], found["LaunchTemplate"]["Version"]

    def grace_period(self) -> int:
        found = self._groups.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"][0]
        return int(found["HealthCheckGracePeriod"])

    def delete(self) -> None:
        self._cloudformation.delete_stack(StackName=self.name)
        names = {"AutoScalingGroupNames": [self.name]}
        self._lab.wait_until(lambda: not self._groups.describe_auto_scaling_groups(**names)["AutoScalingGroups"])


@pytest.fixture
def stack(lab: RunningLab) -> Iterator[Stack]:
    made = Stack(lab)
    yield made
    made.delete()


def test_sizes_that_the_template_does_not_change_are_left_as_they_are(stack: Stack) -> None:
    assert stack.deploy("create") == "CREATE_COMPLETE"
    assert stack.group() == (1, 1, "1")
    assert stack.described()["Outputs"][0]["OutputValue"] == "localhost"
    stack.resize(MinSize=2, DesiredCapacity=3)
    assert stack.deploy("update", InstanceType="t3.small") == "UPDATE_COMPLETE"
    assert stack.group() == (2, 3, "2")


def test_a_size_that_the_template_changes_is_set(stack: Stack) -> None:
    stack.deploy("create")
    stack.resize(MinSize=2, DesiredCapacity=3)
    stack.deploy("update", Min=0)
    assert stack.group() == (0, 3, "1")


def test_without_the_policy_any_update_of_the_group_sets_its_sizes_back(stack: Stack) -> None:
    del stack.template["Resources"]["Group"]["UpdatePolicy"]
    stack.deploy("create")
    stack.resize(MinSize=2, DesiredCapacity=3)
    stack.deploy("update", InstanceType="t3.small")
    assert stack.group() == (1, 3, "2")


def test_a_template_without_a_grace_period_gives_none(stack: Stack) -> None:
    stack.deploy("create")
    assert stack.grace_period() == 0


def test_a_listener_whose_port_is_taken_fails_the_stack(stack: Stack, lab: RunningLab) -> None:
    assert stack.deploy("create", Port=lab.port) == "ROLLBACK_COMPLETE"
