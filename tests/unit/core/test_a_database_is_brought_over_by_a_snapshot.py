"""When a switch by snapshot may begin, each move of it, and what proves that nothing is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pilotlight.aws import clients, database, functions
from pilotlight.aws import snapshots as adapter
from pilotlight.aws.record import Store
from pilotlight.decide import failover, restore, switchover
from pilotlight.errors import PreconditionFailed
from pilotlight.model import DatabaseSnapshot, Record, as_json
from tests.template import templates
from tests.unit.core.conftest import Context, load
from tests.unit.core.samples import (
    DOOR,
    DR,
    EMPTY_GROUP,
    EXECUTION,
    HELD,
    IMAGE,
    NAMES,
    OFF,
    PRIMARY,
    PROMOTED,
    REPLICA,
    SETTINGS,
    plan,
)

SOURCE = replace(PROMOTED, arn=f"arn:aws:rds:{DR}:123456789012:db:dev-db")
BACK = Record(
    active_region=DR, epoch=3, lock="held", holder=EXECUTION, source=DR, target=PRIMARY, mode="graceful", since=1
)
SNAPSHOT = "dev-db-switch-3"


def ready(source: Any = SOURCE, other: Any = None, gib: int = 20, budget: int = 14400) -> None:
    restore.require_ready(source, other, PRIMARY, gib, budget)


def test_it_begins_when_the_name_is_free() -> None:
    ready()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"source": None}, "is missing, not an available primary"),
        ({"source": replace(SOURCE, status="modifying")}, "'modifying'"),
        ({"other": replace(REPLICA, source=SOURCE.arn)}, "no need for a snapshot"),
        ({"other": PROMOTED}, "Start the failback"),
        ({"other": replace(REPLICA, source=SOURCE.arn, replication="error")}, '"rebuild": false'),
        ({"gib": 10_000}, "snapshot-budget-seconds is 14400"),
    ],
)
def test_it_is_refused_while_nothing_is_changed(given: dict[str, Any], told: str) -> None:
    with pytest.raises(PreconditionFailed, match=told) as refused:
        ready(**given)
    assert "Nothing was changed" in str(refused.value)


@pytest.mark.parametrize(
    ("status", "move"), [("", "ask"), ("creating", "wait"), ("copying", "wait"), ("available", "done")]
)
def test_a_snapshot_is_asked_for_once_and_waited_for(status: str, move: str) -> None:
    found = DatabaseSnapshot(SNAPSHOT, status) if status else None
    assert restore.next_snapshot_move(found, SNAPSHOT, 0, 100) == move


def test_a_snapshot_that_fails_or_takes_too_long_ends_the_freeze() -> None:
    with pytest.raises(PreconditionFailed, match="'failed'.*Nothing was deleted"):
        restore.next_snapshot_move(DatabaseSnapshot(SNAPSHOT, "failed"), SNAPSHOT, 0, 100)
    with pytest.raises(PreconditionFailed, match="snapshot-budget-seconds 100"):
        restore.next_snapshot_move(DatabaseSnapshot(SNAPSHOT, "creating"), SNAPSHOT, 100, 100)


@pytest.mark.parametrize(
    ("found", "differing", "move"),
    [
        (None, {}, "restore"),
        (replace(PROMOTED, status="creating"), {}, "wait"),
        (PROMOTED, {"MaxAllocatedStorage": 200}, "settle"),
        (replace(PROMOTED, pending=("BackupRetentionPeriod",)), {}, "wait"),
        (PROMOTED, {}, "done"),
    ],
)
def test_what_is_restored_is_made_like_the_old_one(found: Any, differing: dict[str, Any], move: str) -> None:
    assert restore.next_restore_move(found, differing, "dev-db", 0, 100) == move


def test_a_restore_that_fails_or_takes_too_long_ends_the_freeze() -> None:
    with pytest.raises(PreconditionFailed, match="'incompatible-restore'"):
        restore.next_restore_move(replace(PROMOTED, status="incompatible-restore"), {}, "dev-db", 0, 100)
    with pytest.raises(PreconditionFailed, match="was not brought over within 100 s"):
        restore.next_restore_move(replace(PROMOTED, status="creating"), {}, "dev-db", 100, 100)


def test_the_one_that_served_is_the_model_and_not_one_that_was_called_off() -> None:
    names = ("dev-db-retired-9", "dev-db-retired-10", "dev-db-retired-x")
    assert restore.model(names, "dev-db-retired-9", "dev-db-retired-") == "dev-db-retired-9"
    assert restore.model(names, "dev-db-retired-3", "dev-db-retired-") == "dev-db-retired-10"
    assert restore.model((), "dev-db-retired-3", "dev-db-retired-") == ""


PROOF = {"proven": False, "marker": True, "missing": 4, "detail": "", "executed": "0-1-96"}
HEARTBEATS = {"rows": 0, "listed": True, "truncated": False, "detail": ""}


def test_heartbeats_of_the_server_are_nobodys_data() -> None:
    assert restore.proven(PROOF, HEARTBEATS)["proven"]


@pytest.mark.parametrize(
    ("proof", "left"),
    [
        (PROOF, None),
        (PROOF | {"marker": False}, HEARTBEATS),
        (PROOF, HEARTBEATS | {"rows": 1}),
        (PROOF, HEARTBEATS | {"statements": 1}),
        (PROOF, HEARTBEATS | {"listed": False, "detail": "the log is gone"}),
        (PROOF, HEARTBEATS | {"truncated": True}),
    ],
)
def test_what_is_not_known_to_be_nothing_is_missing(proof: dict[str, Any], left: dict[str, Any] | None) -> None:
    assert not restore.proven(proof, left)["proven"]


def test_the_sources_log_is_read_once_and_its_answer_waited_for(
    state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reading takes longer than an ordinary answer, and must end before the function does that waits for it."""
    app = load("database")
    config: Any = clients.listening("lambda", DR).meta.config
    assert config.retries["total_max_attempts"] == 1
    # Beside it a cold start inside a network, and the question before it.
    assert templates.functions()["DatabaseFunction"]["Timeout"] > app._READING + 5 + 10
    asked: list[tuple[str, Any]] = []

    def ask(_: str, payload: Any, client: Any) -> Any:
        asked.append((payload["action"], client))
        return PROOF if payload["action"] == "prove" else HEARTBEATS | {"truncated": payload["seconds"] > app._READING}

    monkeypatch.setattr(functions, "ask", ask)
    monkeypatch.setattr(clients, "at", lambda _, region: f"at {region}")
    monkeypatch.setattr(clients, "listening", lambda _, region: f"listening {region}")
    store = Store(state_table, PRIMARY)
    assert store.replace(store.read(), replace(BACK, lock="held", epoch=3, holder=EXECUTION))
    planned = as_json(replace(PLAN, method="snapshot", source=DR, target=PRIMARY))
    payload = {"action": "prove", "epoch": 3, "execution": EXECUTION, "plan": planned, "position": "0-1-99"}
    assert app.handler(payload | {"origin": {"host": "db.example", "port": 3306}}, Context())["proven"]
    assert asked == [("prove", f"at {PRIMARY}"), ("compare", f"listening {DR}")]


