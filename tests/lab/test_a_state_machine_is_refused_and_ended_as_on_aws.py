"""Step Functions refuses machines and ends executions where AWS does: names, sizes, time-outs, branches, tokens."""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.functions import ROLE, make_function
from tests.lab.running import DR

if TYPE_CHECKING:
    from tests.lab.running import RunningLab

SLEEPS = """
import time
def handler(event, context):
    time.sleep(100000)
"""
RETURNS = """
def handler(event, context):
    return "x" * event["size"]
"""
ASKS_TWICE = """
import boto3
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl=event["url"], MessageBody=event["token"])
    if not event["attempt"]:
        raise ValueError("asked, and died of it")
"""
INVOKE = "arn:aws:states:::lambda:invoke"
CATCHES = [{"ErrorEquals": ["States.ALL"], "Output": "{% $states.errorOutput %}", "Next": "Caught"}]
CAUGHT = {"Caught": {"Type": "Succeed"}}
MOST = 262_144


def create(lab: RunningLab, states: dict[str, Any], **more: Any) -> str:
    definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states, **more}
    made = lab.client("stepfunctions", DR).create_state_machine(
        name=f"strict-{uuid.uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=ROLE
    )
    return str(made["stateMachineArn"])


def start(lab: RunningLab, states: dict[str, Any], given: Any = None, **more: Any) -> str:
    started = lab.client("stepfunctions", DR).start_execution(
        stateMachineArn=create(lab, states, **more), input=json.dumps(given or {})
    )
    return str(started["executionArn"])


def run(lab: RunningLab, states: dict[str, Any], given: Any = None) -> dict[str, Any]:
    machines, execution = lab.client("stepfunctions", DR), start(lab, states, given)
    return lab.wait_until(
        lambda: (seen := machines.describe_execution(executionArn=execution))["status"] != "RUNNING" and seen, 60
    )


