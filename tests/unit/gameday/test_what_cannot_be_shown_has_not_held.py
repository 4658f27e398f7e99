from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lab.gameday import checks
from lab.gameday.checks import Standing, WorkloadFunction
from lab.gameday.model import Check, Phase, Timeline, Writes
from tests.unit.gameday.gamedays import DR, FENCE, PRIMARY, PROMOTED, STANDING, path, phase

GOOD = Writes(acknowledged=400, acknowledged_before=300, acknowledged_after=100, read_back=60)


def judged(
    *,
    writes: Writes = GOOD,
    standing: Standing = STANDING,
    seen: Timeline | None = None,
    failover: Phase | None = None,
) -> dict[str, Check]:
    found = checks.after_failover(
        failover or phase(writes), seen or path(), standing, writes, fence=FENCE, primary=PRIMARY
    )
    return {check.name: check for check in found}


def broken(**given: Any) -> set[str]:
    return {name for name, check in judged(**given).items() if not check.held}


WRITES = "No acknowledged write that had reached the replica is lost"
DATABASE = "The database is promoted, by more than its status"
COMPUTE = "Compute runs at production size, on the newest image"
FUNCTIONS = "The business functions are on"
WAITED = "Nothing on the critical path waited for the lost region"


def test_a_good_game_day_holds() -> None:
    found = judged()
    assert checks.all_held(list(found.values()))
    assert all(check.detail for check in found.values())


def test_no_checks_are_no_success() -> None:
    assert not checks.all_held([])


def test_an_execution_that_failed_says_why() -> None:
    failed = replace(phase(GOOD), status="FAILED", cause="PreconditionFailed: no image", rto_seconds=None)
    found = judged(failover=failed)
    assert not found["The failover succeeded"].held
    assert "no image" in found["The failover succeeded"].detail
    assert not found["The service is back"].held


def test_a_loss_that_never_reached_the_replica_is_told_and_holds() -> None:
    check = judged(writes=replace(GOOD, lost=1, lost_ids=("w1",)))[WRITES]
    assert check.held
    assert "w1" in check.detail


@pytest.mark.parametrize(
    "writes",
    [
        replace(GOOD, lost=2, lost_ids=("w1", "w2"), lost_out_of_order=1),
        replace(GOOD, lost=2, lost_ids=("w1", "w2"), received_unapplied=7),
        replace(GOOD, lost=2, lost_ids=("w1", "w2"), received_unapplied=None),
        replace(GOOD, acknowledged_before=0),
    ],
    ids=["a hole", "unapplied", "nobody counted", "nothing was written"],
)
def test_a_loss_under_our_control_has_not_held(writes: Writes) -> None:
    assert WRITES in broken(writes=writes)


@pytest.mark.parametrize(
    "wrong",
    [
        {"DBInstanceStatus": "modifying"},
        {"ReadReplicaSourceDBInstanceIdentifier": "arn:aws:rds:eu-west-1:000000000000:db:dev-db"},
        {"StatusInfos": [{"StatusType": "read replication", "Status": "replicating"}]},
        {"PendingModifiedValues": {"BackupRetentionPeriod": 7}},
        {"BackupRetentionPeriod": 0},
    ],
)
def test_available_alone_is_not_promoted(wrong: dict[str, Any]) -> None:
    assert broken(standing=replace(STANDING, database=PROMOTED | wrong)) == {DATABASE}


@pytest.mark.parametrize("read_only", [True, None])
def test_a_database_that_takes_no_writes_is_not_promoted(read_only: bool | None) -> None:
    assert broken(standing=replace(STANDING, read_only=read_only)) == {DATABASE}


@pytest.mark.parametrize(
    "wrong",
    [
        {"capacity": (0, 2, 4)},
        {"capacity": (2, 1, 4)},
        {"images": ("ami-2",)},
        {"images": ("ami-1", "ami-2")},
        {"healthy": 1},
        {"healthy": None},
        {"newest_image": None},
    ],
)
def test_compute_short_of_production_has_not_held(wrong: dict[str, Any]) -> None:
    assert broken(standing=replace(STANDING, **wrong)) == {COMPUTE}


@pytest.mark.parametrize(
    "functions",
    [
        (WorkloadFunction("dev-orders", 0, ("Enabled",)),),
        (WorkloadFunction("dev-orders", None, ("Enabling",)),),
        (),
        None,
    ],
)
def test_a_function_that_is_off_or_unknown_has_not_held(functions: tuple[WorkloadFunction, ...] | None) -> None:
    assert broken(standing=replace(STANDING, functions=functions)) == {FUNCTIONS}


def test_a_call_to_the_lost_region_on_the_critical_path_is_seen() -> None:
    seen = path()
    assert broken(seen=replace(seen, functions=(*seen.functions, FENCE))) == {WAITED}


def test_without_a_history_nobody_knows_what_was_waited_for() -> None:
    assert broken(seen=Timeline("SUCCEEDED", 0, 0)) == {WAITED}


def test_a_record_that_names_the_other_region_has_not_held() -> None:
    assert broken(standing=replace(STANDING, active_region=PRIMARY)) == {
        f"{DR} is on record as the active region",
    }


def test_orders_that_the_application_does_not_give_back_have_not_held() -> None:
    assert broken(writes=replace(GOOD, read_back_failed=1)) == {f"The application in {DR} gives the orders back"}
