from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.lab.compute import base_image, control
from tests.lab.running import DR, PRIMARY, RunningLab

if TYPE_CHECKING:
    from collections.abc import Callable


FAST = 250
SLOW = 10
"""So that what lasts until an image is there is not over before it is looked at."""


@pytest.fixture(autouse=True)
def _fast(lab: RunningLab) -> None:
    # Images take minutes on AWS and nothing here is measured against a process's real seconds.
    lab.set_scale(FAST)


@pytest.fixture
def name() -> str:
    return f"image-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def image(lab: RunningLab, name: str) -> str:
    """A tagged image of ours in the primary region, available."""
    ec2 = lab.client("ec2", PRIMARY)
    instance = ec2.run_instances(ImageId=base_image(lab, PRIMARY), MinCount=1, MaxCount=1)["Instances"][0]
    tags = [{"ResourceType": "image", "Tags": [{"Key": "pilotlight:environment", "Value": name}]}]
    lab.set_scale(SLOW)
    made = ec2.create_image(InstanceId=instance["InstanceId"], Name=name, NoReboot=True, TagSpecifications=tags)
    assert _image(lab, PRIMARY, made["ImageId"])["State"] == "pending"
    lab.set_scale(FAST)
    lab.wait_until(lambda: _image(lab, PRIMARY, made["ImageId"])["State"] == "available")
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    return str(made["ImageId"])


@pytest.fixture
def copy(lab: RunningLab, image: str, name: str) -> Callable[..., str]:
    def make(**more: Any) -> str:
        request = {"Name": name, "SourceImageId": image, "SourceRegion": PRIMARY, **more}
        return str(lab.client("ec2", DR).copy_image(**request)["ImageId"])

    return make


def _image(lab: RunningLab, region: str, image: str) -> dict[str, Any]:
    found: dict[str, Any] = lab.client("ec2", region).describe_images(ImageIds=[image])["Images"][0]
    return found


def _finished(lab: RunningLab, image: str) -> dict[str, Any]:
    lab.wait_until(lambda: _image(lab, DR, image)["State"] != "pending", 60, "the copy to end")
    return _image(lab, DR, image)


def test_an_image_is_found_by_its_tags_in_its_own_region_only(lab: RunningLab, image: str, name: str) -> None:
    by_tag = [{"Name": "tag:pilotlight:environment", "Values": [name]}, {"Name": "state", "Values": ["available"]}]
    found = lab.client("ec2", PRIMARY).describe_images(Owners=["self"], Filters=by_tag)["Images"]
    assert [each["ImageId"] for each in found] == [image]
    assert lab.client("ec2", DR).describe_images(Owners=["self"], Filters=by_tag)["Images"] == []
    with pytest.raises(ClientError, match="InvalidAMIID.NotFound"):
        lab.client("ec2", DR).describe_images(ImageIds=[image])


def test_a_copy_takes_its_time_and_can_then_be_launched(lab: RunningLab, copy: Callable[..., str], name: str) -> None:
    lab.set_scale(SLOW)
    copied = copy(CopyImageTags=True)
    ec2 = lab.client("ec2", DR)
    with pytest.raises(ClientError, match="InvalidAMIID.Unavailable"):
        ec2.run_instances(ImageId=copied, MinCount=1, MaxCount=1)
    lab.set_scale(FAST)
    finished = _finished(lab, copied)
    assert finished["State"] == "available"
    assert finished["Tags"] == [{"Key": "pilotlight:environment", "Value": name}]
    started = ec2.run_instances(ImageId=copied, MinCount=1, MaxCount=1)["Instances"][0]
    assert started["State"]["Name"] == "pending"
    state = {"InstanceIds": [started["InstanceId"]]}
    lab.wait_until(
        lambda: ec2.describe_instances(**state)["Reservations"][0]["Instances"][0]["State"]["Name"] == "running"
    )
    ec2.terminate_instances(InstanceIds=[started["InstanceId"]])


def test_the_same_token_makes_the_same_copy(copy: Callable[..., str]) -> None:
    assert copy(ClientToken="once") == copy(ClientToken="once")


def test_a_key_that_cannot_be_used_is_found_out_only_later(lab: RunningLab, copy: Callable[..., str]) -> None:
    finished = _finished(lab, copy(Encrypted=True, KmsKeyId="alias/not-in-this-region"))
    assert finished["State"] == "failed"
    assert "key" in finished["StateReason"]["Message"]


def test_a_copy_with_a_key_of_its_region_is_encrypted(lab: RunningLab, copy: Callable[..., str]) -> None:
    key = lab.client("kms", DR).create_key()["KeyMetadata"]["Arn"]
    finished = _finished(lab, copy(Encrypted=True, KmsKeyId=key))
    assert finished["State"] == "available"
    assert finished["BlockDeviceMappings"][0]["Ebs"]["Encrypted"]


