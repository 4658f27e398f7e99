"""The net below the workflows: who ends without a word is told of once, with the way on, and who told is not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pilotlight.aws import executions
from pilotlight.decide import ending
from pilotlight.model import End, Record
from tests.unit.core.conftest import ROOT, Context, load
from tests.unit.core.samples import DR, EXECUTION, HELD, OTHER, PRIMARY
from tests.unit.core.test_steps_change_what_they_say_and_nothing_twice import hold, topic

if TYPE_CHECKING:
    from collections.abc import Iterator

TRIGGER = {"trigger": {"alarm": "dev-dr-primary-lost", "at": "now", "event": "e"}}
BY_HAND = End(asked={})
OWN = replace(BY_HAND, state="Failover failed", own=True, error="PreconditionFailed")
DIED = replace(BY_HAND, state="Record the protection", own=False)
FAILBACK = f"arn:aws:states:{DR}:123456789012:execution:dev-dr-failback:one"
REPROTECTION = f"arn:aws:states:{DR}:123456789012:execution:dev-dr-reprotect:one"


@pytest.mark.parametrize(
    ("status", "end", "unheard"),
    [
        ("FAILED", OWN, False),
        ("FAILED", replace(OWN, error="States.QueryEvaluationError"), False),
        ("FAILED", replace(OWN, state="Failback stopped without a word", wordless=True), True),
        ("FAILED", replace(OWN, state="Refused", wordless=True), False),
        # What an alarm began has nobody who reads the answer, and the mail of it could not be sent.
        ("FAILED", replace(OWN, state="Refused", wordless=True, asked=TRIGGER), True),
        ("FAILED", replace(OWN, state="Failback refused", wordless=True, asked=TRIGGER), True),
        ("FAILED", replace(OWN, state="Refused", wordless=True, asked=None), True),
        ("FAILED", replace(OWN, state="Refused", asked=TRIGGER), False),
        ("FAILED", replace(DIED, error="States.DataLimitExceeded"), True),
        ("FAILED", replace(DIED, error="The25000thEvent"), True),
        # The history could not be read: the error decides.
        ("FAILED", End(error="States.DataLimitExceeded"), True),
        ("FAILED", End(error="States.QueryEvaluationError"), True),
        ("FAILED", End(error="States.Runtime"), True),
        ("FAILED", End(error="PreconditionFailed"), False),
        ("FAILED", End(), True),
        ("TIMED_OUT", BY_HAND, True),
        ("ABORTED", BY_HAND, False),
        ("ABORTED", End(asked=TRIGGER), True),
        ("ABORTED", End(), True),
    ],
)
def test_whoever_told_nobody_is_told_of(status: str, end: End, unheard: bool) -> None:
    assert ending.is_unheard(status, "failover", end) is unheard


@pytest.mark.parametrize("machine", ["failback", "image"])
def test_what_is_everybodys_is_told_of_whoever_stopped_it(machine: str) -> None:
    assert ending.is_unheard("ABORTED", machine, BY_HAND)


def _states(machine: str) -> Iterator[tuple[str, str, dict[str, Any], bool]]:
    """Yield each way into a Fail state: the state, where it leads, its definition, and whether by its Catch."""
    states = json.loads((ROOT / f"statemachine/{machine}.asl.json").read_text())["States"]

    def fails(name: str | None) -> Iterator[str]:
        """Name the Fail states that a way leads to, at once or by choices: those are no step."""
        state = states.get(name, {"Type": ""})
        if state["Type"] == "Fail":
            yield str(name)
        elif state["Type"] == "Choice":
            for way in (state.get("Default"), *(choice["Next"] for choice in state["Choices"])):
                yield from fails(way)

    for name, state in states.items():
        if state["Type"] != "Choice":
            ways = [(state.get("Next"), False), *((caught["Next"], True) for caught in state.get("Catch", ()))]
            yield from ((name, fail, state, by_catch) for way, by_catch in ways for fail in fails(way))


@pytest.mark.parametrize("machine", ["failover", "reprotect", "failback", "image"])
def test_each_way_into_a_fail_state_has_told_is_wordless_or_answers_who_asked(machine: str) -> None:
    ways = list(_states(machine))
    assert ways
    for name, fail, state, by_catch in ways:
        # Its function tells of an image, in the step that fails it.
        tells = state.get("Arguments", {}).get("Payload", {}).get("action") in (
            "send",
            *["fail"] * (machine == "image"),
        )
        assert (state["Type"] == "Task" and (tells or by_catch)) or fail in ending.REFUSED, (name, fail)


class Executions:
    """Step Functions with one execution, its events the last first."""

    def __init__(self, kinds: list[tuple[str, str]], **told: Any) -> None:
        self.told = {"status": "FAILED", "input": "{}"} | told
        self.events = [
            {"type": kind} | ({"stateEnteredEventDetails": {"name": name}} if name else {}) for kind, name in kinds
        ]

    def describe_execution(self, **_: Any) -> Any:
        return self.told

    def get_execution_history(self, **asked: Any) -> Any:
        assert asked["reverseOrder"]
        return {"events": self.events}


TOLD = [
    ("ExecutionFailed", ""),
    ("FailStateEntered", "Failback stopped"),
    ("TaskStateExited", ""),
    ("TaskSucceeded", ""),
    ("TaskFailed", ""),
    ("TaskStateEntered", "Tell the team that it stopped"),
]


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (TOLD, ("Failback stopped", True, False)),
        ([*TOLD[:3], ("TaskFailed", "")], ("Failback stopped", True, True)),
        ([*TOLD[:3], ("TaskTimedOut", "")], ("Failback stopped", True, True)),
        (
            [("ExecutionFailed", ""), ("ChoiceStateEntered", "Is it?"), ("TaskFailed", "")],
            ("Is it?", False, True),
        ),
        # A choice between them is no step: it tells nobody.
        ([*TOLD[:2], ("ChoiceStateEntered", "Is it?"), ("TaskFailed", "")], ("Failback stopped", True, True)),
        ([*TOLD[:2], ("ChoiceStateEntered", "Is it?"), ("TaskSucceeded", "")], ("Failback stopped", True, False)),
        # Asked before its end is written down: what comes last may not be the last.
        (TOLD[1:], ("Failback stopped", None, False)),
        ([("ExecutionFailed", "")], ("", None, False)),
    ],
)
def test_the_history_says_where_it_ended(kinds: list[tuple[str, str]], expected: tuple[str, bool | None, bool]) -> None:
    end = executions.end(EXECUTION, client=Executions(kinds))
    assert (end.state, end.own, end.wordless) == expected


def test_what_it_was_asked_says_who_began_it() -> None:
    asked = executions.end(EXECUTION, "x", Executions(TOLD, input=json.dumps(TRIGGER), error="E", cause="C"))
    assert (asked.by_alarm, asked.error, asked.cause) == (True, "E", "C")
    assert executions.end(EXECUTION, "x", Executions(TOLD)).by_alarm is False
    assert executions.end(EXECUTION, "x", Executions(TOLD, input=None)).by_alarm is None


FREE = Record(active_region=DR, epoch=3, lock="free", holder=EXECUTION, source=PRIMARY, target=DR)


def words(execution: str, status: str, end: End, seen: Record = FREE) -> str:
    told = ending.unheard(execution, status, end, seen, "dev", (PRIMARY, DR))
    assert told["kind"] == "ended-unheard"
    assert len(told["subject"]) <= 100
    return str(told["message"])


@pytest.mark.parametrize(
    ("execution", "status", "end", "command"),
    [
        (OTHER, "TIMED_OUT", End(asked=TRIGGER), "make failover"),
        (OTHER, "FAILED", BY_HAND, "make failover"),
        (OTHER, "FAILED", End(asked={"mode": "graceful"}), "make switchover"),
        (OTHER, "FAILED", End(asked={"mode": "graceful", "target": PRIMARY}), "make failback"),
        (EXECUTION, "FAILED", BY_HAND, "make status"),
        (REPROTECTION, "FAILED", BY_HAND, "make reprotect"),
        (FAILBACK, "FAILED", BY_HAND, "make failback"),
    ],
)
def test_the_message_has_the_command_to_go_on(execution: str, status: str, end: End, command: str) -> None:
    said = words(execution, status, end)
    assert f"\n  {command} ENVIRONMENT=dev DR_REGION={DR}\n" in said
    assert execution in said


def test_a_failback_that_an_alarm_began_is_not_started_with_the_same_input() -> None:
    trigger = {"trigger": {"alarm": "dev-dr-primary-ready", "at": "now", "event": "e"}}
    said = words(FAILBACK, "ABORTED", End(asked=trigger))
    assert "same input" not in said
    assert "nothing was changed, and what it asked can be answered no more" in said
    assert f"\n  make failback ENVIRONMENT=dev DR_REGION={DR}\n" in said
    assert "same input" in words(FAILBACK, "ABORTED", BY_HAND)


def test_a_failback_by_snapshot_goes_on_by_snapshot() -> None:
    assert f"make failback ENVIRONMENT=dev DR_REGION={DR} METHOD=snapshot\n" in words(
        FAILBACK, "TIMED_OUT", End(asked={"method": "snapshot"})
    )


def test_the_message_says_where_it_ended_and_by_what() -> None:
    end = replace(DIED, error="States.DataLimitExceeded", cause="more than 262144 bytes")
    said = words(OTHER, "FAILED", end)
    assert "FAILED by States.DataLimitExceeded, in 'Record the protection'" in said
    assert "more than 262144 bytes" in said


def test_a_reprotection_that_had_recorded_its_protection_goes_on_with_the_objects() -> None:
    said = words(REPROTECTION, "TIMED_OUT", BY_HAND, replace(FREE, holder=REPROTECTION))
    assert f"  make objects ENVIRONMENT=dev DR_REGION={DR}\n" in said


def test_a_child_of_a_failback_is_stopped_with_it_but_does_not_run_out_of_time_with_it() -> None:
    assert "was stopped with it" in words(FAILBACK, "ABORTED", BY_HAND)
    for status in ("TIMED_OUT", "FAILED"):
        said = words(FAILBACK, status, BY_HAND)
        assert "may still run" in said
        assert f"make status ENVIRONMENT=dev DR_REGION={DR}" in said


def test_who_holds_the_lock_is_named_first() -> None:
    assert f"{OTHER}. Let it end first" in words(
        EXECUTION, "TIMED_OUT", BY_HAND, replace(FREE, lock="held", holder=OTHER)
    )


@pytest.fixture
def ended(aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A bad end that is delivered twice: give the end and what the rule sends; get what was told."""
    inbox = topic(aws, monkeypatch)

    def deliver(end: End | None, **sent: str) -> list[str]:
        notify = load("notify")
        if end:
            monkeypatch.setattr(executions, "end", lambda *_: end)
        for _ in range(2):
            notify.handler({"action": "ended", "error": ""} | sent, Context())
        return [message["Message"] for message in inbox()]

    return deliver


