"""What must hold of the way back as text: no child outlives it, and every failure is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.core.conftest import ROOT
from tests.unit.core.deciding import HEAD, TELLS_OF_A_REFUSAL

MACHINE: dict[str, Any] = json.loads((ROOT / "statemachine/failback.asl.json").read_text())
STATES: dict[str, dict[str, Any]] = MACHINE["States"]
NESTED = "arn:aws:states:::states:startExecution.sync:2"
CHILDREN = {name: state for name, state in STATES.items() if state.get("Resource") == NESTED}
TASKS = [name for name, state in STATES.items() if state["Type"] == "Task"]
IMAGE = "Bring the image home"
WAY = ["Re-protect the primary", "Switch over to the primary", "Re-protect the DR region"]


def targets(name: str) -> set[str]:
    state = STATES[name]
    found = {state[key] for key in ("Next", "Default") if key in state}
    found |= {choice["Next"] for choice in state.get("Choices", [])}
    return found | {catch["Next"] for catch in state.get("Catch", [])}


def test_every_arrow_leads_somewhere_and_every_state_is_reached() -> None:
    reached, left = {MACHINE["StartAt"]}, [MACHINE["StartAt"]]
    while left:
        new = targets(left.pop()) - reached
        reached |= new
        left += new
    assert reached == set(STATES)


def test_it_protects_before_and_after_it_switches() -> None:
    assert [name for name in CHILDREN if name != IMAGE] == WAY
    assert targets("Did an alarm start it?") == {"Switch over to the primary", "See whether automation is still on"}
    assert STATES["Re-protect the primary"]["Next"] == IMAGE
    assert STATES["Switch over to the primary"]["Next"] == "Re-protect the DR region"
    assert targets("Where does it begin?") == {"The primary is active already", "Announce the downtime", *WAY}


@pytest.mark.parametrize("name", CHILDREN)
def test_a_child_has_a_name_of_its_own_and_ends_before_its_parent(name: str) -> None:
    state = CHILDREN[name]
    machine = state["Arguments"]["StateMachineArn"].removeprefix("${").removesuffix("Arn}").lower()
    path = ROOT / "statemachine" / f"{machine}.asl.json"
    assert "Name" in state["Arguments"]
    assert state["Output"] == "{% $states.result.Output %}"
    # Of an image the copy alone may take days: it goes on without its parent.
    if name != IMAGE:
        # The child's own time-out comes first: it is the child that knows what to say.
        assert json.loads(path.read_text())["TimeoutSeconds"] < state["TimeoutSeconds"]
    # Nothing stops a child whose parent runs out of time, so the longest way fits: the switch may come twice on it.
    longest = sum(child["TimeoutSeconds"] for child in CHILDREN.values())
    assert longest + STATES["Switch over to the primary"]["TimeoutSeconds"] < MACHINE["TimeoutSeconds"]


def test_whatever_becomes_of_the_image_the_way_goes_on() -> None:
    """The making of an image tells of its failure itself, and the switch refuses to leave a newer one behind."""
    assert targets(IMAGE) == {"Did an alarm start it?"}
    assert "Assign" not in STATES[IMAGE]["Catch"][0]
    assert CHILDREN[IMAGE]["Arguments"]["Input"] == "{% $plan.image.input %}"


@pytest.mark.parametrize("name", WAY)
def test_a_childs_failure_is_told_with_the_place_where_it_happened(name: str) -> None:
    (catch,) = CHILDREN[name]["Catch"]
    assert catch["ErrorEquals"] == ["States.ALL"]
    assert catch["Assign"]["at"] == name
    assert catch["Next"] == ("Was it to be opened first?" if "Switch" in name else "Say what stopped it")


def test_a_switch_that_only_had_to_open_dr_is_followed_by_the_whole_way_once() -> None:
    state = STATES["Was it to be opened first?"]
    (choice,) = state["Choices"]
    assert choice == {"Condition": "{% $plan.start = 'reopen' and $tries = 1 %}", "Next": "Re-protect the primary"}
    assert state["Default"] == "Say what stopped it"
    (catch,) = STATES["Switch over to the primary"]["Catch"]
    assert catch["Assign"]["tries"] == "{% $tries + 1 %}"
    assert STATES["Check what is asked"]["Assign"]["tries"] == 0
    # The second one has another name: two executions of one name are one.
    assert "$tries = 0" in STATES["Switch over to the primary"]["Arguments"]["Name"]


def test_a_child_that_failed_is_not_started_again() -> None:
    for state in CHILDREN.values():
        retried = {error for retry in state["Retry"] for error in retry["ErrorEquals"]}
        assert retried
        assert all(error.startswith("StepFunctions.") for error in retried)


@pytest.mark.parametrize("name", [name for name in TASKS if name not in CHILDREN and name not in HEAD])
def test_every_step_of_its_own_is_short_retried_by_name_and_caught(name: str) -> None:
    state = STATES[name]
    assert 0 < state["TimeoutSeconds"] <= 65
    retried = {error for retry in state["Retry"] for error in retry["ErrorEquals"]}
    assert "TransientError" in retried
    assert not retried & {"States.ALL", "PreconditionFailed", "FatalError"}
    assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"]
    # An alarm that is delivered twice is one incident, and told of once.
    told_once = "{% $decision.incident %}" if name == TELLS_OF_A_REFUSAL else "{% $states.context.Execution.Id %}"
    assert state["Arguments"]["Payload"]["execution"] == told_once


def test_telling_is_never_on_the_way() -> None:
    for name in TASKS:
        if STATES[name]["Arguments"].get("FunctionName") == "${NotifyFunctionArn}":
            assert STATES[name]["Arguments"]["InvocationType"] == "Event", name
            assert len(targets(name)) == 1, name


def test_every_failed_end_says_why() -> None:
    for name, state in STATES.items():
        if state["Type"] == "Fail":
            assert state["Error"], name
            assert state["Cause"], name
