"""Two regions with what their stacks would have made, in moto."""

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from functions.pair import app

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = "123456789012"
PRIMARY = app.Side(
    "eu-west-1", f"dev-app-{ACCOUNT}-eu-west-1", f"arn:aws:iam::{ACCOUNT}:role/dev-replication-eu-west-1"
)
DR = app.Side(
    "eu-central-1", f"dev-app-{ACCOUNT}-eu-central-1", f"arn:aws:iam::{ACCOUNT}:role/dev-replication-eu-central-1"
)


def settings(region: str) -> app.Settings:
    table = "dev-dr-state" if region == DR.region else ""
    return app.Settings("dev", region, ACCOUNT, PRIMARY, DR, table)


def environment(region: str) -> dict[str, str]:
    return {
        "ENVIRONMENT": "dev",
        "AWS_REGION": region,
        "ACCOUNT": ACCOUNT,
        "PRIMARY_REGION": PRIMARY.region,
        "PRIMARY_BUCKET": PRIMARY.bucket,
        "PRIMARY_REPLICATION_ROLE": PRIMARY.role,
        "DR_REGION": DR.region,
        "DR_BUCKET": DR.bucket,
        "DR_REPLICATION_ROLE": DR.role,
        "STATE_TABLE": "dev-dr-state" if region == DR.region else "",
    }


class Replication:
    """S3 as moto has it, with replication as S3 has it: moto forgets filters and most of a rule."""

    # Named as boto3 names them.
    # ruff: noqa: N803

    def __init__(self, client: Any, kept: dict[str, Any]) -> None:
        self._client = client
        self._kept = kept

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_bucket_replication(self, Bucket: str, ExpectedBucketOwner: str) -> Any:
        self._client.head_bucket(Bucket=Bucket, ExpectedBucketOwner=ExpectedBucketOwner)
        if Bucket not in self._kept:
            raise ClientError({"Error": {"Code": "ReplicationConfigurationNotFoundError"}}, "GetBucketReplication")
        return {"ReplicationConfiguration": copy.deepcopy(self._kept[Bucket])}

    def put_bucket_replication(self, Bucket: str, ReplicationConfiguration: Any, ExpectedBucketOwner: str) -> None:
        # moto checks what it is given; what it keeps is not looked at.
        self._client.put_bucket_replication(
            Bucket=Bucket, ReplicationConfiguration=ReplicationConfiguration, ExpectedBucketOwner=ExpectedBucketOwner
        )
        self._kept[Bucket] = copy.deepcopy(ReplicationConfiguration)


class Regions:
    """What a deployment makes before it pairs."""

    def deploy(self, side: app.Side) -> None:
        s3 = boto3.client("s3", region_name=side.region)
        s3.create_bucket(Bucket=side.bucket, CreateBucketConfiguration={"LocationConstraint": side.region})  # type: ignore[typeddict-item]
        s3.put_bucket_versioning(Bucket=side.bucket, VersioningConfiguration={"Status": "Enabled"})
        kms = boto3.client("kms", region_name=side.region)
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName="alias/dev-pilotlight", TargetKeyId=key)
        if side == DR:
            boto3.client("dynamodb", region_name=side.region).create_table(
                TableName="dev-dr-state",
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                BillingMode="PAY_PER_REQUEST",
            )

    def __init__(self) -> None:
        self.replication: dict[str, Any] = {}

    def rules(self, side: app.Side) -> list[Any]:
        return list(self.replication.get(side.bucket, {}).get("Rules", []))

    def key(self, side: app.Side) -> str:
        kms = boto3.client("kms", region_name=side.region)
        return kms.describe_key(KeyId="alias/dev-pilotlight")["KeyMetadata"]["Arn"]

    def state(self) -> Any:
        table = boto3.resource("dynamodb", region_name=DR.region).Table("dev-dr-state")
        return table.get_item(Key={"id": "switch"}).get("Item")


@pytest.fixture
def regions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Regions]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    made = Regions()
    reach = app._client

    def client(service: str, region: str, *patience: Any) -> Any:
        found = reach(service, region, *patience)
        return Replication(found, made.replication) if service == "s3" else found

    monkeypatch.setattr(app, "_client", client)
    with mock_aws():
        yield made
