"""An execution that is held stays where it is, and a task that is held has done what it was to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.functions import ROLE
from tests.lab.running import DR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.running import RunningLab

PUT = "arn:aws:states:::aws-sdk:ssm:putParameter"


def note(name: str, **more: Any) -> dict[str, Any]:
    arguments = {"Name": f"/held/{name}", "Value": "done", "Type": "String", "Overwrite": True}
    return {"Type": "Task", "Resource": PUT, "Arguments": arguments, **more}


MACHINE = {
    "QueryLanguage": "JSONata",
    "StartAt": "First",
    "States": {
        "First": note("first", Next="Side by side"),
        "Side by side": {
            "Type": "Parallel",
            "Branches": [{"StartAt": "Inside", "States": {"Inside": note("inside", End=True)}}],
            "Next": "Wait",
        },
        "Wait": {"Type": "Wait", "Seconds": 1, "Next": "Last"},
        "Last": note("last", End=True),
    },
}


@pytest.fixture(scope="module")
def machine(empty_lab: RunningLab) -> str:
    made = empty_lab.client("stepfunctions").create_state_machine(
        name="held", definition=json.dumps(MACHINE), roleArn=ROLE
    )
    return str(made["stateMachineArn"])


@pytest.fixture(autouse=True)
def _let_go(lab: RunningLab) -> Iterator[None]:
    yield
    lab.control("executions", "let-go")
    ssm = lab.client("ssm", DR)
    for each in done(lab):
        ssm.delete_parameter(Name=f"/held/{each}")


def done(lab: RunningLab) -> set[str]:
    found = lab.client("ssm", DR).get_parameters_by_path(Path="/held")["Parameters"]
    return {each["Name"].removeprefix("/held/") for each in found}


def status(lab: RunningLab, arn: str) -> str:
    return str(lab.client("stepfunctions").describe_execution(executionArn=arn)["status"])


def held_in(lab: RunningLab, machine: str, state: str) -> str:
    lab.control("executions", "hold", state=state, of=":held:")
    arn = str(lab.client("stepfunctions").start_execution(stateMachineArn=machine)["executionArn"])
    lab.wait_until(lambda: lab.control("executions", "held") == [arn], what=f"held in {state}")
    return arn


@pytest.mark.parametrize(
    ("state", "expected"),
    [("First", {"first"}), ("Inside", {"first", "inside"}), ("Wait", {"first", "inside"})],
)
def test_it_is_held_and_what_it_did_is_done(lab: RunningLab, machine: str, state: str, expected: set[str]) -> None:
    arn = held_in(lab, machine, state)
    lab.clock_passes(50)
    assert (done(lab), status(lab, arn)) == (expected, "RUNNING")
    lab.control("executions", "let-go")
    lab.wait_until(lambda: status(lab, arn) == "SUCCEEDED")
    assert done(lab) == {"first", "inside", "last"}


@pytest.mark.parametrize(("state", "expected"), [("Inside", {"first", "inside"}), ("Wait", {"first", "inside"})])
def test_stopped_there_it_does_nothing_more(lab: RunningLab, machine: str, state: str, expected: set[str]) -> None:
    arn = held_in(lab, machine, state)
    machines = lab.client("stepfunctions")
    machines.stop_execution(executionArn=arn)
    lab.clock_passes(50)
    assert (done(lab), status(lab, arn)) == (expected, "ABORTED")
    assert machines.get_execution_history(executionArn=arn)["events"][-1]["type"] == "ExecutionAborted"


def test_an_execution_of_another_machine_passes(lab: RunningLab, machine: str) -> None:
    lab.control("executions", "hold", state="First", of=":another:")
    arn = lab.client("stepfunctions").start_execution(stateMachineArn=machine)["executionArn"]
    lab.wait_until(lambda: status(lab, arn) == "SUCCEEDED")
    assert lab.control("executions", "held") == []
