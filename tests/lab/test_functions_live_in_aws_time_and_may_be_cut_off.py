"""Functions sleep AWS seconds, and the lab may take their network away, whole or towards the other load balancers."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.functions import make_function
from tests.lab.running import ACCOUNT, DR, PRIMARY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.running import RunningLab

SLEEPER = """
import time
def handler(event, context):
    started = time.monotonic()
    time.sleep(event["seconds"])
    return time.monotonic() - started
"""

# What a function gets of everything that it may try to reach.
REACHER = """
import socket, urllib.request, urllib.error
import boto3
from botocore.config import Config
QUICK = Config(connect_timeout=10, read_timeout=10, retries={"total_max_attempts": 1})
def attempt(action):
    try:
        action()
    except Exception as error:
        return type(error).__name__
    return "reached"
def handler(event, context):
    found = {}
    for name, url in event["urls"].items():
        found[name] = attempt(lambda: urllib.request.urlopen(url, timeout=10).read())
    for region in event["regions"]:
        client = boto3.client("sqs", region_name=region, config=QUICK)
        found[region] = attempt(client.list_queues)
    found["outside"] = attempt(lambda: socket.create_connection(("192.0.2.1", 80), timeout=0.1))
    return found
"""


def _invoke(client: Any, name: str, event: dict[str, Any]) -> Any:
    answer = client.invoke(FunctionName=name, Payload=json.dumps(event))
    body = json.load(answer["Payload"])
    assert "FunctionError" not in answer, body
    return body


@pytest.mark.parametrize(("scale", "real"), [(50, 2), (200, 0.5)])
def test_a_function_sleeps_aws_seconds(lab: RunningLab, scale: float, real: float) -> None:
    name = f"sleeper-{uuid.uuid4().hex[:8]}"
    client = make_function(lab, DR, name, SLEEPER)
    lab.set_scale(scale)
    try:
        slept = _invoke(client, name, {"seconds": 100})
    finally:
        lab.set_scale(50)
    # Never shorter; a busy machine may make it longer, but it is not a hundred seconds.
    assert real <= slept < 20


def test_what_a_function_refuses_comes_again_when_the_lab_says_so(lab: RunningLab) -> None:
    """A quarter of an hour passes in SQS as it does on the wall, whatever the lab's clock says."""
    name, queues = f"refuser-{uuid.uuid4().hex[:8]}", lab.client("sqs", DR)
    aside = queues.create_queue(QueueName=f"{name}-aside")["QueueUrl"]
    policy = {"deadLetterTargetArn": f"arn:aws:sqs:{DR}:{ACCOUNT}:{name}-aside", "maxReceiveCount": 3}
    attributes = {"VisibilityTimeout": "900", "RedrivePolicy": json.dumps(policy)}
    url = queues.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    functions = make_function(lab, DR, name, "def handler(event, context):\n    raise ValueError\n")
    functions.create_event_source_mapping(EventSourceArn=f"arn:aws:sqs:{DR}:{ACCOUNT}:{name}", FunctionName=name)
    queues.send_message(QueueUrl=url, MessageBody="no")

    lab.wait_until(lambda: not lab.control("queues", "make-visible", region=DR, queue=name), what="it is put aside")

    (message,) = queues.receive_message(QueueUrl=aside, AttributeNames=["ApproximateReceiveCount"])["Messages"]
    # Three times by the function, and once here.
    assert (message["Body"], message["Attributes"]["ApproximateReceiveCount"]) == ("no", "4")


class Reacher:
    """A function in DR and what it reaches: both regions' APIs, both load balancers, and the witness."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab
        self.name = f"reacher-{uuid.uuid4().hex[:8]}"
        self.client = make_function(lab, DR, self.name, REACHER)
        self.balancers = {}
        self.urls = {"witness": f"{lab.endpoint}/_lab/witness"}
        for offset, region in enumerate((PRIMARY, DR), start=15):
            client = lab.client("elbv2", region)
            arn = client.create_load_balancer(Name=self.name)["LoadBalancers"][0]["LoadBalancerArn"]
            listener = client.create_listener(
                LoadBalancerArn=arn,
                Protocol="HTTP",
                Port=lab.port + offset,
                DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}],
            )["Listeners"][0]["ListenerArn"]
            self.balancers[region] = client, arn, listener
            found = client.describe_load_balancers()["LoadBalancers"]
            listeners = [
                each_listener
                for each in found
                for each_listener in client.describe_listeners(LoadBalancerArn=each["LoadBalancerArn"])["Listeners"]
            ]
            # The first one is the region's door; other tests' load balancers may stand before this one.
            door = min(each["Port"] for each in listeners)
            self.urls[f"door of {region}"] = f"http://127.0.0.1:{door}/"

    def end(self) -> None:
        for control in ("cut", "probe-path"):
            self.lab.control("network", control, region=DR, on=False)
        for client, arn, listener in self.balancers.values():
            client.delete_listener(ListenerArn=listener)
            client.delete_load_balancer(LoadBalancerArn=arn)

    def reached(self) -> set[str]:
        found = _invoke(self.client, self.name, {"urls": self.urls, "regions": [PRIMARY, DR]})
        return {place for place, what in found.items() if what in ("reached", "HTTPError")}


@pytest.fixture
def reacher(lab: RunningLab) -> Iterator[Reacher]:
    made = Reacher(lab)
    yield made
    made.end()


def test_a_function_that_is_cut_off_reaches_its_own_region_alone(reacher: Reacher) -> None:
    everything = {"witness", PRIMARY, DR, f"door of {PRIMARY}", f"door of {DR}"}
    assert reacher.reached() == everything

    reacher.lab.control("network", "cut", region=DR)
    assert reacher.reached() == {DR, f"door of {DR}"}

    reacher.lab.control("network", "cut", region=DR, on=False)
    assert reacher.reached() == everything


def test_functions_of_another_region_are_not_cut_off(reacher: Reacher) -> None:
    reacher.lab.control("network", "cut", region=PRIMARY)
    try:
        assert {PRIMARY, DR, "witness"} <= reacher.reached()
    finally:
        reacher.lab.control("network", "cut", region=PRIMARY, on=False)


def test_the_path_to_the_other_load_balancer_alone_may_be_down(reacher: Reacher) -> None:
    reacher.lab.control("network", "probe-path", region=DR)
    assert reacher.reached() == {"witness", PRIMARY, DR, f"door of {DR}"}
