"""A machine that starts another one and waits for it, as AWS does it: seen, stopped together, failed by one name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.lab.functions import ROLE
from tests.lab.running import ACCOUNT, DR

if TYPE_CHECKING:
    from tests.lab.running import RunningLab

NESTED = "arn:aws:states:::states:startExecution.sync:2"
FAILS = {"Type": "Fail", "Error": "PreconditionFailed", "Cause": "not today"}
WAITS = {"Type": "Wait", "Seconds": 100000, "End": True}
SAYS = {"Type": "Pass", "Output": {"said": "{% $states.input.say %}"}, "End": True}


def machine(lab: RunningLab, name: str, state: dict[str, Any], **more: Any) -> str:
    definition = {"QueryLanguage": "JSONata", "StartAt": "Only", "States": {"Only": state}, **more}
    made = lab.client("stepfunctions", DR).create_state_machine(
        name=name, definition=json.dumps(definition), roleArn=ROLE
    )
    arn: str = made["stateMachineArn"]
    return arn


def calls(child: str, **more: Any) -> dict[str, Any]:
    arguments = {"StateMachineArn": child, "Name": "the-child", "Input": {"say": "hello"}}
    return {"Type": "Task", "Resource": NESTED, "Arguments": arguments, "TimeoutSeconds": 3600, "End": True} | more


def start(lab: RunningLab, machine: str) -> str:
    arn: str = lab.client("stepfunctions", DR).start_execution(stateMachineArn=machine)["executionArn"]
    return arn


def ended(lab: RunningLab, arn: str) -> dict[str, Any]:
    states = lab.client("stepfunctions", DR)
    return lab.wait_until(
        lambda: (seen := states.describe_execution(executionArn=arn))["status"] != "RUNNING" and seen, 60, arn
    )


def child_of(lab: RunningLab, arn: str) -> str:
    """Follow a parent's history to its child, as anyone does who watches."""
    states = lab.client("stepfunctions", DR)

    def submitted() -> str:
        events = states.get_execution_history(executionArn=arn, maxResults=1000)["events"]
        told = [event["taskSubmittedEventDetails"] for event in events if event["type"] == "TaskSubmitted"]
        return json.loads(told[-1]["output"])["ExecutionArn"] if told else ""

    return lab.wait_until(submitted, 60, "the child is named in its parent's history")


def test_what_the_child_gives_is_what_its_parent_has(lab: RunningLab) -> None:
    arn = start(lab, machine(lab, "gives-parent", calls(machine(lab, "gives-child", SAYS))))
    seen = json.loads(ended(lab, arn)["output"])
    assert (seen["Status"], seen["Output"]) == ("SUCCEEDED", {"said": "hello"})
    assert seen["ExecutionArn"] == child_of(lab, arn)
    assert seen["ExecutionArn"] == f"arn:aws:states:{DR}:{ACCOUNT}:execution:gives-child:the-child"


def test_a_childs_failure_has_its_story_in_the_cause(lab: RunningLab) -> None:
    seen = ended(lab, start(lab, machine(lab, "fails-parent", calls(machine(lab, "fails-child", FAILS)))))
    assert (seen["status"], seen["error"]) == ("FAILED", "States.TaskFailed")
    cause = json.loads(seen["cause"])
    assert (cause["Status"], cause["Error"], cause["Cause"]) == ("FAILED", "PreconditionFailed", "not today")


def test_a_stopped_parent_takes_its_child_along(lab: RunningLab) -> None:
    states = lab.client("stepfunctions", DR)
    arn = start(lab, machine(lab, "stopped-parent", calls(machine(lab, "stopped-child", WAITS))))
    child = child_of(lab, arn)
    assert states.describe_execution(executionArn=child)["status"] == "RUNNING"
    states.stop_execution(executionArn=arn)
    assert ended(lab, child)["status"] == "ABORTED"
    assert ended(lab, arn)["status"] == "ABORTED"


def test_a_parent_out_of_time_takes_its_child_along(lab: RunningLab) -> None:
    arn = start(lab, machine(lab, "late-parent", calls(machine(lab, "late-child", WAITS)), TimeoutSeconds=2000))
    child = child_of(lab, arn)
    lab.set_scale(1000)
    assert ended(lab, child)["status"] == "ABORTED"
    assert ended(lab, arn)["status"] == "TIMED_OUT"


def test_a_task_waits_for_a_child_in_aws_seconds_and_then_stops_it(lab: RunningLab) -> None:
    child = machine(lab, "slow-child", WAITS)
    arn = start(lab, machine(lab, "impatient-parent", calls(child, TimeoutSeconds=100)))
    seen = ended(lab, arn)
    assert (seen["status"], seen["error"]) == ("FAILED", "States.Timeout")
    assert ended(lab, child_of(lab, arn))["status"] == "ABORTED"


def test_a_branch_that_fails_takes_the_child_of_the_other_one_along(lab: RunningLab) -> None:
    child = calls(machine(lab, "siblings-child", WAITS))
    fails = {"Pause": {"Type": "Wait", "Seconds": 1000, "Next": "Fails"}, "Fails": FAILS}
    branches = [{"StartAt": "Child", "States": {"Child": child}}, {"StartAt": "Pause", "States": fails}]
    fork = {"Type": "Parallel", "Branches": branches, "End": True}
    # The parent itself goes on.
    fork["Catch"] = [{"ErrorEquals": ["PreconditionFailed"], "Next": "Goes on"}]
    arn = start(lab, machine(lab, "siblings-parent", fork, States={"Only": fork, "Goes on": WAITS}))
    begun = child_of(lab, arn)
    lab.set_scale(500)
    assert ended(lab, begun)["status"] == "ABORTED"
    states = lab.client("stepfunctions", DR)
    assert states.describe_execution(executionArn=arn)["status"] == "RUNNING"
    states.stop_execution(executionArn=arn)
