"""The decision as a table: what is so, which rule applies, what becomes of it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.decide import decision, detection
from pilotlight.decide import failover as lock
from pilotlight.decide.decision import Decision, Facts, Looked, Replica
from pilotlight.decide.detection import Source
from pilotlight.errors import PreconditionFailed
from pilotlight.model import Automation, Policy, Record, Request, Watch
from tests.unit.core import looks
from tests.unit.core.conftest import ROOT
from tests.unit.core.samples import DR, EXECUTION, PRIMARY

ALARM = "dev-dr-primary-lost"
RINGING = {ALARM: "ALARM", "dev-dr-probe-failed": "ALARM", "dev-dr-replica-lost-source": "ALARM"}
POLICY = Policy("automatic", "manual", 60, 900, "reject")
WATCH = Watch(
    region=PRIMARY,
    at="2026-11-25T10:02:00+00:00",
    ok_at="2026-11-25T10:00:00+00:00",
    failing_since="2026-11-25T10:00:15+00:00",
    source_lost_since="2026-11-25T10:00:20+00:00",
    heartbeat_at="2026-11-25T10:00:10+00:00",
)
REPLICA = Replica(True, is_replica=True, status="replica", receives=False, heartbeat_at="2026-11-25T10:00:10+00:00")
LOST = Facts(
    now="2026-11-25T10:02:05+00:00",
    alarm=ALARM,
    alarms=RINGING,
    record=Record(active_region=PRIMARY, epoch=3),
    holder_running=False,
    automation=Automation(),
    watch=WATCH,
    replica=REPLICA,
)


def but(**changes: Any) -> Facts:
    return dataclasses.replace(LOST, **changes)


def watch(**changes: Any) -> Facts:
    return but(watch=dataclasses.replace(WATCH, **changes))


def replica(**changes: Any) -> Facts:
    return but(replica=dataclasses.replace(REPLICA, **changes))


def record(**changes: Any) -> Facts:
    return but(record=dataclasses.replace(LOST.record, **changes))


def moment(clock: str) -> str:
    return f"2026-11-25T{clock}+00:00"


def decided(facts: Facts, policy: Policy = POLICY) -> Decision:
    return decision.failover(facts, policy, DR)


def test_a_primary_that_is_lost_by_both_signs_is_failed_over() -> None:
    made = decided(LOST)
    assert (made.outcome, made.rule, made.loss_seconds) == ("go", "automatic", 5)
    assert PRIMARY in made.reason


@pytest.mark.parametrize(
    ("facts", "outcome", "rule"),
    [
        # Delivered five times, or late: what counts is what is so now.
        (but(record=Record(PRIMARY, 4, "held", EXECUTION), holder_running=True), "stand-down", "a-switch-runs"),
        # One that is planned fails when its source is lost: nobody else would begin then.
        (
            but(record=Record(PRIMARY, 4, "held", EXECUTION, mode="graceful"), holder_running=True),
            "wait",
            "a-switch-runs",
        ),
        (record(active_region=DR, since=4), "stand-down", "already-active"),
        (but(alarms=RINGING | {ALARM: "OK"}), "stand-down", "alarm-is-over"),
        (but(alarms={}), "stand-down", "alarm-is-over"),
        # Set by hand for a moment: what it is made of is quiet.
        (but(alarms=RINGING | {"dev-dr-probe-failed": "OK"}), "stand-down", "parts-are-quiet"),
        (but(alarms=RINGING | {"dev-dr-replica-lost-source": "INSUFFICIENT_DATA"}), "stand-down", "parts-are-quiet"),
        (watch(blind_since="2026-11-25T10:00:30+00:00"), "tell", "dr-is-cut-off"),
        (replica(receives=True), "tell", "replica-still-receives"),
        (but(automation=Automation(on=False, reason="moving house", by="ann", at="…")), "tell", "automation-is-off"),
        (record(cool_down_until="2026-11-25T10:30:00+00:00"), "tell", "cool-down"),
        (but(replica=Replica(exists=False)), "tell", "no-replica"),
        (replica(promotable=False), "tell", "no-replica"),
        # RDS may be as busy as everything else on the day.
        (but(replica=Replica(exists=False, unread="Throttling")), "tell", "replica-unknown"),
        # Promoted, restored or left behind by whoever: nothing unfinished says that it may take over.
        (replica(is_replica=False), "tell", "no-replica"),
        (but(watch=None), "ask", "loss-unknown"),
        (watch(failing_since="", source_lost_since=""), "ask", "loss-unknown"),
        (
            but(
                replica=dataclasses.replace(REPLICA, heartbeat_at=""), watch=dataclasses.replace(WATCH, heartbeat_at="")
            ),
            "ask",
            "loss-unknown",
        ),
        (replica(heartbeat_at="2026-11-25T09:58:00+00:00"), "ask", "loss-too-large"),
        (watch(observers="healthy"), "ask", "observers-disagree"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_does_not_begin_by_itself(facts: Facts, outcome: str, rule: str) -> None:
    made = decided(facts)
    assert (made.outcome, made.rule) == (outcome, rule)
    assert made.reason


def test_a_cool_down_that_is_over_or_belongs_to_an_unfinished_switch_stops_nothing() -> None:
    assert decided(record(cool_down_until="2026-11-25T10:00:00+00:00")).outcome == "go"
    unfinished = record(cool_down_until="2026-11-25T10:30:00+00:00", lock="failed", target=DR, source=PRIMARY)
    assert decided(unfinished).outcome == "go"


def test_a_cool_down_holds_wherever_the_lock_would_ask_for_it() -> None:
    """Else a mail says that it begins, and the lock refuses it: who builds a standby leaves nothing unfinished."""
    cooling = dataclasses.replace(REBUILDING, cool_down_until="2026-11-25T10:30:00+00:00")
    for held in (cooling, dataclasses.replace(cooling, lock="failed")):
        assert decided(but(record=held, holder_running=True)).rule == "cool-down"
        with pytest.raises(PreconditionFailed, match="cool-down"):
            lock.begin(held, Request(target=DR), "another", True, (PRIMARY, DR), dt.datetime.fromisoformat(LOST.now), 0)


REBUILDING = Record(PRIMARY, 4, "held", EXECUTION, source=PRIMARY, target=DR, mode="reprotect")


def test_whoever_builds_a_standby_gives_way_to_a_failover() -> None:
    """As the lock has it: else a loss during a re-protection, which may take hours, would end quietly."""
    rebuilding = but(record=REBUILDING, holder_running=True)
    assert decided(rebuilding).rule == "automatic"
    asked = Request(target=DR)
    assert lock.begin(REBUILDING, asked, "another", True, (PRIMARY, DR), dt.datetime.now(dt.UTC), 0).outcome == "take"
    # What it has not finished cannot be promoted.
    for found in (Replica(exists=False), Replica(True, status="'creating'", is_replica=True, promotable=False)):
        made = decided(dataclasses.replace(rebuilding, replica=found))
        assert (made.outcome, made.rule) == ("tell", "no-replica")
        assert made.again_seconds
    old = dataclasses.replace(rebuilding, replica=Replica(True, status="a primary, available"))
    assert decided(old).rule == "no-replica"
    # It rebuilds the primary, while DR serves.
    back = dataclasses.replace(rebuilding, record=dataclasses.replace(REBUILDING, active_region=DR, target=PRIMARY))
    assert decided(back).rule == "already-active"
    assert lock.begin(back.record, asked, "another", True, (PRIMARY, DR), dt.datetime.now(dt.UTC), 0).outcome == (
        "already-active"
    )


def test_a_database_that_was_promoted_by_a_run_that_is_not_finished_may_take_over() -> None:
    unfinished = Record(PRIMARY, 4, "failed", EXECUTION, source=PRIMARY, target=DR, mode="ungraceful", promotion="…")
    promoted = Replica(True, status="a primary, available", heartbeat_at=REPLICA.heartbeat_at)
    assert decided(but(record=unfinished, replica=promoted)).outcome == "go"


def test_a_holder_that_runs_no_more_is_taken_over() -> None:
    assert decided(but(record=Record(PRIMARY, 4, "held", EXECUTION), holder_running=False)).outcome == "go"


def test_a_database_that_could_not_be_asked_is_no_reason_to_stay_down() -> None:
    assert decided(replica(receives=None)).outcome == "go"


def test_the_mode_decides_what_becomes_of_a_loss() -> None:
    assert decided(LOST, dataclasses.replace(POLICY, failover="approval")).outcome == "ask"
    assert decided(LOST, dataclasses.replace(POLICY, failover="manual")).rule == "manual"
    # Never more than the mode allows: where nothing starts by itself, nothing is asked either.
    assert decided(watch(observers="healthy"), dataclasses.replace(POLICY, failover="manual")).outcome == "tell"
    # Nor is anybody promised that it begins when automation is on again.
    off = but(automation=Automation(on=False))
    assert decided(off, dataclasses.replace(POLICY, failover="manual")).rule == "manual"


@pytest.mark.parametrize(
    ("observed", "now", "outcome", "rule"),
    [
        # The minute that they speak of was over before they could have seen the loss.
        ("10:00:00", "10:02:05", "wait", "observers-not-heard-yet"),
        ("10:00:59", "10:03:44", "wait", "observers-not-heard-yet"),
        # Nobody is waited for any longer: what they say comes from a region of its own, which may be lost as well.
        ("10:00:00", "10:03:45", "go", "automatic"),
        # It began well after the loss, and they still reach it.
        ("10:01:00", "10:02:05", "ask", "observers-disagree"),
        ("10:01:00", "10:30:00", "ask", "observers-disagree"),
        # Nobody knows of when it is.
        ("", "10:02:05", "ask", "observers-disagree"),
    ],
)
def test_observers_disagree_only_where_they_could_have_seen_it(
    observed: str, now: str, outcome: str, rule: str
) -> None:
    facts = watch(observers="healthy", observed_at=observed and moment(observed))
    made = decided(dataclasses.replace(facts, now=moment(now)))
    assert (made.outcome, made.rule) == (outcome, rule)
    assert made.again_seconds == (15 if outcome == "wait" else 0)


@pytest.mark.parametrize("observers", ["unhealthy", "unknown"])
def test_a_loss_that_observers_see_or_nobody_observes_is_not_waited_with(observers: str) -> None:
    assert decided(watch(observers=observers, observed_at=moment("10:00:00"))).outcome == "go"


def test_nobody_waits_for_observers_in_order_to_ask() -> None:
    stale = watch(observers="healthy", observed_at=moment("10:00:00"))
    assert decided(stale, dataclasses.replace(POLICY, failover="approval")).rule == "approval"


# A no that may pass by itself


@pytest.mark.parametrize(
    ("facts", "again"),
    [
        (watch(blind_since="2026-11-25T10:00:30+00:00"), 60),
        (replica(receives=True), 60),
        (but(automation=Automation(on=False)), 60),
        (but(replica=Replica(exists=False)), 60),
        (but(replica=Replica(exists=False, unread="Throttling")), 60),
        # An alarm that comes and goes; and what only a person changes.
        (record(cool_down_until="2026-11-25T10:30:00+00:00"), 0),
        (but(alarms=RINGING | {ALARM: "OK"}), 0),
        (record(active_region=DR), 0),
    ],
)
def test_what_may_pass_by_itself_is_looked_at_again(facts: Facts, again: int) -> None:
    assert decided(facts).again_seconds == again


def test_it_is_told_once_by_one_execution_and_not_for_ever() -> None:
    made = decided(replica(receives=True))
    assert decision.looking_on(made, Looked()) == made
    assert decision.looking_on(made, Looked(60, ("dr-is-cut-off",))).outcome == "tell"
    again = decision.looking_on(made, Looked(60, ("replica-still-receives",)))
    assert (again.outcome, again.rule, again.again_seconds) == ("wait", "replica-still-receives", 60)
    # Another one that decides again may be about to end: it has a minute to show that it goes on.
    unsure = decision.looking_on(made, Looked(elsewhere=EXECUTION))
    assert (unsure.outcome, unsure.rule, unsure.again_seconds) == ("wait", "looked-at-elsewhere", 60)
    other = decision.looking_on(made, Looked(elsewhere=EXECUTION, since=True))
    assert (other.outcome, other.rule, other.again_seconds) == ("stand-down", "looked-at-already", 0)
    last = decision.looking_on(made, Looked(decision.MOST_LOOKING_SECONDS, ("replica-still-receives",)))
    assert (last.outcome, last.again_seconds, last.last) == ("tell", 0, True)
    # Whoever may begin, or has to end, is held up by nobody.
    for final in (decided(LOST), decided(record(active_region=DR))):
        for since in (True, False):
            assert decision.looking_on(final, Looked(10**6, elsewhere=EXECUTION, since=since)) == final


def loss(beat: str, **signs: str) -> int:
    return decision.loss_seconds(
        dataclasses.replace(WATCH, **signs), dataclasses.replace(REPLICA, heartbeat_at=f"2026-11-25T{beat}+00:00")
    )


@pytest.mark.parametrize(
    ("beat", "failing", "lost", "seconds"),
    [
        # Both at once: the replica's silence is seen half a minute after it began, and is not counted twice.
        ("10:00:10", "10:00:15", "10:00:20", 5),
        ("10:00:10", "10:00:15", "10:00:45", 5),
        # Replication broke alone, and the primary served on for two hours.
        ("10:00:00", "12:01:00", "10:00:30", 7260),
        # The endpoint failed alone, and what was written was received for an hour.
        ("11:00:05", "10:00:00", "11:00:40", 5),
        ("11:00:05", "10:00:00", "11:00:10", 0),
        # Only one is so: it answers again, and was written to until it last answered; or nobody saw the source go.
        ("10:00:10", "", "10:00:20", 10),
        ("10:00:10", "10:00:15", "", 5),
        # A beat of a source that was lost before: somebody is wrong.
        ("10:00:31", "10:30:00", "10:00:20", decision.UNKNOWN),
        ("10:00:30", "10:00:15", "", decision.UNKNOWN),
        ("10:00:30", "10:00:15", "10:00:20", 0),
    ],
)
def test_the_loss_is_from_the_last_beat_to_the_moment_both_signs_were_there(
    beat: str, failing: str, lost: str, seconds: int
) -> None:
    signs = {"failing_since": failing, "source_lost_since": lost}
    assert loss(beat, **{name: at and moment(at) for name, at in signs.items()}) == seconds


@pytest.mark.parametrize(
    ("failing", "lost", "received", "seconds"),
    [
        # Seen to be silent by the second look of two that are a minute apart: half of that minute is nobody's loss.
        ("10:01:00", "10:02:00", "10:01:00", 50),
        ("10:00:15", "10:01:00", "10:00:12", 5),
        # Its connection broke, which was seen at once: nothing is taken off for a silence that nobody waited for.
        ("10:00:00", "10:00:40", "10:00:38", 28),
        # One that answers again may have been written to: what was seen counts.
        ("", "10:00:40", "10:00:12", 30),
    ],
)
def test_the_source_counts_as_lost_from_what_the_replica_received_last(
    failing: str, lost: str, received: str, seconds: int
) -> None:
    signs = {"failing_since": failing, "source_lost_since": lost, "received_at": received}
    assert loss("10:00:10", **{name: at and moment(at) for name, at in signs.items()}) == seconds


def test_a_primary_that_answers_again_may_have_been_written_to_until_then() -> None:
    assert loss("10:00:00", failing_since="", source_lost_since=moment("10:00:30"), ok_at=moment("12:00:00")) == 7200


def test_replication_that_broke_hours_before_the_primary_is_asked_about() -> None:
    """Played through the probe's looks: three hours without replication, then a front that fails for a minute."""
    gone = Source(lost=True, detail="the replica is not connected to its source", heartbeat_at=looks.at(-2))
    seen: Watch | None = None
    for seconds in range(0, 3 * 3600, 15):
        seen = detection.watched(seen, looks.look(seconds, source=gone))
    for seconds in range(3 * 3600, 3 * 3600 + 75, 15):
        seen = detection.watched(seen, looks.look(seconds, source=gone, shallow=looks.SILENT))
    assert seen
    assert (seen.failing_since, seen.source_lost_since) == (looks.at(3 * 3600), looks.at(0))
    facts = but(
        now=looks.at(3 * 3600 + 75), watch=seen, replica=dataclasses.replace(REPLICA, heartbeat_at=seen.heartbeat_at)
    )
    made = decided(facts)
    assert (made.outcome, made.rule, made.loss_seconds) == ("ask", "loss-too-large", 3 * 3600 + 2)


