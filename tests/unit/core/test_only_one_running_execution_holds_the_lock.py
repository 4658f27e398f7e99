from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from pilotlight.aws import executions
from pilotlight.aws.record import Store
from pilotlight.decide import decision, failback, failover, protection, request
from pilotlight.decide.decision import Facts, Replica
from pilotlight.errors import FatalError, PreconditionFailed
from pilotlight.model import Automation, Policy, Record, Request, Watch
from tests.unit.core.conftest import Context, load
from tests.unit.core.samples import DR, EXECUTION, HELD, OTHER, PRIMARY, SETTINGS

NOW = dt.datetime(2026, 11, 2, 3, 4, 5, tzinfo=dt.UTC)
FREE = Record(active_region=PRIMARY, epoch=2)


AT = "2026-11-02T03:00:00+00:00"
# A planned switch to DR that was past its point of no return, and one that was not.
PASSED = replace(HELD, lock="failed", mode="graceful", promotion=AT)
CALLED_OFF = replace(PASSED, promotion="")


def begin(
    record: Record,
    *,
    execution: str = EXECUTION,
    running: bool = False,
    force: bool = False,
    mode: str = "ungraceful",
    target: str = DR,
    automatic: bool = False,
) -> failover.Begin:
    asked = Request(mode=mode, force=force, target=target, automatic=automatic)
    return failover.begin(record, asked, execution, running, (PRIMARY, DR), NOW, 1800)


def planned(record: Record, target: str = DR, **more: Any) -> failover.Begin:
    return begin(record, execution=OTHER, mode="graceful", target=target, **more)


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


def test_an_alarm_that_is_delivered_twice_leaves_the_lock_to_the_quicker_one() -> None:
    first = begin(FREE, execution=OTHER, automatic=True)
    second = begin(first.record, running=True, automatic=True)
    assert (second.outcome, second.record) == ("a-switch-runs", first.record)
    # Of a person's failover, too. A planned one fails where its source is lost, and somebody has to start this then.
    assert begin(HELD, execution=OTHER, running=True, automatic=True).outcome == "a-switch-runs"
    with pytest.raises(PreconditionFailed, match="holds the lock"):
        begin(replace(HELD, mode="graceful"), execution=OTHER, running=True, automatic=True)
    with pytest.raises(PreconditionFailed, match="holds the lock"):
        planned(HELD, running=True, automatic=True)
    # One that runs no more is taken over, and who builds a standby gives way.
    assert begin(HELD, execution=OTHER, automatic=True).outcome == "take"
    assert begin(replace(HELD, mode="reprotect"), execution=OTHER, running=True, automatic=True).outcome == "take"


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


def test_what_was_closed_is_known_until_it_is_open_or_the_switch_is_over() -> None:
    frozen = replace(CALLED_OFF, frozen=AT)
    # Its mode may be another's by now.
    for left in (frozen, replace(frozen, mode="ungraceful")):
        taken = planned(left)
        assert (taken.interrupted, taken.record.frozen) == (True, AT)
        # Asked again, because the answer did not arrive.
        again = planned(taken.record)
        assert (again.outcome, again.interrupted) == ("already-held", True)
    assert not planned(replace(taken.record, frozen="")).interrupted
    assert not planned(replace(taken.record, promotion=AT)).interrupted
    assert not begin(replace(frozen, lock="held")).interrupted
    assert failover.released(taken.record).frozen == ""


