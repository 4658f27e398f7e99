"""What must hold of the state machine as text: every wait ends, every failure is recorded and told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
MACHINE: dict[str, Any] = json.loads((ROOT / "statemachine" / "failover.asl.json").read_text())
FAMILIES = {"TransientError", "PreconditionFailed", "FatalError"}

type State = dict[str, Any]


def states(machine: dict[str, Any]) -> Iterator[tuple[str, State]]:
    for name, state in machine["States"].items():
        yield name, state
        for branch in state.get("Branches", []):
            yield from states(branch)


TASKS = [(name, state) for name, state in states(MACHINE) if state["Type"] == "Task"]
WAITING = [(name, state) for name, state in TASKS if state["Arguments"].get("InvocationType") != "Event"]


def branches() -> list[dict[str, Any]]:
    return [branch for _, state in states(MACHINE) for branch in state.get("Branches", [])]


def targets(state: State) -> set[str]:
    found = {state[key] for key in ("Next", "Default") if key in state}
    found |= {choice["Next"] for choice in state.get("Choices", [])}
    return found | {catch["Next"] for catch in state.get("Catch", [])}


def test_names_are_told_once() -> None:
    names = [name for name, _ in states(MACHINE)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("machine", [MACHINE, *branches()], ids=lambda machine: machine["StartAt"])
def test_every_arrow_leads_somewhere_and_every_state_is_reached(machine: dict[str, Any]) -> None:
    reached, left = {machine["StartAt"]}, [machine["StartAt"]]
    while left:
        new = targets(machine["States"][left.pop()]) - reached
        reached |= new
        left += new
    assert reached == set(machine["States"])


def test_the_machine_ends_in_time() -> None:
    assert MACHINE["TimeoutSeconds"] <= 7200
    assert MACHINE["QueryLanguage"] == "JSONata"


@pytest.mark.parametrize(("name", "state"), TASKS, ids=[name for name, _ in TASKS])
def test_every_task_has_a_time_out_named_retries_and_a_catch(name: str, state: State) -> None:
    assert 0 < state["TimeoutSeconds"] <= 60, name
    retried = {error for retry in state["Retry"] for error in retry["ErrorEquals"]}
    assert "TransientError" in retried, name
    assert not retried & {"States.ALL", "PreconditionFailed", "FatalError"}, name
    assert [catch["ErrorEquals"] for catch in state["Catch"]][-1] == ["States.ALL"], name


@pytest.mark.parametrize(("name", "state"), WAITING, ids=[name for name, _ in WAITING])
def test_every_step_carries_its_execution_and_all_but_the_first_their_epoch(name: str, state: State) -> None:
    payload = state["Arguments"]["Payload"]
    assert payload["execution"] == "{% $states.context.Execution.Id %}"
    assert ("epoch" in payload) == (name != "Take the lock")


PLANNED = "{% $mode = 'graceful' %}"
SPEAKS_TO_THE_SOURCE = ("${FenceFunctionArn}", "${SourceFunctionArn}")


def on_the_way(mode: str) -> set[str]:
    """Name the states of the main machine that a failover of a mode can pass before it fails."""
    reached, left = {MACHINE["StartAt"]}, [MACHINE["StartAt"]]
    while left:
        state = MACHINE["States"][left.pop()]
        new = {state[key] for key in ("Next", "Default") if key in state}
        for choice in state.get("Choices", []):
            if choice["Condition"] == PLANNED:
                new = {choice["Next"]} if mode == "graceful" else {state["Default"]}
            else:
                new.add(choice["Next"])
        left += new - reached
        reached |= new
    return reached


def test_nothing_waits_for_a_lost_primary() -> None:
    speaks = [
        name
        for name in on_the_way("ungraceful")
        if MACHINE["States"][name].get("Arguments", {}).get("FunctionName") in SPEAKS_TO_THE_SOURCE
    ]
    assert speaks == ["Close the primary if it answers"]
    fence = MACHINE["States"]["Close the primary if it answers"]
    assert fence["Arguments"]["InvocationType"] == "Event"
    # Whatever becomes of sending it off, the way goes on.
    assert targets(fence) == {"Bring this region up"}
    for name, state in states(MACHINE):
        if "source" in state.get("Arguments", {}).get("Payload", {}):
            assert state["Arguments"]["FunctionName"] in SPEAKS_TO_THE_SOURCE, name


def test_a_planned_switchover_promotes_only_after_the_proof() -> None:
    main = MACHINE["States"]
    assert {name for name in on_the_way("graceful") if "Bring this region up" in targets(main[name])} == {
        "Is it where it was?"
    }
    assert {name for name in on_the_way("graceful") if "Is it where it was?" in targets(main[name])} == {
        "Look at the source once more"
    }
    assert {name for name in on_the_way("graceful") if "Look at the source once more" in targets(main[name])} == {
        "Is everything across?"
    }


def test_a_freeze_that_leads_nowhere_is_taken_back() -> None:
    main = MACHINE["States"]
    frozen = (
        "Mark the last write",
        "Close the source to writers",
        "Look at the source",
        "Prove that nothing is missing",
        "Look at the source once more",
    )
    for name in frozen:
        assert [catch["Next"] for catch in main[name]["Catch"]] == ["Open the source again"], name
    for name in ("The proof did not come", "The source was left closed"):
        assert main[name]["Next"] == "Open the source again"
    assert targets(main["Open the source again"]) == {"Let the source's heart beat", "Record the failure"}
    # Once the promotion may have begun, nothing opens the source any more.
    assert "Open the source again" not in targets(main["Bring this region up"])


def test_telling_is_never_on_the_way() -> None:
    for name, state in TASKS:
        if state["Arguments"]["FunctionName"] == "${NotifyFunctionArn}":
            assert state["Arguments"]["InvocationType"] == "Event", name
            assert len(targets(state)) == 1, name


def test_every_wait_follows_a_look() -> None:
    for machine in (MACHINE, *branches()):
        waits = {name for name, state in machine["States"].items() if state["Type"] == "Wait"}
        assert machine["StartAt"] not in waits
        for name, state in machine["States"].items():
            if targets(state) & waits:
                assert state["Type"] == "Choice", f"{name} waits before it looks"
        for name in waits:
            back = machine["States"][machine["States"][name]["Next"]]
            assert back["Type"] == "Task", f"{name} is not followed by a look"
            assert "waited" in machine["States"][name]["Assign"], f"{name} is not counted against a budget"


def test_every_failure_after_the_lock_is_recorded_and_told() -> None:
    main = MACHINE["States"]
    for name, state in main.items():
        if (
            state["Type"] in ("Task", "Parallel")
            and name != "Take the lock"
            and state.get("Arguments", {}).get("InvocationType") != "Event"
        ):
            caught = {catch["Next"] for catch in state["Catch"]}
            told = {"Record the failure", "The failure could not be recorded", "Open the source again"}
            # What is left to do when the region is active already is done by hand if it must be.
            assert caught <= told or name in ("Stand the source down", "Let the heart beat here"), name
    assert main["Record the failure"]["Next"] == "Tell the team that it failed"
    assert targets(main["Tell the team that it failed"]) == {"Failover failed"}


def test_every_failed_end_says_why() -> None:
    for name, state in states(MACHINE):
        if state["Type"] == "Fail":
            assert state["Error"], name
            assert state["Cause"], name


def test_traffic_and_the_record_come_after_a_write_and_a_read() -> None:
    main = MACHINE["States"]
    before = {name for name, state in main.items() if "Record this region as active" in targets(state)}
    assert before == {"Does it serve?"}
    assert "Record this region as active" not in {
        target for name, state in main.items() if name != "Does it serve?" for target in targets(state)
    }


def test_database_compute_and_functions_come_up_side_by_side() -> None:
    functions = [
        {state["Arguments"]["FunctionName"] for state in branch["States"].values() if state["Type"] == "Task"}
        for branch in MACHINE["States"]["Bring this region up"]["Branches"]
    ]
    assert functions == [
        {"${SqlFunctionArn}", "${DatabaseFunctionArn}"},
        {"${ComputeFunctionArn}"},
        {"${WorkloadFunctionArn}"},
    ]
    drain, *_ = MACHINE["States"]["Bring this region up"]["Branches"]
    first_promotion = {name for name, state in drain["States"].items() if "Promote the database" in targets(state)}
    assert first_promotion == {"Apply what was received", "Go on to the promotion", "Give the promotion time"}
