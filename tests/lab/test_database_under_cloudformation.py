"""AWS::RDS::DBInstance: waited for, replicated, promoted in place, kept when protected, never touched needlessly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.databases import PASSWORD, USER, Databases
from tests.lab.running import ACCOUNT, DR, PRIMARY, RunningLab

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = {
    "Engine": "mysql",
    "EngineVersion": "8.4.7",
    "DBInstanceClass": "db.t4g.micro",
    "AllocatedStorage": "20",
    "DBName": "app",
    "MasterUsername": USER,
    "MasterUserPassword": PASSWORD,
    "StorageEncrypted": True,
    "KmsKeyId": f"arn:aws:kms:{PRIMARY}:{ACCOUNT}:key/ours",
    "BackupRetentionPeriod": 7,
    "EnableCloudwatchLogsExports": ["error"],
    "Tags": [{"Key": "team", "Value": "blue"}],
}
REPLICA = {
    "DBInstanceClass": "db.t4g.micro",
    "SourceDBInstanceIdentifier": f"arn:aws:rds:{PRIMARY}:{ACCOUNT}:db:NAME",
    "SourceRegion": PRIMARY,
    "KmsKeyId": f"arn:aws:kms:{DR}:{ACCOUNT}:key/ours",
    "BackupRetentionPeriod": 5,
    "PreferredBackupWindow": "13:00-13:30",
    "DeletionProtection": True,
}


class Stacks:
    """A stack of the same name in each region, with one instance in it."""

    def __init__(self, lab: RunningLab, name: str) -> None:
        self.lab = lab
        self.name = name
        self.databases = Databases(lab)
        self._clients = {region: lab.client("cloudformation", region) for region in (PRIMARY, DR)}
        self._ids: dict[str, str] = {}

    def put(self, region: str, properties: dict[str, Any]) -> str:
        """Create or update the stack and return the status it ends in."""
        named = {"DBInstanceIdentifier": self.name, **properties}
        template = {
            "Resources": {"Database": {"Type": "AWS::RDS::DBInstance", "Properties": named}},
            "Outputs": {"Port": {"Value": {"Fn::GetAtt": ["Database", "Endpoint.Port"]}}},
        }
        client = self._clients[region]
        act = client.update_stack if region in self._ids else client.create_stack
        with self.databases.fast_forward():
            self._ids[region] = act(StackName=self.name, TemplateBody=json.dumps(template).replace("NAME", self.name))[
                "StackId"
            ]
            return self._settled(region)

    def delete(self, region: str) -> str:
        """Delete the stack and return the status it ends in."""
        with self.databases.fast_forward():
            self._clients[region].delete_stack(StackName=self.name)
            return self._settled(region)

    def output(self, region: str) -> str:
        """Return the port that the stack hands on."""
        stack = self._clients[region].describe_stacks(StackName=self.name)["Stacks"][0]
        port: str = stack["Outputs"][0]["OutputValue"]
        return port

    def reasons(self, region: str) -> str:
        """Return what the stack's events complain about."""
        events = self._clients[region].describe_stack_events(StackName=self._ids[region])["StackEvents"]
        return " ".join(event.get("ResourceStatusReason", "") for event in events)

    def _settled(self, region: str) -> str:
        def status() -> str:
            stacks = self._clients[region].describe_stacks(StackName=self._ids[region])["Stacks"]
            found: str = stacks[0]["StackStatus"]
            return "" if found.endswith("IN_PROGRESS") else found

        return self.lab.wait_until(status, 60)


@pytest.fixture(scope="module")
def stacks(empty_lab: RunningLab) -> Iterator[Stacks]:
    """For tests that leave a source and its replica behind."""
    yield from _made(Stacks(empty_lab, "stacked"))


@pytest.fixture
def own(request: pytest.FixtureRequest, lab: RunningLab) -> Iterator[Stacks]:
    """For tests that do not."""
    yield from _made(Stacks(lab, f"stacked-{abs(hash(request.node.name)) % 10**6}"))