def test_a_closed_restored_database_is_no_second_writer() -> None:
    record = replace(BACK, lock="failed")
    switchover.require_may_open(record, DR, PROMOTED, restored=True)
    switchover.require_may_open(record, DR, None, restored=True)
    with pytest.raises(PreconditionFailed, match="stays closed"):
        switchover.require_may_open(record, DR, PROMOTED)
    with pytest.raises(PreconditionFailed, match="stays closed"):
        switchover.require_may_open(replace(record, promotion="noon"), DR, PROMOTED, restored=True)


def test_the_plan_says_how_long_the_service_will_be_down() -> None:
    told = failover.plan(
        BACK, "dev", SETTINGS, None, IMAGE, EMPTY_GROUP, DOOR, (OFF,), NAMES, method="snapshot", source_gib=100
    )
    assert "61 minutes for 100 GiB (an estimate" in told.freeze_estimate
    assert (told.database, told.database_state, told.method) == ("dev-db", "missing", "snapshot")
    assert any("take a snapshot" in step for step in told.steps)
    planned = failover.plan(BACK, "dev", SETTINGS, REPLICA, IMAGE, EMPTY_GROUP, DOOR, (OFF,), NAMES)
    assert not any("snapshot" in step for step in planned.steps)


def test_only_a_planned_switch_does_without_a_database_at_first() -> None:
    with pytest.raises(PreconditionFailed, match="no replica to promote"):
        failover.plan(HELD, "dev", SETTINGS, None, IMAGE, EMPTY_GROUP, DOOR, (OFF,), NAMES)


