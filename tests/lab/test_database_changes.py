"""ModifyDBInstance, parameter groups, deletion and snapshots do to a server what they do on RDS."""

from __future__ import annotations

from typing import Any

import pymysql
import pytest

from tests.lab.databases import PASSWORD, USER, Databases
from tests.lab.running import DR, PRIMARY, RunningLab


def _group(databases: Databases, name: str, **values: str) -> None:
    databases.rds[PRIMARY].create_db_parameter_group(
        DBParameterGroupName=name, DBParameterGroupFamily="mysql8.4", Description="of a test"
    )
    _set(databases, name, **values)


def _set(databases: Databases, name: str, method: str = "immediate", **values: str) -> None:
    databases.rds[PRIMARY].modify_db_parameter_group(
        DBParameterGroupName=name,
        Parameters=[
            {"ParameterName": parameter, "ParameterValue": value, "ApplyMethod": method}
            for parameter, value in values.items()
        ],
    )


def _applied(databases: Databases, identifier: str) -> None:
    def seen() -> bool:
        group = databases.shown(identifier, PRIMARY)["DBParameterGroups"][0]
        return bool(group["ParameterApplyStatus"] != "applying")

    databases.lab.wait_until(seen, 60, "parameters applied")


def _variable(databases: Databases, identifier: str, name: str) -> str:
    return str(databases.sql(identifier, PRIMARY, f"SELECT @@global.{name}")[0][0])


def test_a_parameter_group_decides_how_a_server_runs(lab: RunningLab) -> None:
    databases = Databases(lab)
    _group(databases, "tls-only", require_secure_transport="1", max_connections="60", innodb_adaptive_hash_index="0")
    databases.create("parameters", DBParameterGroupName="tls-only")

    assert _variable(databases, "parameters", "max_connections") == "60"
    with pytest.raises(pymysql.err.OperationalError):
        databases.connect("parameters", PRIMARY, ssl_ca=None, ssl_disabled=True)

    _set(databases, "tls-only", max_connections="70", read_only="1")
    _applied(databases, "parameters")
    assert _variable(databases, "parameters", "max_connections") == "70"
    with pytest.raises(pymysql.err.OperationalError, match="read-only"):
        databases.sql("parameters", PRIMARY, "CREATE TABLE frozen (id INT)")
    _set(databases, "tls-only", read_only="0", transaction_isolation="READ-COMMITTED")
    _applied(databases, "parameters")
    databases.sql("parameters", PRIMARY, "CREATE TABLE open_again (id INT)")


def test_a_static_parameter_waits_for_a_reboot(lab: RunningLab) -> None:
    databases = Databases(lab)
    _group(databases, "static", max_connections="60")
    databases.create("reboots", DBParameterGroupName="static")

    with pytest.raises(databases.rds[PRIMARY].exceptions.ClientError, match="static parameter"):
        _set(databases, "static", replica_parallel_workers="2")
    _set(databases, "static", "pending-reboot", replica_parallel_workers="2")
    group = databases.shown("reboots", PRIMARY)["DBParameterGroups"][0]
    assert group == {"DBParameterGroupName": "static", "ParameterApplyStatus": "pending-reboot"}
    assert _variable(databases, "reboots", "slave_parallel_threads") == "0"

    with databases.fast_forward():
        databases.rds[PRIMARY].reboot_db_instance(DBInstanceIdentifier="reboots")
        group = databases.available("reboots", PRIMARY)["DBParameterGroups"][0]
    assert group["ParameterApplyStatus"] == "in-sync"
    assert _variable(databases, "reboots", "slave_parallel_threads") == "2"


def test_a_change_without_apply_immediately_stays_pending(lab: RunningLab) -> None:
    databases = Databases(lab)
    databases.create("pending")

    databases.rds[PRIMARY].modify_db_instance(DBInstanceIdentifier="pending", AllocatedStorage=40)
    databases.rds[PRIMARY].modify_db_instance(DBInstanceIdentifier="pending", DeletionProtection=True)
    shown = databases.shown("pending", PRIMARY)
    assert shown["AllocatedStorage"] == 20
    assert shown["DeletionProtection"], "protection needs no window"
    assert shown["PendingModifiedValues"] == {"AllocatedStorage": 40}


