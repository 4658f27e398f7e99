from __future__ import annotations

import datetime

import pytest

from lab.emulator.rds import wire


@pytest.mark.parametrize("item", ["member", "VpcSecurityGroupId"])
def test_a_request_is_read_with_its_types(item: str) -> None:
    request = wire.read(
        "ModifyDBInstance",
        {
            "Action": ["ModifyDBInstance"],
            "DBInstanceIdentifier": ["dev-db"],
            "BackupRetentionPeriod": ["7"],
            "ApplyImmediately": ["true"],
            f"VpcSecurityGroupIds.{item}.2": ["sg-2"],
            f"VpcSecurityGroupIds.{item}.1": ["sg-1"],
            "CloudwatchLogsExportConfiguration.EnableLogTypes.member.1": ["error"],
        },
    )
    assert request == {
        "DBInstanceIdentifier": "dev-db",
        "BackupRetentionPeriod": 7,
        "ApplyImmediately": True,
        "VpcSecurityGroupIds": ["sg-1", "sg-2"],
        "CloudwatchLogsExportConfiguration": {"EnableLogTypes": ["error"]},
    }


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(wire.ApiError, match="BackupRetentionPeriod"):
        wire.read("PromoteReadReplica", {"BackupRetentionPeriod": ["seven"]})


def test_an_instance_is_written_without_what_it_has_not_and_without_what_the_api_does_not_know() -> None:
    written = wire.element(
        "DBInstance",
        {
            "DBInstanceIdentifier": "a & b",
            "ReadReplicaSourceDBInstanceIdentifier": "",
            "MultiAZ": False,
            "InstanceCreateTime": datetime.datetime(2026, 11, 22, 20, 0, tzinfo=datetime.UTC),
            "TagList": [{"Key": "team", "Value": "blue"}],
            "StatusInfos": [{"StatusType": "read replication", "Normal": True}],
            "_pending": {"secret": "word"},
        },
    )
    assert "<DBInstanceIdentifier>a &amp; b</DBInstanceIdentifier>" in written
    assert "<MultiAZ>false</MultiAZ>" in written
    assert "<InstanceCreateTime>2026-11-22T20:00:00.000Z</InstanceCreateTime>" in written
    assert "<TagList><Tag><Key>team</Key><Value>blue</Value></Tag></TagList>" in written
    assert "<DBInstanceStatusInfo>" in written
    assert "ReadReplicaSource" not in written
    assert "word" not in written