def test_a_replica_that_received_until_a_moment_ago_has_lost_no_more_than_that() -> None:
    """Played through: the front has failed for an hour, the replica received all the while, then the region is gone."""
    seen: Watch | None = None
    for seconds in range(0, 3600, 15):
        follows = Source(lost=False, detail="", heartbeat_at=looks.at(seconds - 2))
        seen = detection.watched(seen, looks.look(seconds, shallow=looks.SILENT, source=follows))
    for seconds in range(3600, 3720, 15):
        # Quiet, and known to be lost when it was quiet for long enough.
        quiet = Source(lost=seconds >= 3585 + detection.STALL_SECONDS, detail="", heartbeat_at=looks.at(3583))
        seen = detection.watched(seen, looks.look(seconds, shallow=looks.SILENT, source=quiet))
    assert seen
    made = decided(but(watch=seen, replica=dataclasses.replace(REPLICA, heartbeat_at=seen.heartbeat_at)))
    assert (made.outcome, made.loss_seconds) == ("go", 2)


moments = st.sampled_from(["", WATCH.failing_since, "2026-11-25T08:00:00+00:00"])
facts_of_any_kind = st.builds(
    Facts,
    now=st.just(LOST.now),
    alarm=st.just(ALARM),
    alarms=st.dictionaries(st.sampled_from(sorted(RINGING)), st.sampled_from(["OK", "ALARM", "INSUFFICIENT_DATA"])),
    record=st.builds(
        Record,
        active_region=st.sampled_from([PRIMARY, DR]),
        lock=st.sampled_from(["free", "held", "failed"]),
        mode=st.sampled_from(["", "ungraceful", "graceful", "reprotect"]),
        cool_down_until=st.sampled_from(["", "2026-11-25T09:00:00+00:00", "2026-11-25T11:00:00+00:00"]),
    ),
    holder_running=st.booleans(),
    automation=st.builds(Automation, on=st.booleans()),
    watch=st.none()
    | st.builds(
        Watch,
        region=st.just(PRIMARY),
        at=st.just(LOST.now),
        failing_since=moments,
        source_lost_since=moments,
        blind_since=moments,
        heartbeat_at=moments,
        observers=st.sampled_from(["healthy", "unhealthy", "unknown"]),
    ),
    replica=st.builds(
        Replica,
        exists=st.booleans(),
        is_replica=st.booleans(),
        promotable=st.booleans(),
        receives=st.sampled_from([True, False, None]),
        heartbeat_at=moments,
    ),
)
policies = st.builds(
    Policy,
    st.sampled_from(["automatic", "approval", "manual"]),
    st.just("manual"),
    st.integers(0, 600),
    st.just(900),
    st.just("reject"),
)


