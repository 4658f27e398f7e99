"""DR takes over from a primary that it cannot reach, and that lives: instances, consumers, clients with open
connections. The network heals at the worst moments, and nobody does anything. In this order, on one system.

A region that is cut off is worse than one that is lost: nothing of it has to start again when it returns.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Self

import pymysql
import pytest

from tests.lab.running import ACCOUNT
from tests.workflow.clients import Clients, application, insert, orders
from tests.workflow.operator import DR, PRIMARY, REPROTECT, Operator

if TYPE_CHECKING:
    from collections.abc import Iterator

MINUTE: Final = 60
# AWS seconds from the return until nothing is acknowledged any more: the sentinel's minute, and what it does then. A
# function's real milliseconds count tenfold at this scale.
AT_THE_LATEST: Final = 2 * MINUTE
CALM, HURRY = 10, 100
REGIONS = (PRIMARY, DR)
# Writes of all that went on in the primary, over the whole test: every one that was acknowledged.
STRAYS: set[str] = set()


class Writer:
    """One connection past the application, open before the return, that writes as long as it can."""

    def __init__(self, operator: Operator, name: str) -> None:
        self.last_at = 0.0
        self._operator, self._name = operator, name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def cut_off(self) -> bool:
        return not self._thread.is_alive()

    def _write(self) -> None:
        with contextlib.suppress(pymysql.err.MySQLError), application(self._operator, PRIMARY) as connection:
            connection.autocommit(True)
            for count in range(100_000):
                if self._stop.wait(0.05):
                    return
                insert(connection, f"{self._name}-{count}")
                STRAYS.add(f"{self._name}-{count}")
                self.last_at = now(self._operator)


def now(operator: Operator) -> float:
    return float(operator.lab.status()["clock"]["aws_now"])


@contextlib.contextmanager
def stray_clients(operator: Operator, name: str) -> Iterator[tuple[Clients, Writer]]:
    """Let clients of the application, and a connection past it, write in the primary."""
    with Clients(operator, PRIMARY, threads=2) as clients, Writer(operator, name) as writer:
        try:
            operator.until(lambda: clients.promised and writer.last_at, "the primary takes writes", 120)
            yield clients, writer
        finally:
            STRAYS.update(clients.promised)


def cut_off(operator: Operator, *, on: bool) -> None:
    """Cut the network between the two regions, or heal it. Clients reach both all the time."""
    for region in REGIONS:
        operator.lab.control("network", "cut", region=region, on=on)


def reopen(operator: Operator) -> None:
    """Make the primary what it was before anybody closed it, as an outage that never let anybody in would leave it."""
    lab = operator.lab
    rds, events, functions = (lab.client(service, PRIMARY) for service in ("rds", "events", "lambda"))
    read_only = {"ParameterName": "read_only", "ParameterValue": "{TrueIfReplica}", "ApplyMethod": "immediate"}
    rds.modify_db_parameter_group(DBParameterGroupName="dev-db", Parameters=[read_only])
    rds.modify_db_instance(
        DBInstanceIdentifier="dev-db", VpcSecurityGroupIds=[doors(operator)["open"]], ApplyImmediately=True
    )
    lab.client("autoscaling", PRIMARY).update_auto_scaling_group(
        AutoScalingGroupName="dev-asg", MinSize=2, DesiredCapacity=2, MaxSize=4
    )
    functions.delete_function_concurrency(FunctionName="dev-orders")
    mapping = functions.list_event_source_mappings(FunctionName="dev-orders")["EventSourceMappings"][0]["UUID"]
    functions.update_event_source_mapping(UUID=mapping, Enabled=True)
    lab.client("ssm", PRIMARY).put_parameter(
        Name="/dev/pilotlight/active-region", Value=PRIMARY, Type="String", Overwrite=True
    )
    events.enable_rule(Name="dev-parameter-sync")
    lab.set_scale(HURRY)
    operator.until(lambda: operator.orders_is_on(PRIMARY), "the consumer is on")
    operator.until(lambda: operator.order(operator.door(PRIMARY), "opened"), "the old primary serves again", 120)
    STRAYS.add("opened")
    lab.set_scale(CALM)


def doors(operator: Operator) -> dict[str, str]:
    found = operator.lab.client("ec2", PRIMARY).describe_security_groups(
        Filters=[{"Name": "tag:pilotlight:door", "Values": ["open", "closed"]}]
    )["SecurityGroups"]
    tagged = {group["GroupId"]: {tag["Key"]: tag["Value"] for tag in group["Tags"]} for group in found}
    return {tags["pilotlight:door"]: group for group, tags in tagged.items()}


def stays_closed(operator: Operator, clients: Clients, writer: Writer, healed: float) -> None:
    """See the primary closed in time by itself, and stay so while its clients go on trying."""
    operator.until(lambda: is_closed(operator), "the primary is closed")
    operator.until(lambda: writer.cut_off, "the open connection is ended")
    assert writer.last_at < healed + AT_THE_LATEST
    operator.until(lambda: now(operator) >= healed + AT_THE_LATEST, "its time is up", 120)
    promised, has = len(clients.promised), orders_of_the_old_one(operator)
    operator.lab.clock_passes(MINUTE)
    assert len(clients.promised) == promised
    assert orders_of_the_old_one(operator) == has


def orders_of_the_old_one(operator: Operator) -> set[str]:
    """List what the primary's database has. Its sentinel ends whatever connection it finds, this one too."""
    for _ in range(20):
        with contextlib.suppress(pymysql.err.MySQLError):
            return orders(operator, PRIMARY)
    raise AssertionError("the old database cannot be read")


