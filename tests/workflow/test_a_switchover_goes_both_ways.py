"""The same machine carries the service to DR and back, killed on either way, and no promised write is lost on one."""

from __future__ import annotations

from typing import Any

import pymysql
import pytest

from tests.lab.running import ACCOUNT
from tests.workflow.clients import Clients, application, insert, orders
from tests.workflow.operator import DR, PRIMARY, Operator

TO_DR = {"mode": "graceful"}
BACK = {"mode": "graceful", "target": PRIMARY}


def test_a_region_that_is_none_of_the_two_is_refused_and_so_is_an_unplanned_way_back(operator: Operator) -> None:
    assert "'target' is 'us-east-1'" in operator.fail_over(mode="graceful", target="us-east-1").cause
    assert "'target' needs 'mode'" in operator.fail_over(target=PRIMARY).cause
    assert operator.record()["lock"] == "free"


def test_one_that_was_killed_past_the_point_of_no_return_goes_on_from_there(operator: Operator) -> None:
    with Clients(operator, PRIMARY) as clients:
        operator.until(lambda: len(clients.promised) > 50, "the clients write")
        operator.kill("Bring this region up", **TO_DR)
    assert operator.record()["promotion"]
    arn = operator.start(**TO_DR)
    ended = operator.end_of(arn)
    assert ended.status == "SUCCEEDED", ended.cause
    assert (ended.output["outcome"], ended.output["target"]) == ("switched-over", DR)
    assert "Close the source to writers" not in operator.entered(arn)
    assert set(clients.promised) - orders(operator, DR) == set()
    record = operator.record()
    assert (record["active_region"], record["lock"], record["since"]) == (DR, "free", record["epoch"])
    assert (ended.output["plan"]["traffic"], ended.output["traffic"]["published"]) == ("route53", True)
    operator.until(lambda: operator.name_leads_to() == DR, "the application's name leads to DR")


def test_the_primary_becomes_the_standby(operator: Operator) -> None:
    """By hand, as long as it takes RDS: what it takes to build a standby is none of this test's."""
    rds = operator.lab.client("rds", PRIMARY)
    old = operator.database(PRIMARY)
    rds.modify_db_instance(
        DBInstanceIdentifier="dev-db", NewDBInstanceIdentifier="dev-db-retired-1", ApplyImmediately=True
    )
    operator.until(lambda: _names(rds) == {"dev-db-retired-1"}, "the old database has another name", 120)
    rds.modify_db_parameter_group(
        DBParameterGroupName="dev-db",
        Parameters=[
            {"ParameterName": "read_only", "ParameterValue": "{TrueIfReplica}", "ApplyMethod": "immediate"},
        ],
    )
    operator.lab.set_scale(200)
    rds.create_db_instance_read_replica(
        DBInstanceIdentifier="dev-db",
        SourceDBInstanceIdentifier=f"arn:aws:rds:{DR}:{ACCOUNT}:db:dev-db",
        KmsKeyId="alias/dev-pilotlight",
        DBSubnetGroupName="dev-db",
        DBParameterGroupName="dev-db",
        # Behind the closed door, as the old one was: the switch opens it.
        VpcSecurityGroupIds=[group["VpcSecurityGroupId"] for group in old["VpcSecurityGroups"]],
    )
    operator.until(lambda: operator.database(PRIMARY)["DBInstanceStatus"] == "available", "the replica is there", 120)
    rds.modify_db_instance(DBInstanceIdentifier="dev-db", BackupRetentionPeriod=7, ApplyImmediately=True)
    operator.until(lambda: _is_a_standby(operator), "the replica replicates and is backed up", 120)
    operator.lab.set_scale(20)
    address = operator.database(PRIMARY)["Endpoint"]
    assert address["Port"] == old["Endpoint"]["Port"]


