from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lab.gameday import audit, checks
from lab.gameday.checks import Kept, Places, Proof, WorkloadFunction
from lab.gameday.model import Divergence, Phase, Stray, Writes
from tests.unit.gameday.gamedays import DR, HOME, KEPT, LOST, PRIMARY, REPLICA, STRAYS, circle

if TYPE_CHECKING:
    from collections.abc import Collection

    from lab.gameday.model import Check

FAILOVER, REPROTECT, SWITCHOVER, FAILBACK = circle().phases
PROVEN = Proof("0-1-7", "0-1-7")
NAMED = "The report names exactly what never crossed"
REFUSED = f"{PRIMARY} takes no order any more"
STANDBY = f"{DR} is the standby again"


def broken(found: list[Check]) -> set[str]:
    assert all(check.detail for check in found)
    return {check.name for check in found if not check.held}


def after_reprotect(
    phase: Phase = REPROTECT,
    failover: Writes = FAILOVER.writes,
    unpromised: Collection[str] = (),
    kept: Kept | None = KEPT,
) -> set[str]:
    return broken(checks.after_reprotect(phase, failover, unpromised, kept, PRIMARY))


def after_failback(
    switchover: Phase = SWITCHOVER,
    failback: Phase = FAILBACK,
    carried: tuple[int, int] = (1400, 0),
    proof: Proof = PROVEN,
    kept: Kept | None = KEPT,
    places: Places = HOME,
) -> set[str]:
    return broken(checks.after_failback(switchover, failback, carried, proof, kept, places))


def divergence(**changes: Any) -> Phase:
    found = REPROTECT.divergence
    assert found is not None
    return replace(REPROTECT, divergence=replace(found, **changes))


def test_a_circle_that_went_well_holds() -> None:
    assert after_reprotect() == after_failback() == set()


@pytest.mark.parametrize(
    "changes",
    [
        {"orders": 4},
        {"evidence_ids": (*LOST, "s1", "s2")},
        {"evidence_ids": (*LOST, *STRAYS, "c1")},
        {"old_ids": (*LOST, "s1", "s2")},
        {"old_ids": None},
        {"evidence_ids": None},
        {"unread": "NoSuchKey"},
        {"reported": None},
    ],
    ids=[
        *("one too few", "one not listed", "one too many listed", "one nowhere", "not read", "no list", "unreadable"),
        "nothing reported",
    ],
)
def test_a_report_that_is_off_by_one_has_not_held(changes: dict[str, Any]) -> None:
    assert after_reprotect(divergence(**changes)) == {NAMED}


def test_an_order_that_nobody_was_promised_may_be_in_the_old_database_if_somebody_sent_it() -> None:
    ids = (*LOST, *STRAYS, "unanswered")
    phase = divergence(orders=6, evidence_ids=ids, old_ids=ids)
    assert after_reprotect(phase, unpromised={"unanswered", "another"}) == set()
    assert after_reprotect(phase) == {NAMED}


def test_a_lost_order_that_is_in_no_database_has_not_held() -> None:
    lost = replace(FAILOVER.writes, lost=3, lost_ids=(*LOST, "nowhere"))
    assert after_reprotect(failover=lost) == {NAMED}


def test_a_region_that_takes_orders_after_it_was_closed_has_not_held() -> None:
    assert after_reprotect(replace(REPROTECT, stray=Stray(1, 3, STRAYS, 40, last_at=1700.0))) == {REFUSED}


def test_without_stray_clients_there_is_nobody_to_refuse() -> None:
    phase = replace(REPROTECT, stray=Stray(), divergence=Divergence({}, 2, "s3://b/k", LOST, LOST))
    assert after_reprotect(phase) == set()


