"""The primary is lost with writes that never crossed, and comes back as it was: open, and serving. A start with no
input closes it, keeps what only it has, and makes it a standby. In this order, on one system."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pymysql

from tests.workflow.operator import DR, PRIMARY, REPROTECT, Operator

if TYPE_CHECKING:
    from collections.abc import Collection

# Epoch 1 and 2 built standbys, 3 was the failover.
RETIRED = "dev-db-retired-3"
# Written in the primary and nowhere else: before its loss, and after its return.
LEFT = {"left-1", "left-2", "left-3", "stray-1"}
# States in which an execution that builds the standby is killed.
DEADLY = (
    "Plan the protection",
    "Close the standby's region",
    "Look at the old database",
    "List what never crossed",
    "Give the snapshot time",
    "Retire the old database",
    "Build the replica",
    "Give the replica time",
)


def instance(operator: Operator, name: str, region: str = PRIMARY) -> dict[str, Any]:
    """Read an instance as RDS describes it."""
    found: dict[str, Any] = operator.lab.client("rds", region).describe_db_instances(DBInstanceIdentifier=name)[
        "DBInstances"
    ][0]
    return found


def instances(operator: Operator, region: str = PRIMARY) -> dict[str, str]:
    """List a region's instances, with what names each for good."""
    found = operator.lab.client("rds", region).describe_db_instances()["DBInstances"]
    return {one["DBInstanceIdentifier"]: one["DbiResourceId"] for one in found}


def tags(found: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in found["TagList"]}


def evidence(operator: Operator, place: str) -> list[dict[str, Any]]:
    """Read the list of what never crossed."""
    bucket, _, key = place.removeprefix("s3://").partition("/")
    kept = operator.lab.client("s3", PRIMARY).get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    return [line for line in map(json.loads, kept.splitlines()) if "table" in line]


def spoil(server: dict[str, Any], statement: str) -> bool:
    """Write into a replica past everything, as nobody should; say whether it had the table already."""
    connection = pymysql.connect(unix_socket=server["socket"], user=server["user"], password=server["password"])
    with connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_log_bin = 0")
        try:
            cursor.execute(statement)
        except pymysql.err.ProgrammingError:
            return False
        connection.commit()
    return True


def ordered(operator: Operator, door: str, numbers: Collection[str]) -> None:
    for number in numbers:
        operator.until(lambda number=number: operator.order(door, number), f"{number} is acknowledged")  # type: ignore[misc]


def test_a_standby_that_is_well_is_left_alone(operator: Operator) -> None:
    before = operator.posture(PRIMARY), operator.posture(DR), operator.record()
    arn = operator.start(REPROTECT)
    ended = operator.end_of(arn)
    assert (ended.status, ended.output["outcome"]) == ("SUCCEEDED", "already-protected"), ended.cause
    assert (ended.output["region"], ended.output["active"]) == (DR, PRIMARY)
    assert "Plan the protection" not in operator.entered(arn)
    assert (operator.posture(PRIMARY), operator.posture(DR), operator.record()) == before


def test_wrong_input_is_refused_by_name(operator: Operator) -> None:
    before = operator.record()
    for wrong, told in (
        ({"region": PRIMARY}, "'region' is 'eu-west-1', which is the active region"),
        ({"region": "us-east-1"}, "neither of the two regions"),
        ({"rebuild": "no"}, "'rebuild' is 'no'"),
        ({"regoin": DR}, "unknown field 'regoin'"),
    ):
        ended = operator.end_of(operator.start(REPROTECT, **wrong))
        assert (ended.status, ended.error) == ("FAILED", "PreconditionFailed")
        assert told in ended.cause
    assert operator.record() == before


def test_a_replica_that_somebody_deleted_is_made_anew(operator: Operator) -> None:
    rds, before = operator.lab.client("rds"), operator.database()
    operator.lab.set_scale(200)
    rds.modify_db_instance(DBInstanceIdentifier="dev-db", DeletionProtection=False, ApplyImmediately=True)
    rds.delete_db_instance(DBInstanceIdentifier="dev-db", SkipFinalSnapshot=True)
    operator.until(lambda: not operator.has_database(), "the replica is gone")
    ended = operator.end_of(operator.start(REPROTECT))
    assert ended.status == "SUCCEEDED", ended.cause
    assert (ended.output["outcome"], ended.output["region"], ended.output["retired"]) == ("protected", DR, "")
    after = operator.database()
    for same in ("ReadReplicaSourceDBInstanceIdentifier", "Endpoint", "KmsKeyId", "BackupRetentionPeriod", "MultiAZ"):
        assert after[same] == before[same], same
    assert after["DBParameterGroups"][0]["DBParameterGroupName"] == "dev-db"
    assert after["DeletionProtection"]


def test_a_replica_that_no_longer_follows_is_kept_and_made_anew(operator: Operator) -> None:
    replica = next(
        one for one in operator.lab.status()["databases"] if (one["region"], one["identifier"]) == (DR, "dev-db")
    )
    before = instances(operator, DR)
    door = operator.door(PRIMARY)
    ordered(operator, door, ["first"])
    # A row that is in the way of one that comes.
    row = "INSERT INTO app.orders (id, note, region) VALUES ('in-the-way', 'x', 'x')"
    operator.until(lambda: spoil(replica, row), "the replica has the table")
    ordered(operator, door, ["in-the-way"])
    operator.until(lambda: operator.database()["StatusInfos"][0]["Status"] == "error", "replication has broken off")
    ended = operator.end_of(operator.start(REPROTECT))
    assert ended.status == "SUCCEEDED", ended.cause
    kept = ended.output["retired"]
    assert instances(operator, DR)[kept] == before["dev-db"]
    assert operator.database()["StatusInfos"][0]["Status"] == "replicating"
    operator.lab.set_scale(20)