def test_a_target_that_hangs_in_the_freeze_leaves_a_source_that_serves(operator: Operator) -> None:
    before = operator.posture(DR)
    lag = operator.set("most-lag-seconds", 3600)
    operator.lab.control("database", "slow-applying", region=PRIMARY, identifier="dev-db", seconds=60)
    operator.hold("Give the replica time")
    arn = operator.start(**BACK)
    assert operator.held(arn)
    assert not operator.order(operator.door(DR), "frozen")
    operator.lab.lose(PRIMARY, "hang")
    asked = operator.entered(arn).count("Prove that nothing is missing")
    operator.let_go()
    operator.until(lambda: operator.order(operator.door(DR), "open-again"), "DR takes writes", 240)
    # Time-outs are real seconds in the lab, so what counts here is how often the lost region was waited for.
    assert operator.entered(arn).count("Prove that nothing is missing") <= asked + 1
    ended = operator.end_of(arn)
    assert ended.status == "FAILED"
    assert "Nothing irreversible was done: eu-central-1 stays the active region" in ended.cause
    assert operator.name_leads_to() == DR
    operator.lab.bring_back(PRIMARY)
    operator.lab.control("database", "slow-applying", region=PRIMARY, identifier="dev-db", seconds=0)
    operator.set("most-lag-seconds", lag)
    operator.until(lambda: _is_a_standby(operator), "the replica replicates", 120)
    operator.until(lambda: operator.orders_is_on(DR), "the functions are on again")
    assert operator.posture(DR) == before


def test_a_way_back_that_was_killed_in_its_freeze_opens_the_source_and_goes_on(operator: Operator) -> None:
    with application(operator, DR) as late, Clients(operator, DR) as clients:
        operator.until(lambda: len(clients.promised) > 50, "the clients write")
        lag = operator.set("most-lag-seconds", 3600)
        operator.lab.control("database", "slow-applying", region=PRIMARY, identifier="dev-db", seconds=60)
        operator.kill("Give the replica time", **BACK)
        operator.lab.control("database", "slow-applying", region=PRIMARY, identifier="dev-db", seconds=0)
        operator.set("most-lag-seconds", lag)
        operator.set("cool-down-seconds", 0)
        assert not operator.order(operator.door(DR), "in-between")
        arn = operator.start(**BACK, reason="home again")
        ended = operator.end_of(arn)
        assert ended.status == "SUCCEEDED", ended.cause
        with pytest.raises(pymysql.err.MySQLError):
            insert(late, "too-late")
    entered = operator.entered(arn)
    round_again = ("The source was left closed", "Open the source again", "Let the replica hear the heart")
    assert [entered.count(name) for name in round_again] == [1, 1, 1]
    assert (ended.output["outcome"], ended.output["source"], ended.output["target"]) == ("switched-over", DR, PRIMARY)
    there = orders(operator, PRIMARY)
    assert set(clients.promised) - there == set()
    assert "too-late" not in there


def test_the_primary_serves_again_and_dr_is_frozen(operator: Operator) -> None:
    here, left = operator.posture(PRIMARY), operator.posture(DR)
    assert here["database"] == ("available", "")
    assert (here["sizes"], here["orders"], here["active"]) == ((2, 2, 4), True, PRIMARY)
    assert (left["sizes"][:2], left["orders"], left["active"]) == ((0, 0), False, PRIMARY)
    operator.until(lambda: not operator.group(DR)["Instances"], "DR has no instances", 120)
    assert operator.order(operator.door(PRIMARY), "home")
    with application(operator, DR) as connection, pytest.raises(pymysql.err.MySQLError):
        insert(connection, "never")
    record = operator.record()
    assert (record["active_region"], record["lock"], record["promotion"]) == (PRIMARY, "free", "")
    again = operator.fail_over(**BACK)
    assert (again.status, again.output["outcome"]) == ("SUCCEEDED", "already-active")
    operator.until(lambda: operator.name_leads_to() == PRIMARY, "the application's name leads to the primary")
    assert operator.calls_of_route_53() == 0


def test_what_was_left_behind_takes_over_only_by_force(operator: Operator) -> None:
    operator.lab.lose(PRIMARY, "refuse")
    before = operator.posture(DR)
    for _ in range(2):
        ended = operator.fail_over()
        assert (ended.status, ended.error) == ("FAILED", "PreconditionFailed")
        assert "lacks every write that eu-west-1 has taken since" in ended.cause
    assert operator.posture(DR) == before
    ended = operator.fail_over(force=True)
    assert ended.status == "SUCCEEDED", ended.cause
    assert operator.order(operator.door(DR), "thawed")
    assert not operator.has_order(operator.door(DR), "home")


def _names(rds: Any) -> set[str]:
    return {
        instance["DBInstanceIdentifier"]
        for instance in rds.describe_db_instances()["DBInstances"]
        if instance["DBInstanceStatus"] == "available"
    }


def _is_a_standby(operator: Operator) -> bool:
    seen = operator.database(PRIMARY)
    replication = [info["Status"] for info in seen.get("StatusInfos", [])]
    return (seen["DBInstanceStatus"], seen["BackupRetentionPeriod"], replication) == ("available", 7, ["replicating"])
