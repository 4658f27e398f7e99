from __future__ import annotations

from dataclasses import replace

import pytest

from pilotlight.decide import promotion
from pilotlight.errors import PreconditionFailed
from pilotlight.model import Database, Doors, Replication
from tests.unit.core.samples import PROMOTED, REPLICA


def move(database: Database | None, waited: int = 0) -> str:
    return promotion.next_move(database, "dev-db", waited, 600)


def test_a_primary_that_is_available_is_done() -> None:
    assert move(PROMOTED) == "done"


@pytest.mark.parametrize(
    "not_yet",
    [
        replace(PROMOTED, source=REPLICA.source),
        replace(PROMOTED, replication="stopped"),
        replace(PROMOTED, pending=("BackupRetentionPeriod",)),
        replace(PROMOTED, status="rebooting"),
    ],
)
def test_available_is_one_of_four_signs(not_yet: Database) -> None:
    assert move(not_yet) != "done"


def test_an_available_replica_is_promoted() -> None:
    assert move(REPLICA) == "promote"


def test_what_somebody_queued_for_the_maintenance_window_holds_nothing_up() -> None:
    queued = replace(PROMOTED, pending=("DBInstanceClass", "EngineVersion"), security_groups=("sg-open",))
    assert move(replace(REPLICA, pending=queued.pending)) == "promote"
    assert move(queued) == "done"
    assert promotion.is_open(queued, Doors("sg-open", "sg-closed"), True, "dev-db", 0, 600)
    assert promotion.describe(queued) == "a primary, available, with changes to DBInstanceClass, EngineVersion queued"
    assert move(replace(queued, pending=("BackupRetentionPeriod", "DBInstanceClass"))) == "wait"


@pytest.mark.parametrize("status", ["backing-up", "modifying", "rebooting", "a-status-of-next-year"])
def test_a_replica_in_any_passing_status_is_waited_for(status: str) -> None:
    assert move(replace(REPLICA, status=status)) == "wait"
    assert move(replace(PROMOTED, status=status)) == "wait"


def test_a_backup_that_does_not_end_is_named_when_the_budget_is_spent() -> None:
    with pytest.raises(PreconditionFailed, match="wait for the backup to end") as failed:
        move(replace(REPLICA, status="backing-up"), waited=600)
    assert "'backing-up'" in str(failed.value)
    assert "600 s" in str(failed.value)


def test_a_promoted_database_is_done_even_when_the_budget_is_spent() -> None:
    assert move(PROMOTED, waited=600) == "done"


@pytest.mark.parametrize("status", ["failed", "storage-full", "stopped", "incompatible-parameters", "deleting"])
def test_a_status_that_no_waiting_ends_fails_at_once(status: str) -> None:
    with pytest.raises(PreconditionFailed, match=f"'{status}'"):
        move(replace(REPLICA, status=status))


def test_a_missing_database_fails_at_once() -> None:
    with pytest.raises(PreconditionFailed, match="does not exist"):
        move(None)


LEFT = Replication(is_replica=True, applied=False, unapplied=7, applier_running=True)


@pytest.mark.parametrize(
    ("seen", "waited", "outcome"),
    [
        (Replication(is_replica=False, applied=True), 0, "applied"),
        (replace(LEFT, applied=True, unapplied=0), 0, "applied"),
        (LEFT, 0, "wait"),
        (LEFT, 59, "wait"),
        (LEFT, 60, "give-up"),
        (replace(LEFT, applier_running=False), 0, "wait"),
        (replace(LEFT, applier_running=False, error="duplicate key"), 0, "give-up"),
    ],
)
def test_received_writes_are_waited_for_within_the_budget(seen: Replication, waited: int, outcome: str) -> None:
    assert promotion.drained(seen, waited, 60) == outcome