# The function, against moto's RDS.

PLAN = plan(source=DR, target=PRIMARY, mode="graceful", method="snapshot", database_host="", database_port=0)


def step(action: str, settled: bool = False) -> dict[str, Any]:
    event = {"action": action, "execution": EXECUTION, "epoch": 3, "plan": as_json(PLAN), "settled": settled}
    told: dict[str, Any] = load("snapshot").handler(event, Context())
    return told


@pytest.fixture
def two_regions(aws: Any, state_table: str) -> Any:
    clients.patient.cache_clear()
    assert Store(state_table, PRIMARY).replace(Record(active_region=PRIMARY), BACK)
    common = {
        "Engine": "mysql",
        "DBInstanceClass": "db.t4g.medium",
        "AllocatedStorage": 20,
        "MasterUsername": "a",
        "MasterUserPassword": "secret-secret",
    }
    aws("rds").create_db_instance(DBInstanceIdentifier="dev-db", **common)
    aws("rds", PRIMARY).create_db_instance(
        DBInstanceIdentifier="dev-db-retired-1",
        BackupRetentionPeriod=9,
        PreferredBackupWindow="01:00-01:30",
        MaxAllocatedStorage=200,
        **common,
    )
    aws("kms", PRIMARY).create_alias(
        AliasName="alias/dev-pilotlight", TargetKeyId=aws("kms", PRIMARY).create_key()["KeyMetadata"]["KeyId"]
    )
    for door in ("open", "closed"):
        tags = [
            {"Key": "pilotlight:environment", "Value": "dev"},
            {"Key": "pilotlight:door", "Value": door},
        ]
        aws("ec2", PRIMARY).create_security_group(
            GroupName=door,
            Description=door,
            TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}],
        )
    yield aws
    clients.patient.cache_clear()


def test_a_snapshot_is_taken_in_the_source_and_copied_under_the_targets_key(two_regions: Any) -> None:
    assert not step("take")["done"]
    assert step("take")["done"]
    (taken,) = two_regions("rds").describe_db_snapshots(DBSnapshotIdentifier=SNAPSHOT)["DBSnapshots"]
    assert taken["DBInstanceIdentifier"] == "dev-db"
    assert not step("copy")["done"]
    assert step("copy")["done"]
    assert two_regions("rds", PRIMARY).describe_db_snapshots(DBSnapshotIdentifier=SNAPSHOT)["DBSnapshots"]
    # Asked again, neither is made again.
    assert step("take")["done"]
    assert len(two_regions("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]) == 1


def test_it_is_restored_behind_its_closed_door_and_the_application_is_told_where(two_regions: Any) -> None:
    for action in ("take", "take", "copy", "copy"):
        step(action)
    assert not step("restore")["done"]
    there = database.describe("dev-db", two_regions("rds", PRIMARY))
    doors = database.doors("dev", two_regions("ec2", PRIMARY))
    assert there is not None
    assert there.security_groups == (doors.closed,)
    told = step("restore")
    assert (told["done"], told["settled"]) == (False, True)
    told = step("restore", settled=True)
    assert told["done"]
    assert told["host"]
    seen = two_regions("rds", PRIMARY).describe_db_instances(DBInstanceIdentifier="dev-db")["DBInstances"][0]
    assert (seen["BackupRetentionPeriod"], seen["PreferredBackupWindow"]) == (9, "01:00-01:30")
    ssm = two_regions("ssm", PRIMARY)
    assert ssm.get_parameter(Name="/dev/pilotlight/database-endpoint")["Parameter"]["Value"] == told["host"]


def test_a_step_of_a_switch_that_is_over_does_nothing(two_regions: Any, state_table: str) -> None:
    store = Store(state_table, PRIMARY)
    assert store.replace(store.read(), replace(BACK, epoch=4))
    with pytest.raises(Exception, match="it changed nothing"):
        step("take")
    assert two_regions("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"] == []


def test_what_a_restore_does_not_know_is_set_afterwards() -> None:
    given = {"DBInstanceClass": "x", "MaxAllocatedStorage": 200, "EnablePerformanceInsights": True, "KmsKeyId": "y"}
    assert adapter.to_settle(given) == {"MaxAllocatedStorage": 200, "EnablePerformanceInsights": True}
    assert restore.differing(adapter.to_settle(given), {"MaxAllocatedStorage": 200}) == {
        "EnablePerformanceInsights": True
    }
