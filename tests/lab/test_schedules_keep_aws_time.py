"""Schedules fire every AWS minute, on and off as they are told, and go on within a minute when their region is back."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.functions import ROLE, make_function
from tests.lab.running import ACCOUNT, DR

if TYPE_CHECKING:
    from tests.lab.running import RunningLab

SENDER = """
import boto3, json
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl=event["url"], MessageBody=json.dumps(event))
"""
MACHINE = {"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": True}}}


class Scheduled:
    """A schedule and how often it has fired, which a queue counts."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab
        self.name = f"scheduled-{uuid.uuid4().hex[:8]}"
        self.schedules, self.queues = lab.client("scheduler", DR), lab.client("sqs", DR)
        self.url = self.queues.create_queue(QueueName=self.name)["QueueUrl"]
        self.queue = f"arn:aws:sqs:{DR}:{ACCOUNT}:{self.name}"

    def target(self, arn: str = "") -> dict[str, Any]:
        return {"Arn": arn or self.queue, "RoleArn": ROLE, "Input": json.dumps({"url": self.url})}

    def create(self, arn: str = "", **more: Any) -> None:
        self.schedules.create_schedule(
            Name=self.name,
            ScheduleExpression="rate(1 minute)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target=self.target(arn),
            **more,
        )

    def end(self) -> None:
        self.schedules.delete_schedule(Name=self.name)

    def now(self) -> float:
        return float(self.lab.status()["clock"]["aws_now"])

    def fired(self) -> int:
        attributes = self.queues.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"])


@pytest.fixture
def scheduled(lab: RunningLab) -> Scheduled:
    return Scheduled(lab)


def test_a_schedule_neither_drifts_nor_fires_twice(scheduled: Scheduled) -> None:
    scheduled.create()
    scheduled.lab.wait_until(scheduled.fired)
    # Counted between two looks at the clock, and between two others around them: however slow this machine is.
    outer, before, inner = scheduled.now(), scheduled.fired(), scheduled.now()
    scheduled.lab.clock_passes(600)
    inner, after, outer = scheduled.now() - inner, scheduled.fired(), scheduled.now() - outer
    scheduled.end()
    # One that is late does not put off the next; one that is later than the next is the next.
    assert 0.8 * inner // 60 <= after - before <= outer // 60 + 1


@pytest.mark.parametrize("kind", ["function", "machine"])
def test_a_schedule_reaches_its_target(scheduled: Scheduled, kind: str) -> None:
    lab, name = scheduled.lab, scheduled.name
    if kind == "function":
        make_function(lab, DR, name, SENDER)
        scheduled.create(f"arn:aws:lambda:{DR}:{ACCOUNT}:function:{name}")
        lab.wait_until(scheduled.fired)
    else:
        machines = lab.client("stepfunctions", DR)
        machine = machines.create_state_machine(name=name, definition=json.dumps(MACHINE), roleArn=ROLE)
        scheduled.create(machine["stateMachineArn"])
        lab.wait_until(lambda: machines.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"])
    scheduled.end()


def test_a_disabled_schedule_rests_and_an_update_overwrites_all_of_it(scheduled: Scheduled) -> None:
    scheduled.create(State="DISABLED", Description="kept closed")
    scheduled.lab.clock_passes(130)
    assert scheduled.fired() == 0
    scheduled.schedules.update_schedule(
        Name=scheduled.name,
        ScheduleExpression="rate(1 minute)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=scheduled.target(),
    )
    found = scheduled.schedules.get_schedule(Name=scheduled.name)
    assert (found["State"], found.get("Description", "")) == ("ENABLED", "")
    scheduled.lab.wait_until(scheduled.fired)
    scheduled.end()


def test_a_schedule_of_a_stack_is_kept_whole_and_overwritten_by_an_update(scheduled: Scheduled) -> None:
    lab, name = scheduled.lab, scheduled.name

    def template(expression: str, **more: str) -> str:
        properties = {
            "Name": name,
            "ScheduleExpression": expression,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {**scheduled.target(), "RetryPolicy": {"MaximumEventAgeInSeconds": 60}},
            **more,
        }
        return json.dumps({"Resources": {"It": {"Type": "AWS::Scheduler::Schedule", "Properties": properties}}})

    stacks = lab.client("cloudformation", DR)
    stacks.create_stack(StackName=name, TemplateBody=template("cron(0 3 ? * SUN *)", State="DISABLED"))
    stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    found = scheduled.schedules.get_schedule(Name=name)
    assert (found["State"], found["Target"]["RetryPolicy"]) == ("DISABLED", {"MaximumEventAgeInSeconds": 60})
    stacks.update_stack(StackName=name, TemplateBody=template("rate(1 minute)"))
    stacks.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert scheduled.schedules.get_schedule(Name=name)["State"] == "ENABLED"
    lab.wait_until(scheduled.fired)
    stacks.delete_stack(StackName=name)


def test_a_schedule_rests_while_its_region_is_lost_and_goes_on_within_a_minute(scheduled: Scheduled) -> None:
    scheduled.create()
    scheduled.lab.wait_until(scheduled.fired)
    begun, before = scheduled.now(), scheduled.fired()
    scheduled.lab.lose(DR)
    up = scheduled.now() - begun
    scheduled.lab.set_scale(100)
    scheduled.lab.clock_passes(1200)
    scheduled.lab.set_scale(50)
    back = scheduled.now()
    scheduled.lab.bring_back(DR)
    after = scheduled.fired()
    up += scheduled.now() - back
    # Twenty minutes passed without it: only what was due while the region was up has been fired.
    assert after - before <= up // 60 + 1
    scheduled.lab.clock_passes(75)
    assert scheduled.fired() > after
    scheduled.end()
