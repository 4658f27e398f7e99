from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from pilotlight.aws.record import Store
from pilotlight.decide import failover
from pilotlight.errors import FatalError, PreconditionFailed
from pilotlight.model import Record, Request
from tests.unit.core.samples import DR, EXECUTION, HELD, OTHER, PRIMARY

NOW = dt.datetime(2026, 11, 2, 3, 4, 5, tzinfo=dt.UTC)
FREE = Record(active_region=PRIMARY, epoch=2)


def begin(record: Record, *, execution: str = EXECUTION, running: bool = False, force: bool = False) -> failover.Begin:
    return failover.begin(record, Request(force=force), execution, running, DR, NOW, 1800)


def test_a_free_lock_is_taken_and_the_epoch_rises() -> None:
    taken = begin(FREE)
    assert taken.outcome == "take"
    assert (taken.record.epoch, taken.record.lock, taken.record.holder) == (3, "held", EXECUTION)
    assert (taken.record.source, taken.record.target) == (PRIMARY, DR)
    assert taken.record.active_region == PRIMARY


def test_a_running_holder_is_named_to_whoever_comes_second() -> None:
    with pytest.raises(PreconditionFailed, match="holds the lock") as refused:
        begin(HELD, execution=OTHER, running=True)
    assert EXECUTION in str(refused.value)


@pytest.mark.parametrize("left", [HELD, replace(HELD, lock="failed")])
def test_a_dead_or_failed_holder_is_taken_over_under_a_new_epoch(left: Record) -> None:
    taken = begin(left, execution=OTHER)
    assert (taken.outcome, taken.record.epoch, taken.record.holder) == ("take", 4, OTHER)


def test_taking_over_after_the_region_was_recorded_keeps_the_direction() -> None:
    taken = begin(replace(HELD, lock="failed", active_region=DR), execution=OTHER)
    assert (taken.record.source, taken.record.target) == (PRIMARY, DR)


def test_a_promotion_that_was_asked_for_is_remembered_until_the_switch_is_over() -> None:
    asked = replace(HELD, lock="failed", promotion="2026-11-02T03:04:05+00:00")
    assert begin(asked, execution=OTHER).record.promotion == asked.promotion
    assert begin(replace(asked, lock="free", active_region=PRIMARY)).record.promotion == ""


def test_asking_twice_gives_the_same_lock() -> None:
    assert begin(HELD, running=True) == failover.Begin("already-held", HELD)


def test_an_active_region_is_left_alone() -> None:
    active = replace(FREE, active_region=DR)
    assert begin(active) == failover.Begin("already-active", active)
    assert begin(active, force=True).outcome == "already-active"


def test_within_the_cool_down_only_force_begins() -> None:
    cooling = replace(FREE, cool_down_until="2026-11-02T03:30:00+00:00")
    with pytest.raises(PreconditionFailed, match="cool-down ends at 2026-11-02T03:30:00"):
        begin(cooling)
    assert begin(cooling, force=True).outcome == "take"
    assert begin(replace(FREE, cool_down_until="2026-11-02T03:00:00+00:00")).outcome == "take"


@pytest.mark.parametrize(
    "now",
    [
        replace(HELD, epoch=4, holder=OTHER),
        replace(HELD, epoch=4),
        replace(HELD, holder=OTHER),
        replace(HELD, lock="free"),
        replace(HELD, lock="failed"),
    ],
)
def test_a_step_of_a_switch_that_is_over_is_refused(now: Record) -> None:
    failover.require_current(HELD, 3, EXECUTION)
    with pytest.raises(FatalError, match="epoch 3"):
        failover.require_current(now, 3, EXECUTION)


def test_of_two_that_saw_the_same_free_lock_one_wins(state_table: str) -> None:
    store = Store(state_table, PRIMARY)
    seen = store.read()
    first, second = begin(seen).record, begin(seen, execution=OTHER).record
    assert store.replace(seen, first)
    assert not store.replace(seen, second)
    assert store.read() == first


def test_a_record_survives_its_way_through_the_table(state_table: str) -> None:
    store = Store(state_table, PRIMARY)
    assert store.replace(store.read(), HELD)
    assert store.read() == HELD


def test_what_is_noted_on_the_side_is_not_overwritten(state_table: str) -> None:
    store = Store(state_table, PRIMARY)
    store.replace(store.read(), HELD)
    seen = store.read()
    assert store.note_fence(3, "confirmed")
    assert store.replace(seen, replace(seen, active_region=DR))
    assert (store.read().fence, store.read().active_region) == ("confirmed", DR)
    assert not store.note_fence(2, "late news of an earlier switch")


def test_the_first_record_that_a_deployment_wrote_can_be_taken(state_table: str, aws: Any) -> None:
    aws("dynamodb").put_item(
        TableName=state_table,
        Item={"id": {"S": "switch"}, "active_region": {"S": PRIMARY}, "epoch": {"N": "0"}, "lock": {"S": "free"}},
    )
    store = Store(state_table, PRIMARY)
    taken = begin(store.read()).record
    assert store.replace(store.read(), taken)
    assert store.read() == taken


def test_a_record_written_since_is_not_replaced_blindly(state_table: str) -> None:
    store = Store(state_table, PRIMARY)
    nothing_yet = store.read()
    store.replace(nothing_yet, replace(HELD, epoch=1))
    assert not store.replace(nothing_yet, begin(nothing_yet, execution=OTHER).record)