def events(lab: RunningLab, execution: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = lab.client("stepfunctions", DR).get_execution_history(
        executionArn=execution, maxResults=1000
    )["events"]
    return found


def passes(**fields: Any) -> dict[str, Any]:
    return {"Only": {"Type": "Pass", "End": True, **fields}}


def calls(name: str, payload: Any = None, **more: Any) -> dict[str, Any]:
    arguments = {"FunctionName": name, "Payload": payload or {}}
    return {"Type": "Task", "Resource": INVOKE, "Arguments": arguments, "Catch": CATCHES, "End": True} | more


@pytest.fixture(scope="module")
def sleeper(empty_lab: RunningLab) -> str:
    make_function(empty_lab, DR, "strict-sleeper", SLEEPS, timeout=1)
    return "strict-sleeper"


def test_a_function_out_of_time_may_have_no_error_of_its_own(lab: RunningLab, sleeper: str) -> None:
    lab.control("functions", "unnamed-time-outs", region=DR)
    try:
        seen = json.loads(run(lab, {"Call": calls(sleeper), **CAUGHT})["output"])
    finally:
        lab.control("functions", "unnamed-time-outs", region=DR, on=False)
    assert seen["Error"] == "Lambda.Unknown"
    assert re.fullmatch(
        r"The cause could not be determined .* Returned payload: \{.*timed out after.*\}", seen["Cause"]
    )
    # As newer runtimes do it.
    seen = json.loads(run(lab, {"Call": calls(sleeper), **CAUGHT})["output"])
    assert seen["Error"] == "Sandbox.Timedout"


def test_a_task_out_of_time_says_nothing(lab: RunningLab) -> None:
    make_function(lab, DR, "strict-slow", SLEEPS)
    seen = run(lab, {"Call": calls("strict-slow", TimeoutSeconds=1), **CAUGHT})
    assert json.loads(seen["output"]) == {"Error": "States.Timeout", "Cause": ""}
    (told,) = [event for event in events(lab, seen["executionArn"]) if event["type"] == "TaskTimedOut"]
    assert told["taskTimedOutEventDetails"]["error"] == "States.Timeout"
    assert "cause" not in told["taskTimedOutEventDetails"]


def test_a_result_has_a_most_and_nothing_catches_what_is_more(lab: RunningLab) -> None:
    make_function(lab, DR, "strict-talker", RETURNS)
    call = calls("strict-talker", {"size": "{% $states.input.size %}"}, Output="short")
    assert json.loads(run(lab, {"Call": call, **CAUGHT}, {"size": MOST - 1000})["output"]) == "short"
    seen = run(lab, {"Call": call, **CAUGHT}, {"size": MOST})
    assert (seen["status"], seen["error"]) == ("FAILED", "States.DataLimitExceeded")
    by_name = [{**CATCHES[0], "ErrorEquals": ["States.DataLimitExceeded"]}]
    seen = run(lab, {"Call": call | {"Catch": by_name}, **CAUGHT}, {"size": MOST})
    assert json.loads(seen["output"])["Error"] == "States.DataLimitExceeded"


def test_arguments_have_a_most(lab: RunningLab) -> None:
    call = calls("any", "{% $pad('', 300000, 'x') %}")
    assert run(lab, {"Call": call, **CAUGHT})["error"] == "States.DataLimitExceeded"


@pytest.mark.parametrize(("letters", "status"), [(MOST // 2 - 1, "SUCCEEDED"), (MOST // 2, "FAILED")])
def test_an_output_is_counted_in_bytes(lab: RunningLab, letters: int, status: str) -> None:
    # Two bytes each, and two quotes around them.
    assert run(lab, passes(Output=f"{{% $pad('', {letters}, 'é') %}}"))["status"] == status


def test_variables_have_a_most(lab: RunningLab) -> None:
    seen = run(lab, passes(Assign={"much": "{% $pad('', 300000, 'x') %}"}, Output={}))
    assert seen["error"] == "States.DataLimitExceeded"


def test_a_history_has_an_end(lab: RunningLab) -> None:
    seen = run(lab, {"There": {"Type": "Pass", "Next": "Back"}, "Back": {"Type": "Pass", "Next": "There"}})
    assert (seen["status"], seen["error"]) == ("FAILED", "States.Runtime")
    assert "25000" in seen["cause"]


@pytest.mark.parametrize("condition", ["'yes'", "1", "[true]", "null"])
def test_a_condition_is_true_or_false(lab: RunningLab, condition: str) -> None:
    choice = {"Type": "Choice", "Choices": [{"Condition": f"{{% {condition} %}}", "Next": "Caught"}]}
    seen = run(lab, {"Choose": {**choice, "Default": "Caught"}, **CAUGHT})
    assert (seen["status"], seen["error"]) == ("FAILED", "States.QueryEvaluationError")
    assert "boolean" in seen["cause"]


def test_variables_are_assigned_all_at_once(lab: RunningLab) -> None:
    seen = run(
        lab,
        {
            "Set": {"Type": "Pass", "Assign": {"one": 1, "two": 2}, "Next": "Swap"},
            "Swap": {"Type": "Pass", "Assign": {"one": "{% $two %}", "two": "{% $one %}"}, "Next": "Tell"},
            "Tell": {"Type": "Pass", "Output": "{% [$one, $two] %}", "End": True},
        },
    )
    assert json.loads(seen["output"]) == [2, 1]


def test_expressions_read_aws_time(lab: RunningLab) -> None:
    elapsed = "$toMillis($states.context.Execution.StartTime)"
    seen = run(
        lab,
        {
            "Begin": {"Type": "Pass", "Assign": {"at": "{% $now() %}"}, "Next": "Wait"},
            "Wait": {"Type": "Wait", "Seconds": 100, "Next": "Tell"},
            "Tell": {
                "Type": "Pass",
                "Output": f"{{% [$millis() - {elapsed}, $toMillis($now()) - $toMillis($at)] %}}",
                "End": True,
            },
        },
    )
    assert all(100_000 <= found < 2_000_000 for found in json.loads(seen["output"]))


def test_each_attempt_has_a_token_of_its_own(lab: RunningLab) -> None:
    queues, machines = lab.client("sqs", DR), lab.client("stepfunctions", DR)
    url = queues.create_queue(QueueName="strict-tokens")["QueueUrl"]
    make_function(lab, DR, "strict-asker", ASKS_TWICE)
    payload = {
        "token": "{% $states.context.Task.Token %}",
        "attempt": "{% $states.context.State.RetryCount %}",
        "url": url,
    }
    retry = [{"ErrorEquals": ["ValueError"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    ask = calls("strict-asker", payload, Resource=f"{INVOKE}.waitForTaskToken", TimeoutSeconds=5000, Retry=retry)
    execution = start(lab, {"Ask": ask, **CAUGHT})

    def token() -> str:
        (message,) = lab.wait_until(lambda: queues.receive_message(QueueUrl=url).get("Messages"))
        queues.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return str(message["Body"])

    first, second = token(), token()
    assert first != second
    with pytest.raises(machines.exceptions.TaskTimedOut):
        machines.send_task_success(taskToken=first, output="1")
    machines.send_task_success(taskToken=second, output="2")
    lab.wait_until(lambda: machines.describe_execution(executionArn=execution)["status"] == "SUCCEEDED")


def branches(*inside: dict[str, Any]) -> dict[str, Any]:
    made = [{"StartAt": next(iter(states)), "States": states} for states in inside]
    return {"Type": "Parallel", "Branches": made, "End": True}


@pytest.mark.parametrize(
    ("states", "told"),
    [
        (
            {
                "First": {"Type": "Pass", "Assign": {"one": 1}, "Next": "Both"},
                "Both": branches({"Inner": {"Type": "Pass", "Assign": {"one": 2}, "End": True}}),
            },
            "Variable one",
        ),
        ({"Both": branches({"Both": {"Type": "Succeed"}})}, "Duplicate state name"),
        ({"a" * 81: {"Type": "Succeed"}}, "80 characters"),
    ],
)
def test_a_machine_is_refused(lab: RunningLab, states: dict[str, Any], told: str) -> None:
    machines = lab.client("stepfunctions", DR)
    with pytest.raises(machines.exceptions.InvalidDefinition, match=told):
        create(lab, states)


def test_a_start_that_is_repeated_is_the_same_start(lab: RunningLab) -> None:
    machines = lab.client("stepfunctions", DR)
    machine = create(lab, {"Wait": {"Type": "Wait", "Seconds": "{% $states.input.seconds %}", "End": True}})

    def begin(seconds: int, name: str = "the-same") -> Any:
        return machines.start_execution(stateMachineArn=machine, name=name, input=json.dumps({"seconds": seconds}))

    first, again = begin(100_000), begin(100_000)
    assert (again["executionArn"], again["startDate"]) == (first["executionArn"], first["startDate"])
    with pytest.raises(machines.exceptions.ExecutionAlreadyExists):
        begin(1)
    machines.stop_execution(executionArn=first["executionArn"])
    with pytest.raises(machines.exceptions.ExecutionAlreadyExists):
        begin(100_000)
    for name in ("a b", "a:b", "a/b", "a*"):
        with pytest.raises(machines.exceptions.InvalidName):
            begin(1, name)
    with pytest.raises(machines.exceptions.ClientError, match="80"):
        begin(1, "a" * 81)


def fails(error: str, after: int) -> dict[str, Any]:
    return {
        f"Wait for {error}": {"Type": "Wait", "Seconds": after, "Next": error},
        error: {"Type": "Fail", "Error": error, "Cause": "on purpose"},
    }


def test_the_first_branch_that_fails_ends_the_others(lab: RunningLab) -> None:
    waits = {
        "Wait": {"Type": "Wait", "Seconds": 300, "Next": "Too late"},
        "Too late": {"Type": "Pass", "End": True},
    }
    began = lab.status()["clock"]["aws_now"]
    seen = run(lab, {"Both": branches(fails("Second", 200), waits, fails("First", 50))})
    assert (seen["status"], seen["error"]) == ("FAILED", "First")
    lab.set_scale(200)
    lab.clock_passes(began + 500 - lab.status()["clock"]["aws_now"])
    told = events(lab, seen["executionArn"])
    entered = {event["stateEnteredEventDetails"]["name"] for event in told if "stateEnteredEventDetails" in event}
    assert not {"Too late", "Second"} & entered
    assert told[-1]["type"] == "ExecutionFailed"


def test_no_branch_goes_on_when_its_execution_is_stopped(lab: RunningLab) -> None:
    waits = {"Wait": {"Type": "Wait", "Seconds": 1000, "Next": "Too late"}, "Too late": {"Type": "Pass", "End": True}}
    execution = start(lab, {"Both": branches(waits) | {"Next": "After"}, "After": {"Type": "Succeed"}})
    lab.wait_until(lambda: any(event["type"] == "WaitStateEntered" for event in events(lab, execution)))
    lab.client("stepfunctions", DR).stop_execution(executionArn=execution)
    lab.set_scale(1000)
    lab.clock_passes(2000)
    assert events(lab, execution)[-1]["type"] == "ExecutionAborted"
