"""The sentinel against an AWS of moto's, where moto has it: what it changes, what it leaves, whom it tells."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from pilotlight.aws import clients
from pilotlight.aws.record import Store
from pilotlight.model import Record
from tests.unit.core.conftest import ROOT, Context, load
from tests.unit.core.samples import DR, PRIMARY
from tests.unit.core.test_a_source_is_closed_and_opened_reversibly import group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AFTER = Record(active_region=DR, epoch=3, lock="free", holder="one", source=PRIMARY, target=DR, since=3)
ACTIVE = "/dev/pilotlight/active-region"


class Region:
    """What moto lacks of a region, or has otherwise: as it came back, and a list of all that was changed."""

    def __init__(self, doors: tuple[str, str]) -> None:
        self.changed: list[tuple[str, Any]] = []
        self.sizes = (2, 2, 4)
        self.concurrency: int | None = None
        self.trigger = "Enabled"
        self.read_only = "{TrueIfReplica}"
        self.open, self.closed = doors
        self.door = self.open
        self.source = ""
        self.refuses: set[str] = set()
        self.quiet = {"read_only": True, "connections": 0, "position": "a:1"}

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is nothing that a sentinel calls")

    def _change(self, what: str, value: Any) -> None:
        if what in self.refuses:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": what}}, what)
        self.changed.append((what, value))

    # Auto Scaling
    def describe_auto_scaling_groups(self, **_: Any) -> Any:
        least, wanted, most = self.sizes
        group = {"MinSize": least, "DesiredCapacity": wanted, "MaxSize": most}
        return {"AutoScalingGroups": [group]}

    def update_auto_scaling_group(self, **asked: Any) -> None:
        self._change("sizes", (asked["MinSize"], asked["DesiredCapacity"], asked["MaxSize"]))
        self.sizes = self.changed[-1][1]

    # Lambda and tags
    def get_paginator(self, operation: str) -> Any:
        pages: dict[str, Any] = {
            "get_resources": {
                "ResourceTagMappingList": [{"ResourceARN": "arn:aws:lambda:x:1:function:dev-orders", "Tags": []}]
            },
            "list_event_source_mappings": {"EventSourceMappings": [{"UUID": "mapping", "State": self.trigger}]},
            "describe_db_parameters": {
                "Parameters": [{"ParameterName": "read_only", "ParameterValue": self.read_only}]
            },
        }

        class Paginator:
            def paginate(self, **_: Any) -> list[Any]:
                return [pages[operation]]

        return Paginator()

    def get_function_concurrency(self, **_: Any) -> Any:
        return {} if self.concurrency is None else {"ReservedConcurrentExecutions": self.concurrency}

    def put_function_concurrency(self, **asked: Any) -> None:
        self._change("concurrency", asked["ReservedConcurrentExecutions"])
        self.concurrency = asked["ReservedConcurrentExecutions"]

    def update_event_source_mapping(self, **asked: Any) -> None:
        self._change("trigger", asked["Enabled"])
        self.trigger = "Enabled" if asked["Enabled"] else "Disabled"

    def invoke(self, **asked: Any) -> Any:
        self._change("asked sql", json.loads(asked["Payload"])["action"])
        return {"Payload": io.BytesIO(json.dumps(self.quiet).encode())}

    # RDS
    def describe_db_instances(self, **_: Any) -> Any:
        instance = {
            "DBInstanceStatus": "available",
            "Endpoint": {"Address": "db.example", "Port": 3306},
            "VpcSecurityGroups": [{"VpcSecurityGroupId": self.door, "Status": "active"}],
            "ReadReplicaSourceDBInstanceIdentifier": self.source,
        }
        return {"DBInstances": [instance]}

    def modify_db_instance(self, **asked: Any) -> None:
        self._change("door", asked["VpcSecurityGroupIds"])
        self.door = asked["VpcSecurityGroupIds"][0]

    def modify_db_parameter_group(self, **asked: Any) -> None:
        self._change("read_only", asked["Parameters"][0]["ParameterValue"])
        self.read_only = asked["Parameters"][0]["ParameterValue"]


OURS = ("autoscaling", "lambda", "resourcegroupstaggingapi", "rds")


@pytest.fixture
def region(aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Region]:
    """The primary as it comes back: nobody told it that it lost its role."""
    monkeypatch.setenv("AWS_REGION", PRIMARY)
    ec2 = aws("ec2", PRIMARY)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    fake = Region((group(ec2, vpc, "open"), group(ec2, vpc, "closed")))
    aws("ssm", PRIMARY).put_parameter(Name=ACTIVE, Value=PRIMARY, Type="String")
    for rule in ("dev-parameter-sync", "dev-image"):
        aws("events", PRIMARY).put_rule(Name=rule, ScheduleExpression="rate(1 hour)", State="ENABLED")
    topic = aws("sns").create_topic(Name="dev-dr-notifications")["TopicArn"]
    queue = aws("sqs").create_queue(QueueName="people")["QueueUrl"]
    arn = aws("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    aws("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    near = clients.near
    with monkeypatch.context() as patched:
        patched.setattr(clients, "near", lambda service: fake if service in OURS else near(service))
        yield fake


@pytest.fixture
def told(aws: Any, region: Region) -> Callable[[], list[str]]:
    """Read the subjects of what people were told since the last call."""

    def read() -> list[str]:
        url = aws("sqs").get_queue_url(QueueName="people")["QueueUrl"]
        found = aws("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        for message in found:
            aws("sqs").delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"])["Subject"] for message in found]

    return read


@pytest.fixture
def watch(region: Region) -> Callable[[], dict[str, Any]]:
    """Run the sentinel as its schedule does. One environment, so its memory stays."""
    module = load("sentinel")
    event = json.loads((ROOT / "events" / "sentinel-watch.json").read_text())
    return lambda: module.handler(event, Context())


def write(aws: Any, record: Record) -> None:
    store = Store("dev-dr-state", PRIMARY, aws("dynamodb"))
    seen = store.read()
    assert store.replace(seen, record)


def note(aws: Any) -> Any:
    found = aws("dynamodb").get_item(TableName="dev-dr-state", Key={"id": {"S": f"posture-{PRIMARY}"}}).get("Item")
    return json.loads(found["body"]["S"]) if found else None


def active(aws: Any) -> str:
    return str(aws("ssm", PRIMARY).get_parameter(Name=ACTIVE)["Parameter"]["Value"])


def metric(aws: Any, name: str) -> bool:
    found = aws("cloudwatch", PRIMARY).list_metrics(Namespace="PilotLight", MetricName=name)["Metrics"]
    return bool(found)


def test_a_primary_that_comes_back_is_closed_in_one_run(aws: Any, region: Region, watch: Any, told: Any) -> None:
    write(aws, AFTER)
    answer = watch()
    assert (answer["outcome"], answer["closed"]) == ("closed", 5)
    assert sorted(region.changed, key=str) == [
        ("asked sql", "quiet"),
        ("concurrency", 0),
        ("door", [region.closed]),
        ("read_only", "1"),
        ("sizes", (0, 0, 4)),
        ("trigger", False),
    ]
    order = [what for what, _ in region.changed]
    # Triggers first, because a reservation of 0 drops asynchronous events; and no connection is ended before it cannot
    # come back and write.
    assert order.index("trigger") < order.index("concurrency")
    assert order.index("read_only") < order.index("door") < order.index("asked sql")
    for rule in ("dev-parameter-sync", "dev-image"):
        assert aws("events", PRIMARY).describe_rule(Name=rule)["State"] == "DISABLED"
    assert active(aws) == DR
    assert sorted(note(aws)["closed"]) == ["capacity", "database", "functions", "record", "rules"]
    assert told() == [f"[dev] {PRIMARY} CLOSED by its sentinel: {DR} serves (epoch 3)"]
    assert metric(aws, "SentinelClosed")


def test_the_next_minutes_change_nothing_and_tell_nobody(aws: Any, region: Region, watch: Any, told: Any) -> None:
    write(aws, AFTER)
    watch()
    told()
    before = note(aws)
    region.changed.clear()
    for _ in range(3):
        answer = watch()
        assert (answer["outcome"], answer["closed"]) == ("closed", 0)
    # But for connections, which are ended for as long as the old database stands there.
    assert set(region.changed) == {("asked sql", "quiet")}
    assert told() == []
    assert note(aws) == before


def test_what_is_opened_again_is_closed_again_and_told_once(aws: Any, region: Region, watch: Any, told: Any) -> None:
    write(aws, AFTER)
    watch()
    told()
    for _ in range(3):
        region.sizes = (1, 1, 4)
        assert watch()["closed"] == 1
        assert region.sizes == (0, 0, 4)
    assert told() == []


@pytest.mark.parametrize(
    "record",
    [
        Record(active_region=PRIMARY),
        replace(AFTER, active_region=PRIMARY, since=0, lock="held", mode="ungraceful"),
        replace(AFTER, active_region=PRIMARY, since=0, lock="failed", mode="ungraceful"),
        replace(AFTER, lock="held", source=DR, target=PRIMARY, mode="graceful", promotion="2026-11-23T01:28:13+00:00"),
    ],
    ids=["at rest", "a failover begins", "a failover failed", "it is brought up"],
)
def test_who_serves_or_is_about_to_is_left_alone(
    aws: Any, region: Region, watch: Any, told: Any, record: Record
) -> None:
    write(aws, record)
    answer = watch()
    assert answer["outcome"] in ("active", "brought up")
    assert region.changed == []
    assert (active(aws), note(aws), told()) == (PRIMARY, None, [])


def test_nothing_is_changed_while_the_record_is_out_of_reach(
    aws: Any, region: Region, watch: Any, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(aws, AFTER)
    far = clients.far

    def lost(service: str, there: str) -> Any:
        class Lost:
            def get_item(self, **_: Any) -> None:
                raise ReadTimeoutError(endpoint_url=there)

        return Lost() if service == "dynamodb" else far(service, there)

    with monkeypatch.context() as patched:
        patched.setattr(clients, "far", lost)
        assert watch()["outcome"] == "blind"
    assert region.changed == []
    assert (active(aws), told()) == (PRIMARY, [])
    assert metric(aws, "SentinelBlind")


def test_no_record_is_no_reason_to_close(aws: Any, region: Region, watch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted by mistake, it must not read as "the primary is active" in a DR that serves."""
    assert watch()["outcome"] == "blind"
    monkeypatch.setenv("AWS_REGION", DR)
    assert watch()["outcome"] == "blind"
    assert region.changed == []


