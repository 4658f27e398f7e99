"""A planned switchover: what it insists on before the freeze, when the freeze counts, and when it may be taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pilotlight.decide import failover, promotion, switchover, tell
from pilotlight.errors import PreconditionFailed
from pilotlight.model import Database, Doors, Quiet, Record
from tests.unit.core.samples import (
    DOOR,
    DR,
    EMPTY_GROUP,
    HELD,
    IMAGE,
    NAMES,
    OFF,
    PRIMARY,
    PROMOTED,
    REPLICA,
    SETTINGS,
)

AT_REST = Quiet(read_only=True, connections=0, position="uuid:1-9")


def test_two_sound_sides_are_ready() -> None:
    switchover.require_ready(PROMOTED, REPLICA, 3, 30)
    switchover.require_ready(PROMOTED, REPLICA, 30, 30)


@pytest.mark.parametrize(
    ("source", "replica", "lag", "told"),
    [
        (None, REPLICA, 3, "source's database is missing"),
        (replace(PROMOTED, status="rebooting"), REPLICA, 3, "not an available primary"),
        (REPLICA, REPLICA, 3, "not an available primary"),
        (PROMOTED, None, 3, "replica is missing"),
        (PROMOTED, PROMOTED, 3, "replica is a primary"),
        (PROMOTED, replace(REPLICA, status="backing-up"), 3, "'backing-up'"),
        (PROMOTED, replace(REPLICA, replication_normal=False, replication="error"), 3, "does not replicate"),
        (PROMOTED, replace(REPLICA, replication="stopped"), 3, "does not replicate"),
        (PROMOTED, REPLICA, 31, "31 s behind"),
        (PROMOTED, REPLICA, None, "no heartbeat"),
    ],
)
def test_a_side_that_is_not_ready_is_named_and_nothing_is_changed(
    source: Database | None, replica: Database | None, lag: int | None, told: str
) -> None:
    with pytest.raises(PreconditionFailed, match="Nothing was changed") as refused:
        switchover.require_ready(source, replica, lag, 30)
    assert told in str(refused.value)
    # Alone, that is an unplanned failover, of a primary that is well.
    assert '{"force": true}' not in str(refused.value)


def test_who_insists_takes_a_longer_freeze_and_nothing_else() -> None:
    switchover.require_ready(PROMOTED, REPLICA, 31, 30, insists=True)
    switchover.require_ready(PROMOTED, REPLICA, None, 30, insists=True)
    for source, replica in ((None, REPLICA), (PROMOTED, None), (PROMOTED, replace(REPLICA, replication="stopped"))):
        with pytest.raises(PreconditionFailed, match="Nothing was changed"):
            switchover.require_ready(source, replica, 3, 30, insists=True)


def test_who_insists_on_a_planned_switch_is_not_sent_into_an_unplanned_one() -> None:
    for lag in (31, None):
        with pytest.raises(PreconditionFailed, match='the same input and "force": true added to it'):
            switchover.require_ready(PROMOTED, REPLICA, lag, 30)


def test_rest_is_read_only_and_the_same_last_write_in_two_looks() -> None:
    assert switchover.is_quiet(AT_REST, "uuid:1-9", 0, 100)
    assert not switchover.is_quiet(AT_REST, "", 0, 100)
    assert not switchover.is_quiet(AT_REST, "uuid:1-8", 0, 100)
    assert not switchover.is_quiet(replace(AT_REST, read_only=False), "uuid:1-9", 0, 100)
    assert not switchover.is_quiet(replace(AT_REST, position=""), "", 0, 100)


def test_a_source_that_does_not_come_to_rest_is_told() -> None:
    with pytest.raises(PreconditionFailed, match="read-only no, 3 connections left"):
        switchover.is_quiet(Quiet(read_only=False, connections=3, position="uuid:1-9"), "", 100, 100)


def test_a_position_that_moved_is_proven_anew_and_not_called_a_breach() -> None:
    assert switchover.is_still(AT_REST, "uuid:1-9", 100, 100)
    assert not switchover.is_still(replace(AT_REST, position="uuid:1-10"), "uuid:1-9", 0, 100)
    assert not switchover.is_still(replace(AT_REST, position=""), "", 0, 100)


def test_a_source_that_goes_on_writing_stops_the_switchover() -> None:
    with pytest.raises(PreconditionFailed, match="passes through read_only"):
        switchover.is_still(replace(AT_REST, position="uuid:1-10"), "uuid:1-9", 100, 100)
    with pytest.raises(PreconditionFailed, match="writable again"):
        switchover.is_still(replace(AT_REST, read_only=False), "uuid:1-9", 0, 100)


@pytest.mark.parametrize(
    ("record", "replica"),
    [
        (replace(HELD, active_region=DR), REPLICA),
        (replace(HELD, promotion="2026-11-02T03:04:05+00:00"), REPLICA),
        (HELD, PROMOTED),
        (HELD, None),
    ],
)
def test_a_source_is_never_opened_beside_another_primary(record: Record, replica: Database | None) -> None:
    switchover.require_may_open(HELD, PRIMARY, REPLICA)
    with pytest.raises(PreconditionFailed, match="two writers"):
        switchover.require_may_open(record, PRIMARY, replica)


def test_where_the_other_region_is_lost_the_record_alone_says_whether_the_source_may_be_opened() -> None:
    """It is noted before anything is brought up there, so a source that serves nobody need not wait for an answer."""
    switchover.require_may_open(HELD, PRIMARY, None, answers=False)
    for noted in (replace(HELD, active_region=DR), replace(HELD, promotion="2026-11-02T03:04:05+00:00")):
        with pytest.raises(PreconditionFailed, match="two writers"):
            switchover.require_may_open(noted, PRIMARY, None, answers=False)


def test_a_frozen_region_that_takes_over_again_is_opened_when_it_is_promoted() -> None:
    doors = Doors(open="sg-open", closed="sg-closed")
    there = replace(PROMOTED, security_groups=("sg-open",))
    assert promotion.is_open(there, doors, True, "dev-db", 0, 100)
    assert not promotion.is_open(there, doors, False, "dev-db", 0, 100)
    assert not promotion.is_open(replace(there, security_groups=("sg-closed",)), doors, True, "dev-db", 0, 100)
    assert not promotion.is_open(replace(there, status="modifying"), doors, True, "dev-db", 0, 100)
    # Doors that cannot be told apart keep nothing down.
    assert promotion.is_open(there, None, True, "dev-db", 0, 100)
    with pytest.raises(PreconditionFailed, match="frozen, and behind another door"):
        promotion.is_open(replace(there, security_groups=("sg-closed",)), doors, False, "dev-db", 100, 100)


def test_what_an_earlier_switch_left_behind_is_known_by_its_door_and_by_the_record() -> None:
    doors = Doors(open="sg-open", closed="sg-closed")
    left = replace(PROMOTED, security_groups=("sg-closed",))
    assert failover.is_left_behind(HELD, left, doors)
    # The recorded active region, a replica, one that was promoted by hand and is in use: none of these.
    assert not failover.is_left_behind(replace(HELD, active_region=DR), left, doors)
    assert not failover.is_left_behind(HELD, replace(left, source="arn"), doors)
    assert not failover.is_left_behind(HELD, replace(left, security_groups=("sg-open",)), doors)
    assert not failover.is_left_behind(HELD, left, None)
    assert not failover.is_left_behind(HELD, None, doors)


def test_writes_that_it_lacks_are_said_before_anything_is_changed() -> None:
    with pytest.raises(PreconditionFailed, match="lacks every write that eu-west-1 has taken since") as refused:
        failover.plan(HELD, "dev", SETTINGS, PROMOTED, IMAGE, EMPTY_GROUP, DOOR, (OFF,), NAMES, left_behind=True)
    assert '{"force": true}' in str(refused.value)


def test_where_there_is_no_replica_the_one_that_was_put_away_is_named() -> None:
    def planned(retired: str) -> None:
        failover.plan(HELD, "dev", SETTINGS, None, IMAGE, EMPTY_GROUP, DOOR, (OFF,), NAMES, retired=retired)

    with pytest.raises(PreconditionFailed, match="Otherwise: Make it") as refused:
        planned("dev-db-retired-7")
    assert "--db-instance-identifier dev-db-retired-7 --new-db-instance-identifier dev-db" in str(refused.value)
    with pytest.raises(PreconditionFailed, match=r"nothing was changed\. Make it"):
        planned("")


@pytest.mark.parametrize("found", [None, REPLICA])
def test_what_is_no_primary_is_not_opened(found: Database | None) -> None:
    with pytest.raises(PreconditionFailed, match="only one that was promoted is opened"):
        promotion.is_open(found, Doors(open="sg-open", closed="sg-closed"), True, "dev-db", 0, 100)


def test_what_is_said_after_a_failure_follows_from_what_was_done() -> None:
    planned = replace(HELD, mode="graceful")
    assert "Nothing irreversible" in tell.way_on(planned, "dev")
    passed = tell.way_on(replace(planned, promotion="2026-11-02T03:04:05+00:00"), "dev")
    assert "again with the same input: it goes on from there" in passed
    assert "with no input: it goes on from there" in tell.way_on(HELD, "dev")


def test_a_source_that_was_left_closed_is_known_by_its_door() -> None:
    doors = Doors(open="sg-open", closed="sg-closed")
    assert switchover.is_closed(replace(PROMOTED, security_groups=("sg-closed",)), doors)
    assert not switchover.is_closed(replace(PROMOTED, security_groups=("sg-open",)), doors)
    assert not switchover.is_closed(PROMOTED, doors)
