from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.lab.compute import Stage, base_image
from tests.lab.running import DR, RunningLab

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stage(lab: RunningLab) -> Iterator[Stage]:
    made = Stage(lab, DR)
    yield made
    made.close()


def test_the_same_token_makes_the_same_version(stage: Stage) -> None:
    def version(token: str) -> int:
        made = stage.ec2.create_launch_template_version(
            LaunchTemplateId=stage.template,
            SourceVersion="$Latest",
            ClientToken=token,
            LaunchTemplateData={"InstanceType": "t3.small"},
        )["LaunchTemplateVersion"]
        assert made["LaunchTemplateData"]["UserData"]
        return int(made["VersionNumber"])

    assert version("one") == version("one") == 2
    assert version("two") == 3


def test_a_version_that_is_not_there_is_an_error(stage: Stage) -> None:
    with pytest.raises(ClientError, match="VersionNotFound"):
        stage.ec2.describe_launch_template_versions(LaunchTemplateId=stage.template, Versions=["9"])
    with pytest.raises(ClientError, match="VersionNotFound"):
        stage.ec2.create_launch_template_version(
            LaunchTemplateId=stage.template, SourceVersion="9", LaunchTemplateData={}
        )


def test_an_image_may_be_named_by_a_parameter_that_is_read_at_launch(stage: Stage) -> None:
    parameter = f"/{stage.name}/image-id"
    ssm = stage.lab.client("ssm", DR)
    stage.ec2.create_launch_template_version(
        LaunchTemplateId=stage.template,
        SourceVersion="1",
        LaunchTemplateData={"ImageId": f"resolve:ssm:{parameter}"},
    )
    template = {"LaunchTemplateId": stage.template, "Version": "$Latest"}
    with pytest.raises(ClientError, match=parameter):
        stage.ec2.run_instances(LaunchTemplate=template, MinCount=1, MaxCount=1)
    image = base_image(stage.lab, DR)
    ssm.put_parameter(Name=parameter, Value=image, Type="String")
    started = stage.ec2.run_instances(LaunchTemplate=template, MinCount=1, MaxCount=1)["Instances"][0]
    assert started["ImageId"] == image
    stage.ec2.terminate_instances(InstanceIds=[started["InstanceId"]])
    (latest,) = stage.ec2.describe_launch_template_versions(
        LaunchTemplateId=stage.template, Versions=["$Latest"], ResolveAlias=True
    )["LaunchTemplateVersions"]
    assert latest["LaunchTemplateData"]["ImageId"] == image


def test_a_rule_is_revoked_in_the_words_that_describe_it(lab: RunningLab) -> None:
    ec2 = lab.client("ec2", DR)
    ours, peer, other = (
        ec2.create_security_group(GroupName=f"{uuid.uuid4()}", Description="test")["GroupId"] for _ in range(3)
    )
    both: list[dict[str, Any]] = [
        {
            "IpProtocol": "tcp",
            "FromPort": 3306,
            "ToPort": 3306,
            "UserIdGroupPairs": [{"GroupId": peer, "Description": "application"}, {"GroupId": other}],
        }
    ]

    def rules() -> list[dict[str, Any]]:
        return list(ec2.describe_security_groups(GroupIds=[ours])["SecurityGroups"][0]["IpPermissions"])

    ec2.authorize_security_group_ingress(GroupId=ours, IpPermissions=both)
    with pytest.raises(ClientError, match="InvalidPermission.Duplicate"):
        ec2.authorize_security_group_ingress(GroupId=ours, IpPermissions=both)
    only_peer = [{**both[0], "UserIdGroupPairs": [{"GroupId": peer}]}]
    ec2.revoke_security_group_ingress(GroupId=ours, IpPermissions=only_peer)
    assert [pair["GroupId"] for rule in rules() for pair in rule["UserIdGroupPairs"]] == [other]
    ec2.revoke_security_group_ingress(GroupId=ours, IpPermissions=rules())
    assert rules() == []
    with pytest.raises(ClientError, match="InvalidPermission.NotFound"):
        ec2.revoke_security_group_ingress(GroupId=ours, IpPermissions=only_peer)