def is_closed(operator: Operator) -> bool:
    seen = operator.posture(PRIMARY)
    instance = operator.database(PRIMARY)
    door = [group["VpcSecurityGroupId"] for group in instance["VpcSecurityGroups"]]
    rule = operator.lab.client("events", PRIMARY).describe_rule(Name="dev-parameter-sync")["State"]
    return (seen["sizes"], seen["orders"], seen["active"], door, rule) == (
        (0, 0, 4), False, DR, [doors(operator)["closed"]], "DISABLED",
    )  # fmt: skip


def told(operator: Operator) -> list[str]:
    """List the subjects of what people were told of a region that was closed by its sentinel."""
    queues = operator.lab.client("sqs")
    url = queues.get_queue_url(QueueName="people")["QueueUrl"]
    found = []
    while messages := queues.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        for message in messages:
            found.append(json.loads(message["Body"])["Subject"])
            queues.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return [subject for subject in found if "CLOSED by its sentinel" in subject]


def note(operator: Operator) -> dict[str, Any] | None:
    key = {"id": {"S": f"posture-{PRIMARY}"}}
    item = operator.lab.client("dynamodb").get_item(TableName="dev-dr-state", Key=key, ConsistentRead=True).get("Item")
    return json.loads(item["body"]["S"]) if item else None


def blind(operator: Operator) -> int:
    """Count the times that the primary's sentinel has said that it cannot read the record."""
    seen = operator.lab.client("cloudwatch", PRIMARY).get_metric_statistics(
        Namespace="PilotLight",
        MetricName="SentinelBlind",
        Dimensions=[{"Name": "Environment", "Value": "dev"}],
        StartTime=time.time() - 24 * 3600,
        EndTime=time.time() + 24 * 3600,
        Period=24 * 3600,
        Statistics=["Sum"],
    )["Datapoints"]
    return int(sum(point["Sum"] for point in seen))


@pytest.fixture(scope="module", autouse=True)
def people(operator: Operator) -> None:
    queues = operator.lab.client("sqs")
    topic, arn = f"arn:aws:sns:{DR}:{ACCOUNT}:dev-dr-notifications", f"arn:aws:sqs:{DR}:{ACCOUNT}:people"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    queues.create_queue(QueueName="people", Attributes={"Policy": policy})
    operator.lab.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)


def test_a_healthy_pair_is_left_as_it_is(operator: Operator) -> None:
    before = operator.posture(PRIMARY), operator.posture(DR), operator.record()
    operator.lab.clock_passes(5 * MINUTE)
    assert (operator.posture(PRIMARY), operator.posture(DR), operator.record()) == before
    assert (note(operator), told(operator)) == (None, [])


def test_what_is_open_in_the_standby_by_mistake_is_closed(operator: Operator) -> None:
    """It is awake there, then, and in the primary nothing happens."""
    operator.lab.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName="dev-asg", DesiredCapacity=1)
    operator.until(lambda: operator.posture(DR)["sizes"] == (0, 0, 4), "DR's group is empty again")
    operator.until(lambda: [s for s in told(operator) if f"{DR} CLOSED" in s], "people are told")
    assert operator.posture(PRIMARY)["sizes"] == (2, 2, 4)


