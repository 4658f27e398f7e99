from __future__ import annotations

from typing import Any

import pytest

from .templates import TEMPLATES, ids, resources

KEYS = ({"Ref": "KeyArn"}, {"Fn::GetAtt": ["Encryption", "Outputs.KeyArn"]})


def test_the_key_is_rotated() -> None:
    for _, _, key in resources("AWS::KMS::Key"):
        assert key["Properties"]["EnableKeyRotation"] is True
        assert "MultiRegion" not in key["Properties"]


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("AWS::RDS::DBInstance", "KmsKeyId"),
        ("AWS::SecretsManager::Secret", "KmsKeyId"),
        ("AWS::Logs::LogGroup", "KmsKeyId"),
        ("AWS::SNS::Topic", "KmsMasterKeyId"),
        ("AWS::SQS::Queue", "KmsMasterKeyId"),
    ],
)
def test_with_the_regions_own_key(kind: str, where: str) -> None:
    found = resources(kind)
    assert found
    for template, name, resource in found:
        assert resource["Properties"][where] in KEYS, f"{template}: {name}"


def test_tables_with_the_regions_own_key() -> None:
    for _, _, table in resources("AWS::DynamoDB::Table"):
        sse = table["Properties"]["SSESpecification"]
        assert (sse["SSEEnabled"], sse["SSEType"]) == (True, "KMS")
        assert sse["KMSMasterKeyId"] in KEYS


def test_the_source_is_encrypted_so_its_replica_is() -> None:
    database = TEMPLATES["database"]["Resources"]["Database"]["Properties"]
    assert database["StorageEncrypted"]["Fn::If"][:2] == ["IsSource", True]


BUCKETS = resources("AWS::S3::Bucket")


@pytest.mark.parametrize(("template", "name", "bucket"), BUCKETS, ids=ids(BUCKETS))
def test_buckets_are_closed_and_encrypted(template: str, name: str, bucket: Any) -> None:
    properties = bucket["Properties"]
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    # A load balancer can deliver its logs to no bucket with a key of ours.
    wanted = "AES256" if name == "LogBucket" else "aws:kms"
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == wanted
    (policy,) = [
        found["Properties"]["PolicyDocument"]
        for found in TEMPLATES[template]["Resources"].values()
        if found["Type"] == "AWS::S3::BucketPolicy" and found["Properties"]["Bucket"] == {"Ref": name}
    ]
    denied = [s for s in policy["Statement"] if s["Effect"] == "Deny"]
    assert [s["Condition"] for s in denied] == [{"Bool": {"aws:SecureTransport": False}}]


def test_disks_are_encrypted() -> None:
    (disk,) = TEMPLATES["compute"]["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"][
        "BlockDeviceMappings"
    ]
    assert disk["Ebs"]["Encrypted"] is True
    assert disk["Ebs"]["KmsKeyId"] in KEYS


def test_the_database_speaks_tls_only() -> None:
    parameters = TEMPLATES["database"]["Resources"]["ParameterGroup"]["Properties"]["Parameters"]
    assert parameters["require_secure_transport"] == "1"