def test_a_primary_without_a_dr_region_yet_is_left_alone(aws: Any, region: Region, watch: Any) -> None:
    aws("dynamodb").delete_table(TableName="dev-dr-state")
    assert watch()["outcome"] == "blind"
    assert region.changed == []


def test_one_part_that_fails_keeps_no_other_one_open(aws: Any, region: Region, watch: Any, told: Any) -> None:
    write(aws, AFTER)
    region.refuses = {"door", "sizes"}
    with pytest.raises(Exception, match="not wholly") as failed:
        watch()
    assert type(failed.value).__name__ == "TransientError"
    assert "AccessDenied" in str(failed.value)
    assert region.read_only == "1"
    assert region.concurrency == 0
    assert sorted(note(aws)["closed"]) == ["database", "functions", "record", "rules"]
    assert len(told()) == 1
    region.refuses = set()
    assert watch()["closed"] == 2
    assert (region.door, region.sizes) == (region.closed, (0, 0, 4))


def looked(aws: Any) -> float:
    """Count the runs that said that they were, as the alarm does."""
    now = datetime.now(UTC)
    found = aws("cloudwatch", PRIMARY).get_metric_statistics(
        Namespace="PilotLight",
        MetricName="SentinelLooked",
        Dimensions=[{"Name": "Environment", "Value": "dev"}],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=5),
        Period=60,
        Statistics=["SampleCount"],
    )
    return float(sum(point["SampleCount"] for point in found["Datapoints"]))


