"""Traffic: what is published, when in a switch, and what people are told of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from pilotlight.aws import clients
from pilotlight.aws.record import Store
from pilotlight.decide import failback, failover, tell, traffic
from pilotlight.model import as_json
from tests.unit.core.conftest import ROOT, Context, load
from tests.unit.core.samples import (
    DOOR,
    DR,
    EMPTY_GROUP,
    EXECUTION,
    HELD,
    IMAGE,
    NAMES,
    OFF,
    PRIMARY,
    REPLICA,
    SETTINGS,
    event,
    plan,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MACHINE: dict[str, Any] = json.loads((ROOT / "statemachine" / "failover.asl.json").read_text())
STATES: dict[str, Any] = MACHINE["States"]
MOVE = "Move the traffic"
ZONE = replace(SETTINGS, hosted_zone="Z1", application_host="app.example.com")
BY_ROUTE_53 = as_json(plan(traffic="route53", application_host="app.example.com"))
BY_TEAM = as_json(plan())


# --- When


def ways(state: Any) -> Iterator[tuple[str, str]]:
    """Every arrow out of a state: what it is taken for, and where it leads."""
    for key in ("Next", "Default"):
        if key in state:
            yield key, state[key]
    for choice in state.get("Choices", []):
        yield choice["Condition"], choice["Next"]
    for catch in state.get("Catch", []):
        yield "Catch", catch["Next"]


def reached(without: Callable[[str, str], bool]) -> set[str]:
    """What can be reached from the start when some arrows are cut."""
    found, left = {MACHINE["StartAt"]}, [MACHINE["StartAt"]]
    while left:
        name = left.pop()
        new = {there for why, there in ways(STATES[name]) if not without(name, why)} - found
        found |= new
        left += new
    return found


@pytest.mark.parametrize(
    ("state", "arrow"),
    [
        ("Take the lock", "Next"),
        ("Bring this region up", "Next"),
        ("Verify by a write and a read", "Next"),
        ("Does it serve?", "{% $states.input.done %}"),
        ("Record this region as active", "Next"),
    ],
)
def test_no_way_leads_to_the_traffic_but_through_the_proof_and_the_record(state: str, arrow: str) -> None:
    """Cut the one arrow that says 'it worked', and nothing moves: neither a failure nor a short cut leads there."""
    assert MOVE in reached(lambda _name, _why: False)
    assert MOVE not in reached(lambda name, why: (name, why) == (state, arrow))


def test_the_write_and_the_read_are_through_the_new_regions_own_load_balancer() -> None:
    verify = STATES["Verify by a write and a read"]["Arguments"]
    assert verify["FunctionName"] == "${VerifyFunctionArn}"
    assert verify["Payload"]["plan"] == "{% $plan %}"
    assert "plan.door, plan.verify_path" in (ROOT / "functions/verify/app.py").read_text()
    found = failover.plan(HELD, "dev", SETTINGS, REPLICA, IMAGE, EMPTY_GROUP, DOOR, (OFF,), NAMES)
    assert (found.door, found.target) == (DOOR.url, DR)


def test_it_is_moved_by_one_state_in_both_modes_and_directions() -> None:
    text = json.dumps(MACHINE)
    assert text.count("${TrafficFunctionArn}") == 1
    assert [name for name, state in STATES.items() if MOVE in {there for _, there in ways(state)}] == [
        "Record this region as active"
    ]
    # Whether it was planned, and where it went, is asked afterwards.
    assert {there for _, there in ways(STATES[MOVE])} == {"Was it planned?"}


def test_what_comes_after_it_takes_nothing_from_the_region_that_serves() -> None:
    left = [MOVE]
    after: set[str] = set()
    while left:
        after |= (new := {there for _, there in ways(STATES[left.pop()])} - after)
        left += new
    called = {STATES[name]["Arguments"]["FunctionName"] for name in after if STATES[name]["Type"] == "Task"}
    allowed = {"SourceFunctionArn", "ControlFunctionArn", "DatabaseFunctionArn", "NotifyFunctionArn"}
    assert called <= {f"${{{name}}}" for name in allowed}
    source = {STATES[name]["Arguments"]["Payload"]["action"] for name in after if "Source" in str(STATES[name])}
    assert source == {"stand_down"}


def test_a_number_that_cannot_be_put_fails_no_switch_and_is_told() -> None:
    state = STATES[MOVE]
    (catch,) = state["Catch"]
    assert (catch["ErrorEquals"], catch["Next"]) == (["States.ALL"], "Was it planned?")
    assert catch["Assign"]["traffic"]["published"] is False
    assert STATES["Release the lock"]["Arguments"]["Payload"]["traffic"] == "{% $traffic %}"
    assert STATES["This region is active"]["Output"]["traffic"] == "{% $traffic %}"
    (retry,) = state["Retry"]
    # Clients wait for what comes, not for this: a minute, then the function that runs every minute has had its turn.
    pauses = sum(min(retry["IntervalSeconds"] * 2**number, 8) for number in range(retry["MaxAttempts"]))
    assert state["TimeoutSeconds"] * (retry["MaxAttempts"] + 1) + pauses <= 90


# --- What is published


@pytest.mark.parametrize(("active", "value"), [(PRIMARY, 0.0), (DR, 1.0)])
@pytest.mark.parametrize("lock", ["free", "held", "failed"])
@pytest.mark.parametrize("target", ["", PRIMARY, DR])
def test_the_record_alone_says_where_traffic_goes(active: str, value: float, lock: Any, target: str) -> None:
    """A switch that is under way, or failed, moves nothing: until it has recorded the new region."""
    (measure,) = traffic.measures(replace(HELD, active_region=active, lock=lock, target=target), DR)
    assert (measure.name, measure.value, measure.fine) == (traffic.METRIC, value, False)


def values(aws: Any) -> list[float]:
    # One data point a minute: what was put within the same one is in its statistics.
    import datetime as dt

    now = dt.datetime.now(dt.UTC)
    points = aws("cloudwatch").get_metric_statistics(
        Namespace=traffic.NAMESPACE,
        MetricName=traffic.METRIC,
        Dimensions=[{"Name": "Environment", "Value": "dev"}],
        StartTime=now - dt.timedelta(minutes=5),
        EndTime=now + dt.timedelta(minutes=5),
        Period=60,
        Statistics=["Maximum", "SampleCount"],
    )["Datapoints"]
    return [max(point["Maximum"] for point in points), sum(point["SampleCount"] for point in points)] if points else []


def test_every_minute_and_at_once_the_same_is_put(aws: Any, state_table: str) -> None:
    store = Store(state_table, PRIMARY)
    handler = load("traffic").handler
    # Before anything was ever switched there is no record.
    assert handler({"action": "follow"}, Context()) == {"active_region": PRIMARY}
    assert values(aws) == [0, 1]
    assert store.replace(store.read(), replace(HELD, active_region=DR))
    assert handler(event("move", plan=BY_ROUTE_53), Context())["published"]
    assert handler(event("move", plan=BY_ROUTE_53), Context())["published"]
    assert handler({"action": "follow"}, Context()) == {"active_region": DR}
    assert values(aws) == [1, 4]


def test_a_step_of_a_switch_that_is_over_puts_nothing(aws: Any, state_table: str) -> None:
    store = Store(state_table, PRIMARY)
    assert store.replace(store.read(), replace(HELD, epoch=4, active_region=DR))
    with pytest.raises(Exception, match="it changed nothing"):
        load("traffic").handler(event("move"), Context())
    assert values(aws) == []


def test_it_needs_the_record_and_the_metric_and_nothing_else(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else of DR is broken, and whatever of the primary: it goes on."""
    asked: list[str] = []
    brisk = clients.brisk

    def only(service: str) -> Any:
        asked.append(service)
        return brisk(service)

    def never(*_: Any) -> Any:
        raise AssertionError("something else was asked")

    monkeypatch.setattr(clients, "brisk", only)
    for name in ("near", "far", "patient", "at"):
        monkeypatch.setattr(clients, name, never)
    load("traffic").handler({"action": "follow"}, Context())
    assert sorted(asked) == ["cloudwatch", "dynamodb"]


