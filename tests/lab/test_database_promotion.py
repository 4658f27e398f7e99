"""A promotion passes through AWS's states, is refused where AWS refuses it, and forgets what was not applied."""

from __future__ import annotations

import pymysql
import pytest

from tests.lab.databases import Databases
from tests.lab.running import DR, PRIMARY, RunningLab


def test_a_promotion_is_not_over_when_the_status_says_available(lab: RunningLab) -> None:
    databases = Databases(lab)
    databases.pair("states")
    # Slow enough that each state is seen.
    lab.set_scale(20)

    answer = databases.rds[DR].promote_read_replica(DBInstanceIdentifier="states", BackupRetentionPeriod=5)
    # The first one lasts no longer than AWS's own status lags behind: the call's answer has it.
    seen = [answer["DBInstance"]["DBInstanceStatus"]]

    def over() -> bool:
        shown = databases.shown("states", DR)
        if seen[-1:] != [shown["DBInstanceStatus"]]:
            seen.append(shown["DBInstanceStatus"])
        promoted = "ReadReplicaSourceDBInstanceIdentifier" not in shown
        # Until then, everything that could be mistaken for the end contradicts it.
        assert promoted or (shown["StatusInfos"] and shown["PendingModifiedValues"] == {"BackupRetentionPeriod": 5})
        return promoted and shown["DBInstanceStatus"] == "available"

    lab.wait_until(over, 60)
    assert seen == ["available", "modifying", "rebooting", "backing-up", "available"]
    shown = databases.shown("states", DR)
    assert shown["BackupRetentionPeriod"] == 5
    assert shown["PendingModifiedValues"] == {}
    assert "StatusInfos" not in shown
    assert databases.shown("states", PRIMARY)["ReadReplicaDBInstanceIdentifiers"] == []

    databases.insert("states", DR, 1, 3)
    databases.insert("states", PRIMARY, 4, 4)
    assert (databases.count("states", DR), databases.count("states", PRIMARY)) == (3, 1)


def test_only_a_replica_at_rest_can_be_promoted(lab: RunningLab) -> None:
    databases = Databases(lab)
    databases.pair("at-rest")
    refused = databases.rds[DR].exceptions.InvalidDBInstanceStateFault

    with pytest.raises(refused):
        databases.rds[PRIMARY].promote_read_replica(DBInstanceIdentifier="at-rest")
    databases.control("back-up", region=DR, identifier="at-rest", seconds=2000)
    assert databases.shown("at-rest", DR)["DBInstanceStatus"] == "backing-up"
    with pytest.raises(refused):
        databases.rds[DR].promote_read_replica(DBInstanceIdentifier="at-rest")
    with databases.fast_forward():
        databases.available("at-rest", DR)
    databases.rds[DR].promote_read_replica(DBInstanceIdentifier="at-rest")
    with pytest.raises(refused):
        databases.rds[DR].promote_read_replica(DBInstanceIdentifier="at-rest")
    assert databases.promoted("at-rest")["BackupRetentionPeriod"] == 1, "RDS's own default"
    with pytest.raises(refused):
        databases.rds[DR].promote_read_replica(DBInstanceIdentifier="at-rest")


@pytest.mark.parametrize("drained", [True, False])
def test_what_was_received_but_not_applied_is_lost_unless_it_is_drained(lab: RunningLab, drained: bool) -> None:
    databases = Databases(lab)
    name = "drained" if drained else "not-drained"
    databases.pair(name)
    databases.insert(name, PRIMARY, 1, 10)
    databases.wait_for_rows(name, DR, 10)
    databases.control("pause-applying", region=DR, identifier=name)
    databases.insert(name, PRIMARY, 11, 60)
    lab.wait_until(lambda: databases.told(name, DR)["replication"]["unapplied"] == 50)

    lab.lose(PRIMARY)
    assert databases.told(name, DR)["replication"]["unapplied"] == 50
    if drained:
        # Through the procedure that RDS's master user has for it.
        databases.sql(name, DR, "CALL mysql.rds_start_replication")
        lab.wait_until(lambda: databases.told(name, DR)["replication"]["unapplied"] == 0)
    databases.rds[DR].promote_read_replica(DBInstanceIdentifier=name, BackupRetentionPeriod=7)
    databases.promoted(name)

    assert databases.count(name, DR) == (60 if drained else 10)
    databases.insert(name, DR, 100, 100)


def test_an_outage_amid_a_promotion_only_delays_it(lab: RunningLab) -> None:
    databases = Databases(lab)
    databases.pair("interrupted")
    lab.set_scale(10)
    databases.rds[DR].promote_read_replica(DBInstanceIdentifier="interrupted", BackupRetentionPeriod=7)
    lab.wait_until(lambda: databases.shown("interrupted", DR)["DBInstanceStatus"] == "modifying")

    lab.lose(DR)
    lab.set_scale(1000)
    lab.clock_passes(1000)
    # The servers of a region that is back take their real time to start.
    lab.set_scale(1)
    lab.bring_back(DR)

    assert databases.shown("interrupted", DR)["ReadReplicaSourceDBInstanceIdentifier"], (
        "nothing goes on in a lost region"
    )
    databases.promoted("interrupted")
    databases.insert("interrupted", DR, 1, 1)


def test_a_promoted_database_is_the_source_of_the_next_replica(lab: RunningLab) -> None:
    databases = Databases(lab)
    databases.pair("back")
    databases.insert("back", PRIMARY, 1, 10)
    databases.wait_for_rows("back", DR, 10)
    databases.rds[DR].promote_read_replica(DBInstanceIdentifier="back", BackupRetentionPeriod=7)
    databases.promoted("back")
    databases.insert("back", DR, 11, 20)
    with databases.fast_forward():
        databases.rds[PRIMARY].modify_db_instance(
            DBInstanceIdentifier="back", NewDBInstanceIdentifier="back-retired-1", ApplyImmediately=True
        )
        lab.wait_until(lambda: _there(databases, "back-retired-1", PRIMARY))
        databases.available("back-retired-1", PRIMARY)

    databases.replicate("back", region=PRIMARY, source_region=DR)

    databases.insert("back", DR, 21, 30)
    databases.wait_for_rows("back", PRIMARY, 30)
    assert databases.count("back-retired-1", PRIMARY) == 10
    with pytest.raises(pymysql.err.OperationalError, match="read-only"):
        databases.insert("back", PRIMARY, 31, 31)


def _there(databases: Databases, identifier: str, region: str) -> bool:
    instances = databases.rds[region].describe_db_instances()["DBInstances"]
    return any(instance["DBInstanceIdentifier"] == identifier for instance in instances)
