"""The function that decides, on an AWS of moto's: what it gathers, asks, tells and writes down."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from pilotlight.aws import notes
from pilotlight.aws.record import Store
from pilotlight.errors import PreconditionFailed, TransientError
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
        # Step Functions knows no other.
        monkeypatch.setattr(app.executions, "is_running", lambda arn, absent=False: arn in self.running or absent)
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


def test_a_switch_that_has_just_begun_counts_as_running(world: World) -> None:
    store, now = Store("dev-dr-state", PRIMARY), dt.datetime.now(dt.UTC)
    held = dataclasses.replace(store.read(), lock="held", holder=f"{MACHINE}:another", taken_at=now.isoformat())
    assert store.replace(store.read(), held)
    assert world.call("make")["rule"] == "a-switch-runs"
    long_ago = dataclasses.replace(held, taken_at="2026-11-25T10:00:00+00:00")
    assert store.replace(store.read(), long_ago)
    assert world.call("make", "two")["outcome"] == "go"


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


def test_a_question_put_twice_by_one_execution_can_be_answered(world: World) -> None:
    """Tried again, the state has another token, and the one before it is dead."""
    made = asked(world)
    world.running.add(f"{MACHINE}:one")
    world.call("ask", decision=made, token="token-1")
    first = world.note("approval")
    world.call("ask", decision=made, token="token-2")
    again = world.note("approval")
    assert (again["token"], again["asked_at"]) == ("token-2", first["asked_at"])
    assert again["until"] >= first["until"]
    assert world.answers == []
    # Who was told is not told again.
    assert len(world.mail()) == 1


def test_a_question_that_was_not_told_of_is_told_of_by_the_next_try(world: World, monkeypatch: Any) -> None:
    made = asked(world)
    publish = world.app.notify.publish

    def throttled(*_: object) -> None:
        raise TransientError("SNS is busy")

    monkeypatch.setattr(world.app.notify, "publish", throttled)
    with pytest.raises(TransientError):
        world.call("ask", decision=made, token="token-1")
    monkeypatch.setattr(world.app.notify, "publish", publish)
    world.call("ask", decision=made, token="token-2")
    assert world.note("approval")["token"] == "token-2"
    assert len(world.mail()) == 1


def test_a_question_that_loses_its_place_to_another_is_tried_again(world: World, monkeypatch: Any) -> None:
    made = asked(world)
    monkeypatch.setattr(world.app.notes, "replace", lambda *_: False)
    with pytest.raises(TransientError, match="another question"):
        world.call("ask", decision=made, token="token-1")
    assert world.mail() == []


def test_one_execution_may_ask_twice_about_an_incident_and_both_are_told(world: World) -> None:
    """A yes that could not be carried out, since the replica received: a minute later it is asked about again."""
    world.call("ask", decision=asked(world), token="token-1")
    world.heard |= {"source_connected": True, "heartbeat_age_seconds": 4}
    made = world.call("confirm", answer={"answer": "approve", "by": "ann", "reason": "because"})
    assert (made["outcome"], made["rule"], made["again_seconds"]) == ("tell", "replica-still-receives", 60)
    world.heard |= {"source_connected": False}
    again = world.call("make", before=made, waited=960)
    world.call("ask", decision=again, token="token-2")
    assert world.note("approval")["token"] == "token-2"
    assert len(world.mail()) == 2


@pytest.mark.parametrize(
    ("answer", "by", "outcome", "rule"),
    [
        ("approve", "ann", "go", "approved"),
        ("reject", "ann", "tell", "rejected"),
        ("reject", "nobody", "tell", "no-answer"),
        ("approve", "nobody", "go", "no-answer-approved"),
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


def test_a_yes_to_what_is_over_begins_nothing_and_says_so(world: World) -> None:
    world.call("ask", decision=asked(world), token="token-1")
    world.ring(ALARM, "OK")
    made = world.call("confirm", answer={"answer": "approve", "by": "ann", "reason": "because"})
    assert (made["outcome"], made["rule"]) == ("tell", "alarm-is-over")
    # Not the question that it was.
    assert world.note("decision")["rule"] == "alarm-is-over"


def test_automation_that_is_switched_off_during_a_question_is_not_overruled_by_silence(world: World) -> None:
    world.call("ask", decision=asked(world), token="token-1")
    notes.write("dev-dr-state", "automation", {"on": False, "reason": "moving", "by": "ann", "at": "today"})
    silence = {"answer": "approve", "by": "nobody", "reason": "no answer within 900 s"}
    made = world.call("confirm", answer=silence)
    assert (made["outcome"], made["rule"], made["again_seconds"]) == ("tell", "automation-is-off", 60)
    # A person who says yes knows what they do.
    assert world.call("confirm", answer=silence | {"by": "ann"})["rule"] == "approved"


# A no that may pass by itself


def test_a_no_is_told_once_and_decided_again_until_it_passes(world: World) -> None:
    notes.write("dev-dr-state", "automation", {"on": False, "reason": "moving", "by": "ann", "at": "today"})
    world.running.add(f"{MACHINE}:one")
    first = world.call("make", waited=0, before=None)
    assert (first["outcome"], first["again_seconds"], first["told"]) == ("tell", 60, ["automation-is-off"])
    again = world.call("make", waited=60, before=first)
    assert (again["outcome"], again["again_seconds"]) == ("wait", 60)
    # Another reason is told of, and the first one not again.
    world.heard |= {"source_connected": True, "heartbeat_age_seconds": 4}
    other = world.call("make", waited=120, before=again)
    assert (other["outcome"], other["rule"]) == ("tell", "replica-still-receives")
    world.heard |= {"source_connected": False}
    back = world.call("make", waited=180, before=other)
    assert (back["outcome"], back["rule"]) == ("wait", "automation-is-off")
    notes.write("dev-dr-state", "automation", {"on": True, "reason": "", "by": "ann", "at": "today"})
    assert world.call("make", waited=240, before=back)["outcome"] == "go"


def test_a_no_ends_with_a_last_word(world: World) -> None:
    notes.write("dev-dr-state", "automation", {"on": False, "reason": "moving", "by": "ann", "at": "today"})
    first = world.call("make", waited=0, before=None)
    last = world.call("make", waited=3 * 3600, before=first)
    assert (last["outcome"], last["again_seconds"]) == ("tell", 0)
    assert last["notification"]["kind"] != first["notification"]["kind"]


def test_one_execution_looks_on_and_the_others_end_quietly(world: World) -> None:
    notes.write("dev-dr-state", "automation", {"on": False, "reason": "moving", "by": "ann", "at": "today"})
    world.running |= {f"{MACHINE}:{name}" for name in ("one", "two")}
    first = world.call("make", waited=0, before=None)
    second = world.call("make", "two", waited=0, before=None)
    assert (second["outcome"], second["rule"]) == ("wait", "looked-at-elsewhere")
    # It does not pass itself off for the one that looks on, and ends when that one has looked since it began.
    assert world.note("decision")["execution"] == f"{MACHINE}:one"
    second = world.call("make", "two", waited=60, before=second)
    assert (second["outcome"], second["rule"]) == ("stand-down", "looked-at-already")
    assert world.note("decision")["execution"] == f"{MACHINE}:one"
    # Two that began at once: whoever wrote last goes on, and the other does not cover that.
    notes.write("dev-dr-state", "decision", first | {"execution": f"{MACHINE}:two"})
    assert world.call("make", waited=60, before=first)["rule"] == "looked-at-already"
    assert world.call("make", "two", waited=60, before=first)["outcome"] == "wait"
    # One that was about to end, and has, leaves it to whoever has waited.
    third = world.call("make", "three", waited=0, before=None)
    assert third["rule"] == "looked-at-elsewhere"
    notes.write("dev-dr-state", "decision", world.note("decision") | {"again_seconds": 0})
    assert world.call("make", "three", waited=60, before=third)["outcome"] == "tell"
    # One that is gone looks on no more.
    world.running = set()
    assert world.call("make", "three", waited=0, before=None)["outcome"] == "tell"


def test_what_may_begin_waits_for_nobody_who_looks_on(world: World) -> None:
    notes.write("dev-dr-state", "automation", {"on": False, "reason": "moving", "by": "ann", "at": "today"})
    world.running.add(f"{MACHINE}:one")
    world.call("make", waited=0, before=None)
    notes.write("dev-dr-state", "automation", {"on": True, "reason": "", "by": "ann", "at": "today"})
    assert world.call("make", "two", waited=0, before=None)["outcome"] == "go"


def test_whoever_answers_hears_of_it_whoever_else_looks_on(world: World) -> None:
    world.call("ask", decision=asked(world), token="token-1")
    notes.write("dev-dr-state", "automation", {"on": False, "reason": "moving", "by": "ann", "at": "today"})
    world.running |= {f"{MACHINE}:{name}" for name in ("one", "two")}
    assert world.call("make", "two", waited=0, before=None)["again_seconds"]
    silence = {"answer": "approve", "by": "nobody", "reason": "no answer within 900 s"}
    assert world.call("confirm", answer=silence)["outcome"] == "tell"
    # And though that reason was told before anybody was asked; it is not told to the next one who only looks on.
    before = {"told": ["automation-is-off", "dr-is-cut-off"]}
    made = world.call("confirm", answer=silence, before=before)
    assert (made["outcome"], made["rule"]) == ("tell", "automation-is-off")
    assert made["told"] == before["told"]
    world.running = set()
    assert world.call("make", before=made, waited=960)["outcome"] == "wait"


def test_whoever_looked_on_says_that_it_is_over(world: World) -> None:
    notes.write("dev-dr-state", "automation", {"on": False, "reason": "moving", "by": "ann", "at": "today"})
    first = world.call("make", waited=0, before=None)
    world.ring(ALARM, "OK")
    assert world.call("make", waited=60, before=first)["outcome"] == "stand-down"
    assert world.note("decision")["rule"] == "alarm-is-over"


def alarms_that(world: World, monkeypatch: Any, then: Any) -> None:
    """Let something happen after the alarms were read for the first time."""
    states, reads = world.app.alarms.states, itertools.count(1)

    def read(names: tuple[str, ...]) -> Any:
        found = states(names)
        if next(reads) == 1:
            then()
        return found

    monkeypatch.setattr(world.app.alarms, "states", read)


def test_an_alarm_that_rings_while_the_one_who_looks_on_finds_it_over_is_looked_at_by_somebody(
    world: World, monkeypatch: Any
) -> None:
    """What it wakes finds that another one looks on, and ends: it must not have left."""
    notes.write("dev-dr-state", "automation", {"on": False, "reason": "moving", "by": "ann", "at": "today"})
    world.running |= {f"{MACHINE}:{name}" for name in ("one", "two")}
    first = world.call("make", waited=0, before=None)
    world.ring(ALARM, "OK")
    woken: list[Any] = []

    def rings() -> None:
        world.ring(ALARM)
        woken.append(world.call("make", "two", waited=60, before=None))

    alarms_that(world, monkeypatch, rings)
    made = world.call("make", waited=60, before=first)
    assert woken[0]["rule"] == "looked-at-already"
    assert (made["outcome"], made["rule"], made["again_seconds"]) == ("wait", "rings-again", 15)
    # Whoever is woken from now on finds that it looks on again.
    kept = world.note("decision")
    assert (kept["execution"], kept["again_seconds"]) == (f"{MACHINE}:one", 15)


def test_who_finds_the_alarm_over_says_so_before_looking_once_more(world: World, monkeypatch: Any) -> None:
    """Woken after that look, another one must not find that this one looks on."""
    notes.write("dev-dr-state", "automation", {"on": False, "reason": "moving", "by": "ann", "at": "today"})
    first = world.call("make", waited=0, before=None)
    world.ring(ALARM, "OK")
    states, noted = world.app.alarms.states, []

    def read(names: tuple[str, ...]) -> Any:
        noted.append(world.note("decision")["rule"])
        return states(names)

    monkeypatch.setattr(world.app.alarms, "states", read)
    assert world.call("make", waited=60, before=first)["outcome"] == "stand-down"
    assert noted == ["automation-is-off", "alarm-is-over"]


def test_an_alarm_that_was_set_back_while_its_parts_began_to_ring_rings_again(world: World, monkeypatch: Any) -> None:
    """They change no more, so nothing else would ever wake anybody."""
    world.ring(PARTS[0], "OK")
    alarms_that(world, monkeypatch, lambda: world.ring(PARTS[0]))
    made = world.call("make", waited=0, before=None)
    assert (made["outcome"], made["rule"]) == ("wait", "rings-again")
    told = world.aws("cloudwatch").describe_alarms(AlarmNames=[ALARM])["MetricAlarms"]
    assert [alarm["StateValue"] for alarm in told] == ["ALARM"]
    assert world.call("make", waited=15, before=made)["outcome"] == "go"


def test_a_replica_that_rds_says_nothing_of_is_looked_at_again(world: World, monkeypatch: Any) -> None:
    """Its control plane throttles on the day; the alarm rings once."""

    def throttled(*_: object) -> None:
        raise ClientError({"Error": {"Code": "Throttling", "Message": "Rate exceeded"}}, "DescribeDBInstances")

    describe = world.app.database.describe
    monkeypatch.setattr(world.app.database, "describe", throttled)
    made = world.call("make", waited=0, before=None)
    assert (made["outcome"], made["rule"], made["again_seconds"]) == ("tell", "replica-unknown", 60)
    assert "Rate exceeded" in made["notification"]["message"]
    monkeypatch.setattr(world.app.database, "describe", describe)
    assert world.call("make", waited=60, before=made)["outcome"] == "go"


def test_observers_are_waited_for_and_then_not(world: World) -> None:
    now = dt.datetime.now(dt.UTC)
    seen = {
        "failing_since": (now - dt.timedelta(seconds=75)).isoformat(timespec="seconds"),
        "source_lost_since": (now - dt.timedelta(seconds=60)).isoformat(timespec="seconds"),
        "observers": "healthy",
        "observed_at": (now - dt.timedelta(seconds=120)).isoformat(timespec="seconds"),
    }
    world.heard |= {"heartbeat_at": (now - dt.timedelta(seconds=80)).isoformat(timespec="seconds")}
    world.watch(**seen)
    made = world.call("make", waited=0, before=None)
    assert (made["outcome"], made["rule"], made["again_seconds"]) == ("wait", "observers-not-heard-yet", 15)
    world.watch(**seen | {"observers": "unhealthy"})
    assert world.call("make", waited=15, before=made)["outcome"] == "go"


def test_a_failback_that_an_alarm_started_looks_at_the_switch_before_it_freezes(world: World) -> None:
    trigger = TRIGGER | {"alarm": "dev-dr-primary-ready"}
    assert world.call("still", what="failback", trigger=trigger)["outcome"] == "go"
    # Why it began stays written.
    assert world.note("decision") == {}
    notes.write("dev-dr-state", "automation", {"on": False, "reason": "moving", "by": "ann", "at": "today"})
    made = world.call("still", what="failback", trigger=trigger)
    assert (made["outcome"], made["rule"], made["again_seconds"]) == ("tell", "automation-went-off", 0)
    assert world.note("decision")["rule"] == "automation-went-off"
    assert "start-execution" in made["notification"]["message"]


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
