from __future__ import annotations

from typing import Any

import pytest

from .templates import TEMPLATES, ids, many, references, resources

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


# --- Who writes into what is encrypted. A refusal by the key is told to nobody: the event is lost.

KEY_POLICY = {
    statement["Sid"]: statement
    for _, _, key in resources("AWS::KMS::Key")
    for statement in key["Properties"]["KeyPolicy"]["Statement"]
}
RULES = resources("AWS::Events::Rule")
TARGETS = [
    pytest.param(template, target, id=f"{template}-{name}-{target['Id']}")
    for template, name, rule in RULES
    for target in rule["Properties"]["Targets"]
]
TOPICS = {name for _, name, _ in resources("AWS::SNS::Topic")} | {"TopicArn", "AlarmsTopicArn"}


@pytest.mark.parametrize(("template", "target"), TARGETS)
def test_no_rule_writes_into_an_encrypted_topic(template: str, target: Any) -> None:
    """Of these AWS says that EventBridge supports no condition on the source in the key's policy."""
    assert not references(target["Arn"]) & TOPICS
    assert "sns" not in str(target["Arn"]).lower()


def test_the_key_lets_rules_reach_queues_whatever_they_say_of_their_source() -> None:
    named = [one for one in KEY_POLICY.values() if "events.amazonaws.com" in many(one["Principal"].get("Service", []))]
    assert [one["Sid"] for one in named] == ["EventsReachQueues"]
    assert "Condition" not in named[0]
    assert set(named[0]["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}


def test_whoever_else_uses_the_key_is_held_to_the_account() -> None:
    account = ("AWS::AccountId", "kms:CallerAccount")
    for name, statement in KEY_POLICY.items():
        if name not in ("IamPoliciesDecide", "EventsReachQueues"):
            assert any(word in str(statement["Condition"]) for word in account), name


QUEUE_POLICIES = resources("AWS::SQS::QueuePolicy")


@pytest.mark.parametrize(("template", "name", "policy"), QUEUE_POLICIES, ids=ids(QUEUE_POLICIES))
def test_a_queue_takes_from_our_own_rules_alone(template: str, name: str, policy: Any) -> None:
    """What the key does not ask is asked here."""
    for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
        if statement["Effect"] == "Allow":
            (held,) = statement["Condition"].values()
            assert set(held) == {"aws:SourceArn"}
