"""Both regions deployed by the real SAM CLI: the posture is read back, and deploying again changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.running import ACCOUNT, DR, PRIMARY

if TYPE_CHECKING:
    from tests.lab.running import RunningLab


def _posture(lab: RunningLab, region: str) -> dict[str, Any]:
    """Read, through the AWS API, all that makes a region active or standby."""
    (group,) = lab.client("autoscaling", region).describe_auto_scaling_groups(AutoScalingGroupNames=["dev-asg"])[
        "AutoScalingGroups"
    ]
    functions = lab.client("lambda", region)
    (mapping,) = functions.list_event_source_mappings(FunctionName="dev-orders")["EventSourceMappings"]
    (database,) = lab.client("rds", region).describe_db_instances(DBInstanceIdentifier="dev-db")["DBInstances"]
    parameters = lab.client("ssm", region)
    return {
        "sizes": (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]),
        "reserved": functions.get_function_concurrency(FunctionName="dev-orders").get("ReservedConcurrentExecutions"),
        "mapping": mapping["State"],
        "source": database.get("ReadReplicaSourceDBInstanceIdentifier"),
        "retention": database["BackupRetentionPeriod"],
        "active": parameters.get_parameter(Name="/dev/pilotlight/active-region")["Parameter"]["Value"],
        "image": parameters.get_parameter(Name="/dev/pilotlight/image-id")["Parameter"]["Value"],
    }


def test_the_regions_stand_as_the_record_says(deployed: RunningLab) -> None:
    primary, dr = _posture(deployed, PRIMARY), _posture(deployed, DR)

    assert (primary["active"], dr["active"]) == (PRIMARY, PRIMARY)
    assert primary["sizes"][1] > 0
    assert (primary["reserved"], primary["mapping"], primary["source"]) == (None, "Enabled", None)
    assert dr["sizes"][:2] == (0, 0)
    assert dr["sizes"][2] == primary["sizes"][2]
    assert (dr["reserved"], dr["mapping"]) == (0, "Disabled")
    assert dr["source"] == f"arn:aws:rds:{PRIMARY}:{ACCOUNT}:db:dev-db"
    assert dr["retention"] > 0


def test_each_region_has_its_own_image_of_the_same_application(deployed: RunningLab) -> None:
    images = {}
    for region in (PRIMARY, DR):
        image = _posture(deployed, region)["image"]
        (images[region],) = deployed.client("ec2", region).describe_images(ImageIds=[image])["Images"]
    assert images[PRIMARY]["ImageId"] != images[DR]["ImageId"]
    assert images[PRIMARY]["Name"] == images[DR]["Name"]
    assert {image["State"] for image in images.values()} == {"available"}


def test_buckets_replicate_both_ways(deployed: RunningLab) -> None:
    for region, other in ((PRIMARY, DR), (DR, PRIMARY)):
        (rule,) = deployed.client("s3", region).get_bucket_replication(Bucket=f"dev-app-{ACCOUNT}-{region}")[
            "ReplicationConfiguration"
        ]["Rules"]
        assert rule["Destination"]["Bucket"] == f"arn:aws:s3:::dev-app-{ACCOUNT}-{other}"


@pytest.mark.parametrize("region", [PRIMARY, DR])
def test_deploying_again_changes_nothing(deployed: RunningLab, region: str) -> None:
    before = _posture(deployed, region)

    said = deployed.deploy(region)

    assert "No changes to deploy" in said
    assert _posture(deployed, region) == before