def test_a_failback_that_an_uncaught_error_ends_is_told_of_once(ended: Any, state_table: str) -> None:
    store = hold(state_table)
    (told,) = ended(replace(DIED, error="States.Runtime"), execution=FAILBACK, status="FAILED")
    assert "States.Runtime" in told
    assert store.read() == HELD


def test_a_failback_that_told_of_its_failure_is_not_told_of_again(ended: Any, state_table: str) -> None:
    assert ended(replace(OWN, state="Failback stopped"), execution=FAILBACK, status="FAILED") == []


def test_what_cannot_be_read_keeps_nobody_from_being_told(ended: Any) -> None:
    (told,) = ended(None, execution=OTHER, status="FAILED", error="States.DataLimitExceeded")
    assert "States.DataLimitExceeded" in told


def test_no_error_in_the_event_is_none(ended: Any) -> None:
    (told,) = ended(None, execution=OTHER, status="TIMED_OUT", error="null")
    assert "null" not in told


def test_who_held_the_lock_is_told_where_it_ended(ended: Any, state_table: str) -> None:
    store = hold(state_table)
    (told,) = ended(replace(DIED, error="States.Runtime"), execution=EXECUTION, status="FAILED")
    assert "FAILED by States.Runtime, in 'Record the protection'" in told
    assert store.read().lock == "failed"