@given(facts_of_any_kind, policies)
def test_whatever_is_so_nothing_begins_by_itself_unless_all_of_it_is_true(facts: Facts, policy: Policy) -> None:
    made = decision.failover(facts, policy, DR)
    if made.outcome != "go":
        return
    assert policy.failover == "automatic"
    assert facts.automation.on
    assert all(state == "ALARM" for state in facts.alarms.values())
    assert facts.alarms[ALARM] == "ALARM"
    assert facts.watch
    assert not facts.watch.blind_since
    assert not (facts.replica.is_replica and facts.replica.receives)
    assert not (facts.record.lock == "held" and facts.holder_running and facts.record.mode != "reprotect")
    assert facts.replica.exists
    assert facts.replica.promotable
    assert not (facts.record.lock == "free" and facts.record.active_region == DR)
    assert 0 <= made.loss_seconds <= policy.max_loss_seconds


YES = {"answer": "approve", "by": "ann", "reason": "because"}
NOBODY = {"answer": "approve", "by": "nobody", "reason": "no answer within 900 s"}


def answered(facts: Facts, answer: dict[str, str], policy: Policy = POLICY, what: str = "failover") -> Decision:
    return decision.answered(what, facts, policy, (PRIMARY, DR), answer)


def test_a_yes_stands_only_while_its_reason_does() -> None:
    assert answered(LOST, YES).outcome == "go"
    assert answered(replica(receives=True), YES).rule == "replica-still-receives"
    # What they were told before they answered is theirs to weigh.
    off = but(
        automation=Automation(on=False),
        record=dataclasses.replace(LOST.record, cool_down_until="2027-01-01T00:00:00+00:00"),
    )
    assert answered(off, YES).outcome == "go"


