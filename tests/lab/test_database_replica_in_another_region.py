"""A cross-region replica has its source's rows and users, takes no writes, and is made only where RDS makes one."""

from __future__ import annotations

import time

import pymysql
import pytest

from tests.lab.databases import Databases
from tests.lab.running import DR, PRIMARY, RunningLab


@pytest.fixture(scope="module")
def pair(empty_lab: RunningLab) -> Databases:
    """An instance ``follows`` in the primary region, and its replica in DR."""
    databases = Databases(empty_lab)
    databases.pair("follows")
    return databases


def test_a_replica_follows_its_source_and_refuses_writes(pair: Databases) -> None:
    databases = pair
    databases.insert("follows", PRIMARY, 1, 50)

    databases.wait_for_rows("follows", DR, 50)
    replica, source = databases.shown("follows", DR), databases.shown("follows", PRIMARY)
    assert replica["ReadReplicaSourceDBInstanceIdentifier"] == source["DBInstanceArn"]
    assert source["ReadReplicaDBInstanceIdentifiers"] == [replica["DBInstanceArn"]]
    assert replica["StatusInfos"] == [{"StatusType": "read replication", "Normal": True, "Status": "replicating"}]
    assert replica["BackupRetentionPeriod"] == 7
    assert "StatusInfos" not in source
    with pytest.raises(pymysql.err.OperationalError, match="read-only"):
        databases.insert("follows", DR, 51, 51)


def test_what_is_written_while_a_replica_receives_nothing_crosses_later(pair: Databases) -> None:
    pair.insert("follows", PRIMARY, 101, 110)
    pair.wait_for_rows("follows", DR, 60)
    pair.control("hold-receiving", region=DR, identifier="follows")
    pair.insert("follows", PRIMARY, 111, 120)
    time.sleep(1)
    assert pair.count("follows", DR) == 60
    pair.control("resume-receiving", region=DR, identifier="follows")
    pair.wait_for_rows("follows", DR, 70)


def test_a_replica_takes_over_the_rows_and_users_that_were_there_before_it(lab: RunningLab) -> None:
    databases = Databases(lab)
    databases.create("seeded")
    databases.sql(
        "seeded",
        PRIMARY,
        "CREATE TABLE rows_of_a_test (id INT PRIMARY KEY)",
        "CREATE USER reader@'%' IDENTIFIED BY 'word'",
        "GRANT SELECT ON app.* TO reader@'%'",
    )
    databases.insert("seeded", PRIMARY, 1, 20)
    databases.replicate("seeded")

    databases.wait_for_rows("seeded", DR, 20)
    port = databases.shown("seeded", DR)["Endpoint"]["Port"]
    pymysql.connect(host="127.0.0.1", port=port, user="reader", password="word", database="app").close()


def test_the_master_user_sees_how_its_replica_stands_but_is_no_administrator(pair: Databases) -> None:
    databases = pair
    assert databases.sql("follows", DR, "SHOW REPLICA STATUS")
    for forbidden in ("STOP SLAVE", "SET GLOBAL read_only = 0", "SELECT 1 INTO OUTFILE '/tmp/file-of-a-test'"):
        with pytest.raises(pymysql.err.OperationalError, match="denied"):
            databases.sql("follows", DR, forbidden)


def test_a_source_without_backups_has_no_replicas(lab: RunningLab) -> None:
    databases = Databases(lab)
    source = databases.create("no-backups", BackupRetentionPeriod=0)

    with pytest.raises(databases.rds[DR].exceptions.InvalidDBInstanceStateFault, match="backups are not enabled"):
        databases.rds[DR].create_db_instance_read_replica(
            DBInstanceIdentifier="no-backups", SourceDBInstanceIdentifier=source["DBInstanceArn"]
        )


def test_an_encrypted_source_needs_a_key_of_the_replicas_region(lab: RunningLab) -> None:
    databases = Databases(lab)
    source = databases.create("encrypted", StorageEncrypted=True)
    order = {"DBInstanceIdentifier": "encrypted", "SourceDBInstanceIdentifier": source["DBInstanceArn"]}

    with pytest.raises(databases.rds[DR].exceptions.ClientError, match="KmsKeyId"):
        databases.rds[DR].create_db_instance_read_replica(**order)
    with databases.fast_forward():
        databases.rds[DR].create_db_instance_read_replica(**order, KmsKeyId="arn:aws:kms:eu-central-1:0:key/ours")
        assert databases.available("encrypted", DR)["StorageEncrypted"]


def test_a_source_in_another_region_is_named_by_its_arn(lab: RunningLab) -> None:
    databases = Databases(lab)
    databases.create("by-name")

    with pytest.raises(databases.rds[DR].exceptions.DBInstanceNotFoundFault):
        databases.rds[DR].create_db_instance_read_replica(
            DBInstanceIdentifier="by-name", SourceDBInstanceIdentifier="by-name"
        )


def test_a_replica_that_loses_its_source_says_so(lab: RunningLab, pair: Databases) -> None:
    databases = pair
    databases.control("break-replication", region=DR, identifier="follows")
    lab.wait_until(lambda: not databases.shown("follows", DR)["StatusInfos"][0]["Normal"])
    info = databases.shown("follows", DR)["StatusInfos"][0]
    assert (info["StatusType"], info["Status"]) == ("read replication", "error")
    lab.wait_until(lambda: -1 in _lags(lab, "follows"), 60, "a ReplicaLag of -1")

    databases.control("repair-replication", region=DR, identifier="follows")
    lab.wait_until(lambda: databases.shown("follows", DR)["StatusInfos"][0]["Normal"])


def _lags(lab: RunningLab, identifier: str) -> set[float]:
    answer = lab.client("cloudwatch", DR).get_metric_statistics(
        Namespace="AWS/RDS",
        MetricName="ReplicaLag",
        Dimensions=[{"Name": "DBInstanceIdentifier", "Value": identifier}],
        StartTime=time.time() - 3600,
        EndTime=time.time() + 60,
        Period=60,
        Statistics=["Minimum"],
    )
    return {point["Minimum"] for point in answer["Datapoints"]}
