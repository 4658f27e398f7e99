"""The functions against an AWS of moto's: what they change, and that asking again changes nothing more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from pilotlight.aws import clients, compute, database, workload
from pilotlight.aws.record import Store
from pilotlight.decide.workload import to_active
from pilotlight.errors import FatalError, PreconditionFailed
from tests.unit.core.conftest import Context, load
from tests.unit.core.samples import DR, EXECUTION, HELD, OTHER, PRIMARY, event

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = "123456789012"


def hold(table: str) -> Store:
    store = Store(table, PRIMARY)
    assert store.replace(store.read(), HELD)
    return store


class Rds:
    """A replica as RDS has it: promoting starts late, takes a while, and is refused where there is nothing to do."""

    def __init__(self, status: str = "available") -> None:
        self.instance: dict[str, Any] = {
            "DBInstanceStatus": status,
            "ReadReplicaSourceDBInstanceIdentifier": f"arn:aws:rds:{PRIMARY}:{ACCOUNT}:db:dev-db",
            "StatusInfos": [{"StatusType": "read replication", "Normal": False, "Status": "error"}],
            "BackupRetentionPeriod": 1,
        }
        self.promotions: list[dict[str, Any]] = []

    def describe_db_instances(self, **_: Any) -> dict[str, Any]:
        return {"DBInstances": [self.instance]}

    def promote_read_replica(self, **asked: Any) -> None:
        if self.promotions or self.instance["DBInstanceStatus"] != "available":
            raise ClientError({"Error": {"Code": "InvalidDBInstanceState", "Message": ""}}, "PromoteReadReplica")
        # The status still reads "available", and the source is still named: the trap.
        self.promotions.append(asked)

    def end_promotion(self) -> None:
        self.instance = {"DBInstanceStatus": "available", "BackupRetentionPeriod": 7}


@pytest.fixture
def rds(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rds]:
    fake, real = Rds(), clients.near
    with monkeypatch.context() as patched:
        patched.setattr(clients, "near", lambda service: fake if service == "rds" else real(service))
        yield fake


def test_a_replica_is_promoted_once_with_the_planned_retention(rds: Rds, state_table: str) -> None:
    hold(state_table)
    promote = load("database").handler
    assert promote(event("promote"), Context()) == {"done": False, "status": "promotion requested", "waited": 0}
    # A second look before RDS shows it: refused by RDS, and no error.
    assert not promote(event("promote", waited=5), Context())["done"]
    rds.end_promotion()
    assert promote(event("promote", waited=10), Context())["done"]
    assert promote(event("promote"), Context())["done"]
    assert rds.promotions == [{"DBInstanceIdentifier": "dev-db", "BackupRetentionPeriod": 7}]


def test_the_promotion_is_noted_before_it_is_asked_for(rds: Rds, state_table: str) -> None:
    store = hold(state_table)
    seen: list[str] = []
    rds.promote_read_replica = lambda **_: seen.append(store.read().promotion)  # type: ignore[method-assign]
    load("database").handler(event("promote"), Context())
    assert seen == [store.read().promotion]
    assert seen[0]


def test_a_replica_that_is_backing_up_is_left_alone_until_it_is_available(rds: Rds, state_table: str) -> None:
    hold(state_table)
    promote = load("database").handler
    rds.instance["DBInstanceStatus"] = "backing-up"
    assert "backing-up" in promote(event("promote"), Context())["status"]
    assert rds.promotions == []
    rds.instance["DBInstanceStatus"] = "available"
    promote(event("promote", waited=5), Context())
    assert len(rds.promotions) == 1


def test_a_missing_database_is_a_fact(aws: Any) -> None:
    assert database.describe("dev-db", aws("rds")) is None


@pytest.mark.parametrize(
    ("function", "action"),
    [
        ("database", "promote"),
        ("compute", "pin"),
        ("compute", "raise"),
        ("workload", "activate"),
        ("verify", "verify"),
        ("control", "record"),
        ("control", "finish"),
        ("control", "plan"),
        ("fence", "close"),
    ],
)
def test_a_step_of_another_epoch_touches_nothing(function: str, action: str, state_table: str) -> None:
    hold(state_table)
    stale = event(action, epoch=2, source=PRIMARY, version="1")
    with pytest.raises(FatalError, match="changed nothing"):
        load(function).handler(stale, Context())
    with pytest.raises(FatalError, match="changed nothing"):
        load(function).handler(stale | {"epoch": 3, "execution": OTHER}, Context())


def template(aws: Any) -> Any:
    ec2 = aws("ec2")
    ec2.create_launch_template(
        LaunchTemplateName="dev-app", LaunchTemplateData={"ImageId": "resolve:ssm:/x", "InstanceType": "t4g.small"}
    )
    return ec2


def test_an_image_is_pinned_once_and_the_rest_of_the_template_stays(aws: Any) -> None:
    ec2 = template(aws)
    assert compute.pinned_version("dev-app", "ami-2", ec2) == "2"
    assert compute.pinned_version("dev-app", "ami-2", ec2) == "2"
    versions = ec2.describe_launch_template_versions(LaunchTemplateName="dev-app")["LaunchTemplateVersions"]
    assert len(versions) == 2
    newest = max(versions, key=lambda version: int(version["VersionNumber"]))
    assert newest["LaunchTemplateData"]["ImageId"] == "ami-2"


def test_the_region_is_recorded_where_deployments_look(aws: Any, state_table: str) -> None:
    store = hold(state_table)
    aws("ssm").put_parameter(Name="/dev/pilotlight/active-region", Value=PRIMARY, Type="String")
    control = load("control").handler
    for _ in range(2):
        assert control(event("record"), Context())["active_region"] == DR
    assert store.read().active_region == DR
    assert aws("ssm").get_parameter(Name="/dev/pilotlight/active-region")["Parameter"]["Value"] == DR


RESULT = {
    "database": {"drain": {"outcome": "applied", "received_unapplied": 0}},
    "compute": {"healthy": 2},
    "workload": {"functions": 1},
}


def test_the_lock_is_released_and_asking_again_gives_the_same_answer(state_table: str) -> None:
    store = hold(state_table)
    control = load("control").handler
    first = control(event("finish", result=RESULT), Context())
    assert store.read().lock == "free"
    assert control(event("finish", result=RESULT), Context()) == first
    assert "keep it closed" in first["next"]
    assert "everything the replica had received was applied" in first["notification"]["message"]


def test_a_failure_leaves_the_lock_to_the_next_start_and_tells_how_things_stand(rds: Rds, state_table: str) -> None:
    store = hold(state_table)
    cause = json.dumps({"errorMessage": "2 of 2 targets are ill", "errorType": "PreconditionFailed"})
    failed = load("control").handler(event("fail", error={"Error": "PreconditionFailed", "Cause": cause}), Context())
    assert (store.read().lock, store.read().failure) == ("failed", "PreconditionFailed: 2 of 2 targets are ill")
    assert failed["error"] == "PreconditionFailed"
    for told in ("2 of 2 targets are ill", "still a replica", "group dev-asg is missing", "start the failover again"):
        assert told in failed["cause"]
    assert "FAILOVER FAILED" in failed["notification"]["subject"]


def test_a_failure_of_an_overtaken_switch_leaves_the_record_alone(state_table: str) -> None:
    store = hold(state_table)
    load("control").handler(event("fail", epoch=2, error={"Error": "States.Timeout", "Cause": ""}), Context())
    assert store.read() == HELD


def topic(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    arn = aws("sns").create_topic(Name="dev-dr-notifications")["TopicArn"]
    queue = aws("sqs").create_queue(QueueName="inbox")["QueueUrl"]
    queue_arn = aws("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    aws("sns").subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)
    monkeypatch.setenv("NOTIFICATION_TOPIC_ARN", arn)
    return lambda: [
        json.loads(message["Body"])
        for message in aws("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    ]


def test_a_notification_is_sent_once_however_often_it_is_delivered(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = topic(aws, monkeypatch)
    told = {"kind": "succeeded", "subject": "line\nbreak " + "x" * 200, "message": "all of it"}
    notify = load("notify").handler
    assert notify(event("send", notification=told), Context()) == notify(event("send", notification=told), Context())
    messages = inbox()
    assert [message["Message"] for message in messages] == ["all of it"]
    assert len(messages[0]["Subject"]) == 100


def test_an_execution_that_was_stopped_frees_its_lock_and_is_told(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = hold(state_table)
    inbox = topic(aws, monkeypatch)
    stopped = {"action": "ended", "execution": EXECUTION, "status": "ABORTED"}
    notify = load("notify").handler
    notify(stopped, Context())
    notify(stopped, Context())
    assert store.read().lock == "failed"
    assert len(inbox()) == 1


def test_an_execution_that_was_refused_is_nobodys_alarm(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = hold(state_table)
    inbox = topic(aws, monkeypatch)
    refused = {"action": "ended", "execution": OTHER, "status": "FAILED"}
    assert load("notify").handler(refused, Context()) == {"told": False}
    assert store.read() == HELD
    assert inbox() == []


def test_begin_takes_the_lock_once_and_refuses_before_it_reads_anything(aws: Any, state_table: str) -> None:
    begin = load("control").handler
    with pytest.raises(PreconditionFailed, match="'modus'"):
        begin({"action": "begin", "execution": EXECUTION, "input": {"modus": 1}}, Context())
    with pytest.raises(PreconditionFailed, match="/dev/pilotlight/config/.* is missing"):
        begin({"action": "begin", "execution": EXECUTION, "input": {}}, Context())
    assert Store(state_table, PRIMARY).read().epoch == 0


def test_a_function_goes_live_concurrency_first(aws: Any) -> None:
    calls: list[str] = []

    class Lambda:
        def __getattr__(self, name: str) -> Any:
            return lambda **_: calls.append(name)

    from tests.unit.core.samples import OFF

    workload.apply((to_active(OFF),), Lambda())
    assert calls == ["delete_function_concurrency", "update_event_source_mapping"]