@pytest.mark.parametrize("answer", [YES, NOBODY])
@pytest.mark.parametrize(
    ("facts", "rule"),
    [
        (but(alarms=RINGING | {ALARM: "OK"}), "alarm-is-over"),
        (but(alarms=RINGING | {"dev-dr-probe-failed": "OK"}), "parts-are-quiet"),
        (but(record=Record(PRIMARY, 4, "held", EXECUTION), holder_running=True), "a-switch-runs"),
        (but(record=Record(PRIMARY, 4, "held", EXECUTION, mode="graceful"), holder_running=True), "a-switch-runs"),
        (record(active_region=DR), "already-active"),
    ],
)
def test_whoever_was_asked_hears_why_nothing_came_of_it(facts: Facts, rule: str, answer: dict[str, str]) -> None:
    made = answered(facts, answer)
    assert (made.outcome, made.rule) == ("tell", rule)


@pytest.mark.parametrize(
    ("facts", "policy", "rule"),
    [
        (but(automation=Automation(on=False)), POLICY, "automation-is-off"),
        (record(cool_down_until="2026-11-25T10:30:00+00:00"), POLICY, "cool-down"),
        (but(replica=Replica(exists=False)), POLICY, "no-replica"),
        (LOST, dataclasses.replace(POLICY, failover="manual"), "manual"),
    ],
)
def test_silence_is_nobodys_yes(facts: Facts, policy: Policy, rule: str) -> None:
    made = answered(facts, NOBODY, policy)
    assert (made.outcome, made.rule) == ("tell", rule)


