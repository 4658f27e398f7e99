"""What one look means: the primary's endpoint and the replica's source are judged apart, and nobody guesses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pilotlight.decide import detection
from pilotlight.decide.detection import Memory
from pilotlight.model import Answer, Following, Measure, Observed
from tests.unit.core.conftest import ROOT
from tests.unit.core.looks import BROKEN, LOST, REPLICATES, SILENT, UNKNOWN, WELL, at, look
from tests.unit.core.samples import DR, PROMOTED, REPLICA

SEEN = Memory(received=REPLICATES.received, received_at=at(0))
BROKEN_IN_RDS = dataclasses.replace(REPLICA, replication="error", replication_normal=False)
RETIRED = dataclasses.replace(REPLICATES, is_replica=False)


def changed(**changes: object) -> Following:
    return dataclasses.replace(REPLICATES, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("following", "database", "seconds", "planned", "lost"),
    [
        pytest.param(REPLICATES, REPLICA, 15, False, False, id="receives"),
        pytest.param(changed(lag_seconds=900), REPLICA, 15, False, False, id="lags, and receives"),
        pytest.param(changed(lag_seconds=None, detail="1062"), BROKEN_IN_RDS, 15, False, False, id="applier broken"),
        pytest.param(changed(source_connected=False), REPLICA, 15, False, True, id="not connected"),
        pytest.param(changed(source_connected=False), None, 15, False, True, id="not connected, RDS away"),
        pytest.param(REPLICATES, REPLICA, 29, False, False, id="quiet for less than six beats"),
        pytest.param(REPLICATES, REPLICA, 30, False, True, id="quiet for six beats"),
        pytest.param(REPLICATES, REPLICA, 300, True, False, id="frozen by a planned switch"),
        pytest.param(changed(source_connected=False), REPLICA, 15, True, None, id="promoted by a planned switch"),
        pytest.param(None, REPLICA, 15, False, None, id="cannot be asked"),
        pytest.param(None, None, 15, False, None, id="nobody can be asked"),
        pytest.param(None, BROKEN_IN_RDS, 15, False, True, id="cannot be asked, broken for RDS"),
        pytest.param(None, PROMOTED, 15, False, None, id="RDS knows no replica"),
        pytest.param(RETIRED, PROMOTED, 300, False, None, id="replicates from nobody"),
    ],
)
def test_the_source_is_lost_when_nothing_comes_of_it(
    following: Following | None, database: object, seconds: int, planned: bool, lost: bool | None
) -> None:
    found = detection.source(SEEN, following, database, at(seconds), planned=planned)  # type: ignore[arg-type]
    assert found.lost is lost
    assert found.detail


def test_something_new_starts_the_silence_anew() -> None:
    first = detection.heard(Memory(), REPLICATES, at(0))
    assert (first.received, first.received_at) == (REPLICATES.received, at(0))
    assert detection.heard(first, REPLICATES, at(15)).received_at == at(0)
    assert detection.heard(first, changed(received="log.1:5 u:1-9"), at(30)).received_at == at(30)
    # Who did not answer has not been silent.
    assert detection.heard(first, None, at(45)) == first


def test_a_lag_that_does_not_exist_is_minus_one() -> None:
    assert detection.source(SEEN, changed(lag_seconds=None), REPLICA, at(1)).lag_seconds == -1
    assert detection.source(SEEN, changed(lag_seconds=7), REPLICA, at(1)).lag_seconds == 7
    assert detection.source(SEEN, None, REPLICA, at(1)).lag_seconds is None


@pytest.mark.parametrize(
    ("shallow", "witnesses", "blind"),
    [
        (SILENT, (SILENT, SILENT), True),
        (BROKEN, (SILENT, SILENT), True),
        (SILENT, (SILENT, WELL), False),
        (SILENT, (SILENT, Answer(403, 8, "forbidden")), False),
        (SILENT, (), False),
        (WELL, (SILENT,), False),
    ],
)
def test_who_reaches_nobody_is_blind(shallow: Answer, witnesses: tuple[Answer, ...], blind: bool) -> None:
    assert detection.blind(look(shallow=shallow, witnesses=witnesses)) is blind


def values(measures: tuple[Measure, ...]) -> dict[str, float]:
    return {measure.name: measure.value for measure in measures}


@pytest.mark.parametrize(
    ("changes", "failed", "lost"),
    [
        pytest.param({}, 0, 0, id="well"),
        pytest.param({"shallow": SILENT, "deep": SILENT, "source": LOST}, 1, 1, id="primary lost"),
        pytest.param({"shallow": SILENT, "deep": SILENT}, 1, 0, id="probe path down"),
        pytest.param({"deep": BROKEN}, 0, 0, id="deep check alone"),
        pytest.param({"source": LOST}, 0, 1, id="replication lost alone"),
        pytest.param({"shallow": SILENT, "witnesses": (SILENT,), "source": LOST}, None, 1, id="DR cut off"),
        pytest.param({"shallow": SILENT, "source": UNKNOWN}, 1, None, id="replica cannot be asked"),
    ],
)
def test_only_a_loss_puts_both(changes: dict[str, Any], failed: float | None, lost: float | None) -> None:
    found = values(detection.measures(look(**changes)))
    assert (found.get("ProbeFailed"), found.get("ReplicaLostSource")) == (failed, lost)


def test_every_look_puts_something_by_which_it_is_seen() -> None:
    assert values(detection.measures(look()))["ProbeBlind"] == 0
    assert values(detection.measures(look(shallow=SILENT, witnesses=(SILENT,))))["ProbeBlind"] == 1
    _, ready = detection.back("eu-central-1", at(0), (), "eu-west-1")
    assert values(ready) == {"ProbeBlind": 0, "PrimaryReady": 1}
    _, away = detection.back("eu-central-1", at(0), ("RDS does not answer",), "eu-west-1")
    assert values(away) == {"ProbeBlind": 0, "PrimaryReady": 0}


def test_what_decides_is_kept_by_the_second() -> None:
    assert {m.name for m in detection.measures(look()) if m.fine} == {"ProbeFailed", "ReplicaLostSource"}


def test_a_time_is_put_where_there_was_an_answer() -> None:
    assert values(detection.measures(look()))["ProbeLatency"] == 12
    found = values(detection.measures(look(shallow=SILENT, deep=SILENT)))
    assert not {"ProbeLatency", "DeepProbeLatency"} & set(found)
    assert "DeepProbeFailed" not in values(detection.measures(look(deep=None)))


def test_what_health_checkers_say_is_put_where_they_say_something() -> None:
    words = [detection.observers(Observed(status, at(0)), None, at(20)) for status in (1.0, 0.0)]
    assert words == [("healthy", at(0)), ("unhealthy", at(0))]
    assert detection.observers(None, None, at(20)) == ("unknown", "")
    assert "ObserversHealthy" not in values(detection.measures(look()))
    assert values(detection.measures(look(observers="unhealthy")))["ObserversHealthy"] == 0


def test_what_health_checkers_said_stands_for_five_minutes_with_its_age() -> None:
    before = detection.watched(None, look(observers="healthy", observed_at=at(0)))
    assert (before.observers, before.observed_at) == ("healthy", at(0))
    assert detection.observers(None, before, at(299)) == ("healthy", at(0))
    assert detection.observers(None, before, at(300)) == ("unknown", "")
    assert detection.observers(Observed(0, at(60)), before, at(90)) == ("unhealthy", at(60))


# --- One alone: told, once


def told_over(looks: list[detection.Round], rounds: int = 4) -> list[tuple[int, str]]:
    """Which look told what."""
    memory, watch, found = Memory(), None, []
    for number, one in enumerate(looks):
        watch = detection.watched(watch, one)
        memory = detection.counted(memory, one)
        memory, said = detection.one_alone(memory, watch, one, rounds, "dev", DR)
        if said:
            found.append((number, said["kind"]))
            assert len(said["subject"]) <= 100
            assert "dev" in said["subject"]
            assert one.source.detail in said["message"]
            *_, command, page = said["message"].splitlines()
            order = "failover" if said["kind"].startswith("primary-unreachable") else "status"
            assert command == f"  make {order} ENVIRONMENT=dev DR_REGION={DR}"
            path, heading = page.strip("()").split(", ")
            assert f"\n## {heading}\n" in (ROOT / path).read_text()
    return found


def test_a_primary_that_only_dr_cannot_reach_is_told_once() -> None:
    looks = [look(15 * n, shallow=SILENT, deep=SILENT) for n in range(200)]
    assert told_over(looks) == [(7, f"primary-unreachable-{at(0)}")]


def test_so_is_one_of_which_the_replica_cannot_tell() -> None:
    looks = [look(15 * n, shallow=SILENT, source=UNKNOWN) for n in range(20)]
    assert told_over(looks) == [(7, f"primary-unreachable-{at(0)}")]


def test_a_replica_that_lost_a_primary_that_answers_is_told_once() -> None:
    looks = [look(15 * n, source=LOST) for n in range(200)]
    assert told_over(looks) == [(7, f"replication-lost-{at(0)}")]


def test_a_real_loss_is_the_alarms_to_tell() -> None:
    assert told_over([look(15 * n, shallow=SILENT, source=LOST) for n in range(40)]) == []


def test_a_moment_is_not_told() -> None:
    assert told_over([look(15 * n, shallow=SILENT if n % 8 != 7 else WELL) for n in range(200)]) == []


def test_dr_without_a_network_accuses_nobody() -> None:
    assert told_over([look(15 * n, shallow=SILENT, witnesses=(SILENT,), source=LOST) for n in range(40)]) == []


def test_one_that_comes_and_goes_is_told_every_quarter_of_an_hour() -> None:
    looks = [look(15 * n, shallow=WELL if n % 10 == 9 else SILENT) for n in range(240)]
    times = [number for number, _ in told_over(looks)]
    assert times[0] == 7
    assert all(later - earlier >= 60 for earlier, later in zip(times, times[1:], strict=False))
    assert len(times) in (3, 4)


def test_how_many_looks_are_two_minutes_follows_their_number() -> None:
    assert told_over([look(60 * n, shallow=SILENT) for n in range(9)], rounds=1)[0][0] == 1


# --- AWS Health


DETAIL = {
    "eventArn": "arn:aws:health:eu-west-1::event/EC2/ISSUE/ONE",
    "communicationId": "a",
    "service": "EC2",
    "eventTypeCode": "AWS_EC2_OPERATIONAL_ISSUE",
    "statusCode": "open",
    "eventRegion": "eu-west-1",
    "startTime": "Sun, 22 Nov 2026 10:00:00 GMT",
    "eventDescription": [{"language": "en_US", "latestDescription": "We are\ninvestigating. " * 40}],
}


def test_an_event_of_aws_is_noted_once_and_followed() -> None:
    first = detection.noted({}, DETAIL, at(0))
    assert first
    (event,) = first["events"]
    assert (event["service"], event["status"], event["started_at"]) == ("EC2", "open", DETAIL["startTime"])
    assert event["description"].startswith("We are investigating.")
    assert len(event["description"]) <= 300
    # The same from two regions, and a later communication about the same event.
    assert detection.noted(first, DETAIL, at(5)) is None
    closed = detection.noted(first, {**DETAIL, "communicationId": "b", "statusCode": "closed"}, at(60))
    assert closed
    assert [event["status"] for event in closed["events"]] == ["closed"]


def test_only_the_newest_events_are_kept() -> None:
    note: dict[str, object] = {}
    for number in range(9):
        note = detection.noted(note, {**DETAIL, "eventArn": f"arn:{number}"}, at(number)) or note
    assert [event["event"] for event in note["events"]] == [f"arn:{n}" for n in (8, 7, 6, 5, 4)]  # type: ignore[attr-defined]


def test_an_event_without_words_is_noted_too() -> None:
    found = detection.noted({}, {"eventArn": "arn:1"}, at(0))
    assert found
    assert found["events"][0]["description"] == ""
