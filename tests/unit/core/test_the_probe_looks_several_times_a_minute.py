"""The function: what it asks, what it puts and keeps, and that nothing it watches can make it fail."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest

from pilotlight.aws import compute, database, door, functions, metrics, notes
from pilotlight.aws.record import Store
from pilotlight.errors import FatalError, PreconditionFailed, TransientError
from pilotlight.model import Answer, Door, Observed, Record, as_json
from tests.unit.core.conftest import ROOT, Context, load
from tests.unit.core.looks import BROKEN, REPLICATES, SILENT, WELL
from tests.unit.core.samples import DR, EMPTY_GROUP, PRIMARY, REPLICA

if TYPE_CHECKING:
    from types import ModuleType

    from pilotlight.model import Measure

ENTRANCE = {"url": "http://alb.example:8080", "dns_name": "alb.example", "hosted_zone_id": "Z1"}
WITNESS = "https://witness.example/ping"
CONFIGURATION = {
    "health-path": "/health",
    "deep-health-path": "/health/deep",
    "witness-urls": WITNESS,
    "probes-per-minute": "4",
}


class World:
    """What the probe looks at, and what became of its looks."""

    def __init__(self, module: ModuleType, patch: pytest.MonkeyPatch, aws: Any) -> None:
        self.module = module
        self.aws = aws
        self.answers: dict[str, Any] = {"/health": WELL, "/health/deep": WELL, "/ping": WELL}
        self.following: Any = REPLICATES
        self.database: Any = REPLICA
        self.group: Any = EMPTY_GROUP
        self.door: Any = Door("alb.example", 8080, "HTTP", "Z1")
        self.asked: list[tuple[str, str]] = []
        self.told: list[Any] = []
        self.put: list[dict[str, float]] = []
        self.clock, self.slept = 0.0, list[float]()
        self.takes: list[float] = []
        self.observers: Any = None
        self.observations = 0
        patch.setattr(door, "look", self._look)
        patch.setattr(functions, "ask", self._ask)
        patch.setattr(functions, "send_off", self._send_off)
        patch.setattr(database, "describe", lambda *_: self._given(self.database))
        patch.setattr(compute, "group", lambda *_: self._given(self.group))
        patch.setattr(compute, "door", lambda *_: self._given(self.door))
        patch.setattr(metrics, "put", self._put)
        patch.setattr(metrics, "observed", self._observed)
        patch.setattr(module.time, "sleep", self._sleep)
        patch.setattr(module.time, "monotonic", lambda: self.clock)

    @staticmethod
    def _given(value: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    def _look(self, base: str, path: str, host: str = "", patience: float = 5) -> Answer:
        assert patience == 2
        self.asked.append((base, path))
        answer: Answer = self._given(self.answers[path])
        return answer

    def _ask(self, name: str, order: Any, client: Any) -> Any:
        assert (name, order["action"]) == ("dev-sql", "follow")
        assert order["database"] == {"host": "db.example", "port": 3306}
        return as_json(self._given(self.following))

    def _send_off(self, name: str, order: Any, client: Any) -> None:
        assert name == "dev-dr-notify"
        self.told.append(order)

    def _put(self, environment: str, measures: tuple[Measure, ...], client: Any) -> None:
        self.put.append({measure.name: measure.value for measure in measures})
        self.clock += self.takes.pop(0) if self.takes else 0

    def _observed(self, check: str, within: dt.timedelta, now: dt.datetime, client: Any) -> Any:
        assert (check, within, client.meta.region_name) == ("check", dt.timedelta(minutes=5), "us-east-1")
        self.observations += 1
        return self._given(self.observers)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock += seconds

    def minute(self) -> Any:
        self.put, self.slept, self.asked, self.observations = [], [], [], 0
        return self.module.handler({"action": "watch"}, Context())

    def note(self, subject: str) -> Any:
        return notes.read("dev-dr-state", subject, self.aws("dynamodb"))

    def configure(self, **values: str) -> None:
        for name, value in values.items():
            self.parameter(f"config/{name.replace('_', '-')}", value)

    def parameter(self, name: str, value: str) -> None:
        self.aws("ssm").put_parameter(Name=f"/dev/pilotlight/{name}", Value=value, Type="String", Overwrite=True)

    def active(self, region: str, **more: Any) -> None:
        store = Store("dev-dr-state", PRIMARY, self.aws("dynamodb"))
        assert store.replace(store.read(), Record(active_region=region, epoch=1, holder="x", **more))


@pytest.fixture
def world(aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(load("probe"), monkeypatch, aws)
    for name, value in CONFIGURATION.items():
        made.parameter(f"config/{name}", value)
    made.parameter("primary-door", json.dumps(ENTRANCE))
    return made


def test_a_minute_has_four_looks_fifteen_seconds_apart(world: World) -> None:
    assert world.minute() == {"looks": 4, "skipped": 0, "failed": 0}
    assert world.slept == [15, 15, 15]
    assert [put["ProbeFailed"] for put in world.put] == [0, 0, 0, 0]
    assert {"ReplicaLostSource", "ReplicaLag", "DeepProbeFailed", "ProbeBlind"} <= set(world.put[0])
    assert world.asked.count(("http://alb.example:8080", "/health")) == 4
    # Nobody else is asked while the primary answers.
    assert not [path for _, path in world.asked if path == "/ping"]


def test_what_a_look_takes_is_not_slept(world: World) -> None:
    world.takes = [3, 1]
    world.minute()
    assert world.slept == [12, 14, 15]


def test_a_look_that_takes_too_long_is_instead_of_the_next(world: World) -> None:
    world.takes = [16]
    assert world.minute() == {"looks": 3, "skipped": 1, "failed": 0}
    assert world.slept == [14, 15]
    world.takes = [80]
    assert world.minute() == {"looks": 1, "skipped": 3, "failed": 0}
    assert world.slept == []


def test_a_loss_is_in_metrics_and_note_after_the_first_look(world: World) -> None:
    world.minute()
    well = world.note("watch")
    world.answers |= {"/health": SILENT, "/health/deep": SILENT}
    world.following = TransientError("the server is gone")
    world.database = dataclasses.replace(REPLICA, replication="error")
    world.minute()
    assert (world.put[0]["ProbeFailed"], world.put[0]["ReplicaLostSource"]) == (1, 1)
    seen = world.note("watch")
    assert (seen["region"], seen["ok_at"]) == (PRIMARY, well["at"])
    assert seen["failing_since"] <= seen["at"]
    assert seen["source_lost_since"]
    assert ("https://witness.example", "/ping") in world.asked


@pytest.mark.parametrize("nothing", [FatalError("x"), TransientError("x"), OSError("x"), KeyError("x")])
def test_nothing_that_is_watched_makes_it_fail(world: World, nothing: Exception) -> None:
    world.answers = dict.fromkeys(world.answers, nothing)
    world.following = world.database = world.door = nothing
    assert world.minute()["failed"] == 0
    # It saw nothing at all, its witnesses included: that says nothing of the primary.
    assert [put["ProbeBlind"] for put in world.put] == [1, 1, 1, 1]
    assert not {"ProbeFailed", "ReplicaLostSource", "ReplicaLag"} & set(world.put[0])


def test_a_dr_that_is_cut_off_is_blind_whatever_its_own_region_answers(world: World) -> None:
    world.configure(witness_urls=f"https://dynamodb.{DR}.amazonaws.com/own,{WITNESS}")
    world.answers = {"/health": SILENT, "/health/deep": SILENT, "/ping": SILENT, "/own": WELL}
    world.minute()
    assert [put["ProbeBlind"] for put in world.put] == [1, 1, 1, 1]
    assert world.note("watch")["blind_since"]
    assert not [path for _, path in world.asked if path == "/own"]


def test_witnesses_in_the_two_regions_alone_are_named_with_the_way_out(world: World) -> None:
    world.configure(witness_urls=f"https://dynamodb.{DR}.amazonaws.com/ping,https://S3.{PRIMARY.upper()}.amazonaws.com")
    with pytest.raises(PreconditionFailed, match=r"config/witness-urls names only .* \(WitnessUrls\), or - for none"):
        world.minute()


def test_a_replica_is_asked_where_it_was_when_rds_is_away(world: World) -> None:
    world.minute()
    world.database = TransientError("RDS is throttled")
    world.minute()
    assert world.put[0]["ReplicaLostSource"] == 0


def test_no_database_is_no_loss(world: World) -> None:
    world.database = None
    world.minute()
    assert "ReplicaLostSource" not in world.put[0]


def test_a_deep_check_that_is_not_wanted_is_not_asked(world: World) -> None:
    world.configure(deep_health_path="-", witness_urls="-", probes_per_minute="1")
    world.answers |= {"/health": BROKEN}
    world.minute()
    assert {path for _, path in world.asked} == {"/health"}
    assert "DeepProbeFailed" not in world.put[0]
    assert (world.put[0]["ProbeFailed"], world.put[0]["ProbeBlind"]) == (1, 0)


def test_while_a_planned_switch_freezes_the_source_its_silence_is_no_loss(world: World) -> None:
    world.active(PRIMARY, lock="held", mode="graceful")
    world.following = dataclasses.replace(REPLICATES, source_connected=False)
    world.minute()
    assert "ReplicaLostSource" not in world.put[0]
    world.active(PRIMARY, lock="failed", mode="graceful")
    world.minute()
    assert world.put[0]["ReplicaLostSource"] == 1


def test_what_it_cannot_reach_and_is_not_lost_is_told_once(world: World) -> None:
    world.answers |= {"/health": SILENT}
    for _ in range(4):
        world.minute()
    (told,) = world.told
    assert told["action"] == "send"
    assert told["notification"]["kind"].startswith("primary-unreachable-")
    assert told["execution"] == Context.function_name


def test_what_could_not_be_told_is_told_by_the_next_look(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.answers |= {"/health": SILENT}

    def refused(*_: Any) -> None:
        raise TransientError("throttled")

    with monkeypatch.context() as patch:
        patch.setattr(functions, "send_off", refused)
        world.minute()
        world.minute()
    assert world.told == []
    world.minute()
    assert len(world.told) == 1


# --- What health checkers elsewhere say


def minutes_ago(minutes: float) -> str:
    return (dt.datetime.now(dt.UTC) - dt.timedelta(minutes=minutes)).isoformat(timespec="seconds")


def test_checkers_elsewhere_are_asked_once_a_minute_and_by_every_look_at_a_loss(world: World) -> None:
    world.configure(observer_health_check="check")
    world.observers = Observed(1, minutes_ago(1))
    world.minute()
    assert world.observations == 1
    assert [put["ObserversHealthy"] for put in world.put] == [1, 1, 1, 1]
    world.answers |= {"/health": SILENT}
    world.minute()
    # The first look of the minute, and all that follow on one that failed.
    assert world.observations == 4
    world.observers = Observed(0, minutes_ago(0.5))
    world.minute()
    seen = world.note("watch")
    assert (seen["observers"], seen["observed_at"]) == ("unhealthy", world.observers.at)


@pytest.mark.parametrize("silence", [None, TransientError("us-east-1 is lost"), OSError("x")])
def test_checkers_that_cannot_be_asked_take_nothing_back_and_grow_old(world: World, silence: Any) -> None:
    world.configure(observer_health_check="check")
    said = world.observers = Observed(1, minutes_ago(1))
    world.minute()
    world.observers = silence
    world.answers |= {"/health": SILENT}
    assert world.minute()["failed"] == 0
    assert (world.note("watch")["observers"], world.note("watch")["observed_at"]) == ("healthy", said.at)
    notes.write("dev-dr-state", "watch", world.note("watch") | {"observed_at": minutes_ago(6)}, world.aws("dynamodb"))
    world.minute()
    assert (world.note("watch")["observers"], world.note("watch")["observed_at"]) == ("unknown", "")


# --- Where the primary's door is


def test_the_door_is_asked_for_hourly_and_kept(world: World) -> None:
    world.door = Door("new.example", 443, "HTTPS", "Z2")
    world.minute()
    (parameter,) = world.aws("ssm").get_parameters(Names=["/dev/pilotlight/primary-door"])["Parameters"]
    assert json.loads(parameter["Value"]) == {
        "url": "https://new.example",
        "dns_name": "new.example",
        "hosted_zone_id": "Z2",
    }
    world.door = Door("newer.example", 443, "HTTPS", "Z3")
    world.minute()
    # Not yet an hour: it asks where it was told before.
    assert ("https://new.example", "/health") in world.asked
    (same,) = world.aws("ssm").get_parameters(Names=["/dev/pilotlight/primary-door"])["Parameters"]
    assert same["Version"] == parameter["Version"]


@pytest.mark.parametrize("away", [None, TransientError("lost")])
def test_while_the_primary_does_not_say_what_is_known_stands(world: World, away: Any) -> None:
    world.door = away
    world.minute()
    (parameter,) = world.aws("ssm").get_parameters(Names=["/dev/pilotlight/primary-door"])["Parameters"]
    assert json.loads(parameter["Value"]) == ENTRANCE
    assert world.note("probe")["door_at"] == ""


# --- While DR is active


def test_while_dr_is_active_the_primary_is_asked_once_whether_it_is_back(world: World) -> None:
    world.active(DR)
    world.minute()
    assert world.put == [{"ProbeBlind": 0, "PrimaryReady": 1}]
    assert world.asked == []
    watch = world.note("watch")
    assert (watch["region"], watch["failing_since"]) == (DR, "")
    assert "eu-west-1 answers again" in watch["detail"]


@pytest.mark.parametrize("what", ["database", "group"])
def test_a_primary_that_answers_in_part_is_not_back(world: World, what: str) -> None:
    world.active(DR)
    setattr(world, what, TransientError("lost"))
    world.minute()
    assert world.put == [{"ProbeBlind": 0, "PrimaryReady": 0}]


def test_what_was_seen_before_a_failover_is_not_carried_into_the_time_after(world: World) -> None:
    world.answers |= {"/health": SILENT}
    world.minute()
    assert world.note("probe")["failing_rounds"] == 4
    world.active(DR)
    world.minute()
    world.active(PRIMARY)
    world.answers |= {"/health": WELL}
    world.minute()
    assert world.note("watch")["failing_since"] == ""
    assert world.told == []


# --- This region's own troubles


def test_what_it_is_told_wrongly_is_named(world: World) -> None:
    world.configure(probes_per_minute="9")
    with pytest.raises(PreconditionFailed, match="probes-per-minute is '9'"):
        world.minute()


def test_without_a_door_it_says_what_to_do(world: World) -> None:
    world.aws("ssm").delete_parameter(Name="/dev/pilotlight/primary-door")
    with pytest.raises(PreconditionFailed, match="Deploy DR again"):
        world.minute()


def test_a_look_that_fails_here_is_followed_by_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    put, calls = metrics.put, []

    def throttled(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise TransientError("throttled")
        put(*arguments)

    monkeypatch.setattr(metrics, "put", throttled)
    assert world.minute() == {"looks": 4, "skipped": 0, "failed": 1}

    def refused(*_: Any) -> None:
        raise TransientError("refused")

    monkeypatch.setattr(metrics, "put", refused)
    with pytest.raises(TransientError, match="refused"):
        world.minute()


def test_two_at_once_lose_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes second sees the first one's note, and its own look is dropped."""
    world.answers |= {"/health": SILENT}
    put = metrics.put

    def overtaken(*arguments: Any) -> None:
        put(*arguments)
        with monkeypatch.context() as patch:
            patch.setattr(metrics, "put", put)
            patch.setattr(world.module.time, "sleep", lambda _: None)
            world.module.handler({"action": "watch"}, Context())

    monkeypatch.setattr(metrics, "put", overtaken)
    world.configure(probes_per_minute="1")
    world.minute()
    assert world.note("probe")["failing_rounds"] == 1
    assert world.note("watch")["failing_since"]


def test_parameter_store_may_be_away_once_it_was_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ReadTimeoutError

    def away(*_: Any) -> Any:
        raise ReadTimeoutError(endpoint_url="https://ssm")

    with monkeypatch.context() as patch:
        patch.setattr(world.module.parameters, "under", away)
        with pytest.raises(TransientError):
            world.minute()
    world.minute()
    monkeypatch.setattr(world.module.parameters, "under", away)
    assert world.minute()["failed"] == 0


# --- Health


def test_the_health_event_is_known_by_its_source(world: World) -> None:
    event = json.loads((ROOT / "events" / "probe-health.json").read_text())
    assert world.module.handler(event, Context()) == {"noted": True}
    assert world.module.handler(event, Context()) == {"noted": False}
    (noted,) = world.note("health")["events"]
    assert (noted["service"], noted["region"], noted["status"]) == ("EC2", PRIMARY, "open")