@pytest.mark.parametrize(
    "kept",
    [
        None,
        Kept(PRIMARY, "dev-db-retired-1", unread="DBInstanceNotFound"),
        replace(KEPT, protected=False),
        replace(KEPT, doors=("open",)),
        replace(KEPT, doors=("closed", "open")),
        replace(KEPT, snapshot="creating"),
        replace(KEPT, snapshot=""),
        replace(KEPT, status="modifying"),
    ],
)
def test_an_old_database_must_be_kept(kept: Kept | None) -> None:
    assert after_reprotect(kept=kept) == {f"The old database of {PRIMARY} is kept, closed and protected"}
    assert after_failback(kept=kept) == {f"The old database of {DR} is kept, closed and protected"}


@pytest.mark.parametrize("change", [{"status": "FAILED"}, {"output": {"outcome": "already-protected"}}])
def test_another_outcome_is_no_success(change: dict[str, Any]) -> None:
    assert "Re-protection succeeded" in after_reprotect(replace(REPROTECT, **change))


def test_not_one_order_may_be_lost_on_purpose() -> None:
    lost = Writes(acknowledged=10, lost=1, lost_ids=("w1",))
    assert after_failback(switchover=replace(SWITCHOVER, writes=lost)) == {"The planned switch lost no order"}
    assert after_failback(failback=replace(FAILBACK, writes=lost)) == {
        "No order was lost before or after the switch",
    }
    assert after_failback(carried=(1400, 1)) == {f"Everything that {DR} had is in {PRIMARY}"}
    assert after_failback(carried=(0, 0)) == {f"Everything that {DR} had is in {PRIMARY}"}


@pytest.mark.parametrize("proof", [Proof("0-1-7", "0-1-8"), Proof("", "0-1-7"), Proof("0-1-7", ""), Proof("", "")])
def test_a_source_that_was_written_after_the_proof_has_not_held(proof: Proof) -> None:
    assert after_failback(proof=proof) == {f"{DR} was not written after the proof"}


def test_a_service_that_never_came_back_has_not_held() -> None:
    assert after_failback(switchover=replace(SWITCHOVER, freeze_seconds=None)) == {f"The service is back in {PRIMARY}"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"database": REPLICA | {"ReadReplicaSourceDBInstanceIdentifier": ""}},
        {"database": REPLICA | {"DBInstanceStatus": "creating"}},
        {"database": REPLICA | {"StatusInfos": []}},
        {"database": REPLICA | {"StatusInfos": [{"StatusType": "read replication", "Normal": False}]}},
        {"database": REPLICA | {"BackupRetentionPeriod": 0}},
        {"database": None},
        {"read_only": False},
        {"read_only": None},
        {"capacity": (2, 2, 4)},
        {"functions": (WorkloadFunction("dev-orders", None, ("Disabled",)),)},
        {"functions": (WorkloadFunction("dev-orders", 0, ("Enabled",)),)},
        {"functions": None},
    ],
)
def test_the_standby_must_be_one(wrong: dict[str, Any]) -> None:
    assert after_failback(places=Places(HOME.primary, replace(HOME.dr, **wrong))) == {STANDBY}


def test_both_regions_must_know_who_is_active() -> None:
    stale = Places(HOME.primary, replace(HOME.dr, active_region=DR))
    assert after_failback(places=stale) == {f"{PRIMARY} is on record as the active region, in both"}


def test_the_list_is_read_by_table_and_each_order_once() -> None:
    lines = [
        {"table": "app.orders", "action": "insert", "before": None, "after": {"id": "a", "note": "x"}},
        {"table": "app.orders", "action": "update", "before": {"id": "a"}, "after": {"id": "a"}},
        {"table": "app.signatures", "action": "insert", "before": None, "after": {"id": "no order"}},
        {"table": "app.orders", "action": "delete", "before": {"id": "b"}, "after": None},
    ]
    text = "\n".join(json.dumps(line) for line in lines) + "\n\n"
    assert audit.listed_orders(text, "app.orders") == ("a", "b")
    assert audit.listed_orders("", "app.orders") == ()


def test_positions_are_compared_however_they_are_laid_out() -> None:
    assert audit.canonical("b:1-3,\na:1-5") == audit.canonical("a:1-5,b:1-3")
    assert audit.canonical("") == ""
