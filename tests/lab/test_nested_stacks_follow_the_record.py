"""A nested stack resolves what its parameters and properties name, at the first deploy and at each one after it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.running import DR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.running import RunningLab

CHILD = {
    "Parameters": {"Active": {"Type": "AWS::SSM::Parameter::Value<String>"}},
    "Conditions": {"IsActive": {"Fn::Equals": [{"Ref": "AWS::Region"}, {"Ref": "Active"}]}},
    "Resources": {
        "Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": {"Name": "nested/s", "SecretString": "hidden"}},
        "Posture": {
            "Type": "AWS::SSM::Parameter",
            "Properties": {
                "Name": "/nested/posture",
                "Type": "String",
                "Value": {"Fn::If": ["IsActive", "active", "standby"]},
            },
        },
        "Copy": {
            "Type": "AWS::SSM::Parameter",
            "Properties": {
                "Name": "/nested/copy",
                "Type": "String",
                "Value": {"Fn::Sub": "{{resolve:secretsmanager:${Secret}}}"},
            },
        },
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.8.0.0/16"}},
    },
    "Outputs": {"Range": {"Value": {"Fn::GetAtt": ["Vpc", "CidrBlock"]}}},
}


def _parent(description: str) -> str:
    return json.dumps(
        {
            "Description": description,
            "Resources": {
                "Note": {
                    "Type": "AWS::SSM::Parameter",
                    "Properties": {"Name": "/nested/note", "Type": "String", "Value": description},
                },
                "Child": {
                    "Type": "AWS::CloudFormation::Stack",
                    "Properties": {
                        "TemplateURL": "https://s3.amazonaws.com/nested-templates/child.json",
                        "Parameters": {"Active": "/nested/active"},
                    },
                },
            },
            "Outputs": {"Range": {"Value": {"Fn::GetAtt": ["Child", "Outputs.Range"]}}},
        }
    )


@pytest.fixture
def stacks(lab: RunningLab) -> Iterator[Any]:
    bucket = lab.client("s3")
    bucket.create_bucket(Bucket="nested-templates", CreateBucketConfiguration={"LocationConstraint": DR})
    bucket.put_object(Bucket="nested-templates", Key="child.json", Body=json.dumps(CHILD).encode())
    lab.client("ssm").put_parameter(Name="/nested/active", Type="String", Value="eu-west-1")
    client = lab.client("cloudformation")
    yield client
    client.delete_stack(StackName="parent")


def test_a_deploy_after_a_switch_sees_the_new_record(lab: RunningLab, stacks: Any) -> None:
    parameters = lab.client("ssm")

    def value(name: str) -> str:
        return str(parameters.get_parameter(Name=f"/nested/{name}")["Parameter"]["Value"])

    def outputs() -> list[str]:
        return [output["OutputValue"] for output in stacks.describe_stacks(StackName="parent")["Stacks"][0]["Outputs"]]

    stacks.create_stack(StackName="parent", TemplateBody=_parent("first"))
    stacks.get_waiter("stack_create_complete").wait(StackName="parent", WaiterConfig={"Delay": 0.2})
    assert (value("posture"), value("copy"), outputs()) == ("standby", "hidden", ["10.8.0.0/16"])

    parameters.put_parameter(Name="/nested/active", Type="String", Value=DR, Overwrite=True)
    stacks.update_stack(StackName="parent", TemplateBody=_parent("second"))
    stacks.get_waiter("stack_update_complete").wait(StackName="parent", WaiterConfig={"Delay": 0.2})
    assert (value("posture"), value("copy"), outputs()) == ("active", "hidden", ["10.8.0.0/16"])
