"""A task with a token waits in AWS time for the answer that somebody sends through the API."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.functions import ROLE, make_function
from tests.lab.running import DR

if TYPE_CHECKING:
    from tests.lab.running import RunningLab

ASKING = """
import boto3
def handler(event, context):
    if event.get("fail"):
        raise ValueError("nobody could be asked")
    boto3.client("sqs").send_message(QueueUrl=event["url"], MessageBody=event["token"])
"""


class Question:
    """A state machine that asks, and the queue that the question goes to."""

    def __init__(self, lab: RunningLab, **state: Any) -> None:
        self.lab = lab
        self.name = f"asks-{uuid.uuid4().hex[:8]}"
        self.queues, self.machines = lab.client("sqs", DR), lab.client("stepfunctions", DR)
        self.url = self.queues.create_queue(QueueName=self.name)["QueueUrl"]
        make_function(lab, DR, self.name, ASKING)
        payload = {"token": "{% $states.context.Task.Token %}", "url": self.url, "fail": "{% $states.input.fail %}"}
        ask = {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "Arguments": {"FunctionName": self.name, "Payload": payload},
            "Output": "{% $states.result %}",
            "Catch": [
                {"ErrorEquals": ["States.ALL"], "Next": "Not answered", "Output": "{% $states.errorOutput.Error %}"}
            ],
            "End": True,
            **state,
        }
        definition = {
            "QueryLanguage": "JSONata",
            "StartAt": "Ask",
            "States": {"Ask": ask, "Not answered": {"Type": "Pass", "End": True}},
        }
        machine = self.machines.create_state_machine(name=self.name, definition=json.dumps(definition), roleArn=ROLE)
        self.machine = machine["stateMachineArn"]

    def start(self, **given: Any) -> None:
        given = {"fail": False, **given}
        self.execution = self.machines.start_execution(stateMachineArn=self.machine, input=json.dumps(given))[
            "executionArn"
        ]

    def token(self) -> str:
        messages = self.lab.wait_until(lambda: self.queues.receive_message(QueueUrl=self.url).get("Messages"))
        return str(messages[0]["Body"])

    def status(self) -> str:
        return str(self.machines.describe_execution(executionArn=self.execution)["status"])

    def output(self) -> Any:
        self.lab.wait_until(lambda: self.status() == "SUCCEEDED", what="the execution's end")
        return json.loads(self.machines.describe_execution(executionArn=self.execution)["output"])


def test_an_answer_goes_on_with_what_was_sent(lab: RunningLab) -> None:
    question = Question(lab, TimeoutSeconds=3000)
    question.start()
    token = question.token()
    lab.clock_passes(100)
    assert question.status() == "RUNNING"
    question.machines.send_task_success(taskToken=token, output=json.dumps({"who": "somebody"}))
    assert question.output() == {"who": "somebody"}
    with pytest.raises(question.machines.exceptions.TaskTimedOut):
        question.machines.send_task_failure(taskToken=token, error="TooLate")


def test_a_refusal_is_caught_by_its_name(lab: RunningLab) -> None:
    question = Question(lab, TimeoutSeconds=3000)
    question.start()
    question.machines.send_task_failure(taskToken=question.token(), error="Rejected", cause="not today")
    assert question.output() == "Rejected"


@pytest.mark.parametrize("seconds", [200, "{% $states.input.seconds %}"])
def test_no_answer_in_time_is_a_timeout(lab: RunningLab, seconds: Any) -> None:
    question = Question(lab, TimeoutSeconds=seconds)
    started = lab.status()["clock"]["aws_now"]
    question.start(seconds=200)
    token = question.token()
    lab.set_scale(200)
    # Nobody here waits two hundred seconds for it.
    assert question.output() == "States.Timeout"
    assert lab.status()["clock"]["aws_now"] - started >= 200
    with pytest.raises(question.machines.exceptions.TaskTimedOut):
        question.machines.send_task_success(taskToken=token, output="{}")


def test_a_heartbeat_that_fails_to_come_is_a_timeout_of_its_own(lab: RunningLab) -> None:
    question = Question(lab, TimeoutSeconds=30000, HeartbeatSeconds=100)
    question.start()
    assert question.output() == "States.HeartbeatTimeout"


def test_a_function_that_cannot_ask_fails_the_task(lab: RunningLab) -> None:
    question = Question(lab, TimeoutSeconds=30000)
    question.start(fail=True)
    assert question.output() == "ValueError"
