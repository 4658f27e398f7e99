"""Both regions deployed by the real SAM CLI: read back, deployed again without a change, and asked what is lost."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pymysql
import pytest

from tests.lab.databases import Databases
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


def test_the_deployed_functions_compare_two_regions(deployed: RunningLab) -> None:
    databases = Databases(deployed)
    secret = json.loads(deployed.client("secretsmanager").get_secret_value(SecretId="dev/database")["SecretString"])
    place = databases.shown("dev-db", PRIMARY)["Endpoint"]

    def ask(region: str, action: str, **more: Any) -> Any:
        endpoint = databases.shown("dev-db", region)["Endpoint"]
        payload = {
            "action": action,
            "execution": "arn:a-test",
            "database": {"host": endpoint["Address"], "port": endpoint["Port"]},
            **more,
        }
        answer = deployed.client("lambda", region).invoke(FunctionName="dev-sql", Payload=json.dumps(payload).encode())
        told = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, told
        return told

    databases.control("break-replication", region=DR, identifier="dev-db")
    try:
        with (
            contextlib.closing(
                pymysql.connect(
                    host=place["Address"],
                    port=place["Port"],
                    user=secret["username"],
                    password=secret["password"],
                    ssl={"any": None},
                    autocommit=True,
                )
            ) as client,
            client.cursor() as cursor,
        ):
            cursor.execute("CREATE TABLE app.of_a_test (id INT PRIMARY KEY, name VARCHAR(20))")
            cursor.execute("INSERT INTO app.of_a_test VALUES (1, 'one'), (2, 'two')")
        executed = ask(DR, "position")["executed"]
        for _ in range(2):
            found = ask(PRIMARY, "compare", executed=executed, name="dev-db-retired-9")
        assert found["transactions"] >= 2
        assert (found["rows"], found["listed"], found["truncated"], found["detail"]) == (2, True, False, "")
        assert found["tables"] == {"app.of_a_test": {"inserted": 2, "updated": 0, "deleted": 0}}
        bucket = f"dev-evidence-{ACCOUNT}-{PRIMARY}"
        assert found["evidence"] == f"s3://{bucket}/divergence/dev-db-retired-9/a-test/missing.jsonl"
        s3 = deployed.client("s3", PRIMARY)
        kept = s3.get_object(Bucket=bucket, Key="divergence/dev-db-retired-9/a-test/missing.jsonl")["Body"].read()
        rows = [json.loads(line)["after"] for line in kept.splitlines() if b'"insert"' in line]
        assert rows == [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}]
        assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 2
    finally:
        databases.control("repair-replication", region=DR, identifier="dev-db")
