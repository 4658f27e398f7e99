"""An execution's history is as AWS writes it: also inside branches, each event with the one before it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lab.gameday import timeline
from tests.lab.functions import ROLE
from tests.lab.running import DR

if TYPE_CHECKING:
    from tests.lab.running import RunningLab

# A name of its own outside, and one that both branches have.
COUNT = "{% ($exists($mine) ? $mine : $count) + 1 %}"
MACHINE: dict[str, Any] = {
    "QueryLanguage": "JSONata",
    "StartAt": "Begin",
    "States": {
        "Begin": {"Type": "Pass", "Assign": {"count": 0}, "Next": "Side by side"},
        "Side by side": {
            "Type": "Parallel",
            "Branches": [
                {
                    "StartAt": "Look",
                    "States": {
                        "Look": {
                            "Type": "Task",
                            "Resource": "arn:aws:states:::aws-sdk:ssm:getParametersByPath",
                            "Arguments": {"Path": "/nothing"},
                            "Assign": {"mine": COUNT},
                            "Next": "Enough?",
                        },
                        "Enough?": {
                            "Type": "Choice",
                            "Choices": [{"Condition": "{% $mine >= 3 %}", "Next": "Enough"}],
                            "Default": "Wait",
                        },
                        "Wait": {"Type": "Wait", "Seconds": 10, "Next": "Look"},
                        "Enough": {"Type": "Pass", "Output": "{% $mine %}", "End": True},
                    },
                },
                {
                    "StartAt": "Quick",
                    "States": {"Quick": {"Type": "Pass", "Assign": {"mine": COUNT}, "Next": "Said"}}
                    | {"Said": {"Type": "Pass", "Output": "{% $mine %}", "End": True}},
                },
            ],
            "Assign": {"counts": "{% $states.result %}"},
            "Output": {"both": "{% $sum($states.result) %}"},
            "Next": "End",
        },
        "End": {
            "Type": "Pass",
            "Next": "Well done",
        },
        "Well done": {
            "Type": "Succeed",
            "Output": {"counts": "{% $counts %}", "outer": "{% $count %}", "both": "{% $states.input.both %}"},
        },
    },
}


def _run(lab: RunningLab, name: str, definition: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    machines = lab.client("stepfunctions", DR)
    machine = machines.create_state_machine(name=name, definition=json.dumps(definition), roleArn=ROLE)
    execution = machines.start_execution(stateMachineArn=machine["stateMachineArn"])["executionArn"]
    lab.wait_until(lambda: machines.describe_execution(executionArn=execution)["status"] != "RUNNING")
    described = machines.describe_execution(executionArn=execution)
    return described, machines.get_execution_history(executionArn=execution, maxResults=1000)["events"]


def test_a_branchs_steps_are_in_the_history_and_name_their_branch(lab: RunningLab) -> None:
    described, events = _run(lab, "tells-branches-apart", MACHINE)
    assert described["status"] == "SUCCEEDED"
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))

    before = {event["id"]: event.get("previousEventId", 0) for event in events}
    started = next(event["id"] for event in events if event["type"] == "ParallelStateStarted")
    assert sum(number == started for number in before.values()) == 2, "both branches begin at the fork"

    steps = timeline.build(events, lambda stamp: stamp.timestamp()).steps
    look = next(step for step in steps if step.name == "Look")
    assert look.branch == "Look"
    assert look.visits == 3
    assert look.critical


def test_a_tasks_event_says_what_was_called_with_what(lab: RunningLab) -> None:
    _, events = _run(lab, "says-what-was-called", MACHINE)
    scheduled = next(event for event in events if event["type"] == "TaskScheduled")["taskScheduledEventDetails"]
    assert (scheduled["resourceType"], scheduled["resource"]) == ("aws-sdk:ssm", "getParametersByPath")
    assert json.loads(scheduled["parameters"]) == {"Path": "/nothing"}


def test_what_a_branch_assigns_is_its_own(lab: RunningLab) -> None:
    described, _ = _run(lab, "assigns-its-own", MACHINE)
    assert json.loads(described["output"]) == {"counts": [3, 1], "outer": 0, "both": 4}


def test_a_branch_that_fails_fails_its_fork(lab: RunningLab) -> None:
    failing = {"Fail": {"Type": "Fail", "Error": "Nope", "Cause": "on purpose"}}
    machine = {
        "StartAt": "Fork",
        "States": {
            "Fork": {"Type": "Parallel", "Branches": [{"StartAt": "Fail", "States": failing}], "End": True},
        },
    }
    described, events = _run(lab, "fails-its-fork", machine)
    assert (described["status"], described["error"]) == ("FAILED", "Nope")
    assert [event["type"] for event in events][-3:] == ["FailStateEntered", "ParallelStateFailed", "ExecutionFailed"]
