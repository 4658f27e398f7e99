"""What must hold of the image machine: every wait ends, every failure is told, nothing is published unchecked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pilotlight.decide.images import COPY_BUDGET, IMAGE_BUDGET, INSTANCE_BUDGET
from tests.unit.core.test_the_failover_cannot_hang_or_end_untold import ROOT, states, targets

MACHINE: dict[str, Any] = json.loads((ROOT / "statemachine" / "image.asl.json").read_text())
STATES: dict[str, Any] = MACHINE["States"]
TASKS = [(name, state) for name, state in states(MACHINE) if state["Type"] == "Task"]
WAITS = {
    "Wait for an instance": INSTANCE_BUDGET,
    "Wait for the image": IMAGE_BUDGET,
    "Wait for the copy": COPY_BUDGET,
}
# An execution's history has room for so many events; a look, its judgement and its wait take nine.
EVENTS, EVENTS_A_LOOK = 25_000, 9
PAUSE, EARLY, LATE, LATE_FROM = "$waited < 600 ? 15 : 120", 15, 120, 600


def without(state: str) -> set[str]:
    """Every state that can be reached past one."""
    reached, left = {MACHINE["StartAt"]}, [MACHINE["StartAt"]]
    while left:
        new = {target for target in targets(STATES[left.pop()]) if target != state} - reached
        reached |= new
        left += new
    return reached


def test_every_state_is_reached() -> None:
    assert without("") == set(STATES)


@pytest.mark.parametrize(("name", "state"), TASKS, ids=[name for name, _ in TASKS])
def test_every_task_has_a_time_out_named_retries_and_a_catch(name: str, state: Any) -> None:
    assert 0 < state["TimeoutSeconds"] <= 65
    retried = {error for retry in state["Retry"] for error in retry["ErrorEquals"]}
    assert "TransientError" in retried
    assert not retried & {"States.ALL", "PreconditionFailed", "FatalError"}
    assert [catch["ErrorEquals"] for catch in state["Catch"]] == [["States.ALL"]]
    assert state["Arguments"]["Payload"]["execution"] == "{% $states.context.Execution.Id %}"


def test_every_failure_is_told_and_an_image_that_stays_is_no_failure() -> None:
    for name, state in TASKS:
        (caught,) = {catch["Next"] for catch in state["Catch"]}
        told = {
            "Remove old images": "Measure and tell",
            "Measure and tell": "It could not be told",
            "Tell the team that it failed": "Nobody could be told",
        }
        assert caught == told.get(name, "Tell the team that it failed"), name
    removed = STATES["Remove old images"]["Catch"][0]["Assign"]["removed"]
    assert set(removed) == {"images", "snapshots", "problems"}
    assert "errorMessage" in removed["problems"][0]


def test_it_ends_well_only_where_it_published_or_had_nothing_to_do() -> None:
    ends = {name for name, state in STATES.items() if state["Type"] in ("Succeed", "Fail")}
    assert ends == {
        "Nothing to do here",
        "The image is published",
        "The image was not published",
        "It could not be told",
        "Nobody could be told",
    }
    for name in ends:
        if STATES[name]["Type"] == "Fail":
            assert STATES[name]["Error"], name
            assert STATES[name]["Cause"], name


@pytest.mark.parametrize("wait", WAITS)
def test_every_wait_follows_a_look_and_is_counted(wait: str) -> None:
    assert {state for state in STATES if STATES[state]["Type"] == "Wait"} == set(WAITS)
    assert {STATES[name]["Type"] for name in STATES if wait in targets(STATES[name])} == {"Choice"}
    look = STATES[STATES[wait]["Next"]]
    assert look["Type"] == "Task"
    assert look["Arguments"]["Payload"]["waited"] == "{% $waited %}"
    # What one loop waited is not the next one's.
    assert look["Assign"]["waited"] == "{% $states.result.Payload.done ? 0 : $waited %}"
    assert STATES[wait]["Seconds"] == f"{{% {PAUSE} %}}"
    assert STATES[wait]["Assign"] == {"waited": f"{{% $waited + ({PAUSE}) %}}"}


def test_a_history_has_room_for_the_longest_waits_and_the_machine_has_the_time() -> None:
    looks = sum(LATE_FROM // EARLY + (budget - LATE_FROM) // LATE + 1 for budget in WAITS.values())
    assert looks * EVENTS_A_LOOK < EVENTS * 0.9
    assert sum(WAITS.values()) < MACHINE["TimeoutSeconds"]


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        ("Choose an instance", "Is there anything to do?"),
        ("Make an image", "Does an instance answer?"),
        ("Copy it to the other region", "Is the image there?"),
        ("Check that it can be started there", "Is the copy there?"),
        ("Remove old images", "Publish it"),
        ("The image is published", "Publish it"),
    ],
)
def test_nothing_comes_before_what_it_rests_on(later: str, earlier: str) -> None:
    assert later in without("")
    assert later not in without(earlier)


def test_only_a_region_that_takes_no_part_is_passed_over() -> None:
    """Published without the check is what has no copy, and nothing else."""
    choice = STATES["Does the other region take part?"]
    assert [(one["Condition"], one["Next"]) for one in choice["Choices"]] == [
        ("{% $run.together %}", "Copy it to the other region")
    ]
    assert choice["Default"] == "Publish it"
    assert {name for name in STATES if "Publish it" in targets(STATES[name])} == {
        "Does the other region take part?",
        "Check that it can be started there",
    }
