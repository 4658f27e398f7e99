"""A lost region also stands still inside: its state machines, functions, event source mappings and schedules."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.functions import ROLE, make_function
from tests.lab.running import ACCOUNT, DR, PRIMARY

if TYPE_CHECKING:
    from tests.lab.running import RunningLab

REGIONS = [PRIMARY, DR]


def _queue(lab: RunningLab, region: str, name: str) -> tuple[str, str]:
    url = lab.client("sqs", region).create_queue(QueueName=name)["QueueUrl"]
    return url, f"arn:aws:sqs:{region}:{ACCOUNT}:{name}"


def _messages(lab: RunningLab, region: str, url: str) -> int:
    attributes = lab.client("sqs", region).get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    kinds = ("", "NotVisible", "Delayed")
    return sum(int(attributes[f"ApproximateNumberOfMessages{kind}"]) for kind in kinds)


def test_an_execution_stands_still_and_goes_on_when_the_region_is_back(lab: RunningLab) -> None:
    definition = {
        "QueryLanguage": "JSONata",
        "StartAt": "Wait",
        "States": {
            "Wait": {"Type": "Wait", "Seconds": 500, "Next": "Done"},
            "Done": {"Type": "Pass", "Output": {"done": True}, "End": True},
        },
    }
    machines = lab.client("stepfunctions", PRIMARY)
    arn = machines.create_state_machine(name="stands-still", definition=json.dumps(definition), roleArn=ROLE)[
        "stateMachineArn"
    ]
    execution = machines.start_execution(stateMachineArn=arn)["executionArn"]

    def history() -> dict[str, Any]:
        """Give the first event of each type."""
        events = machines.get_execution_history(executionArn=execution, reverseOrder=True)["events"]
        return {event["type"]: event for event in events}

    lab.wait_until(lambda: "WaitStateEntered" in history())
    lab.lose(PRIMARY)
    lab.set_scale(1000)
    lab.clock_passes(1000)  # twice as long as the Wait state takes
    lab.set_scale(50)
    back_at = datetime.now(UTC)
    lab.bring_back(PRIMARY)
    lab.wait_until(lambda: machines.describe_execution(executionArn=execution)["status"] == "SUCCEEDED")

    assert history()["PassStateEntered"]["timestamp"] >= back_at


@pytest.mark.parametrize("lost", REGIONS)
def test_a_queue_is_polled_in_the_other_region_only(lab: RunningLab, lost: str) -> None:
    other = REGIONS[1 - REGIONS.index(lost)]
    name, urls = f"polled-{lost}", {}
    for region in REGIONS:
        urls[region], arn = _queue(lab, region, name)
        functions = make_function(lab, region, name, "def handler(event, context):\n    return {}\n")
        functions.create_event_source_mapping(EventSourceArn=arn, FunctionName=name)
    for region in REGIONS:
        # Delayed, so that both arrive while one of the regions is lost.
        lab.client("sqs", region).send_message(QueueUrl=urls[region], MessageBody="{}", DelaySeconds=900)

    lab.lose(lost)
    for region in (lost, other):
        assert lab.control("queues", "make-visible", region=region, queue=name) == 1
    lab.wait_until(lambda: _messages(lab, other, urls[other]) == 0)
    time.sleep(1)
    back_at = time.time()
    lab.bring_back(lost)
    lab.wait_until(lambda: _messages(lab, lost, urls[lost]) == 0)

    logged = lab.client("logs", lost).filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    assert logged
    assert all(event["timestamp"] / 1000 >= back_at for event in logged)


def test_a_function_that_runs_there_is_ended(lab: RunningLab) -> None:
    url, _ = _queue(lab, DR, "reached-from-the-lost-region")
    code = f"""
import boto3, time
def handler(event, context):
    queues = boto3.client("sqs", region_name="{DR}")
    queues.send_message(QueueUrl="{url}", MessageBody="begun")
    time.sleep(1000)
    queues.send_message(QueueUrl="{url}", MessageBody="late")
"""
    make_function(lab, PRIMARY, "late", code)
    lab.client("lambda", PRIMARY).invoke(FunctionName="late", InvocationType="Event")
    lab.wait_until(lambda: _messages(lab, DR, url) == 1)

    lab.lose(PRIMARY)
    lab.set_scale(1000)
    lab.clock_passes(2000)

    assert _messages(lab, DR, url) == 1
    lab.bring_back(PRIMARY)
