"""What must hold of the re-protection as text: every wait ends, every failure is recorded and told, and what lost its
role is kept before anything takes its place."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from pilotlight.decide.pace import MOST_LOOKS
from pilotlight.model import Divergence
from tests.unit.core.test_the_failover_cannot_hang_or_end_untold import ROOT, states, targets

MACHINE: dict[str, Any] = json.loads((ROOT / "statemachine" / "reprotect.asl.json").read_text())
STATES: dict[str, Any] = MACHINE["States"]
TASKS = [(name, state) for name, state in states(MACHINE) if state["Type"] == "Task"]
WORKING = [(name, state) for name, state in TASKS if state["Arguments"].get("InvocationType") != "Event"]
# What comes when the database is protected, and may end as it likes.
OBJECTS = ("List objects written on both sides", "Copy what never crossed")
FOR_OBJECTS = "Give the objects time"
WAITS = [name for name, state in STATES.items() if state["Type"] == "Wait" and name != FOR_OBJECTS]
# An execution's history has room for so many events; a look, its judgement and its wait take nine.
EVENTS, EVENTS_A_LOOK = 25_000, 9


def test_every_state_is_reached() -> None:
    reached, left = {MACHINE["StartAt"]}, [MACHINE["StartAt"]]
    while left:
        new = targets(STATES[left.pop()]) - reached
        reached |= new
        left += new
    assert reached == set(STATES)


@pytest.mark.parametrize(("name", "state"), TASKS, ids=[name for name, _ in TASKS])
def test_every_task_has_a_time_out_named_retries_and_a_catch(name: str, state: Any) -> None:
    # One step waits for the function that reads a log, two for one that compares and copies as much as fits. The others
    # of that function are over when it is: no attempt works on beside the next.
    longer = {"List what never crossed": 160, **dict.fromkeys(OBJECTS, 320)}
    most = 155 if state["Arguments"]["FunctionName"] == "${StandbyFunctionArn}" else 60
    assert 0 < state["TimeoutSeconds"] <= longer.get(name, most)
    retried = {error for retry in state["Retry"] for error in retry["ErrorEquals"]}
    assert "TransientError" in retried
    assert not retried & {"States.ALL", "PreconditionFailed", "FatalError"}
    assert [catch["ErrorEquals"] for catch in state["Catch"]] == [["States.ALL"]]


@pytest.mark.parametrize(("name", "state"), WORKING, ids=[name for name, _ in WORKING])
def test_every_step_carries_its_execution_and_all_but_the_first_their_epoch(name: str, state: Any) -> None:
    payload = state["Arguments"]["Payload"]
    assert payload["execution"] == "{% $states.context.Execution.Id %}"
    assert ("epoch" in payload) == (name != "Take the lock")


def test_every_failure_after_the_lock_is_recorded_and_told_but_for_a_list_that_cannot_be_made() -> None:
    for name, state in WORKING:
        (caught,) = {catch["Next"] for catch in state["Catch"]}
        told = {
            "Take the lock": "Refused",
            "List what never crossed": "Take the final snapshot",
            "Record the failure": "The failure could not be recorded",
            **dict.fromkeys(OBJECTS, "Tell the team"),
        }
        assert caught == told.get(name, "Record the failure"), name
    assert STATES["Record the failure"]["Next"] == "Tell the team that it failed"
    assert targets(STATES["Tell the team that it failed"]) == {"Re-protection failed"}


def test_objects_come_when_the_database_is_protected_and_cannot_fail_that() -> None:
    assert targets(STATES["Record the protection"]) == {OBJECTS[0], "Record the failure"}
    for name in (*OBJECTS, FOR_OBJECTS, "Are all objects compared?", "Is everything copied?"):
        assert targets(STATES[name]) <= {
            *OBJECTS,
            FOR_OBJECTS,
            "Are all objects compared?",
            "Is everything copied?",
        } | {"Tell the team"}
        assert "Record the failure" not in targets(STATES[name])
    for name in OBJECTS:
        (catch,) = STATES[name]["Catch"]
        # What was found so far is told all the same.
        assert set(catch["Assign"]["objects"]) == {
            "done", "keys", "counts", "outcomes", "evidence", "detail", "told"
        }  # fmt: skip


def test_waiting_for_objects_ends_with_their_grace() -> None:
    """The function waits for nothing longer than the grace, whose most the template says."""
    template = (ROOT / "template.yaml").read_text().split("  ObjectsGraceSeconds:\n", 1)[1]
    most = int(template.split("MaxValue: ", 1)[1].split()[0])
    loops = most // STATES[FOR_OBJECTS]["Seconds"]
    rest = len(WAITS) * (60 + MOST_LOOKS) * EVENTS_A_LOOK
    # Beside it, calls of four minutes each within the most that the budget may be.
    calls = 21_600 // 240 * EVENTS_A_LOOK
    assert rest + loops * EVENTS_A_LOOK + calls < EVENTS * 0.9


def test_a_list_that_cannot_be_made_has_the_shape_of_one() -> None:
    (catch,) = STATES["List what never crossed"]["Catch"]
    unlisted = catch["Assign"]["divergence"]
    assert set(unlisted) == {field.name for field in dataclasses.fields(Divergence)}
    assert (unlisted["listed"], unlisted["transactions"]) == (False, -1)


@pytest.mark.parametrize("wait", WAITS)
def test_every_wait_follows_a_look_and_is_counted(wait: str) -> None:
    assert {STATES[name]["Type"] for name in STATES if wait in targets(STATES[name])} == {"Choice"}
    look = STATES[STATES[wait]["Next"]]
    assert look["Type"] == "Task"
    assert look["Arguments"]["Payload"]["waited"] == "{% $waited %}"
    # What one loop waited is not the next one's.
    assert look["Assign"]["waited"] == "{% $states.result.Payload.done ? 0 : $waited %}"
    assert "$waited +" in STATES[wait]["Assign"]["waited"]


@pytest.mark.parametrize("wait", WAITS)
def test_a_history_has_room_for_the_longest_wait_of_every_loop(wait: str) -> None:
    early = 60
    pause = f"$waited < {early} * $protection.poll_seconds ? $protection.poll_seconds : $protection.slow_poll_seconds"
    assert STATES[wait]["Seconds"] == f"{{% {pause} %}}"
    assert STATES[wait]["Assign"] == {"waited": f"{{% $waited + ({pause}) %}}"}
    assert len(WAITS) * (early + MOST_LOOKS) * EVENTS_A_LOOK < EVENTS * 0.9


def test_nothing_takes_a_databases_place_before_it_is_kept() -> None:
    order = [
        "Plan the protection",
        "Close the standby's region",
        "Look at the old database",
        "List what never crossed",
        "Take the final snapshot",
        "Retire the old database",
        "Build the replica",
        "Keep backups on the replica",
        "See whether it follows",
        "Record the protection",
    ]
    for earlier, later in zip(order, order[1:], strict=False):
        without, left = {MACHINE["StartAt"]}, [MACHINE["StartAt"]]
        while left:
            new = {target for target in targets(STATES[left.pop()]) if target != earlier} - without
            without |= new
            left += new
        assert later not in without or later == "Record the protection", f"{later} can come without {earlier}"


def test_telling_is_never_on_the_way() -> None:
    for name, state in TASKS:
        if state["Arguments"]["FunctionName"] == "${NotifyFunctionArn}":
            assert state["Arguments"]["InvocationType"] == "Event", name
            assert len(targets(state)) == 1, name


def test_every_failed_end_says_why() -> None:
    for name, state in STATES.items():
        if state["Type"] == "Fail":
            assert state["Error"], name
            assert state["Cause"], name
