"""The decisions of a re-protection: what makes room and what does not, under which name, and each move."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from pilotlight.config import Names
from pilotlight.decide import protection
from pilotlight.errors import PreconditionFailed
from pilotlight.model import Capacity, Database, DatabaseSnapshot, Doors, Protection, Quiet, Record
from tests.unit.core.samples import (
    BUDGETS,
    DR,
    EMPTY_GROUP,
    EXECUTION,
    OFF,
    ON,
    OTHER,
    PRIMARY,
    PROMOTED,
    REPLICA,
    SETTINGS,
    UP_GROUP,
)

NOW = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
SOURCE = f"arn:aws:rds:{DR}:123456789012:db:dev-db"
ACTIVE = dataclasses.replace(PROMOTED, arn=SOURCE, host="dr.example")
OLD = dataclasses.replace(PROMOTED, resource="db-OLD", arn=f"arn:aws:rds:{PRIMARY}:123456789012:db:dev-db")
GOOD = dataclasses.replace(REPLICA, source=SOURCE, resource="db-NEW")
RECORD = Record(active_region=DR, epoch=5, since=3)
TAKEN = dataclasses.replace(RECORD, epoch=6, lock="held", holder=EXECUTION, target=PRIMARY, mode="reprotect")
RETIRED = "dev-db-retired-3"
name = Names("dev").retired


def protect(**changes: Any) -> Protection:
    return dataclasses.replace(
        Protection(
            environment="dev",
            region=PRIMARY,
            active=DR,
            epoch=6,
            rebuild=True,
            database="dev-db",
            database_state="a primary, available",
            source=SOURCE,
            source_host="dr.example",
            source_port=3306,
            retire=True,
            retired=RETIRED,
            retired_epoch=3,
            snapshot=f"{RETIRED}-final",
            functions=("dev-orders",),
            backup_retention_days=7,
            most_lag_seconds=30,
            poll_seconds=5,
            slow_poll_seconds=10,
            budgets=BUDGETS,
        ),
        **changes,
    )


def with_status(database: Database, status: str, **changes: Any) -> Database:
    return dataclasses.replace(database, status=status, **changes)


# What is asked


@pytest.mark.parametrize("payload", [None, {}, {"reason": "drill"}, {"region": PRIMARY}])
def test_the_standby_is_the_region_that_is_not_active(payload: Any) -> None:
    assert protection.standby(RECORD, protection.check(payload), PRIMARY, DR) == PRIMARY
    assert protection.standby(Record(active_region=PRIMARY), protection.Asked(), PRIMARY, DR) == DR


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ("x", "the input is str"),
        ({"regoin": DR}, "unknown field 'regoin'"),
        ({"region": 1}, "'region' is 1"),
        ({"rebuild": "false"}, "'rebuild' is 'false'"),
        ({"reason": 1}, "'reason'"),
        ({"region": DR}, "which is the active region"),
        ({"region": "us-east-1"}, "neither of the two regions"),
    ],
)
def test_wrong_input_is_refused_by_its_field(payload: Any, told: str) -> None:
    with pytest.raises(PreconditionFailed, match=told) as refused:
        protection.standby(RECORD, protection.check(payload), PRIMARY, DR)
    assert "Nothing was changed" in str(refused.value)


# The lock


def test_a_running_switch_is_never_disturbed() -> None:
    held = dataclasses.replace(RECORD, lock="held", holder=OTHER, mode="graceful", promotion="at ten")
    with pytest.raises(PreconditionFailed, match=f"holds the lock: {OTHER}"):
        protection.require_free(held, running=True, region=DR)


def test_a_switch_that_asked_for_a_promotion_is_finished_first() -> None:
    for lock in ("failed", "held"):
        left = dataclasses.replace(RECORD, lock=lock, holder=OTHER, mode="ungraceful", promotion="at ten", target=DR)
        with pytest.raises(PreconditionFailed, match="start dev-dr-failover again, with no input"):
            protection.require_free(left, running=False, region=DR)
        protection.require_free(dataclasses.replace(left, mode="reprotect"), running=False, region=DR)
        protection.require_free(dataclasses.replace(left, promotion=""), running=False, region=DR)
    # What a switch that ended has noted is history.
    protection.require_free(dataclasses.replace(RECORD, promotion="at ten"), running=False, region=DR)


def test_a_planned_switch_is_finished_with_its_own_input() -> None:
    """With no input, the failover would take the service back to the region that a failback has left."""
    back = dataclasses.replace(
        RECORD, lock="failed", holder=OTHER, mode="graceful", promotion="at ten", source=DR, target=PRIMARY
    )
    for left in (back, dataclasses.replace(back, active_region=PRIMARY)):
        with pytest.raises(PreconditionFailed, match="start the failback again, or dev-dr-failover with") as refused:
            protection.require_free(left, running=False, region=DR)
        assert f'{{"mode": "graceful", "target": "{PRIMARY}"}} and no other input' in str(refused.value)
        assert "failover again" not in str(refused.value)
    there = dataclasses.replace(back, source=PRIMARY, target=DR)
    with pytest.raises(PreconditionFailed, match="start dev-dr-failover again, with") as refused:
        protection.require_free(there, running=False, region=DR)
    assert f'{{"mode": "graceful", "target": "{DR}"}}' in str(refused.value)
    assert "failback" not in str(refused.value)


@pytest.mark.parametrize(
    ("mode", "how"), [("graceful", '{"mode": "graceful", "target": "eu-west-1"}'), ("ungraceful", "no input")]
)
def test_a_switch_that_began_to_close_the_active_region_is_started_again_first(mode: str, how: str) -> None:
    """It may have come as far as the functions, behind an open door: only the record knows."""
    left = dataclasses.replace(RECORD, lock="failed", holder=OTHER, mode=mode, target=PRIMARY, frozen="at ten")
    with pytest.raises(PreconditionFailed, match="began to close eu-central-1 at at ten") as refused:
        protection.require_free(left, running=False, region=DR)
    assert f"Start that switch again, with {how}" in str(refused.value)
    # One that has opened it again, or came to its readiness only, leaves nothing to open.
    protection.require_free(dataclasses.replace(left, frozen=""), running=False, region=DR)
    protection.require_free(dataclasses.replace(left, lock="free"), running=False, region=DR)


def test_taking_the_lock_says_nothing_about_who_is_active() -> None:
    taken = protection.take(RECORD, protection.Asked(reason="back"), PRIMARY, EXECUTION, NOW)
    assert (taken.active_region, taken.since, taken.epoch) == (DR, 3, 6)
    assert (taken.lock, taken.mode, taken.target, taken.promotion) == ("held", "reprotect", PRIMARY, "")


# What makes room


@pytest.mark.parametrize(
    ("found", "must"),
    [
        (None, False),
        (OLD, True),
        (GOOD, False),
        (with_status(GOOD, "creating"), False),
        (with_status(GOOD, "backing-up"), False),
        (REPLICA, True),
        (dataclasses.replace(GOOD, replication="error", replication_normal=False), True),
        (dataclasses.replace(GOOD, replication="terminated", replication_normal=False), True),
        (dataclasses.replace(GOOD, replication="stopped", replication_normal=False), False),
    ],
)
def test_only_what_no_longer_follows_makes_room(found: Database | None, must: bool) -> None:
    assert protection.must_retire(found, SOURCE) is must


def test_a_standby_is_protected_when_it_follows_keeps_backups_and_runs_nothing() -> None:
    assert protection.is_protected(GOOD, SOURCE, EMPTY_GROUP, (OFF,))
    raised = dataclasses.replace(EMPTY_GROUP, capacity=Capacity(0, 1, 4))
    for found, group, function in (
        (None, EMPTY_GROUP, OFF),
        (OLD, EMPTY_GROUP, OFF),
        (with_status(GOOD, "creating"), EMPTY_GROUP, OFF),
        (with_status(GOOD, "storage-full"), EMPTY_GROUP, OFF),
        (dataclasses.replace(GOOD, backup_retention_days=0), EMPTY_GROUP, OFF),
        (dataclasses.replace(GOOD, replication_normal=False), EMPTY_GROUP, OFF),
        (GOOD, UP_GROUP, OFF),
        (GOOD, raised, OFF),
        (GOOD, EMPTY_GROUP, ON),
    ):
        assert not protection.is_protected(found, SOURCE, group, (function,))


# Its name


def test_it_is_named_after_the_epoch_in_which_it_lost_its_role() -> None:
    assert protection.retirement(TAKEN, OLD, SOURCE, set(), name) == 3


def test_a_name_that_is_taken_is_left_to_its_owner() -> None:
    assert protection.retirement(TAKEN, OLD, SOURCE, {name(3)}, name) == 6


def test_a_name_that_an_earlier_run_noted_stays() -> None:
    noted = dataclasses.replace(OLD, tags={"pilotlight:retired-epoch": "5"})
    assert protection.retirement(dataclasses.replace(TAKEN, epoch=9), noted, SOURCE, {name(3)}, name) == 5


def test_what_an_earlier_run_retired_is_found_again_and_nothing_older() -> None:
    for found in (None, with_status(GOOD, "creating"), GOOD):
        assert protection.retirement(TAKEN, found, SOURCE, {name(1), name(3)}, name) == 3
        assert protection.retirement(TAKEN, found, SOURCE, {name(1), name(3), name(5)}, name) == 5
        assert protection.retirement(TAKEN, found, SOURCE, {name(1)}, name) is None


# The plan


def plan(found: Database | None, active: Database | None = ACTIVE, *, rebuild: bool = True) -> Protection:
    return protection.plan(
        TAKEN, "dev", SETTINGS, found, active, (3, RETIRED), f"{RETIRED}-final", (ON,), rebuild, "dev-db"
    )


def test_the_plan_says_what_becomes_of_what() -> None:
    planned = plan(OLD)
    assert (planned.region, planned.active, planned.source, planned.retire) == (PRIMARY, DR, SOURCE, True)
    assert any("dev-db-retired-3, protected from deletion" in step for step in planned.steps)
    assert not plan(GOOD).retire
    assert not any("snapshot" in step for step in plan(GOOD).steps)


@pytest.mark.parametrize(
    ("found", "active", "told"),
    [
        (OLD, None, "is missing"),
        (OLD, REPLICA, "still a replica"),
        (OLD, with_status(ACTIVE, "failed"), "'failed'"),
        (OLD, dataclasses.replace(ACTIVE, backup_retention_days=0), "keeps no backups"),
        (with_status(OLD, "storage-full"), ACTIVE, "'storage-full'"),
        (with_status(OLD, "creating"), ACTIVE, "being created"),
    ],
)
def test_what_only_a_person_ends_is_refused_before_anything_changes(
    found: Database, active: Database | None, told: str
) -> None:
    with pytest.raises(PreconditionFailed, match=told) as refused:
        plan(found, active)
    assert "Nothing was changed" in str(refused.value)
    assert "start the re-protection again" in str(refused.value)


def test_an_active_database_that_was_left_closed_is_opened_first() -> None:
    doors = Doors("sg-open", "sg-closed")
    protection.require_open(dataclasses.replace(ACTIVE, security_groups=("sg-open",)), doors, DR)
    with pytest.raises(PreconditionFailed, match="the service is down"):
        protection.require_open(dataclasses.replace(ACTIVE, security_groups=("sg-closed",)), doors, DR)


# Quiet


def test_the_old_database_is_at_rest_when_two_looks_see_the_same() -> None:
    assert not protection.at_rest(Quiet(True, 0, "a:1-5"), "", 0, 100)
    assert not protection.at_rest(Quiet(False, 0, "a:1-5"), "a:1-5", 5, 100)
    assert protection.at_rest(Quiet(True, 3, "a:1-5"), "a:1-5", 5, 100)
    with pytest.raises(PreconditionFailed, match="read-only no"):
        protection.at_rest(Quiet(False, 3, "a:1-6"), "a:1-5", 100, 100)


def test_one_that_cannot_be_asked_is_kept_all_the_same() -> None:
    assert not protection.at_rest(None, "", 0, 100)
    assert protection.at_rest(None, "", 100, 100)


# The moves


FINAL = DatabaseSnapshot(f"{RETIRED}-final", "available", "db-OLD")


def test_a_final_snapshot_is_taken_once() -> None:
    def move(seen: DatabaseSnapshot | None, found: Database = OLD, waited: int = 0) -> str:
        return protection.next_snapshot_move(seen, found, f"{RETIRED}-final", waited, 100)

    assert move(None) == "take"
    assert move(None, with_status(OLD, "backing-up")) == "wait"
    assert move(dataclasses.replace(FINAL, status="creating"), waited=50) == "wait"
    assert move(FINAL, waited=500) == "done"
    for seen, told in (
        (dataclasses.replace(FINAL, status="failed"), "'failed'"),
        (dataclasses.replace(FINAL, resource="db-ELSE"), "another database"),
    ):
        with pytest.raises(PreconditionFailed, match=told):
            move(seen)
    with pytest.raises(PreconditionFailed, match="protection-budget-seconds"):
        move(None, waited=100)


def test_the_old_name_is_given_up_once_and_waited_for() -> None:
    def move(found: Database | None, retired: Database | None, waited: int = 0) -> str:
        return protection.next_retirement_move(found, retired, protect(), waited)

    assert move(OLD, None) == "rename"
    assert move(dataclasses.replace(OLD, pending=("DBInstanceIdentifier",)), None) == "wait"
    assert move(with_status(OLD, "renaming"), None) == "wait"
    assert move(None, None) == "wait"
    assert move(None, with_status(OLD, "renaming")) == "wait"
    assert move(None, OLD) == "done"
    assert move(None, dataclasses.replace(OLD, pending=("DBInstanceIdentifier",))) == "wait"
    assert move(None, dataclasses.replace(OLD, pending=("DBInstanceClass",))) == "done"
    assert move(with_status(GOOD, "creating"), OLD) == "done"
    with pytest.raises(PreconditionFailed, match="exists in eu-west-1 beside"):
        move(OLD, dataclasses.replace(OLD, resource="db-ANOTHER"))
    # It got its name between the two looks.
    one = dataclasses.replace(OLD, resource="db-ONE")
    assert move(one, one) == "wait"
    with pytest.raises(PreconditionFailed, match="more than"):
        move(None, None, waited=BUDGETS.protection)


def test_a_replica_is_made_once_and_never_over_something_else() -> None:
    def move(found: Database | None, waited: int = 0) -> str:
        return protection.next_building_move(found, protect(), waited)

    assert move(None) == "create"
    assert move(with_status(GOOD, "creating")) == "wait"
    assert move(GOOD, waited=9999) == "done"
    for found, told in ((OLD, "not the replica of"), (with_status(GOOD, "failed"), "never held anything")):
        with pytest.raises(PreconditionFailed, match=told):
            move(found)
    with pytest.raises(PreconditionFailed, match="more than"):
        move(None, waited=BUDGETS.protection)


def test_backups_are_on_when_rds_says_so_and_rests() -> None:
    windows = ("01:00-01:30", "Sun:03:00-Sun:04:00")
    kept = dataclasses.replace(GOOD, backup_window="01:00-01:30", maintenance_window="sun:03:00-sun:04:00")

    def move(found: Database | None, waited: int = 0) -> str:
        return protection.next_backup_move(found, protect(), 7, windows, waited)

    assert move(kept) == "done"
    assert move(dataclasses.replace(kept, backup_retention_days=0)) == "keep"
    assert move(dataclasses.replace(kept, backup_window="13:00-13:30")) == "keep"
    assert move(with_status(kept, "backing-up")) == "wait"
    assert move(dataclasses.replace(kept, pending=("BackupRetentionPeriod",))) == "wait"
    assert move(dataclasses.replace(kept, pending=("DBInstanceClass",))) == "done"
    with pytest.raises(PreconditionFailed, match="gone"):
        move(None)


def test_it_follows_when_rds_and_the_heartbeat_say_so() -> None:
    def follows(found: Database | None, age: int | None, waited: int = 0) -> bool:
        return protection.follows(found, {"age": age, "detail": ""}, protect(), waited)

    assert follows(GOOD, 5)
    assert not follows(GOOD, 31)
    assert not follows(GOOD, None)
    assert not follows(dataclasses.replace(GOOD, replication="error"), 5)
    with pytest.raises(PreconditionFailed, match="last heard the active heart 500 s ago"):
        follows(GOOD, 500, waited=BUDGETS.protection)


# What people are told


LISTED = {
    "transactions": 4,
    "rows": 3,
    "tables": {"app.orders": {"inserted": 3, "updated": 0, "deleted": 0}},
    "listed": True,
    "truncated": False,
    "evidence": "s3://dev-evidence/divergence/x",
    "detail": "",
}


def test_people_are_told_what_never_crossed_and_where_it_is() -> None:
    told = protection.succeeded(TAKEN, protect(), LISTED, ["/dev/pilotlight/database-port"], PRIMARY, DR)
    for part in (
        RETIRED,
        f"{RETIRED}-final",
        "3 row changes",
        "app.orders 3 inserted",
        "s3://dev-evidence",
        "Reconcile",
    ):
        assert part in told["message"], part
    assert "database-port" in told["message"]


def test_who_prints_the_tables_says_how_many_more_there_are() -> None:
    many = {f"app.t{number:03}": {"inserted": 1 + number, "updated": 0, "deleted": 0} for number in range(200)}
    told = protection.lost(LISTED | {"tables": many, "more_tables": 3_800})
    assert "app.t199 200 inserted" in told
    assert "app.t000" not in told
    assert "and 3980 more tables: see the evidence" in told
    assert len(told) < 2_000
    assert "more tables" not in protection.lost(LISTED)


def test_people_are_told_when_nobody_knows_what_never_crossed() -> None:
    for transactions, count in ((-1, "an unknown number of"), (7, "7 transactions")):
        unlisted = LISTED | {"transactions": transactions, "rows": -1, "listed": False, "detail": "it did not answer"}
        told = protection.next_steps(protect(), unlisted, PRIMARY, DR)
        assert count in told
        assert "it did not answer" in told
        assert RETIRED in told


def test_nobody_is_sent_to_reconcile_nothing() -> None:
    # A heartbeat that did not cross is no loss.
    nothing = LISTED | {"transactions": 1, "rows": 0, "tables": {}, "evidence": ""}
    assert "Reconcile" not in protection.next_steps(protect(), nothing, PRIMARY, DR)
    assert "Reconcile" not in protection.next_steps(protect(retired="", snapshot=""), None, PRIMARY, DR)


def test_who_protects_the_primary_is_told_how_to_go_back_and_who_protects_dr_that_all_is_done() -> None:
    names = f"ENVIRONMENT=dev DR_REGION={DR}"
    back = f"Going back is a planned switch:\n     make failback {names}\n"
    told = protection.next_steps(protect(), None, PRIMARY, DR)
    assert back in f"{told}\n"
    after_a_failback = protection.next_steps(protect(region=DR, active=PRIMARY), None, PRIMARY, DR)
    assert f"{DR} can take over again. Nothing else is to be done." in after_a_failback
    assert "make failback" not in after_a_failback
    # It is protected from deletion: by hand it would be refused.
    purge = f"     make retire-purge ENVIRONMENT=dev PRIMARY_REGION={PRIMARY} DR_REGION={DR} ID={RETIRED}"
    for text in (told, after_a_failback):
        assert text.endswith(f"\n{purge}")
        assert "by hand" not in text
    assert "retire-purge" not in protection.next_steps(protect(retired="", snapshot=""), None, PRIMARY, DR)


def test_who_builds_no_replica_is_told_the_way_to_one() -> None:
    by_snapshot = protection.next_steps(protect(rebuild=False), None, PRIMARY, DR)
    assert f"     make failback ENVIRONMENT=dev DR_REGION={DR} METHOD=snapshot" in by_snapshot
    in_dr = protection.next_steps(protect(rebuild=False, region=DR, active=PRIMARY), None, PRIMARY, DR)
    assert f"     make reprotect ENVIRONMENT=dev DR_REGION={DR}" in in_dr
    assert "make failback" not in in_dr


def test_a_standby_that_is_there_says_whether_the_objects_were_copied_to_the_end() -> None:
    command = f"make objects ENVIRONMENT=dev DR_REGION={DR}"
    assert command in protection.already_protected(RECORD, PRIMARY, command)
    assert "objects" not in protection.already_protected(RECORD, PRIMARY)
    done = {"since": RECORD.since, "done": True}
    assert not protection.objects_are_left(RECORD, done)
    for noted in ({}, done | {"done": False}, done | {"since": RECORD.since - 1}):
        assert protection.objects_are_left(RECORD, noted)
    # Nobody has switched yet.
    assert not protection.objects_are_left(dataclasses.replace(RECORD, since=0), {})


def test_a_schema_that_was_changed_is_no_nothing() -> None:
    changed = LISTED | {"transactions": 1, "rows": 0, "tables": {}, "statements": 1}
    told = protection.lost(changed)
    assert told == (
        "0 row changes and 1 statements (changes of schemas or accounts: the list has them) in 1 transactions never "
        "crossed."
    )
    assert "Reconcile" in protection.next_steps(protect(), changed, PRIMARY, DR)
    assert protection.retired_tags(protect(), changed, NOW)["pilotlight:divergence-statements"] == "1"


def test_a_retired_database_says_so_itself() -> None:
    tags = protection.retired_tags(protect(), LISTED, NOW)
    assert tags["pilotlight:role"] == "retired"
    assert tags["pilotlight:retired-epoch"] == "3"
    assert (tags["pilotlight:divergence-transactions"], tags["pilotlight:divergence-rows"]) == ("4", "3")
