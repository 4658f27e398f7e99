from __future__ import annotations

from typing import Any

import pytest

from .templates import MAIN, ROOT, TEMPLATES, ids, resources

HOLD_DATA = (
    "AWS::RDS::DBInstance",
    "AWS::S3::Bucket",
    "AWS::DynamoDB::Table",
    "AWS::KMS::Key",
    "AWS::SecretsManager::Secret",
    "AWS::SQS::Queue",
)
# Copies of events: about executions that Step Functions remembers for 90 days, about parameters that are there, and
# about alarms that have a history.
HOLDS_NOTHING_OF_ITS_OWN = {
    ("template", "Undelivered"),
    ("template", "ParameterChanges"),
    ("template", "ParametersNotCarried"),
    ("decision", "NotStarted"),
}
HOLDERS = [found for found in resources(*HOLD_DATA) if found[:2] not in HOLDS_NOTHING_OF_ITS_OWN]


def test_there_is_something_to_keep() -> None:
    assert {resource["Type"] for _, _, resource in HOLDERS} == set(HOLD_DATA)


@pytest.mark.parametrize(("template", "name", "resource"), HOLDERS, ids=ids(HOLDERS))
def test_what_holds_data_is_retained(template: str, name: str, resource: Any) -> None:
    assert resource["DeletionPolicy"] == "Retain"
    assert resource["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("template", sorted({template for template, _, _ in HOLDERS} - {"template", "workload"}))
def test_the_stack_around_it_is_retained_too(template: str) -> None:
    """Or what the data lives in (subnets, groups, policies) would be deleted from under it."""
    (stack,) = [r for r in MAIN["Resources"].values() if r["Properties"].get("TemplateURL") == f"infra/{template}.yaml"]
    assert (stack["DeletionPolicy"], stack["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_the_network_stays_where_the_database_does() -> None:
    assert MAIN["Resources"]["Network"]["DeletionPolicy"] == "Retain"


def test_databases_and_tables_refuse_to_be_deleted() -> None:
    for _, _, resource in resources("AWS::RDS::DBInstance"):
        assert resource["Properties"]["DeletionProtection"] is True
        assert resource["Properties"]["DeleteAutomatedBackups"] is False
    for _, _, resource in resources("AWS::DynamoDB::Table"):
        assert resource["Properties"]["DeletionProtectionEnabled"] is True
        assert resource["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_buckets_keep_old_versions() -> None:
    for _, _, resource in resources("AWS::S3::Bucket"):
        assert resource["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}


@pytest.mark.parametrize(("template", "name", "resource"), HOLDERS, ids=ids(HOLDERS))
def test_what_is_retained_under_a_fixed_name_comes_and_goes_with_no_switch(
    template: str, name: str, resource: Any
) -> None:
    """Switched off it would stay, and switched on again be in its own way. A region's part never changes."""
    assert resource.get("Condition", "IsDr") in ("IsDr", "IsSource")


def test_no_evidence_expires() -> None:
    """What never crossed is nowhere else once the old database is removed."""
    bucket = TEMPLATES["storage"]["Resources"]["EvidenceBucket"]["Properties"]
    asked = {key for rule in bucket["LifecycleConfiguration"]["Rules"] for key in rule} - {"Id", "Status"}
    assert asked == {"AbortIncompleteMultipartUpload"}


def test_backups_are_on_at_the_replica_too() -> None:
    """A replica that was never backed up has to be before it can be promoted in peace."""
    assert TEMPLATES["database"]["Resources"]["Database"]["Properties"]["BackupRetentionPeriod"] == {
        "Ref": "BackupRetentionDays"
    }
    assert MAIN["Parameters"]["BackupRetentionDays"]["MinValue"] == 1


def test_a_failed_deployment_keeps_what_it_made() -> None:
    """What is retained under a fixed name would stand in the next attempt's way if a rollback left it behind."""
    import tomllib

    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    for name in ("dev-primary", "dev-dr"):
        assert config[name]["deploy"]["parameters"]["disable_rollback"] is True