def test_a_copy_fails_when_it_is_told_to(lab: RunningLab, copy: Callable[..., str]) -> None:
    control(lab, "image-copy-failures", region=DR)
    try:
        assert _finished(lab, copy())["State"] == "failed"
    finally:
        control(lab, "image-copy-failures", region=DR, reason=None)


def test_a_copy_whose_source_region_is_lost_fails(lab: RunningLab, copy: Callable[..., str]) -> None:
    lab.set_scale(SLOW)
    copied = copy()
    lab.lose(PRIMARY)
    assert _finished(lab, copied)["State"] == "failed"


def test_a_name_is_used_once_in_a_region(lab: RunningLab, image: str, copy: Callable[..., str]) -> None:
    copy()
    with pytest.raises(ClientError, match="InvalidAMIName.Duplicate"):
        copy()


def test_a_deregistered_image_cannot_be_launched(lab: RunningLab, image: str) -> None:
    ec2 = lab.client("ec2", PRIMARY)
    snapshot = _image(lab, PRIMARY, image)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    ec2.deregister_image(ImageId=image, DeleteAssociatedSnapshots=True)
    with pytest.raises(ClientError, match="InvalidAMIID.NotFound"):
        ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)
    with pytest.raises(ClientError, match="InvalidSnapshot.NotFound"):
        ec2.describe_snapshots(SnapshotIds=[snapshot])


def test_a_time_may_be_bought_in_quarters_of_an_hour(lab: RunningLab, copy: Callable[..., str]) -> None:
    with pytest.raises(ClientError, match="multiple of 15"):
        copy(SnapshotCopyCompletionDurationMinutes=20)
    assert _finished(lab, copy(SnapshotCopyCompletionDurationMinutes=15))["State"] == "available"


def test_a_snapshot_tells_its_key_its_tags_and_how_long_it_took(lab: RunningLab, copy: Callable[..., str]) -> None:
    # Whoever notes its end may come late by as much again.
    lab.set_scale(100)
    kms, ec2 = lab.client("kms", DR), lab.client("ec2", DR)
    key = kms.create_key()["KeyMetadata"]
    alias = f"alias/test-{uuid.uuid4().hex[:8]}"
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "of", "Value": alias}]}]
    _finished(lab, copy(Encrypted=True, KmsKeyId=alias, TagSpecifications=tags))
    (found,) = ec2.describe_snapshots(OwnerIds=["self"], Filters=[{"Name": "tag:of", "Values": [alias]}])["Snapshots"]
    assert (found["KmsKeyId"], found["Encrypted"], found["State"]) == (key["Arn"], True, "completed")
    # As long as it takes on AWS, whatever the clock's scale.
    assert 300 <= (found["CompletionTime"] - found["StartTime"]).total_seconds() < 600
    assert not ec2.describe_snapshots(Filters=[{"Name": "tag:of", "Values": ["another"]}])["Snapshots"]
    with pytest.raises(ClientError, match="is invalid"):
        ec2.describe_snapshots(Filters=[{"Name": "no-such-filter", "Values": ["x"]}])


def test_a_snapshot_of_an_image_that_is_there_cannot_be_deleted(lab: RunningLab, image: str) -> None:
    ec2 = lab.client("ec2", PRIMARY)
    snapshot = _image(lab, PRIMARY, image)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    with pytest.raises(ClientError, match="InvalidSnapshot.InUse"):
        ec2.delete_snapshot(SnapshotId=snapshot)
    ec2.deregister_image(ImageId=image)
    ec2.delete_snapshot(SnapshotId=snapshot)
    with pytest.raises(ClientError, match="InvalidSnapshot.NotFound"):
        ec2.delete_snapshot(SnapshotId=snapshot)


def test_the_latest_and_default_versions_of_every_template_are_told_at_once(lab: RunningLab) -> None:
    ec2, name = lab.client("ec2", DR), f"template-{uuid.uuid4().hex[:8]}"
    data = {"ImageId": base_image(lab, DR)}
    made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)["LaunchTemplate"]
    for _ in range(2):
        ec2.create_launch_template_version(LaunchTemplateName=name, SourceVersion="1", LaunchTemplateData=data)
    told = ec2.describe_launch_template_versions(Versions=["$Latest", "$Default"])["LaunchTemplateVersions"]
    ours = [each["VersionNumber"] for each in told if each["LaunchTemplateId"] == made["LaunchTemplateId"]]
    assert sorted(ours) == [1, 3]
    with pytest.raises(ClientError, match="MissingParameter"):
        ec2.describe_launch_template_versions(Versions=["1"])
    ec2.delete_launch_template(LaunchTemplateId=made["LaunchTemplateId"])