def _made(stacks: Stacks) -> Iterator[Stacks]:
    assert stacks.put(PRIMARY, SOURCE) == "CREATE_COMPLETE"
    assert stacks.put(DR, REPLICA) == "CREATE_COMPLETE"
    yield stacks
    for region in (DR, PRIMARY):
        with stacks.databases.fast_forward():
            stacks.databases.available(stacks.name, region)
        stacks.databases.rds[region].modify_db_instance(DBInstanceIdentifier=stacks.name, DeletionProtection=False)
        assert stacks.delete(region) == "DELETE_COMPLETE", stacks.reasons(region)


def test_a_stack_makes_a_database_and_its_replica(stacks: Stacks) -> None:
    databases = stacks.databases
    source, replica = databases.shown(stacks.name, PRIMARY), databases.shown(stacks.name, DR)
    assert stacks.output(DR) == str(replica["Endpoint"]["Port"])
    assert source["EnabledCloudwatchLogsExports"] == ["error"]
    assert {"Key": "team", "Value": "blue"} in source["TagList"]
    assert replica["ReadReplicaSourceDBInstanceIdentifier"] == source["DBInstanceArn"]
    assert (replica["BackupRetentionPeriod"], replica["PreferredBackupWindow"]) == (5, "13:00-13:30")
    assert (replica["EngineVersion"], replica["DeletionProtection"]) == ("8.4.7", True)

    databases.sql(stacks.name, PRIMARY, "CREATE TABLE rows_of_a_test (id INT PRIMARY KEY)")
    databases.insert(stacks.name, PRIMARY, 1, 3)
    databases.lab.wait_until(lambda: databases.sql(stacks.name, DR, "SHOW TABLES"))
    databases.wait_for_rows(stacks.name, DR, 3)


def test_an_update_names_only_what_changed(stacks: Stacks) -> None:
    databases = stacks.databases
    # Set past CloudFormation: an update of something else leaves it alone.
    databases.rds[DR].modify_db_instance(DBInstanceIdentifier=stacks.name, PreferredBackupWindow="20:00-20:30")

    assert stacks.put(DR, REPLICA | {"AllocatedStorage": "40"}) == "UPDATE_COMPLETE"

    shown = databases.shown(stacks.name, DR)
    assert (shown["AllocatedStorage"], shown["PreferredBackupWindow"]) == (40, "20:00-20:30")


def test_a_source_that_is_taken_away_promotes_in_place(own: Stacks) -> None:
    alone = {key: value for key, value in REPLICA.items() if not key.startswith("Source")}
    # SourceRegion is create-only: it stays in the template, as on AWS.
    assert own.put(DR, alone | {"SourceRegion": PRIMARY}) == "UPDATE_COMPLETE"
    shown = own.databases.shown(own.name, DR)
    assert "ReadReplicaSourceDBInstanceIdentifier" not in shown
    assert shown["BackupRetentionPeriod"] == 5


def test_a_stack_does_not_notice_a_promotion_and_leaves_it_alone(own: Stacks) -> None:
    databases = own.databases
    databases.rds[DR].promote_read_replica(DBInstanceIdentifier=own.name, BackupRetentionPeriod=6)
    databases.promoted(own.name)

    assert own.put(DR, REPLICA | {"CopyTagsToSnapshot": True}) == "UPDATE_COMPLETE"

    shown = databases.shown(own.name, DR)
    assert (shown["BackupRetentionPeriod"], shown["CopyTagsToSnapshot"]) == (6, True)
    # And taking the source away now promotes what is no replica any more.
    alone = {key: value for key, value in REPLICA.items() if key != "SourceDBInstanceIdentifier"}
    assert own.put(DR, alone) == "UPDATE_ROLLBACK_COMPLETE"
    assert "not a read replica" in own.reasons(DR)


def test_another_source_would_need_another_instance(stacks: Stacks) -> None:
    other = f"arn:aws:rds:{PRIMARY}:{ACCOUNT}:db:other"
    assert stacks.put(DR, REPLICA | {"SourceDBInstanceIdentifier": other}) == "UPDATE_ROLLBACK_COMPLETE"
    assert "custom-named resource requires replacing" in stacks.reasons(DR)


def test_a_protected_database_outlives_the_deletion_of_its_stack(stacks: Stacks) -> None:
    assert stacks.delete(DR) == "DELETE_FAILED"
    assert "deletion protection" in stacks.reasons(DR)
    assert stacks.databases.shown(stacks.name, DR)["DBInstanceStatus"] == "available"