def test_what_the_team_has_set_for_silence_is_done_and_called_so() -> None:
    made = answered(watch(observers="healthy"), NOBODY)
    assert (made.outcome, made.rule) == ("go", "no-answer-approved")
    assert "no answer within 900 s" in made.reason
    assert "people said yes" not in made.reason
    assert answered(LOST, NOBODY | {"answer": "reject"}).rule == "no-answer"


READY = "dev-dr-primary-ready"
BACK = Facts(
    now=LOST.now,
    alarm=READY,
    alarms={READY: "ALARM"},
    record=Record(active_region=DR, epoch=4, since=4),
    holder_running=False,
    automation=Automation(),
    watch=None,
    replica=Replica(True, status="available"),
)


@pytest.mark.parametrize(
    ("facts", "mode", "outcome", "rule"),
    [
        (BACK, "automatic", "go", "automatic"),
        (BACK, "approval", "ask", "approval"),
        (BACK, "manual", "tell", "manual"),
        (dataclasses.replace(BACK, record=Record(PRIMARY)), "automatic", "stand-down", "already-back"),
        (dataclasses.replace(BACK, record=Record(DR, switched="graceful")), "automatic", "tell", "planned"),
        (dataclasses.replace(BACK, record=Record(DR, switched="graceful")), "manual", "tell", "planned"),
        (dataclasses.replace(BACK, record=Record(DR, switched="ungraceful")), "automatic", "go", "automatic"),
        (dataclasses.replace(BACK, automation=Automation(on=False)), "manual", "tell", "manual"),
        (dataclasses.replace(BACK, alarms={READY: "OK"}), "automatic", "stand-down", "alarm-is-over"),
        (dataclasses.replace(BACK, automation=Automation(on=False)), "automatic", "tell", "automation-is-off"),
        (dataclasses.replace(BACK, record=Record(DR, 4, "failed", failure="?")), "automatic", "tell", "unfinished"),
        (
            dataclasses.replace(BACK, record=Record(DR, 4, "held", EXECUTION), holder_running=True),
            "automatic",
            "stand-down",
            "a-switch-runs",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_going_back_is_nothing_urgent(facts: Facts, mode: str, outcome: str, rule: str) -> None:
    made = decision.failback(facts, dataclasses.replace(POLICY, failback=mode), PRIMARY, DR)
    assert (made.outcome, made.rule) == (outcome, rule)


@pytest.mark.parametrize(
    ("mode", "outcome", "rule"),
    [
        ("automatic", "tell", "a-reprotection-runs"),
        ("approval", "tell", "a-reprotection-runs"),
        ("manual", "stand-down", "a-switch-runs"),
    ],
)
def test_who_waits_for_the_primary_hears_that_a_standby_is_being_built(mode: str, outcome: str, rule: str) -> None:
    """The alarm rings once: when the standby is there, nobody else takes the way back."""
    building = Record(DR, 4, "held", EXECUTION, mode="reprotect")
    facts, wants = dataclasses.replace(BACK, record=building, holder_running=True), mode
    policy = dataclasses.replace(POLICY, failback=wants)
    made = decision.failback(facts, policy, PRIMARY, DR)
    assert (made.outcome, made.rule) == (outcome, rule)
    over = dataclasses.replace(facts, alarms={READY: "OK"})
    assert decision.failback(over, policy, PRIMARY, DR).outcome == "stand-down"
    # A yes begins nothing that would be refused.
    assert answered(facts, YES, policy, "failback").outcome == "tell"
    if rule == "a-reprotection-runs":
        message = told(made, facts, what="failback")["message"]
        assert f"go back, when it has ended:\n    make failback ENVIRONMENT=dev DR_REGION={DR}" in message


def test_a_yes_to_going_back_overrules_what_people_were_told_and_silence_does_not() -> None:
    off = dataclasses.replace(BACK, automation=Automation(on=False))
    unfinished = dataclasses.replace(BACK, record=Record(DR, 4, "failed", failure="?"))
    wants = dataclasses.replace(POLICY, failback="approval")
    for facts in (BACK, off, unfinished):
        assert answered(facts, YES, wants, "failback").rule == "approved"
    assert answered(BACK, NOBODY, wants, "failback").rule == "no-answer-approved"
    for facts, rule in ((off, "automation-is-off"), (unfinished, "unfinished")):
        made = answered(facts, NOBODY, wants, "failback")
        assert (made.outcome, made.rule) == ("tell", rule)
    assert answered(BACK, NOBODY, dataclasses.replace(POLICY, failback="manual"), "failback").rule == "manual"
    for answer in (YES, NOBODY):
        made = answered(dataclasses.replace(BACK, record=Record(PRIMARY)), answer, wants, "failback")
        assert (made.outcome, made.rule) == ("tell", "already-back")


def test_automation_that_was_switched_off_meanwhile_stops_a_failback_before_its_switch() -> None:
    assert decision.goes_on(Automation(), PRIMARY, DR).outcome == "go"
    off = Automation(on=False, reason="moving house", by="ann", at="10:00")
    made = decision.goes_on(off, PRIMARY, DR)
    assert (made.outcome, made.rule, made.again_seconds) == ("tell", "automation-went-off", 0)
    assert "moving house" in made.reason
    words = told(made, dataclasses.replace(BACK, automation=off), what="failback")
    assert "Nothing was changed" not in words["message"]
    assert f"the standby in {PRIMARY} stays" in words["message"]


# What people are told

ARNS = {what: f"arn:aws:states:{DR}:1:stateMachine:dev-dr-{what}" for what in ("failover", "failback")}


def told(made: Decision, facts: Facts, policy: Policy = POLICY, *, what: str = "failover", **more: Any) -> Any:
    can = decision.commands(what, "dev", DR, made, ARNS, EXECUTION)
    return decision.told(made, what, "dev", facts, policy, can, **more)


@pytest.mark.parametrize(
    "facts", [LOST, watch(observers="healthy"), replica(receives=True), but(automation=Automation(on=False))]
)
def test_people_are_told_what_is_known_and_what_to_type(facts: Facts) -> None:
    made = decided(facts)
    words = told(made, facts)
    assert len(words["subject"]) < 100
    assert words["subject"].startswith("[dev] ")
    for known in ("alarms", "probes", "replica", "would lose", "recorded", "automation"):
        assert known in words["message"]
    does = {"ask": "make approve", "tell": "start-execution", "go": "make status"}
    assert does[made.outcome] in words["message"]
    assert ("Nothing was changed" in words["message"]) == (made.outcome == "tell")
    assert "\n\n\n" not in words["message"]


@pytest.mark.parametrize(
    ("facts", "page"),
    [
        (LOST, "docs/runbooks/failover.md, 3. Watch"),
        (watch(observers="healthy"), "docs/runbooks/failover.md, Ask the team"),
        (replica(receives=True), "docs/decision.md, The rules in their order"),
    ],
)
def test_a_mail_ends_with_the_page_that_says_more(facts: Facts, page: str) -> None:
    for what in ("failover", "failback"):
        named = page.replace("failover", what)
        assert told(decided(facts), facts, what=what)["message"].splitlines()[-1] == f"({named})"
        path, heading = named.split(", ", 1)
        assert f"# {heading}\n" in (ROOT / path).read_text()


def test_a_question_says_until_when_and_what_happens_otherwise() -> None:
    facts = watch(observers="healthy")
    message = told(decided(facts), facts)["message"]
    assert "An answer counts until 2026-11-25 10:17 UTC." in message
    assert "Without an answer: nothing is done, and the alarm does not ask again." in message
    message = told(decided(facts), facts, dataclasses.replace(POLICY, no_answer="approve"))["message"]
    assert "Without an answer: the failover begins" in message


def test_a_no_says_whether_it_is_looked_at_again() -> None:
    facts, final = but(automation=Automation(on=False)), "nothing starts by itself any more: start it by hand"
    made = decided(facts)
    first = told(made, facts, looked=Looked(3600))
    assert "no failover yet" in first["subject"]
    assert "decided again every minute, until 2026-11-25 12:02 UTC" in first["message"]
    assert final not in first["message"]
    assert "make automation ON=1" in first["message"]
    last = decision.looking_on(made, Looked(decision.MOST_LOOKING_SECONDS, ("automation-is-off",)))
    words = told(last, facts)
    assert final in words["message"]
    assert "make automation ON=1" not in words["message"]
    # Both are sent: what is told once goes by its kind.
    assert words["kind"] != first["kind"]
    # The last word on what nobody was told of before is its first.
    running = but(record=Record(PRIMARY, 4, "held", EXECUTION, mode="graceful"), holder_running=True)
    assert (
        final in told(decision.looking_on(decided(running), Looked(decision.MOST_LOOKING_SECONDS)), running)["message"]
    )
    rejected = answered(LOST, {"answer": "reject", "by": "ann", "reason": "because"})
    assert final in told(rejected, LOST, answered=True)["message"]
    cooling = record(cool_down_until="2026-11-25T10:30:00+00:00")
    assert final in told(decided(cooling), cooling)["message"]
    over = but(alarms=RINGING | {ALARM: "OK"})
    assert final not in told(answered(over, YES), over, answered=True)["message"]


def test_each_rule_is_told_of_under_its_own_kind_and_each_answer_too() -> None:
    kinds = {
        told(decided(facts), facts)["kind"]
        for facts in (replica(receives=True), but(automation=Automation(on=False)), LOST)
    }
    assert len(kinds) == 3
    facts = replica(receives=True)
    assert told(answered(facts, YES), facts, answered=True)["kind"] not in kinds


def test_what_begins_by_itself_can_be_stopped() -> None:
    words = told(decided(LOST), LOST)
    assert f"aws stepfunctions stop-execution --region {DR} --execution-arn {EXECUTION}" in words["message"]
    assert "begins by itself" in words["subject"]
    assert "people said yes" in told(answered(LOST, YES), LOST, answered=True)["subject"]
    assert "nobody answered" in told(answered(LOST, NOBODY), LOST, answered=True)["subject"]


def test_names_keep_their_small_letters() -> None:
    assert told(decided(LOST), LOST)["message"].startswith(f"{PRIMARY} is lost by both signs")
    facts = replica(receives=True)
    message = told(decided(facts), facts)["message"]
    assert message.startswith("The probes do not reach")
    assert "it is alive; only its public front, or the way from DR to it, is not" in message
    running = but(record=Record(PRIMARY, 4, "held", EXECUTION), holder_running=True)
    assert told(answered(running, YES), running)["message"].startswith("arn:aws:states:")


def test_what_aws_health_says_is_shown_as_it_was_noted() -> None:
    hint: Any = {}
    for number in range(5):
        event = {
            "eventArn": f"arn:aws:health:{PRIMARY}::event/RDS/{number}",
            "communicationId": f"one-{number}",
            "service": "RDS",
            "eventTypeCode": "AWS_RDS_OPERATIONAL_ISSUE",
            "statusCode": "open",
            "eventRegion": PRIMARY,
            "startTime": "Wed, 25 Nov 2026 09:58:00 GMT",
            "eventDescription": [{"latestDescription": f"Connectivity {number}"}] if number else [],
        }
        hint = detection.noted(hint, event, LOST.now)
    lines = [
        line.strip() for line in told(decided(LOST), but(hint=hint))["message"].splitlines() if "AWS Health" in line
    ]
    assert len(lines) == 3
    assert lines[0] == f"AWS Health   RDS open in {PRIMARY} since Wed, 25 Nov 2026 09:58:00 GMT: Connectivity 4"
    unnamed = detection.noted({}, event | {"eventDescription": []}, LOST.now)
    assert "AWS_RDS_OPERATIONAL_ISSUE" in told(decided(LOST), but(hint=unnamed))["message"]
    assert "AWS Health" not in told(decided(LOST), LOST)["message"]


def test_dr_that_is_active_on_purpose_is_not_told_of_as_of_a_loss() -> None:
    facts = dataclasses.replace(BACK, record=Record(DR, 4, switched="graceful"))
    for mode in ("manual", "automatic"):
        made = decision.failback(facts, dataclasses.replace(POLICY, failback=mode), PRIMARY, DR)
        message = told(made, facts, what="failback")["message"]
        assert "answers again" not in message
        assert f"make failback ENVIRONMENT=dev DR_REGION={DR}" in message