def test_a_record_that_cannot_be_read_publishes_nothing(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published last stands: a number that was made up could move everybody."""
    with pytest.raises(Exception, match="ResourceNotFound"):
        load("traffic").handler({"action": "follow"}, Context())
    assert values(aws) == []


def test_a_metric_that_cannot_be_put_is_tried_again(state_table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from pilotlight.errors import TransientError

    brisk = clients.brisk

    class Throttled:
        def put_metric_data(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "Throttling", "Message": ""}}, "PutMetricData")

    monkeypatch.setattr(clients, "brisk", lambda service: Throttled() if service == "cloudwatch" else brisk(service))
    store = Store(state_table, PRIMARY)
    assert store.replace(store.read(), replace(HELD, active_region=DR))
    with pytest.raises(TransientError):
        load("traffic").handler(event("move"), Context())


# --- What people are told


@pytest.mark.parametrize(("settings", "by"), [(SETTINGS, "team"), (ZONE, "route53")])
def test_the_plan_says_who_moves_the_traffic(settings: Any, by: str) -> None:
    found = failover.plan(HELD, "dev", settings, REPLICA, IMAGE, EMPTY_GROUP, DOOR, (OFF,), NAMES)
    assert found.traffic == by
    recorded = found.steps.index(f"record {DR} as active")
    assert ("app.example.com" in found.steps[recorded + 1]) == (by == "route53")
    assert ("has to switch itself" in found.steps[recorded + 1]) == (by == "team")
    assert found.steps.index("verify by a write and a read through the load balancer") < recorded


def told(planned: Any, answer: Any, mode: str = "ungraceful", target: str = DR) -> str:
    record = replace(HELD, active_region=target, target=target, mode=mode)
    result = {"database": {"drain": {"outcome": "applied"}}, "compute": {"healthy": 2}}
    payload = {"plan": planned, "result": result, "traffic": answer}
    assert tell.next_steps(record, payload, PRIMARY) in str(tell.succeeded(record, payload, PRIMARY)["message"])
    return str(tell.succeeded(record, payload, PRIMARY)["message"])


@pytest.mark.parametrize("mode", ["ungraceful", "graceful"])
def test_where_it_follows_by_itself_that_is_said_with_how_long_it_takes(mode: str) -> None:
    message = told(BY_ROUTE_53, traffic.moved(BY_ROUTE_53, replace(HELD, active_region=DR)), mode)
    assert "1. app.example.com follows to dev-alb.example in eu-central-1 by itself" in message
    assert "30 to 90 s" in message
    assert "within 60 s" in message
    assert "MOVE THE TRAFFIC" not in message


@pytest.mark.parametrize("mode", ["ungraceful", "graceful"])
@pytest.mark.parametrize("answer", [None, {"published": False, "error": "x"}, traffic.moved(BY_TEAM, HELD)])
def test_where_it_is_the_teams_the_name_the_address_and_the_ttl_are_said(mode: str, answer: Any) -> None:
    named = BY_TEAM | {"application_host": "app.example.com", "door": "https://dev-alb.example:8443"}
    message = told(named, answer and answer | {"says": ""}, mode)
    assert "1. MOVE THE TRAFFIC, nothing here does: point app.example.com to dev-alb.example, the load" in message
    assert "TTL of at most 60 s" in message
    assert "Traffic    NOT moved" in message


def test_what_could_not_be_published_is_said_with_what_goes_on_and_what_to_do() -> None:
    message = told(BY_ROUTE_53, {"published": False, "by": "route53", "error": "TransientError: Throttling"})
    for part in (
        "THE TRAFFIC MAY NOT HAVE MOVED YET",
        "TransientError: Throttling",
        "dev-dr-traffic tries again every minute",
        "docs/traffic.md",
        "perhaps NOT moved",
    ):
        assert part in message
    assert "did not answer" in told(BY_ROUTE_53, None)


def test_a_step_of_the_teams_own_says_its_own_words() -> None:
    """A function that turns a routing control stands in this one's place."""
    answer = {"published": True, "by": "routing control", "says": "the routing control dr is on"}
    assert "1. the routing control dr is on.\n2." in told(BY_TEAM | {"traffic": "route53"}, answer)


def test_a_failback_says_the_same_as_its_switch() -> None:
    planned = failback.plan(failback.Wish(), "switch", EXECUTION, "dev", PRIMARY, DR, 20)
    home = BY_ROUTE_53 | {"target": PRIMARY, "source": DR}
    answer = traffic.moved(home, replace(HELD, active_region=PRIMARY, target=PRIMARY))
    switched = {"outcome": "switched-over", "plan": home, "traffic": answer}
    said = failback.succeeded(planned, {"primary": None, "switchover": switched, "dr": None})
    assert "1. app.example.com follows to dev-alb.example in eu-west-1 by itself" in said["next"]
    before = failback.succeeded(planned, {"primary": None, "switchover": None, "dr": None})
    assert "See that the application's name leads to eu-west-1's load balancer" in before["next"]


def test_a_failed_switch_says_whether_traffic_follows() -> None:
    assert "traffic was not moved" in tell.way_on(HELD, "dev")
    assert f"traffic follows to {DR}" in tell.way_on(replace(HELD, active_region=DR), "dev")