def test_who_cannot_read_the_record_changes_nothing(operator: Operator) -> None:
    before, looked = operator.posture(PRIMARY), blind(operator)
    cut_off(operator, on=True)
    operator.until(lambda: blind(operator) >= looked + 3, "the sentinel has looked in vain", 120)
    assert operator.posture(PRIMARY) == before
    assert operator.order(operator.door(PRIMARY), "while-cut-off")


def test_it_returns_while_dr_promotes(operator: Operator) -> None:
    operator.lab.set_scale(CALM)
    with stray_clients(operator, "promoting") as (clients, writer):
        operator.hold("Verify by a write and a read")
        arn = operator.start()
        assert operator.reaches(arn, "Give the promotion time") == "entered"
        assert operator.record()["promotion"]
        so_far = len(clients.promised)
        operator.until(lambda: len(clients.promised) > so_far, "the primary still takes writes")
        cut_off(operator, on=False)
        stays_closed(operator, clients, writer, now(operator))
    # It goes on meanwhile, and is stopped where it would prove that it serves.
    assert operator.held(arn)
    assert operator.stop(arn)
    seen = note(operator)
    assert seen is not None
    assert set(seen["closed"]) == {"capacity", "functions", "database", "rules", "record"}
    assert len(told(operator)) == 1


@pytest.mark.parametrize("moment", ["Verify by a write and a read", "Record this region as active"])
def test_it_returns_while_dr_verifies_and_right_after_it_is_recorded(operator: Operator, moment: str) -> None:
    """The switch is killed there, so that the moment lasts."""
    cut_off(operator, on=True)
    reopen(operator)
    with stray_clients(operator, moment.split()[0].lower()) as (clients, writer):
        operator.kill(moment)
        cut_off(operator, on=False)
        stays_closed(operator, clients, writer, now(operator))


def test_it_returns_when_all_is_over(operator: Operator) -> None:
    ended = operator.fail_over()
    assert ended.status == "SUCCEEDED", ended.cause
    cut_off(operator, on=True)
    reopen(operator)
    with Clients(operator, DR, threads=1) as served, stray_clients(operator, "over") as (clients, writer):
        cut_off(operator, on=False)
        stays_closed(operator, clients, writer, now(operator))
        so_far = len(served.promised)
        operator.until(lambda: len(served.promised) > so_far + 10, "DR goes on")
    assert set(served.promised) <= orders(operator, DR)
    assert operator.posture(DR)["orders"]


def test_its_consumer_takes_no_message_any_more(operator: Operator) -> None:
    queues = operator.lab.client("sqs", PRIMARY)
    address = queues.get_queue_url(QueueName="dev-orders")["QueueUrl"]
    queues.send_message(QueueUrl=address, MessageBody=json.dumps({"id": "left-in-the-queue"}))
    operator.lab.clock_passes(MINUTE)
    waiting = queues.get_queue_attributes(QueueUrl=address, AttributeNames=["ApproximateNumberOfMessages"])
    assert waiting["Attributes"]["ApproximateNumberOfMessages"] == "1"


def test_every_write_that_it_took_before_is_in_the_list(operator: Operator) -> None:
    crossed, kept = orders(operator, DR), orders_of_the_old_one(operator)
    assert kept >= STRAYS
    operator.lab.set_scale(HURRY)
    ended = operator.end_of(operator.start(REPROTECT), 240)
    assert ended.status == "SUCCEEDED", ended.cause
    place = ended.output["divergence"]["evidence"]
    bucket, _, key = place.removeprefix("s3://").partition("/")
    body = operator.lab.client("s3", PRIMARY).get_object(Bucket=bucket, Key=key)["Body"].read().decode()
    listed = {
        line["after"]["id"]
        for line in map(json.loads, body.splitlines())
        if line.get("table", "").endswith("orders") and line.get("after")
    }
    assert STRAYS - crossed <= listed
    assert listed, "nothing never crossed: the test has shown nothing"
    assert operator.database(PRIMARY)["StatusInfos"][0]["Status"] == "replicating"
