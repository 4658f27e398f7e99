from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from functions.pair import app

from .conftest import ACCOUNT, DR, PRIMARY, settings

if TYPE_CHECKING:
    from .conftest import Regions


def test_the_first_region_waits_and_says_so(regions: Regions) -> None:
    regions.deploy(PRIMARY)
    assert app.pair(settings(PRIMARY.region)) == {
        "Pairing": "waiting for the other region",
        "Detail": "eu-central-1 is not deployed yet",
    }
    assert regions.rules(PRIMARY) == []


@pytest.mark.parametrize("order", list(itertools.permutations([PRIMARY, DR])), ids=lambda order: order[0].region)
def test_the_second_region_puts_the_rules_on_both_buckets(regions: Regions, order: tuple[app.Side, app.Side]) -> None:
    for side in order:
        regions.deploy(side)
        answer = app.pair(settings(side.region))
    assert answer["Pairing"] == "paired"
    for source, destination in ((PRIMARY, DR), (DR, PRIMARY)):
        (rule,) = regions.rules(source)
        assert rule["Destination"]["Bucket"] == f"arn:aws:s3:::{destination.bucket}"
        assert rule["Destination"]["EncryptionConfiguration"]["ReplicaKmsKeyID"] == regions.key(destination)
        assert rule["DeleteMarkerReplication"]["Status"] == "Enabled"


def test_pairing_again_changes_nothing(regions: Regions) -> None:
    for side in (PRIMARY, DR):
        regions.deploy(side)
        app.pair(settings(side.region))
    before = regions.rules(PRIMARY), regions.rules(DR)
    assert app.pair(settings(DR.region)) == {"Pairing": "paired", "Detail": "0 of 2 buckets were given a new rule"}
    assert (regions.rules(PRIMARY), regions.rules(DR)) == before


def test_a_rule_of_somebody_else_stays(regions: Regions) -> None:
    regions.deploy(PRIMARY)
    regions.deploy(DR)
    theirs = {
        "ID": "archive",
        "Priority": 1,
        "Status": "Enabled",
        "Filter": {"Prefix": "old/"},
        "DeleteMarkerReplication": {"Status": "Disabled"},
        "Destination": {"Bucket": "arn:aws:s3:::somebodys-archive"},
    }
    s3 = boto3.client("s3", region_name="eu-west-1")
    s3.create_bucket(Bucket="somebodys-archive", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_versioning(Bucket="somebodys-archive", VersioningConfiguration={"Status": "Enabled"})
    role = f"arn:aws:iam::{ACCOUNT}:role/archive"
    regions.replication[PRIMARY.bucket] = {"Role": role, "Rules": [theirs]}
    app.pair(settings(DR.region))
    kept, added = regions.rules(PRIMARY)
    assert kept == theirs
    assert added["ID"] == "pilotlight"
    assert added["Priority"] != kept["Priority"]
    # The bucket has one role for all of them.
    assert regions.replication[PRIMARY.bucket]["Role"] == role


def test_a_bucket_of_our_own_that_cannot_be_paired_is_an_error(regions: Regions) -> None:
    regions.deploy(DR)
    with pytest.raises(ClientError):
        app.pair(settings(PRIMARY.region))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectTimeoutError(endpoint_url="https://s3"), "does not answer (ConnectTimeoutError)"),
        (
            ClientError({"Error": {"Code": "ServiceUnavailable"}, "ResponseMetadata": {"HTTPStatusCode": 503}}, "Get"),  # type: ignore[typeddict-item]
            "does not answer (ServiceUnavailable)",
        ),
    ],
)
def test_a_lost_region_is_waited_for_as_well(
    regions: Regions, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    regions.deploy(DR)
    reach = app._client

    def lost(service: str, region: str) -> Any:
        if region == PRIMARY.region:
            raise error
        return reach(service, region)

    monkeypatch.setattr(app, "_client", lost)
    assert app.pair(settings(DR.region)) == {
        "Pairing": "waiting for the other region",
        "Detail": f"eu-west-1 {said}",
    }


def test_a_region_that_refuses_us_is_an_error_and_no_reason_to_wait(
    regions: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    regions.deploy(DR)
    reach = app._client

    def refusing(service: str, region: str) -> Any:
        if region == PRIMARY.region:
            raise ClientError(
                {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}},  # type: ignore[typeddict-item]
                "GetBucketVersioning",
            )
        return reach(service, region)

    monkeypatch.setattr(app, "_client", refusing)
    with pytest.raises(ClientError, match="AccessDenied"):
        app.pair(settings(DR.region))
