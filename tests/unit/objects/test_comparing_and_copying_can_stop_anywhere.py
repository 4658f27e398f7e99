"""In calls of any length, killed anywhere, with a region that turns: the same end, and nothing is written over."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest

from pilotlight.aws import notes
from pilotlight.aws.record import Store
from pilotlight.errors import FatalError, PilotLightError, PreconditionFailed
from pilotlight.model import Record
from tests.unit.core.conftest import Context, load
from tests.unit.objects.buckets import ACTIVE, RETURNED, Buckets

if TYPE_CHECKING:
    from types import ModuleType

    from pilotlight.model import Json

NOW = dt.datetime(2026, 11, 23, 2, 30, tzinfo=dt.UTC)
BEFORE, AFTER = "2026-11-23T00:59:00+00:00", "2026-11-23T01:20:00+00:00"
RECORD = Record(
    active_region="eu-central-1",
    epoch=8,
    lock="free",
    holder="arn:aws:states:eu-central-1:123456789012:execution:dev-dr-reprotect:one",
    taken_at="2026-11-23T02:00:00+00:00",
    source="eu-central-1",
    target="eu-west-1",
    mode="reprotect",
    since=7,
)
SWITCH = {
    "region": "eu-west-1",
    "target": "eu-central-1",
    "epoch": 7,
    "at": "2026-11-23T01:00:00+00:00",
    "measured_at": "2026-11-23T00:58:00+00:00",
}


@pytest.fixture
def buckets() -> Buckets:
    made = Buckets()
    for number in range(7):
        made.write(RETURNED, f"alone-{number}", BEFORE, "FAILED")
    for side in (ACTIVE, RETURNED):
        made.write(side, "both", "2026-11-22T00:00:00+00:00", "COMPLETED", version="common")
    made.write(RETURNED, "both", AFTER, "FAILED")
    made.write(ACTIVE, "both", AFTER, "PENDING")
    return made


@pytest.fixture
def app(aws: Any, state_table: str, buckets: Buckets, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name, value in {"objects-grace-seconds": "900", "objects-budget-seconds": "3600"}.items():
        aws("ssm").put_parameter(Name=f"/dev/pilotlight/config/{name}", Value=value, Type="String")
    assert Store(state_table, "eu-west-1").replace(Record(active_region="eu-west-1"), RECORD)
    notes.write(state_table, "objects-switch", SWITCH)
    module = load("objects")
    monkeypatch.setattr(module, "objects", buckets)
    monkeypatch.setattr(module, "evidence", buckets)
    monkeypatch.setattr(module, "_now", lambda: NOW)
    return module


class Hurry(Context):
    """Lambda with time for one batch a call."""

    def get_remaining_time_in_millis(self) -> int:
        return 1_000


class Ample(Context):
    def get_remaining_time_in_millis(self) -> int:
        return 240_000


def through(app: ModuleType, context: Context, calls: int = 50) -> Json:
    """Ask as the state machine does."""
    payload: Json = {"action": "compare", "epoch": 8, "run": "one", "progress": {}}
    for _ in range(calls):
        answer: Json = json.loads(json.dumps(app.handler(payload, context)))
        if payload["action"] == "copy" and (answer["done"] or answer["wait"]):
            return answer
        payload |= {"progress": answer["progress"]} | ({"action": "copy"} if answer["done"] else {})
    raise AssertionError("it does not come to an end")


def test_it_lists_what_both_wrote_and_copies_what_one_has_alone(app: ModuleType, buckets: Buckets) -> None:
    answer = through(app, Ample())
    assert answer["objects"]["counts"] == {"never crossed": 7, "written on both sides": 1}
    assert answer["objects"]["outcomes"] == {"copied": 7}
    assert sorted(buckets.copied) == [f"alone-{number}" for number in range(7)]
    assert answer["objects"]["done"]
    assert notes.read("dev-dr-state", "objects-return")["told"] == answer["objects"]["told"]
    assert "8 keys compared; 1 written on both sides" in answer["objects"]["told"]


def test_in_calls_of_one_batch_the_end_is_the_same(
    app: ModuleType, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_KEYS_AT_ONCE", 3)
    monkeypatch.setattr(app, "_COPIES_AT_ONCE", 2)
    payload: Json = {"action": "compare", "epoch": 8, "run": "one", "progress": {}}
    calls = 0
    while not (answer := app.handler(payload, Hurry()))["done"]:
        payload |= {"progress": answer["progress"]}
        calls += 1
    assert calls == 3
    assert answer["objects"]["counts"] == {"never crossed": 7, "written on both sides": 1}
    assert {line["key"] for line in buckets.found()} == {"both", *(f"alone-{number}" for number in range(7))}
    payload |= {"action": "copy", "progress": answer["progress"]}
    monkeypatch.setattr(app, "_SPARE_MILLISECONDS", 0)
    assert app.handler(payload, Hurry())["objects"]["outcomes"] == {"copied": 7}


def test_killed_in_the_middle_of_copying_it_copies_nothing_twice(app: ModuleType, buckets: Buckets) -> None:
    buckets.dies_after = 3
    with pytest.raises(PilotLightError):
        through(app, Ample())
    assert len(buckets.copied) == 3
    buckets.dies_after = None
    answer = through(app, Ample())
    assert len(buckets.copied) == len(set(buckets.copied)) == 7
    # The second run finds three crossed already: each a copy that says where it came from.
    assert answer["objects"]["counts"]["never crossed"] == 4
    assert answer["objects"]["counts"]["written on both sides"] == 1


def test_the_same_call_repeated_counts_its_own_copies_as_copied(app: ModuleType, buckets: Buckets) -> None:
    compared = app.handler({"action": "compare", "epoch": 8, "run": "one", "progress": {}}, Ample())
    payload = {"action": "copy", "epoch": 8, "run": "one", "progress": compared["progress"]}
    buckets.dies_after = 3
    with pytest.raises(PilotLightError):
        app.handler(json.loads(json.dumps(payload)), Ample())
    buckets.dies_after = None
    assert app.handler(json.loads(json.dumps(payload)), Ample())["objects"]["outcomes"] == {"copied": 7}
    assert len(buckets.copied) == 7


def test_what_was_written_meanwhile_stays(app: ModuleType, buckets: Buckets) -> None:
    compared = app.handler({"action": "compare", "epoch": 8, "run": "one", "progress": {}}, Ample())
    theirs = buckets.write(ACTIVE, "alone-3", "2026-11-23T02:29:00+00:00", "PENDING")
    payload = {"action": "copy", "epoch": 8, "run": "one", "progress": compared["progress"]}
    outcomes = app.handler(payload, Ample())["objects"]["outcomes"]
    assert outcomes == {"copied": 6, "the key is there by now": 1}
    assert buckets.current(ACTIVE, "alone-3", None) == theirs


def test_what_is_pending_is_left_to_s3_until_its_grace_is_over(
    app: ModuleType, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_now", lambda: dt.datetime(2026, 11, 23, 2, 5, tzinfo=dt.UTC))
    buckets.settle(RETURNED, "alone-1", "PENDING")
    buckets.settle(RETURNED, "alone-2", "PENDING")
    answer = through(app, Ample())
    assert (answer["done"], answer["wait"]) == (False, True)
    assert "alone-1" not in buckets.copied
    buckets.settle(RETURNED, "alone-1", "COMPLETED")
    monkeypatch.setattr(app, "_now", lambda: dt.datetime(2026, 11, 23, 2, 16, tzinfo=dt.UTC))
    answer = app.handler({"action": "copy", "epoch": 8, "run": "one", "progress": answer["progress"]}, Ample())
    assert answer["objects"]["outcomes"] == {"copied": 6, "crossed by itself": 1}
    assert len(buckets.copied) == len(set(buckets.copied)) == 6


def test_one_that_cannot_be_copied_keeps_no_other_from_it(app: ModuleType, buckets: Buckets) -> None:
    buckets.refused.add("alone-0")
    assert through(app, Ample())["objects"]["outcomes"] == {"copied": 6, "failed (AccessDenied)": 1}


def test_when_another_switch_has_begun_it_stops_and_says_so(app: ModuleType, buckets: Buckets) -> None:
    compared = app.handler({"action": "compare", "epoch": 8, "run": "one", "progress": {}}, Ample())
    assert Store("dev-dr-state", "eu-west-1").replace(
        RECORD, Record(**{**{name: getattr(RECORD, name) for name in Record.__slots__}, "epoch": 9, "lock": "held"})
    )
    payload = {"action": "copy", "epoch": 8, "run": "one", "progress": compared["progress"]}
    answer = app.handler(payload, Ample())
    assert (answer["done"], answer["objects"]["done"]) == (True, False)
    assert answer["objects"]["detail"] == "another switch has begun (epoch 9)"
    assert buckets.copied == []
    with pytest.raises(PreconditionFailed, match="Nothing was changed"):
        app.handler({"action": "compare", "run": "by-hand", "progress": {}}, Ample())


def test_it_ends_with_its_budget_and_says_how_to_go_on(
    app: ModuleType, buckets: Buckets, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = app.handler({"action": "compare", "epoch": 8, "run": "one", "progress": {}}, Ample())
    monkeypatch.setattr(app, "_now", lambda: NOW + dt.timedelta(seconds=3601))
    answer = app.handler({"action": "copy", "epoch": 8, "run": "one", "progress": compared["progress"]}, Ample())
    assert answer["done"]
    assert "not finished: make objects ENVIRONMENT=dev DR_REGION=eu-central-1 goes on" in answer["objects"]["told"]
    assert buckets.copied == []


def test_a_limit_that_is_no_number_is_named(app: ModuleType, aws: Any) -> None:
    name = "/dev/pilotlight/config/objects-grace-seconds"
    aws("ssm").put_parameter(Name=name, Value="soon", Type="String", Overwrite=True)
    with pytest.raises(PreconditionFailed, match=name):
        app.handler({"action": "compare", "run": "one", "progress": {}}, Ample())


def test_an_action_it_does_not_know_is_refused(app: ModuleType) -> None:
    with pytest.raises(FatalError):
        app.handler({"action": "delete"}, Ample())
