"""The function that decides, on an AWS of moto's: what it gathers, asks, tells and writes down."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest

from pilotlight.aws import notes
from pilotlight.aws.record import Store
from pilotlight.errors import PreconditionFailed
from tests.unit.core.conftest import DR, PRIMARY, Context, load

if TYPE_CHECKING:
    from types import ModuleType

MACHINE = f"arn:aws:states:{DR}:123456789012:stateMachine:dev-dr-failover"
ALARM = "dev-dr-primary-lost"
PARTS = ("dev-dr-probe-failed", "dev-dr-replica-lost-source")
TRIGGER = {"alarm": ALARM, "at": "2026-11-25T10:02:00.000+0000", "event": "one"}
CONFIG = {
    "failover-mode": "automatic",
    "failback-mode": "manual",
    "max-data-loss-seconds": "60",
    "approval-timeout-seconds": "900",
    "approval-default": "reject",
}


class World:
    """A primary that is lost by both signs, as DR knows it."""

    def __init__(self, aws: Any, app: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        self.aws, self.app = aws, app
        self.heard = {
            "source_connected": False,
            "heartbeat_at": "2026-11-25T10:00:10+00:00",
            "heartbeat_age_seconds": 120,
            "received": "0-1-5",
            "detail": "",
        }
        self.later: dict[str, Any] = {}
        self.answers: list[tuple[str, Any]] = []
        self.running: set[str] = set()
        for name, value in CONFIG.items():
            self.set(name, value)
        for name in (ALARM, *PARTS):
            aws("cloudwatch").put_metric_alarm(
                AlarmName=name,
                Namespace="PilotLight",
                MetricName="ProbeFailed",
                Period=60,
                EvaluationPeriods=1,
                Threshold=1,
                Statistic="Maximum",
                ComparisonOperator="GreaterThanOrEqualToThreshold",
            )
            self.ring(name)
        aws("rds", PRIMARY).create_db_instance(
            DBInstanceIdentifier="dev-db",
            DBInstanceClass="db.t3.micro",
            Engine="mysql",
            MasterUsername="u",
            MasterUserPassword="password",
            BackupRetentionPeriod=7,
            AllocatedStorage=20,
        )
        aws("rds").create_db_instance_read_replica(
            DBInstanceIdentifier="dev-db", SourceDBInstanceIdentifier=f"arn:aws:rds:{PRIMARY}:123456789012:db:dev-db"
        )
        self.topic = aws("sns").create_topic(Name="dev-dr-notifications")["TopicArn"]
        self.queue = aws("sqs").create_queue(QueueName="mail")["QueueUrl"]
        aws("sns").subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{DR}:123456789012:mail")
        self.watch(failing_since="2026-11-25T10:00:15+00:00", source_lost_since="2026-11-25T10:00:20+00:00")
        looks = itertools.count(1)
        monkeypatch.setattr(
            app.functions, "ask", lambda *_: self.later if self.later and next(looks) % 2 == 0 else self.heard
        )
        monkeypatch.setattr(app.executions, "is_running", lambda arn: arn in self.running)
        monkeypatch.setattr(app.executions, "answer", lambda *given: self.answers.append(given))
        monkeypatch.setattr(app.time, "sleep", lambda _: None)

    def set(self, name: str, value: str) -> None:
        self.aws("ssm").put_parameter(Name=f"/dev/pilotlight/config/{name}", Value=value, Type="String", Overwrite=True)

    def ring(self, name: str, state: str = "ALARM") -> None:
        self.aws("cloudwatch").set_alarm_state(AlarmName=name, StateValue=state, StateReason="test")

    def watch(self, **changes: str) -> None:
        notes.write("dev-dr-state", "watch", {"region": PRIMARY, "at": "2026-11-25T10:02:00+00:00", **changes})

    def call(self, action: str, execution: str = "one", **more: Any) -> dict[str, Any]:
        payload = {"action": action, "what": "failover", "execution": f"{MACHINE}:{execution}", "trigger": TRIGGER}
        answer: dict[str, Any] = self.app.handler(payload | more, Context())
        return answer

    def note(self, subject: str) -> dict[str, Any]:
        return notes.read("dev-dr-state", subject)

    def mail(self) -> list[dict[str, str]]:
        found = self.aws("sqs").receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"]) for message in found]


@pytest.fixture
def world(aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(aws, load("decision"), monkeypatch)


def test_it_decides_on_what_is_so_and_writes_down_why(world: World) -> None:
    made = world.call("make")
    assert (made["outcome"], made["rule"], made["loss_seconds"]) == ("go", "automatic", 5)
    kept = world.note("decision")
    assert kept["outcome"] == "go"
    assert kept["inputs"]["alarms"] == dict.fromkeys((ALARM, *PARTS), "ALARM")
    assert kept["inputs"]["replica"]["receives"] is False
    assert kept["inputs"]["policy"]["failover"] == "automatic"
    assert kept["execution"] == f"{MACHINE}:one"


def test_an_alarm_that_does_not_exist_is_not_believed(world: World) -> None:
    made = world.call("make", trigger=TRIGGER | {"alarm": "of-somebody-else"})
    assert (made["outcome"], made["rule"]) == ("stand-down", "alarm-is-over")


def test_an_alarm_that_was_set_by_hand_is_set_back_so_that_it_can_ring_again(world: World) -> None:
    world.ring("dev-dr-probe-failed", "OK")
    assert world.call("make")["rule"] == "parts-are-quiet"
    told = world.aws("cloudwatch").describe_alarms(AlarmNames=[ALARM])["MetricAlarms"]
    assert [alarm["StateValue"] for alarm in told] == ["OK"]


def test_what_ends_quietly_does_not_cover_what_was_decided_before(world: World) -> None:
    world.call("make")
    world.ring(ALARM, "OK")
    assert world.call("make", "two")["outcome"] == "stand-down"
    assert world.note("decision")["execution"] == f"{MACHINE}:one"


def test_a_receiver_that_calls_itself_connected_is_looked_at_twice(world: World) -> None:
    world.heard |= {"source_connected": True, "heartbeat_age_seconds": 120}
    world.later = world.heard | {"received": "0-1-5"}
    assert world.call("make")["outcome"] == "go"
    world.later = world.heard | {"received": "0-1-6"}
    assert world.call("make", "two")["rule"] == "replica-still-receives"


def test_a_replica_that_hears_its_source_keeps_it_from_failing_over(world: World) -> None:
    world.heard |= {"source_connected": True, "heartbeat_age_seconds": 4}
    made = world.call("make")
    assert (made["outcome"], made["rule"]) == ("tell", "replica-still-receives")


def test_a_database_that_cannot_be_asked_is_a_fact_like_any_other(world: World, monkeypatch: Any) -> None:
    def fails(*_: object) -> None:
        raise TimeoutError("no answer")

    monkeypatch.setattr(world.app.functions, "ask", fails)
    world.watch(
        failing_since="2026-11-25T10:00:15+00:00",
        source_lost_since="2026-11-25T10:00:20+00:00",
        heartbeat_at="2026-11-25T10:00:00+00:00",
    )
    made = world.call("make")
    assert (made["outcome"], made["loss_seconds"]) == ("go", 15)
    assert made["inputs"]["replica"]["receives"] is None


def test_the_maintenance_switch_keeps_it_from_beginning(world: World) -> None:
    notes.write("dev-dr-state", "automation", {"on": False, "reason": "moving", "by": "ann", "at": "today"})
    made = world.call("make")
    assert made["rule"] == "automation-is-off"
    assert "moving" in made["notification"]["message"]


def test_a_wrong_setting_is_named_and_nothing_begins(world: World) -> None:
    world.set("failover-mode", "sometimes")
    with pytest.raises(PreconditionFailed, match=r"/dev/pilotlight/config/failover-mode is 'sometimes'"):
        world.call("make")
    assert world.note("decision") == {}


def asked(world: World, execution: str = "one") -> dict[str, Any]:
    world.set("failover-mode", "approval")
    made = world.call("make", execution)
    assert made["outcome"] == "ask"
    return made


def test_a_question_waits_in_the_notes_and_in_the_mail(world: World) -> None:
    world.call("ask", decision=asked(world), token="token-1")
    question = world.note("approval")
    assert question["token"] == "token-1"
    assert dt.datetime.fromisoformat(question["until"]) > dt.datetime.fromisoformat(question["asked_at"])
    (mail,) = world.mail()
    assert "YOUR ANSWER IS NEEDED" in mail["Subject"]
    assert "make approve ENVIRONMENT=dev DR_REGION=eu-central-1 REASON='why'" in mail["Message"]
    assert "token-1" not in mail["Message"]


@pytest.mark.parametrize("incident", ["the same", "an event of long ago"])
def test_what_is_being_asked_is_not_asked_again(world: World, incident: str) -> None:
    made = asked(world)
    world.running |= {f"{MACHINE}:{name}" for name in ("one", "two")}
    world.call("ask", decision=made, token="token-1")
    again = world.call("ask", "two", decision=made | {"incident": incident}, token="token-2")
    assert again == {"asked": False}
    assert world.note("approval")["token"] == "token-1"
    ((token, answer),) = world.answers
    assert (token, answer["answer"]) == ("token-2", "asked-already")
    assert len(world.mail()) == 1
    # It ends quietly, and leaves the question to the one that asked.
    assert world.call("confirm", "two", answer=answer)["outcome"] == "stand-down"
    assert world.note("approval")["token"] == "token-1"


def test_the_next_incident_is_asked_about_again(world: World) -> None:
    world.call("ask", decision=asked(world), token="token-1")
    world.call("confirm", answer={"answer": "reject", "by": "ann", "reason": "because"})
    again = asked(world, "two") | {"incident": "another"}
    assert world.call("ask", "two", decision=again, token="token-2")["asked"]
    assert world.note("approval")["token"] == "token-2"


def test_going_back_gives_way_to_failing_over(world: World) -> None:
    made = asked(world)
    world.call("ask", decision=made | {"what": "failback"}, token="token-1")
    world.running.add(f"{MACHINE}:one")
    assert world.call("ask", "two", decision=made, token="token-2")["asked"]
    assert world.note("approval")["token"] == "token-2"


def test_a_question_of_an_execution_that_is_gone_gives_way(world: World) -> None:
    made = asked(world)
    world.call("ask", decision=made, token="token-1")
    assert world.call("ask", "two", decision=made, token="token-2")["asked"]
    assert world.note("approval")["token"] == "token-2"


def test_a_question_put_twice_by_one_execution_keeps_its_place(world: World) -> None:
    made = asked(world)
    world.call("ask", decision=made, token="token-1")
    world.call("ask", decision=made, token="token-1")
    assert world.answers == []
    assert len(world.mail()) == 1


@pytest.mark.parametrize(
    ("answer", "by", "outcome", "rule"),
    [
        ("approve", "ann", "go", "approved"),
        ("reject", "ann", "tell", "rejected"),
        ("reject", "nobody", "tell", "no-answer"),
        ("approve", "nobody", "go", "approved"),
        ("", "ann", "tell", "rejected"),
    ],
)
def test_an_answer_is_kept_with_who_gave_it(world: World, answer: str, by: str, outcome: str, rule: str) -> None:
    world.call("ask", decision=asked(world), token="token-1")
    given = {"answer": answer, "by": by, "reason": "because"}
    made = world.call("confirm", answer=given)
    assert (made["outcome"], made["rule"]) == (outcome, rule)
    assert world.note("decision")["answer"] == given
    # The question is over.
    assert world.note("approval") == {}


def test_a_yes_to_what_is_over_begins_nothing(world: World) -> None:
    world.call("ask", decision=asked(world), token="token-1")
    world.ring(ALARM, "OK")
    made = world.call("confirm", answer={"answer": "approve", "by": "ann", "reason": "because"})
    assert (made["outcome"], made["rule"]) == ("stand-down", "alarm-is-over")


def test_a_failback_is_decided_by_its_own_rules(world: World) -> None:
    store = Store("dev-dr-state", PRIMARY)
    seen = store.read()
    assert store.replace(seen, dataclasses.replace(seen, active_region=DR, epoch=1, since=1))
    world.aws("cloudwatch").put_metric_alarm(
        AlarmName="dev-dr-primary-ready",
        Namespace="PilotLight",
        MetricName="PrimaryReady",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        Statistic="Minimum",
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )
    world.ring("dev-dr-primary-ready")
    made = world.call("make", what="failback", trigger=TRIGGER | {"alarm": "dev-dr-primary-ready"})
    assert (made["outcome"], made["rule"]) == ("tell", "manual")
    assert "dev-dr-failback" in made["notification"]["message"]


@pytest.mark.parametrize("trigger", [{}, {"at": "now"}])
def test_a_trigger_without_an_alarm_is_refused_by_name(world: World, trigger: dict[str, str]) -> None:
    with pytest.raises(PreconditionFailed, match="'trigger' has no 'alarm'"):
        world.call("make", trigger=trigger)
