"""Deliveries are retried until an event is too old, dead letters say why, and an event may come twice or late."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.functions import ROLE
from tests.lab.running import ACCOUNT, DR, PRIMARY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.running import RunningLab

MACHINE = {"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": True}}}


class Route:
    """A rule in DR that starts a state machine with what matters of an event, and a queue for what it could not."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab
        self.name = f"route-{uuid.uuid4().hex[:8]}"
        self.queues, self.events = lab.client("sqs", DR), lab.client("events", DR)
        self.machines = lab.client("stepfunctions", DR)
        self.machine = self.machines.create_state_machine(name=self.name, definition=json.dumps(MACHINE), roleArn=ROLE)[
            "stateMachineArn"
        ]
        self.url = self.queues.create_queue(QueueName=self.name)["QueueUrl"]
        self.queue = f"arn:aws:sqs:{DR}:{ACCOUNT}:{self.name}"
        self.events.put_rule(Name=self.name, EventPattern=json.dumps({"source": [self.name]}))

    def to(self, arn: str, *, oldest: int = 3000, attempts: int = 100, role: str = ROLE) -> None:
        transformer = {
            "InputPathsMap": {"subject": "$.detail.subject", "at": "$.time"},
            "InputTemplate": '{"subject": <subject>, "at": <at>}',
        }
        target = {
            "Id": "one",
            "Arn": arn,
            "RoleArn": role,
            "InputTransformer": transformer,
            "RetryPolicy": {"MaximumEventAgeInSeconds": oldest, "MaximumRetryAttempts": attempts},
            "DeadLetterConfig": {"Arn": self.queue},
        }
        assert self.events.put_targets(Rule=self.name, Targets=[target])["FailedEntryCount"] == 0

    def send(self) -> None:
        entry = {"Source": self.name, "DetailType": "Something", "Detail": json.dumps({"subject": "it"})}
        assert self.events.put_events(Entries=[entry])["FailedEntryCount"] == 0

    def started(self) -> list[dict[str, Any]]:
        found = self.machines.list_executions(stateMachineArn=self.machine)["executions"]
        return [
            json.loads(self.machines.describe_execution(executionArn=each["executionArn"])["input"]) for each in found
        ]

    def put_aside(self) -> dict[str, Any] | None:
        found = self.queues.receive_message(QueueUrl=self.url, MessageAttributeNames=["All"]).get("Messages")
        return found[0] if found else None

    def why(self) -> dict[str, str]:
        message = self.lab.wait_until(self.put_aside, what="the dead letter")
        assert json.loads(message["Body"])["detail"] == {"subject": "it"}
        return {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}

    def fail(self, on: bool) -> None:
        self.lab.control("events", "failing-targets", region=DR, on=on)


@pytest.fixture
def route(lab: RunningLab) -> Iterator[Route]:
    made = Route(lab)
    yield made
    made.fail(False)
    made.events.remove_targets(Rule=made.name, Ids=["one"])


def test_an_event_starts_a_state_machine_with_its_transformed_input(route: Route) -> None:
    route.to(route.machine)
    route.send()
    (given,) = route.lab.wait_until(route.started)
    assert given["subject"] == "it"
    assert given["at"].endswith("Z")


def test_a_delivery_that_fails_is_tried_again(route: Route) -> None:
    route.to(route.machine)
    route.fail(True)
    route.send()
    route.lab.clock_passes(30)
    assert route.started() == []
    route.fail(False)
    assert route.lab.wait_until(route.started)
    assert route.put_aside() is None


def test_an_event_that_is_too_old_is_put_aside(route: Route) -> None:
    route.to(route.machine, oldest=60)
    route.fail(True)
    route.send()
    assert route.why()["EXHAUSTED_RETRY_CONDITION"] == "MaximumEventAgeInSeconds"
    route.fail(False)
    route.lab.clock_passes(120)
    assert route.started() == []


def test_an_event_that_was_tried_often_enough_is_put_aside(route: Route) -> None:
    route.to(route.machine, attempts=2)
    route.fail(True)
    route.send()
    why = route.why()
    assert (why["EXHAUSTED_RETRY_CONDITION"], why["RETRY_ATTEMPTS"]) == ("MaximumRetryAttempts", "2")


@pytest.mark.parametrize("known_role", [True, False])
def test_what_cannot_succeed_is_put_aside_at_once(route: Route, known_role: bool) -> None:
    if known_role:
        route.to(route.machine.replace(route.name, "nobody"))
    else:
        route.to(route.machine, role=ROLE + "-of-nobody")
    route.send()
    assert route.why()["ERROR_CODE"] == ("RESOURCE_NOT_FOUND" if known_role else "NO_PERMISSIONS")


def test_an_event_that_waited_out_its_regions_loss_is_too_old(route: Route) -> None:
    """It is taken, its target fails, and then the region is lost for longer than the event may wait."""
    route.to(route.machine, oldest=100)
    route.fail(True)
    route.send()
    route.lab.lose(DR)
    route.fail(False)
    route.lab.clock_passes(150)
    route.lab.bring_back(DR)
    assert route.why()["EXHAUSTED_RETRY_CONDITION"] == "MaximumEventAgeInSeconds"
    assert route.started() == []


def test_an_event_comes_again_as_it_was(route: Route) -> None:
    route.to(route.machine)
    event = {
        "id": "stale",
        "source": route.name,
        "detail-type": "Something",
        "time": "2026-01-02T03:04:05Z",
        "detail": {"subject": "it"},
    }
    route.lab.control("events", "replay", region=DR, event=event, times=5)
    route.lab.wait_until(lambda: len(route.started()) == 5)
    assert {given["at"] for given in route.started()} == {"2026-01-02T03:04:05Z"}


def test_an_event_reaches_the_bus_of_another_region(route: Route) -> None:
    there, queues = route.lab.client("events", PRIMARY), route.lab.client("sqs", PRIMARY)
    url = queues.create_queue(QueueName=route.name)["QueueUrl"]
    there.put_rule(Name=route.name, EventPattern=json.dumps({"source": [route.name]}))
    queue = f"arn:aws:sqs:{PRIMARY}:{ACCOUNT}:{route.name}"
    there.put_targets(Rule=route.name, Targets=[{"Id": "queue", "Arn": queue}])
    bus = f"arn:aws:events:{PRIMARY}:{ACCOUNT}:event-bus/default"
    route.events.put_targets(Rule=route.name, Targets=[{"Id": "one", "Arn": bus, "RoleArn": ROLE}])
    route.send()
    found = route.lab.wait_until(lambda: queues.receive_message(QueueUrl=url).get("Messages"))
    assert json.loads(found[0]["Body"])["detail"] == {"subject": "it"}
