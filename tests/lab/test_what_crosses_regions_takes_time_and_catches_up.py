"""S3 objects and secrets reach the other region after a while, and what an outage held back arrives afterwards."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.lab.functions import ROLE
from tests.lab.running import DR, PRIMARY

if TYPE_CHECKING:
    from tests.lab.running import RunningLab

BUCKETS = {PRIMARY: "two-way-primary", DR: "two-way-dr"}


@pytest.fixture(scope="module")
def buckets(empty_lab: RunningLab) -> dict[str, Any]:
    clients = {region: empty_lab.client("s3", region) for region in BUCKETS}
    for region, name in BUCKETS.items():
        clients[region].create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
        clients[region].put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    for region, other in ((PRIMARY, DR), (DR, PRIMARY)):
        rule = {
            "ID": "all",
            "Status": "Enabled",
            "Priority": 1,
            "Filter": {"Prefix": ""},
            "DeleteMarkerReplication": {"Status": "Enabled"},
            "Destination": {
                "Bucket": f"arn:aws:s3:::{BUCKETS[other]}",
                "Metrics": {"Status": "Enabled", "EventThreshold": {"Minutes": 15}},
                "ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 15}},
            },
        }
        clients[region].put_bucket_replication(
            Bucket=BUCKETS[region], ReplicationConfiguration={"Role": ROLE, "Rules": [rule]}
        )
    return clients


def _head(client: Any, bucket: str, key: str) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = client.head_object(Bucket=bucket, Key=key)
    except ClientError:
        return {}
    return answer


def test_an_object_is_replicated_with_its_version_and_its_delete_marker(
    lab: RunningLab, buckets: dict[str, Any]
) -> None:
    lab.control("objects", "hold", prefix="a")
    version = buckets[PRIMARY].put_object(Bucket=BUCKETS[PRIMARY], Key="a", Body=b"1")["VersionId"]
    assert _head(buckets[PRIMARY], BUCKETS[PRIMARY], "a")["ReplicationStatus"] == "PENDING"
    assert not _head(buckets[DR], BUCKETS[DR], "a")
    lab.control("objects", "allow", prefix="a")

    replica = lab.wait_until(lambda: _head(buckets[DR], BUCKETS[DR], "a"))
    assert (replica["VersionId"], replica["ReplicationStatus"]) == (version, "REPLICA")
    lab.wait_until(lambda: _head(buckets[PRIMARY], BUCKETS[PRIMARY], "a")["ReplicationStatus"] == "COMPLETED")

    buckets[PRIMARY].delete_object(Bucket=BUCKETS[PRIMARY], Key="a")
    lab.wait_until(lambda: not _head(buckets[DR], BUCKETS[DR], "a"))


def test_what_was_written_during_an_outage_arrives_after_it(lab: RunningLab, buckets: dict[str, Any]) -> None:
    lab.lose(PRIMARY)
    buckets[DR].put_object(Bucket=BUCKETS[DR], Key="during", Body=b"2")
    buckets[DR].put_object(Bucket=BUCKETS[DR], Key="during", Body=b"3")
    lab.clock_passes(10)
    assert _head(buckets[DR], BUCKETS[DR], "during")["ReplicationStatus"] == "PENDING"

    lab.bring_back(PRIMARY)

    lab.wait_until(lambda: _head(buckets[DR], BUCKETS[DR], "during")["ReplicationStatus"] == "COMPLETED")
    assert buckets[PRIMARY].get_object(Bucket=BUCKETS[PRIMARY], Key="during")["Body"].read() == b"3"


def test_s3_says_what_is_pending_and_what_it_gave_up(lab: RunningLab, buckets: dict[str, Any]) -> None:
    lab.control("objects", "hold", prefix="slow/")
    lab.control("objects", "refuse", prefix="never/")
    for key in ("slow/1", "slow/2", "never/1"):
        buckets[PRIMARY].put_object(Bucket=BUCKETS[PRIMARY], Key=key, Body=b"12345")
    figures = {"SourceBucket": BUCKETS[PRIMARY], "DestinationBucket": BUCKETS[DR], "RuleId": "all"}

    def most(metric: str) -> float:
        answer = lab.client("cloudwatch", PRIMARY).get_metric_statistics(
            Namespace="AWS/S3",
            MetricName=metric,
            Dimensions=[{"Name": name, "Value": value} for name, value in figures.items()],
            StartTime=dt.datetime.now(dt.UTC) - dt.timedelta(hours=1),
            EndTime=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1),
            Period=3600,
            Statistics=["Maximum"],
        )
        return max((float(point["Maximum"]) for point in answer["Datapoints"]), default=0.0)

    lab.wait_until(lambda: most("OperationsPendingReplication") == 2)
    assert most("BytesPendingReplication") == 10
    lab.wait_until(lambda: most("OperationsFailedReplication") == 1)
    lab.wait_until(lambda: most("ReplicationLatency") > 0)
    assert _head(buckets[PRIMARY], BUCKETS[PRIMARY], "never/1")["ReplicationStatus"] == "FAILED"
    lab.control("objects", "allow", prefix="never/")
    lab.control("objects", "allow", prefix="slow/")
    lab.wait_until(lambda: _head(buckets[DR], BUCKETS[DR], "slow/2"))
    assert not _head(buckets[DR], BUCKETS[DR], "never/1")


def test_a_copy_that_may_write_over_nothing_does_not(buckets: dict[str, Any]) -> None:
    name = BUCKETS[PRIMARY]
    for key in ("from", "to"):
        buckets[PRIMARY].put_object(Bucket=name, Key=key, Body=key.encode())
    source = {"Bucket": name, "Key": "from"}
    with pytest.raises(ClientError, match="PreconditionFailed"):
        buckets[PRIMARY].copy_object(Bucket=name, Key="to", CopySource=source, IfNoneMatch="*")
    assert buckets[PRIMARY].get_object(Bucket=name, Key="to")["Body"].read() == b"to"
    buckets[PRIMARY].copy_object(Bucket=name, Key="new", CopySource=source, IfNoneMatch="*")


def test_a_replica_secret_follows_and_catches_up(lab: RunningLab) -> None:
    template = {
        "Resources": {
            "Secret": {
                "Type": "AWS::SecretsManager::Secret",
                "Properties": {
                    "Name": "crossing/database",
                    "GenerateSecretString": {
                        "SecretStringTemplate": '{"username": "admin"}',
                        "GenerateStringKey": "password",
                        "PasswordLength": 40,
                        "ExcludePunctuation": True,
                    },
                    "ReplicaRegions": [{"Region": DR}],
                },
            }
        }
    }
    stacks = lab.client("cloudformation", PRIMARY)
    stacks.create_stack(StackName="crossing", TemplateBody=json.dumps(template))
    stacks.get_waiter("stack_create_complete").wait(StackName="crossing", WaiterConfig={"Delay": 0.2})
    source, replica = lab.client("secretsmanager", PRIMARY), lab.client("secretsmanager", DR)

    def copied() -> str:
        try:
            return str(replica.get_secret_value(SecretId="crossing/database")["SecretString"])
        except replica.exceptions.ResourceNotFoundException:
            return ""

    generated = json.loads(lab.wait_until(copied))
    assert (generated["username"], len(generated["password"])) == ("admin", 40)
    assert generated["password"].isalnum()
    assert copied() == source.get_secret_value(SecretId="crossing/database")["SecretString"]

    source.put_secret_value(SecretId="crossing/database", SecretString='{"password": "2"}')
    lab.wait_until(lambda: copied() == '{"password": "2"}')

    source.put_secret_value(SecretId="crossing/database", SecretString='{"password": "3"}')
    lab.lose(PRIMARY)
    lab.clock_passes(10)
    lab.bring_back(PRIMARY)
    lab.wait_until(lambda: copied() == '{"password": "3"}')


def test_a_key_alias_of_the_same_name_is_each_regions_own(lab: RunningLab) -> None:
    keys = {}
    for region in (PRIMARY, DR):
        client = lab.client("kms", region)
        keys[region] = client.create_key()["KeyMetadata"]["KeyId"]
        client.create_alias(AliasName="alias/crossing", TargetKeyId=keys[region])

    for region, key in keys.items():
        described = lab.client("kms", region).describe_key(KeyId="alias/crossing")["KeyMetadata"]
        assert (described["KeyId"], described["Arn"].split(":")[3]) == (key, region)
