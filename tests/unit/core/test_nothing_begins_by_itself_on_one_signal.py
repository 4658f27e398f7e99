"""The decision as a table: what is so, which rule applies, what becomes of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.decide import decision, detection
from pilotlight.decide.decision import Decision, Facts, Replica
from pilotlight.decide.detection import Source
from pilotlight.model import Automation, Policy, Record, Watch
from tests.unit.core import looks
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


def test_a_holder_that_runs_no_more_is_taken_over() -> None:
    assert decided(but(record=Record(PRIMARY, 4, "held", EXECUTION), holder_running=False)).outcome == "go"


def test_a_database_that_could_not_be_asked_is_no_reason_to_stay_down() -> None:
    assert decided(replica(receives=None)).outcome == "go"


def test_the_mode_decides_what_becomes_of_a_loss() -> None:
    assert decided(LOST, dataclasses.replace(POLICY, failover="approval")).outcome == "ask"
    assert decided(LOST, dataclasses.replace(POLICY, failover="manual")).rule == "manual"
    # Never more than the mode allows: where nothing starts by itself, nothing is asked either.
    assert decided(watch(observers="healthy"), dataclasses.replace(POLICY, failover="manual")).outcome == "tell"


def loss(beat: str, **signs: str) -> int:
    return decision.loss_seconds(
        dataclasses.replace(WATCH, **signs), dataclasses.replace(REPLICA, heartbeat_at=f"2026-11-25T{beat}+00:00")
    )


def moment(clock: str) -> str:
    return f"2026-11-25T{clock}+00:00"


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
    assert not (facts.record.lock == "held" and facts.holder_running)
    assert not (facts.record.lock == "free" and facts.record.active_region == DR)
    assert 0 <= made.loss_seconds <= policy.max_loss_seconds


def test_a_yes_stands_only_while_its_reason_does() -> None:
    assert decision.confirmed(LOST, DR).outcome == "go"
    assert decision.confirmed(but(alarms=RINGING | {ALARM: "OK"}), DR).rule == "alarm-is-over"
    assert decision.confirmed(replica(receives=True), DR).rule == "replica-still-receives"
    # What they were told before they answered is theirs to weigh.
    off = but(
        automation=Automation(on=False),
        record=dataclasses.replace(LOST.record, cool_down_until="2027-01-01T00:00:00+00:00"),
    )
    assert decision.confirmed(off, DR).outcome == "go"


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
    "facts", [LOST, watch(observers="healthy"), replica(receives=True), but(automation=Automation(on=False))]
)
def test_people_are_told_what_is_known_and_what_to_type(facts: Facts) -> None:
    made = decided(facts)
    arns = {"failover": "arn:aws:states:eu-central-1:1:stateMachine:dev-dr-failover"}
    told = decision.told(made, "failover", "dev", facts, decision.commands("failover", "dev", DR, made, arns))
    assert len(told["subject"]) < 100
    assert told["subject"].startswith("[dev] ")
    for known in ("alarms", "probes", "replica", "would lose", "recorded", "automation"):
        assert known in told["message"]
    does = {"ask": "make approve", "tell": "start-execution", "go": "make status"}
    assert does[made.outcome] in told["message"]
    assert ("Nothing was changed" in told["message"]) == (made.outcome == "tell")