def test_that_a_database_which_was_left_behind_may_take_over_is_known_until_the_switch_is_over() -> None:
    """Of a region that was lost past its point of no return, or by force: the first start is told, and is killed. Those
    after it have to say nothing."""
    lost = replace(PASSED, active_region=DR, source=DR, target=PRIMARY)
    for left, by_alarm in ((lost, True), (replace(lost, promotion=""), False)):
        first = begin(left, automatic=by_alarm, force=not by_alarm)
        assert (first.outcome, first.insists, first.record.promotion) == ("take", True, "")
        # Its answer did not arrive; it was killed; the next one was killed as well.
        assert begin(first.record).insists
        second = begin(first.record, execution=OTHER)
        assert (second.outcome, second.insists) == ("take", True)
        assert begin(replace(second.record, lock="failed")).insists
        # One that is over, or another way, says nothing of the next.
        assert failover.released(second.record).insists == ""
        over = replace(failover.released(second.record), active_region=PRIMARY, cool_down_until="")
        assert not begin(over).insists
        built = protection.take(second.record, protection.Asked(), PRIMARY, EXECUTION, NOW)
        half_built = replace(built, lock="failed", active_region=PRIMARY, cool_down_until="")
        assert not begin(half_built, execution=OTHER).insists
    # Who takes a longer freeze says nothing of what a failover may lose.
    assert not begin(replace(planned(FREE, force=True).record, lock="failed")).insists
    assert planned(replace(planned(FREE, force=True).record, lock="failed", holder=EXECUTION)).insists


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


def test_the_cool_down_holds_no_planned_switch_back() -> None:
    cooling = replace(FREE, active_region=DR, cool_down_until="2026-11-02T03:30:00+00:00")
    assert planned(cooling, PRIMARY).outcome == "take"


def test_after_a_failback_the_next_loss_is_not_waited_for() -> None:
    cooling = replace(FREE, active_region=DR, cool_down_until="2026-11-02T03:30:00+00:00")
    back = replace(failover.released(planned(cooling, PRIMARY).record), active_region=PRIMARY)
    assert (back.lock, back.cool_down_until) == ("free", "")
    assert begin(back).outcome == "take"
    # Only an unplanned failover starts a cool-down, and its end keeps it.
    over = failover.released(begin(FREE).record)
    assert over.cool_down_until > "2026-11-02T03:00:00+00:00"


def there_and_back(*, by_alarm: bool) -> Record:
    """Fail over, build the primary anew, go back, build DR anew: each as its machine writes the record."""
    there = replace(failover.released(begin(FREE, automatic=by_alarm).record), active_region=DR)
    built = failover.released(protection.take(there, protection.Asked(), PRIMARY, EXECUTION, NOW))
    given = failback.check({"trigger": {"alarm": "dev-dr-primary-ready"}} if by_alarm else None)
    child = failback.plan(given, "protect-primary", EXECUTION, "dev", PRIMARY, DR, 20)["switch"]["input"]
    asked = request.check(child, PRIMARY, DR)
    taken = failover.begin(built, asked, OTHER, False, (PRIMARY, DR), NOW + dt.timedelta(hours=1), 1800)
    back = replace(failover.released(taken.record), active_region=PRIMARY)
    return failover.released(protection.take(back, protection.Asked(), DR, EXECUTION, NOW))


def test_what_automation_brought_back_it_does_not_take_away_again_at_once() -> None:
    """A primary that comes and goes: an alarm takes it home, and half an hour later at the earliest an alarm leaves."""
    back = there_and_back(by_alarm=True)
    assert (back.active_region, back.lock) == (PRIMARY, "free")
    assert back.cool_down_until == "2026-11-02T04:34:05+00:00"
    lost = Facts(
        now="2026-11-02T04:20:00+00:00",
        alarm="lost",
        alarms={"lost": "ALARM"},
        record=back,
        holder_running=False,
        automation=Automation(),
        watch=Watch(PRIMARY, "", failing_since="2026-11-02T04:19:00+00:00", heartbeat_at="2026-11-02T04:18:58+00:00"),
        replica=Replica(exists=True, is_replica=True),
    )
    policy = Policy("automatic", "automatic", 60, 900, "reject")
    assert decision.failover(lost, policy, DR).rule == "cool-down"
    assert decision.failover(replace(lost, now="2026-11-02T04:35:00+00:00"), policy, DR).rule == "automatic"
    # A person who goes home has seen to it that both sides are well.
    assert there_and_back(by_alarm=False).cool_down_until == ""
    # And a person's next switch ends what the alarm's has begun.
    assert failover.released(planned(back).record).cool_down_until == ""


def test_a_planned_switch_goes_to_the_region_that_is_asked_for() -> None:
    back = planned(replace(FREE, active_region=DR), PRIMARY)
    assert (back.record.source, back.record.target, back.record.active_region) == (DR, PRIMARY, DR)
    assert (back.passed, back.interrupted) == (False, False)
    assert planned(replace(FREE, active_region=DR)).outcome == "already-active"
    assert planned(FREE, PRIMARY).outcome == "already-active"