def test_every_run_says_that_it_was_whatever_comes_of_it(aws: Any, region: Region, watch: Any) -> None:
    watch()
    assert (looked(aws), metric(aws, "SentinelBlind")) == (1, True)
    write(aws, Record(active_region=PRIMARY))
    assert watch()["outcome"] == "active"
    assert looked(aws) == 2
    write(aws, AFTER)
    region.refuses = {"door"}
    with pytest.raises(Exception, match="not wholly"):
        watch()
    assert looked(aws) == 3
    region.refuses = set()
    watch()
    assert looked(aws) == 4


def test_a_figure_that_cannot_be_put_keeps_nothing_open(
    aws: Any, region: Region, watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(aws, AFTER)

    def away(service: str) -> Any:
        raise ReadTimeoutError(endpoint_url=service)

    monkeypatch.setattr(clients, "brisk", away)
    assert watch()["closed"] == 5


def test_a_switch_that_began_meanwhile_is_not_disturbed(
    aws: Any, region: Region, watch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks, a switch towards this region passes its point of no return, and only then would it act."""
    write(aws, AFTER)
    turned = replace(
        AFTER, lock="held", epoch=4, target=PRIMARY, mode="graceful", promotion="2026-11-23T01:28:13+00:00"
    )
    looked = region.describe_auto_scaling_groups

    def look(**asked: Any) -> Any:
        write(aws, turned)
        return looked(**asked)

    monkeypatch.setattr(region, "describe_auto_scaling_groups", look)
    watch()
    assert ("sizes", (0, 0, 4)) not in region.changed


def test_a_replica_is_closed_by_nature(aws: Any, region: Region, watch: Any) -> None:
    write(aws, AFTER)
    region.source = f"arn:aws:rds:{DR}:1:db:dev-db"
    watch()
    assert {what for what, _ in region.changed} == {"sizes", "concurrency", "trigger"}


def test_rules_that_are_not_there_are_no_trouble(aws: Any, region: Region, watch: Any) -> None:
    write(aws, AFTER)
    aws("events", PRIMARY).delete_rule(Name="dev-image")
    assert watch()["closed"] == 5
    assert aws("events", PRIMARY).describe_rule(Name="dev-parameter-sync")["State"] == "DISABLED"


def test_a_database_that_stays_writable_is_an_error(aws: Any, region: Region, watch: Any) -> None:
    write(aws, AFTER)
    region.quiet = {"read_only": False, "connections": 3, "position": "a:1"}
    # RDS has just been asked.
    watch()
    with pytest.raises(Exception, match="takes writes although"):
        watch()


def test_who_cannot_be_told_now_is_told_by_the_next_run(
    aws: Any, region: Region, watch: Any, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(aws, AFTER)
    far = clients.far

    def without_sns(service: str, there: str) -> Any:
        if service == "sns":
            raise ReadTimeoutError(endpoint_url=there)
        return far(service, there)

    with monkeypatch.context() as patched:
        patched.setattr(clients, "far", without_sns)
        assert watch()["told"] == 0
    assert told() == []
    assert watch()["told"] == 5
    assert len(told()) == 1


def test_what_cannot_be_noted_now_is_noted_by_the_next_run(
    aws: Any, region: Region, watch: Any, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(aws, AFTER)
    far = clients.far

    class Unwritable:
        def __init__(self, real: Any) -> None:
            self.get_item = real.get_item

        def put_item(self, **_: Any) -> None:
            raise ReadTimeoutError(endpoint_url="x")

    with monkeypatch.context() as patched:
        patched.setattr(clients, "far", lambda service, there: Unwritable(far(service, there)))
        assert watch()["closed"] == 5
    assert (note(aws), told()) == (None, [])
    assert watch()["closed"] == 0
    assert sorted(note(aws)["closed"]) == ["capacity", "database", "functions", "record", "rules"]
    assert len(told()) == 1


def test_dr_is_closed_by_the_same_rules(aws: Any, region: Region, watch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failback, and with the record near."""
    write(aws, replace(AFTER, active_region=PRIMARY, since=4, epoch=4, source=DR, target=PRIMARY))
    monkeypatch.setenv("AWS_REGION", DR)
    ec2 = aws("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    region.door, region.closed = group(ec2, vpc, "open"), group(ec2, vpc, "closed")
    aws("ssm").put_parameter(Name=ACTIVE, Value=DR, Type="String")
    # Neither rule is there.
    assert watch()["closed"] == 4
    assert aws("ssm").get_parameter(Name=ACTIVE)["Parameter"]["Value"] == PRIMARY
    assert (region.sizes, region.door) == ((0, 0, 4), region.closed)