def test_a_renamed_source_leaves_its_old_address_and_keeps_its_replica(lab: RunningLab) -> None:
    databases = Databases(lab)
    databases.pair("old-name")
    old = databases.shown("old-name", PRIMARY)["Endpoint"]
    with databases.fast_forward():
        databases.rds[PRIMARY].modify_db_instance(
            DBInstanceIdentifier="old-name", NewDBInstanceIdentifier="new-name", ApplyImmediately=True
        )
        lab.wait_until(lambda: "new-name" in _names(databases.rds[PRIMARY]))
        new = databases.available("new-name", PRIMARY)

    assert "old-name" not in _names(databases.rds[PRIMARY])
    with pytest.raises(pymysql.err.OperationalError):
        pymysql.connect(host=old["Address"], port=old["Port"], user=USER, password=PASSWORD)
    databases.insert("new-name", PRIMARY, 1, 5)
    databases.wait_for_rows("old-name", DR, 5)
    assert databases.shown("old-name", DR)["ReadReplicaSourceDBInstanceIdentifier"] == new["DBInstanceArn"]


def test_a_protected_instance_is_not_deleted(lab: RunningLab) -> None:
    databases = Databases(lab)
    databases.create("protected", DeletionProtection=True)
    rds = databases.rds[PRIMARY]

    with pytest.raises(rds.exceptions.ClientError, match="deletion protection"):
        rds.delete_db_instance(DBInstanceIdentifier="protected", SkipFinalSnapshot=True)
    rds.modify_db_instance(DBInstanceIdentifier="protected", DeletionProtection=False)
    with pytest.raises(rds.exceptions.ClientError, match="FinalDBSnapshotIdentifier"):
        rds.delete_db_instance(DBInstanceIdentifier="protected")
    with databases.fast_forward():
        rds.delete_db_instance(DBInstanceIdentifier="protected", SkipFinalSnapshot=True)
        lab.wait_until(lambda: "protected" not in _names(rds))


def test_a_replica_whose_source_is_deleted_promotes_itself(lab: RunningLab) -> None:
    databases = Databases(lab)
    databases.pair("orphaned")
    databases.insert("orphaned", PRIMARY, 1, 5)
    databases.wait_for_rows("orphaned", DR, 5)
    with databases.fast_forward():
        databases.rds[PRIMARY].delete_db_instance(DBInstanceIdentifier="orphaned", SkipFinalSnapshot=True)
        databases.promoted("orphaned")
        databases.available("orphaned", DR)
    databases.insert("orphaned", DR, 6, 6)


def test_a_snapshot_is_copied_to_another_region_and_restored_there(lab: RunningLab) -> None:
    databases = Databases(lab)
    databases.create("pictured", DeletionProtection=False, BackupRetentionPeriod=3)
    databases.sql("pictured", PRIMARY, "CREATE TABLE rows_of_a_test (id INT PRIMARY KEY)")
    databases.insert("pictured", PRIMARY, 1, 10)
    with databases.fast_forward():
        databases.rds[PRIMARY].delete_db_instance(
            DBInstanceIdentifier="pictured", FinalDBSnapshotIdentifier="pictured-final"
        )
        lab.wait_until(lambda: "pictured" not in _names(databases.rds[PRIMARY]))
        source = _snapshot(databases, PRIMARY, "pictured-final")["DBSnapshotArn"]
        databases.rds[DR].copy_db_snapshot(
            SourceDBSnapshotIdentifier=source, TargetDBSnapshotIdentifier="pictured-copy"
        )
        lab.wait_until(lambda: _snapshot(databases, DR, "pictured-copy")["Status"] == "available")
        databases.rds[DR].restore_db_instance_from_db_snapshot(
            DBInstanceIdentifier="pictured", DBSnapshotIdentifier="pictured-copy"
        )
        restored = databases.available("pictured", DR)

    assert (restored["BackupRetentionPeriod"], restored["DeletionProtection"]) == (3, False)
    assert databases.count("pictured", DR) == 10
    databases.insert("pictured", DR, 11, 12)
    copy = _snapshot(databases, DR, "pictured-copy")
    assert (copy["PercentProgress"], copy["SourceRegion"]) == (100, PRIMARY)


def _snapshot(databases: Databases, region: str, name: str) -> Any:
    return databases.rds[region].describe_db_snapshots(DBSnapshotIdentifier=name)["DBSnapshots"][0]


def _names(rds: Any) -> list[str]:
    return [instance["DBInstanceIdentifier"] for instance in rds.describe_db_instances()["DBInstances"]]