def test_a_planned_switch_past_its_point_of_no_return_is_gone_on_with() -> None:
    for left in (PASSED, replace(PASSED, lock="held"), replace(PASSED, active_region=DR)):
        again = planned(left)
        assert (again.outcome, again.passed, again.interrupted) == ("take", True, False)
        assert (again.record.promotion, again.record.source) == (AT, PRIMARY)


def test_one_that_ended_before_it_may_have_left_the_source_closed() -> None:
    again = planned(CALLED_OFF)
    assert (again.outcome, again.passed, again.interrupted) == ("take", False, True)
    # What an unplanned failover closes, it closes by the fence alone.
    assert not planned(replace(CALLED_OFF, mode="ungraceful")).interrupted
    assert not begin(CALLED_OFF, execution=OTHER).interrupted


def test_an_unplanned_failover_that_did_not_open_what_was_left_closed_hands_that_on() -> None:
    """Killed in the freeze of a failback, then started with no input and stopped at once: DR is still closed."""
    left = replace(HELD, active_region=DR, lock="failed", mode="ungraceful", source=PRIMARY, target=DR)
    again = planned(left, PRIMARY)
    assert (again.outcome, again.passed, again.interrupted, again.record.source) == ("take", False, True, DR)


@pytest.mark.parametrize(
    ("left", "target", "way_out"),
    [
        (PASSED, PRIMARY, f'"target": "{DR}"'),
        (replace(PASSED, source=DR, target=PRIMARY, active_region=DR), DR, f'"target": "{PRIMARY}"'),
        # The proof came before the note of a planned switch; before that of an unplanned one there was none.
        (replace(PASSED, mode="ungraceful"), DR, "no input"),
        (replace(PASSED, mode="ungraceful", active_region=DR), PRIMARY, "no input"),
        # The source of one that was called off may still be closed: who wants to stay there has to say so.
        (CALLED_OFF, PRIMARY, f'"target": "{DR}"'),
    ],
)
def test_a_planned_switch_does_not_cut_in_on_an_unfinished_one(left: Record, target: str, way_out: str) -> None:
    with pytest.raises(PreconditionFailed, match="nothing was changed") as refused:
        planned(left, target)
    assert way_out in str(refused.value)
    assert f"epoch {left.epoch}" in str(refused.value)


# A failback that is past its point of no return: the primary is being promoted, and then it serves.
HALFWAY_BACK = replace(PASSED, source=DR, target=PRIMARY, active_region=DR)
BACK_BUT_NOT_OVER = replace(HALFWAY_BACK, active_region=PRIMARY)


@pytest.mark.parametrize("left", [HALFWAY_BACK, BACK_BUT_NOT_OVER])
@pytest.mark.parametrize("lock", ["failed", "held"])
def test_no_input_does_not_leave_a_primary_that_a_failback_has_promoted(left: Record, lock: Any) -> None:
    with pytest.raises(PreconditionFailed, match="Nothing was changed") as refused:
        begin(replace(left, lock=lock), execution=OTHER)
    finish, lost = str(refused.value).split(f"If {PRIMARY} is lost")
    assert "start the failback again" in finish
    assert f'{{"mode": "graceful", "target": "{PRIMARY}"}}' in finish
    assert '{"force": true}' in lost


@pytest.mark.parametrize("left", [HALFWAY_BACK, BACK_BUT_NOT_OVER])
@pytest.mark.parametrize("said", [{"force": True}, {"automatic": True}])
def test_a_promoted_primary_is_left_where_somebody_says_that_it_is_lost(left: Record, said: Any) -> None:
    """A person who knows, or the decision behind an alarm: then what DR has is better than nothing."""
    taken = begin(left, execution=OTHER, **said)
    assert (taken.outcome, taken.record.source, taken.record.target) == ("take", PRIMARY, DR)
    assert (taken.record.promotion, taken.insists) == ("", True)


