"""The adapter against an S3 of moto's: pages, deletions, figures."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from pilotlight.aws import notes, objects
from pilotlight.aws.record import Store
from pilotlight.model import Record
from tests.unit.core.conftest import Context, load

NAME = "dev-app-123456789012-eu-west-1"
OTHER = "dev-app-123456789012-eu-central-1"


@pytest.fixture
def s3(aws: Any) -> Any:
    client = aws("s3", "eu-west-1")
    for name, region in ((NAME, "eu-west-1"), (OTHER, "eu-central-1")):
        aws("s3", region).create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return client


def test_keys_come_in_order_with_all_their_versions_over_pages(s3: Any) -> None:
    for number in range(340):
        for _ in range(3):
            s3.put_object(Bucket=NAME, Key=f"key/{number:04}", Body=b"x")
    s3.delete_object(Bucket=NAME, Key="key/0100")
    found = dict(objects.by_key(NAME, "", s3))
    assert list(found) == [f"key/{number:04}" for number in range(340)]
    assert {key: len(versions) for key, versions in found.items() if len(versions) != 3} == {"key/0100": 4}
    marker = found["key/0100"][0]
    assert (marker.marker, marker.latest) == (True, True)
    assert [one.latest for one in found["key/0200"]] == [True, False, False]
    assert next(iter(objects.by_key(NAME, "key/0299", s3)))[0] == "key/0300"


def test_what_a_key_is_now(s3: Any) -> None:
    version = s3.put_object(Bucket=NAME, Key="a", Body=b"x", Tagging="team=a%3Db%20c")["VersionId"]
    assert objects.current(NAME, "a", s3) == version
    assert objects.current(NAME, "nothing", s3) is None
    assert objects.tags(NAME, "a", version, s3) == {"team": "a=b c"}
    assert objects.status(NAME, "a", version, s3) == ""
    s3.delete_object(Bucket=NAME, Key="a")
    assert objects.current(NAME, "a", s3) == ""


def test_a_copy_keeps_metadata_and_has_the_tags_it_is_given(s3: Any, aws: Any) -> None:
    version = s3.put_object(
        Bucket=NAME, Key="ä b/c", Body=b"x", ContentType="text/x", Metadata={"author": "anna"}, Tagging="team=a"
    )["VersionId"]
    other = aws("s3")
    made = objects.copy(NAME, OTHER, "ä b/c", version, {"team": "a", "from": "v=1 2"}, other)
    there = other.get_object(Bucket=OTHER, Key="ä b/c")
    assert (there["VersionId"], there["ContentType"], there["Metadata"]) == (made, "text/x", {"author": "anna"})
    assert objects.tags(OTHER, "ä b/c", str(made), other) == {"team": "a", "from": "v=1 2"}


def test_the_newest_figures_are_read_and_what_failed_is_added_up(aws: Any) -> None:
    cloudwatch = aws("cloudwatch", "eu-west-1")
    now = dt.datetime.now(dt.UTC).replace(second=30, microsecond=0)
    dimensions = [
        {"Name": "SourceBucket", "Value": NAME},
        {"Name": "DestinationBucket", "Value": OTHER},
        {"Name": "RuleId", "Value": "pilotlight"},
    ]
    for minutes, pending, failed in ((20, 9, 1), (10, 5, 0), (3, 7, 2)):
        cloudwatch.put_metric_data(
            Namespace="AWS/S3",
            MetricData=[
                {"MetricName": name, "Dimensions": dimensions, "Value": value,
                 "Timestamp": now - dt.timedelta(minutes=minutes)}
                for name, value in (("OperationsPendingReplication", pending), ("OperationsFailedReplication", failed))
            ],
        )  # fmt: skip
    points, failures = objects.figures(NAME, OTHER, now - dt.timedelta(hours=1), now, cloudwatch)
    assert points["OperationsPendingReplication"][1] == 7
    assert "BytesPendingReplication" not in points
    assert failures == 3


def test_dr_notes_what_the_active_region_says(aws: Any, state_table: str) -> None:
    assert Store(state_table, "eu-west-1").replace(
        Record(active_region="eu-west-1"), Record(active_region="eu-west-1", epoch=1)
    )
    seen = load("objects").handler({"action": "watch"}, Context())
    assert notes.read(state_table, "objects") == seen
    assert seen["region"] == "eu-west-1"
    metrics = aws("cloudwatch").list_metrics(Namespace="PilotLight")["Metrics"]
    assert {"ObjectsSeenAge", "ObjectsPendingBytes"} <= {metric["MetricName"] for metric in metrics}