def test_the_primary_is_lost_and_comes_back_as_it_was(operator: Operator) -> None:
    door = operator.door(PRIMARY)
    ordered(operator, door, ["crossed-1", "crossed-2"])
    # Acknowledged, and on no way to DR.
    operator.lab.control("database", "break-replication", region=DR, identifier="dev-db")
    ordered(operator, door, sorted(LEFT - {"stray-1"}))
    # Its sentinel would close it within a minute. What is shown here needs none.
    for rule in ("dev-sentinel", "dev-sentinel-launched", "dev-sentinel-database"):
        operator.lab.client("events", PRIMARY).disable_rule(Name=rule)
    operator.lab.lose(PRIMARY, "refuse")
    refused = operator.end_of(operator.start(REPROTECT))
    assert refused.status == "FAILED"
    ended = operator.fail_over()
    assert ended.status == "SUCCEEDED", ended.cause
    ordered(operator, operator.door(DR), ["dr-1"])

    operator.lab.bring_back(PRIMARY)
    # It knows nothing of the failover.
    operator.until(lambda: operator.order(door, "stray-1"), "the old primary takes writes", 120)


def test_killed_in_whatever_state_the_next_start_goes_on(operator: Operator) -> None:
    for state in DEADLY:
        operator.kill(state, REPROTECT)
    operator.lab.set_scale(100)


def test_the_standbys_region_is_lost_again_in_the_middle(operator: Operator) -> None:
    operator.hold("Give the replica time", REPROTECT)
    arn = operator.start(REPROTECT)
    assert operator.held(arn)
    operator.lab.lose(PRIMARY, "refuse")
    operator.let_go()
    ended = operator.end_of(arn)
    assert ended.status == "FAILED"
    assert operator.record()["lock"] == "failed"
    assert operator.order(operator.door(DR), "dr-2")
    operator.lab.bring_back(PRIMARY)


def test_the_next_start_ends_with_a_standby_and_nothing_is_gone(operator: Operator) -> None:
    before = instances(operator)
    ended = operator.end_of(operator.start(REPROTECT), 240)
    assert ended.status == "SUCCEEDED", ended.cause
    output = ended.output
    assert (output["outcome"], output["region"], output["active"]) == ("protected", PRIMARY, DR)
    assert (output["retired"], output["snapshot"]) == (RETIRED, f"{RETIRED}-final")

    assert set(instances(operator)) == {"dev-db", RETIRED}
    assert instances(operator)[RETIRED] == before[RETIRED]
    kept = instance(operator, RETIRED)
    assert kept["DeletionProtection"]
    assert kept["BackupRetentionPeriod"] == 7
    assert tags(kept)["pilotlight:role"] == "retired"
    assert tags(kept)["pilotlight:retired-epoch"] == "3"
    assert tags(kept)["pilotlight:environment"] == "dev"
    snapshots = operator.lab.client("rds", PRIMARY).describe_db_snapshots(DBInstanceIdentifier="dev-db")["DBSnapshots"]
    assert [one["Status"] for one in snapshots if one["DBSnapshotIdentifier"] == f"{RETIRED}-final"] == ["available"]

    replica = instance(operator, "dev-db")
    assert replica["ReadReplicaSourceDBInstanceIdentifier"] == f"arn:aws:rds:{DR}:000000000000:db:dev-db"
    assert [info["Status"] for info in replica["StatusInfos"]] == ["replicating"]
    assert "pilotlight:role" not in tags(replica)
    for same in (
        *("DBInstanceClass", "StorageType", "KmsKeyId", "MultiAZ", "BackupRetentionPeriod", "PreferredBackupWindow"),
        *("PreferredMaintenanceWindow", "CopyTagsToSnapshot", "AutoMinorVersionUpgrade", "MaxAllocatedStorage"),
        *("EnabledCloudwatchLogsExports", "CACertificateIdentifier", "PubliclyAccessible", "DeletionProtection"),
    ):
        assert replica.get(same) == kept.get(same), same
    seen = operator.posture(PRIMARY)
    assert (seen["sizes"][:2], seen["orders"], seen["active"]) == ((0, 0), False, DR)
    assert (operator.record()["lock"], operator.record()["active_region"]) == ("free", DR)
    assert not operator.order(operator.door(PRIMARY), "never")

    divergence = output["divergence"]
    assert divergence["listed"], divergence["detail"]
    assert not divergence["truncated"]
    assert {line["after"]["id"] for line in evidence(operator, divergence["evidence"])} == LEFT
    assert divergence["tables"] == {"app.orders": {"inserted": len(LEFT), "updated": 0, "deleted": 0}}
    assert tags(kept)["pilotlight:divergence-rows"] == str(divergence["rows"])
    assert divergence["evidence"] in output["next"]


def test_a_second_start_touches_nothing(operator: Operator) -> None:
    before = operator.posture(PRIMARY), operator.record(), instances(operator)
    ended = operator.end_of(operator.start(REPROTECT))
    assert (ended.status, ended.output["outcome"]) == ("SUCCEEDED", "already-protected"), ended.cause
    assert (operator.posture(PRIMARY), operator.record(), instances(operator)) == before


def test_a_deployment_sees_no_change_of_the_database(operator: Operator) -> None:
    before = operator.posture(PRIMARY), instances(operator), instances(operator, DR)
    # A change that runs through most stacks.
    operator.lab.deploy(PRIMARY, LogRetentionDays="30")
    assert (operator.posture(PRIMARY), instances(operator), instances(operator, DR)) == before