def test_no_input_goes_on_where_it_leaves_nobody_who_serves() -> None:
    # To DR it is the same way, and before the point of no return nothing was brought up anywhere.
    for left in (PASSED, replace(PASSED, mode="ungraceful"), replace(HALFWAY_BACK, promotion=""), CALLED_OFF):
        assert begin(left, execution=OTHER).outcome == "take"


def test_a_database_that_was_left_behind_takes_over_only_if_somebody_insists() -> None:
    assert not begin(FREE).insists
    assert begin(FREE, force=True).insists
    assert not begin(replace(HELD, lock="failed"), execution=OTHER).insists


PROTECTING = replace(HELD, mode="reprotect", source="", target=DR)


def test_only_an_unplanned_failover_preempts_and_only_who_builds_a_standby() -> None:
    taken = begin(PROTECTING, execution=OTHER, running=True)
    assert (taken.outcome, taken.record.epoch, taken.record.mode) == ("take", 4, "ungraceful")
    with pytest.raises(PreconditionFailed, match="holds the lock"):
        planned(PROTECTING, running=True)
    with pytest.raises(PreconditionFailed, match="holds the lock"):
        begin(replace(PROTECTING, mode="graceful"), execution=OTHER, running=True)
    # And not where there is nothing to do.
    assert begin(replace(PROTECTING, active_region=DR), execution=OTHER, running=True).outcome == "already-active"


def test_a_standby_that_was_not_finished_is_nothing_to_resume_for_a_switch() -> None:
    left = replace(PROTECTING, lock="failed", promotion=AT)
    assert (planned(left).passed, planned(left).interrupted, planned(left).record.promotion) == (False, False, "")
    assert planned(left, PRIMARY).outcome == "already-active"
    with pytest.raises(PreconditionFailed, match="cool-down"):
        begin(replace(left, cool_down_until="2026-11-02T03:30:00+00:00"), execution=OTHER)


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


@pytest.mark.parametrize(
    ("taken_at", "just"),
    [
        (NOW.isoformat(), True),
        ((NOW - dt.timedelta(seconds=59)).isoformat(), True),
        ((NOW - dt.timedelta(seconds=60)).isoformat(), False),
        # Another clock's, and none.
        ((NOW + dt.timedelta(seconds=5)).isoformat(), True),
        ("", False),
        ("2026-11-02T03:04:05", False),
    ],
)
def test_a_holder_that_has_just_begun_may_not_be_known_yet(taken_at: str, just: bool) -> None:
    assert failover.just_taken(replace(HELD, taken_at=taken_at), NOW) is just


def test_an_execution_that_is_not_known_runs_if_it_may_have_just_begun(aws: Any) -> None:
    assert executions.is_running(OTHER, absent=True)
    assert not executions.is_running(OTHER)
    assert not executions.is_running("no ARN", absent=False)


REPROTECT = "standby", {"action": "begin", "execution": EXECUTION, "input": {}}
FAILBACK = "failback", {"action": "plan", "execution": EXECUTION, "input": {}}
FAILOVER = "control", {"action": "begin", "execution": EXECUTION, "input": {}}


@pytest.mark.parametrize(("function", "asked"), [FAILOVER, REPROTECT, FAILBACK], ids=lambda value: str(value)[:8])
def test_a_duplicate_takes_nothing_over_from_one_that_has_just_begun(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch, function: str, asked: Any
) -> None:
    app = load(function)
    if hasattr(app, "_settings"):
        monkeypatch.setattr(app, "_settings", lambda _: SETTINGS)
    store = Store(state_table, PRIMARY)
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    assert store.replace(store.read(), replace(HELD, holder=OTHER, taken_at=now))
    before = store.read()
    with pytest.raises(PreconditionFailed, match="or it has just ended: try again in a minute"):
        app.handler(asked, Context())
    assert store.read() == before


def test_one_that_is_no_more_since_long_is_taken_over(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = load("control")
    monkeypatch.setattr(app, "_settings", lambda _: SETTINGS)
    store = Store(state_table, PRIMARY)
    assert store.replace(store.read(), replace(HELD, holder=OTHER, taken_at=AT))
    assert app.handler(FAILOVER[1], Context())["outcome"] == "take"
    assert store.read().holder == EXECUTION
