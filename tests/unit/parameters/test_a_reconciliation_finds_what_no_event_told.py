from __future__ import annotations

import io
import json
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from pilotlight.aws import clients, parameter_store
from pilotlight.decide.parameters import MARK
from pilotlight.errors import PreconditionFailed
from scripts import sync
from tests.unit.core.conftest import DR, PRIMARY, ROOT
from tests.unit.parameters.regions import record

if TYPE_CHECKING:
    from tests.unit.parameters.regions import Regions

WRITING = ("Put", "Delete", "Add", "Remove", "Label", "Unlabel")


def written(two: Regions) -> Counter[str]:
    return Counter(
        {operation: n for (region, operation), n in two.calls.items() if operation.startswith(WRITING) and region == DR}
    )


def fill(two: Regions, count: int) -> None:
    for number in range(count):
        two.put(f"/dev/app/{number:03}", "v")


def test_it_writes_only_what_differs_and_counts_it(two: Regions) -> None:
    fill(two, 30)
    assert two.reconcile()["created"] == 30
    two.calls.clear()
    two.put("/dev/app/001", "changed")
    two.put("/dev/app/new", "v")
    two.ssm().delete_parameter(Name="/dev/app/002")
    two.put("/dev/app/theirs", "v", DR)
    answer = two.reconcile()
    assert {key: answer[key] for key in ("compared", "created", "updated", "deleted", "failed", "kept")} == {
        "compared": 32,
        "created": 1,
        "updated": 1,
        "deleted": 1,
        "failed": 0,
        "kept": 1,
    }
    assert written(two) == {"PutParameter": 2, "DeleteParameters": 1}
    two.calls.clear()
    two.reconcile()
    assert written(two) == {}


def test_one_that_is_made_again_while_its_copy_is_deleted_has_a_copy_again(
    two: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.put("/dev/app/x", "old")
    two.reconcile()
    two.ssm().delete_parameter(Name="/dev/app/x")
    delete = parameter_store.delete

    def too_late(names: Any, client: Any) -> None:
        # Its event is heard before the deletion, and finds the copy as it should be.
        two.put("/dev/app/x", "old")
        assert two.send("/dev/app/x")["batchItemFailures"] == []
        delete(names, client)

    monkeypatch.setattr(parameter_store, "delete", too_late)
    answer = two.reconcile()
    assert (answer["deleted"], answer["created"], answer["failed"]) == (1, 1, 0)
    assert two.value("/dev/app/x") == "old"


def test_a_dry_run_names_the_differences_and_writes_nothing(two: Regions) -> None:
    fill(two, 3)
    two.reconcile()
    two.put("/dev/app/001", "hush", Description="new")
    two.put("/dev/app/new", "hush")
    two.ssm().delete_parameter(Name="/dev/app/002")
    two.ssm().label_parameter_version(Name="/dev/app/000", Labels=["stable"])
    two.calls.clear()
    answer = two.reconcile(dry_run=True)
    assert answer["differences"] == [
        {"name": "/dev/app/000", "do": "label", "differs": ["labels"]},
        {"name": "/dev/app/001", "do": "update", "differs": ["value", "description"]},
        {"name": "/dev/app/002", "do": "delete", "differs": ["deleted"]},
        {"name": "/dev/app/new", "do": "create", "differs": ["missing"]},
    ]
    assert written(two) == {}
    told = "\n".join(sync.lines(answer))
    assert "update   /dev/app/001  (value, description)" in told
    assert "hush" not in told


def test_out_of_time_it_says_where_it_stopped_and_goes_on_from_there(two: Regions, monkeypatch: Any) -> None:
    fill(two, 5)
    clock = iter([600_000, 600_000, 0])
    monkeypatch.setattr("tests.unit.core.conftest.Context.get_remaining_time_in_millis", lambda _: next(clock))
    monkeypatch.setattr(two, "remaining", None)
    first = two.reconcile()
    assert (first["done"], first["after"], first["created"]) == (False, "/dev/app/001", 2)
    monkeypatch.setattr(two, "remaining", 600_000)
    second = two.reconcile(after=first["after"], labels=first["labels"])
    assert (second["done"], second["created"]) == (True, 3)


def test_what_nobody_waits_for_goes_on_by_itself(two: Regions, monkeypatch: Any) -> None:
    fill(two, 2)
    sent: list[Any] = []
    monkeypatch.setattr("pilotlight.aws.functions.send_off", lambda name, payload, client: sent.append((name, payload)))
    monkeypatch.setattr(two, "remaining", 0)
    two.invoke({"action": "reconcile"})
    assert sent == [("dev-dr-test", {"action": "reconcile", "after": "", "labels": True})]


def test_one_that_cannot_be_written_holds_no_other_back(two: Regions) -> None:
    two.put("/dev/app/a", "v")
    two.put("/dev/app/b", "v", DR, Type="SecureString")
    two.put("/dev/app/b", "v")
    two.put("/dev/app/c", "v")
    answer = two.reconcile()
    assert (answer["created"], answer["failed"]) == (2, 1)
    assert answer["failures"][0]["name"] == "/dev/app/b"
    assert "by hand" in answer["failures"][0]["reason"]
    # Nobody waits for it: then it fails, and lands in the dead-letter queue.
    with pytest.raises(PreconditionFailed, match=r"1 of 3 parameters were not carried.*/dev/app/b"):
        two.invoke({"action": "reconcile"})


def test_a_message_that_failed_heals_when_it_is_redriven(two: Regions, monkeypatch: Any) -> None:
    """An event, and reconciliations as Lambda and EventBridge put them into the queue."""
    two.put("/dev/app/a", "v")
    two.put("/dev/app/b", "v")
    events = {
        "Records": [
            record("/dev/app/a", PRIMARY, 1),
            {"messageId": "2", "body": '{"action": "reconcile", "labels": true}'},
            {"messageId": "3", "body": '{"detail-type": "Scheduled Event", "detail": {}}'},
            record("/dev/pilotlight/active-region", PRIMARY, 4),
        ]
    }
    with monkeypatch.context() as broken:
        broken.setattr(parameter_store, "create", refused)
        failed = two.invoke(events)["batchItemFailures"]
        assert [one["itemIdentifier"] for one in failed] == ["message-1", "2", "3", "message-4"]
    assert two.invoke(events)["batchItemFailures"] == []
    assert (two.value("/dev/app/a"), two.value("/dev/app/b")) == ("v", "v")


def test_many_comparisons_in_one_batch_are_one(two: Regions) -> None:
    """What a bad night left in the dead letters is ten a call, and each would list everything."""
    fill(two, 3)
    hourly = [{"messageId": str(number), "body": '{"action": "reconcile"}'} for number in range(6)]
    weekly = [{"messageId": f"w{number}", "body": '{"action": "reconcile", "labels": true}'} for number in range(3)]
    assert two.invoke({"Records": [*hourly, *weekly]})["batchItemFailures"] == []
    assert two.calls[(DR, "GetResources")] == 2
    assert two.value("/dev/app/000") == "v"


def test_one_comparison_that_failed_fails_for_all_that_asked_for_it(two: Regions, monkeypatch: Any) -> None:
    two.put("/dev/app/a", "v")
    monkeypatch.setattr(parameter_store, "create", refused)
    hourly = [{"messageId": str(number), "body": '{"action": "reconcile"}'} for number in range(2)]
    failed = two.invoke({"Records": hourly})["batchItemFailures"]
    assert [one["itemIdentifier"] for one in failed] == ["0", "1"]


def refused(parameter: Any, client: Any) -> Any:
    with parameter_store._without_values("creating", parameter.name):
        raise ClientError(
            {"Error": {"Code": "ValidationException", "Message": f"{parameter.value!r} is too long"}}, "PutParameter"
        )


def test_no_value_is_ever_told(two: Regions, monkeypatch: Any, caplog: Any) -> None:
    written = io.StringIO()
    for handler in logging.getLogger("parameter-sync").handlers:
        if isinstance(handler, logging.StreamHandler):
            monkeypatch.setattr(handler, "stream", written)
    two.put("/dev/app/a", "hush-1", Type="SecureString")
    two.put("/dev/app/b", "hush-2")
    two.put("/dev/app/c", "hush-3", DR, Type="StringList")
    two.put("/dev/app/c", "hush-4")
    answers = [two.reconcile(dry_run=True)]
    with monkeypatch.context() as broken:
        broken.setattr(parameter_store, "create", refused)
        answers += [two.reconcile(), two.send("/dev/app/a", "/dev/app/b", "/dev/app/c")]
        with pytest.raises(PreconditionFailed) as told:
            two.invoke({"action": "reconcile"})
    answers += [two.reconcile(), two.send("/dev/app/a", "/dev/app/b")]
    assert "creating /dev/app/a: ValidationException" in written.getvalue()
    assert "hush" not in json.dumps(answers) + str(told.value) + written.getvalue() + caplog.text
    assert "hush" not in repr(parameter_store.read("/dev/app/a", two.ssm()))


def test_a_copy_that_changed_since_it_was_listed_is_looked_at_afresh(two: Regions, monkeypatch: Any) -> None:
    """An event's call was quicker than the comparison, and knew something newer."""
    two.configure(sync_paths="/more")
    two.put("/dev/app/x", "v1")
    two.reconcile()
    two.put("/dev/app/x", "v2")
    listed = parameter_store.listed

    def then_an_event(paths: Any, client: Any, *more: Any) -> Any:
        found = listed(paths, client, *more)
        if client.meta.region_name == DR:
            two.put("/dev/app/x", "v3")
            two.put("/dev/app/x", "v3", DR)
        return found

    monkeypatch.setattr(parameter_store, "listed", then_an_event)
    two.reconcile(labels=False)
    assert two.value("/dev/app/x") == "v3"


def test_the_last_to_write_sees_the_newest(two: Regions, monkeypatch: Any) -> None:
    """Two events of one parameter at once: the slower one has read the older value."""
    two.put("/dev/app/x", "v1")
    create = parameter_store.create
    turns = iter(["v2"])

    def meanwhile(parameter: Any, client: Any) -> bool:
        for value in turns:
            two.put("/dev/app/x", value)
            two.send("/dev/app/x")
        return create(parameter, client)

    monkeypatch.setattr(parameter_store, "create", meanwhile)
    two.send("/dev/app/x")
    assert two.value("/dev/app/x") == "v2"


def test_a_deletion_that_is_overtaken_by_a_new_one_of_that_name_is_made_good(two: Regions, monkeypatch: Any) -> None:
    """The slower of two events saw the parameter gone; the quicker one saw it come back."""
    two.put("/dev/app/x", "v1")
    two.send("/dev/app/x")
    two.ssm().delete_parameter(Name="/dev/app/x")
    delete = parameter_store.delete
    turns = iter(["v2"])

    def meanwhile(names: Any, client: Any) -> None:
        for value in turns:
            two.put("/dev/app/x", value)
            two.send("/dev/app/x")
        delete(names, client)

    monkeypatch.setattr(parameter_store, "delete", meanwhile)
    two.send("/dev/app/x")
    assert two.value("/dev/app/x") == "v2"


def test_a_source_that_is_back_is_not_deleted_on_the_other_side(two: Regions, monkeypatch: Any) -> None:
    two.put("/dev/app/x", "v")
    two.reconcile()
    two.ssm().delete_parameter(Name="/dev/app/x")
    existing = parameter_store.existing

    def back(names: Any, client: Any) -> set[str]:
        two.put("/dev/app/x", "v")
        return existing(names, client)

    monkeypatch.setattr(parameter_store, "existing", back)
    two.reconcile()
    assert two.value("/dev/app/x") == "v"


def test_a_mark_that_was_taken_off_counts_before_a_listing_knows_it(two: Regions, monkeypatch: Any) -> None:
    """Tags of a whole region are listed some time after they changed."""
    fill(two, 2)
    two.reconcile()
    stale = parameter_store._tags(clients.steady("resourcegroupstaggingapi", DR))
    monkeypatch.setattr(parameter_store, "_tags", lambda _: stale)
    two.ssm(DR).remove_tags_from_resource(ResourceType="Parameter", ResourceId="/dev/app/000", TagKeys=[MARK])
    for name in ("/dev/app/000", "/dev/app/001"):
        two.ssm().delete_parameter(Name=name)
    answer = two.reconcile()
    assert (answer["deleted"], answer["kept"], answer["failed"]) == (1, 1, 0)
    assert (two.value("/dev/app/000"), two.value("/dev/app/001")) == ("v", None)


def test_one_of_another_type_takes_no_place_that_is_not_ours_any_more(two: Regions, monkeypatch: Any) -> None:
    fill(two, 1)
    two.reconcile()
    stale = parameter_store._tags(clients.steady("resourcegroupstaggingapi", DR))
    monkeypatch.setattr(parameter_store, "_tags", lambda _: stale)
    two.ssm(DR).remove_tags_from_resource(ResourceType="Parameter", ResourceId="/dev/app/000", TagKeys=[MARK])
    two.ssm().delete_parameter(Name="/dev/app/000")
    two.put("/dev/app/000", "v", Type="SecureString")
    answer = two.reconcile(labels=False)
    assert (answer["replaced"], answer["failed"]) == (0, 1)
    assert two.get("/dev/app/000")["Type"] == "String"


class Slow:
    """A clock on which each writing takes a while."""

    def __init__(self, monkeypatch: Any, operation: str, seconds: float) -> None:
        self.now = 0.0
        real = getattr(parameter_store, operation)

        def slowly(*args: Any, **more: Any) -> Any:
            self.now += seconds
            return real(*args, **more)

        monkeypatch.setattr(parameter_store, operation, slowly)
        monkeypatch.setattr("functions.parameter_sync.app.time.monotonic", lambda: self.now)


@pytest.mark.parametrize(("seconds", "carried"), [(6.0, 2), (11.0, 1), (0.1, 4)])
def test_events_of_a_batch_are_carried_on_an_answer_of_ten_seconds_at_most(
    two: Regions, monkeypatch: Any, seconds: float, carried: int
) -> None:
    fill(two, 4)
    Slow(monkeypatch, "create", seconds)
    create = parameter_store.create

    def then_a_switch(parameter: Any, client: Any) -> bool:
        done = create(parameter, client)
        two.record(DR)
        return bool(done)

    monkeypatch.setattr(parameter_store, "create", then_a_switch)
    answer = two.send(*(f"/dev/app/{number:03}" for number in range(4)))
    assert (answer.get("created"), answer.get("left", 0)) == (carried, 4 - carried)
    # The region that is active now compares; nothing of this one's comes back.
    assert answer["batchItemFailures"] == []


def test_deletions_are_not_carried_on_an_older_answer_either(two: Regions, monkeypatch: Any) -> None:
    fill(two, 25)
    two.reconcile()
    for number in range(25):
        two.ssm().delete_parameter(Name=f"/dev/app/{number:03}")
    Slow(monkeypatch, "delete", 11.0)
    delete = parameter_store.delete

    def then_a_switch(names: Any, client: Any) -> None:
        delete(names, client)
        two.record(DR)

    monkeypatch.setattr(parameter_store, "delete", then_a_switch)
    assert two.reconcile()["outcome"] == "standing by"
    assert len([number for number in range(25) if two.value(f"/dev/app/{number:03}")]) == 15


def test_a_switch_in_the_meantime_ends_it(two: Regions, monkeypatch: Any) -> None:
    fill(two, 2)
    listed = parameter_store.listed

    def then_a_switch(paths: Any, client: Any, *more: Any) -> Any:
        found = listed(paths, client, *more)
        if client.meta.region_name == DR:
            two.record(DR)
        return found

    monkeypatch.setattr(parameter_store, "listed", then_a_switch)
    assert two.reconcile()["outcome"] == "standing by"
    assert two.value("/dev/app/000") is None


def test_throttling_slows_it_down_and_is_no_failure() -> None:
    config = clients.steady("ssm", PRIMARY).meta.config
    assert config.retries["mode"] == "adaptive"
    assert config.retries["total_max_attempts"] >= 5


@pytest.mark.parametrize("name", ["carry", "reconcile"])
def test_a_sample_event_is_understood(two: Regions, name: str) -> None:
    two.put("/dev/app/greeting", "hello")
    answer = two.invoke(json.loads((ROOT / "events" / f"parameter_sync-{name}.json").read_text()))
    assert answer["created"] == 1
    assert MARK in two.get("/dev/app/greeting")["Tags"] if name == "carry" else two.value("/dev/app/greeting") is None


def test_a_wrong_setting_is_named(two: Regions) -> None:
    two.configure(sync_rewrite='{"/dev/app/x": "v"}')
    with pytest.raises(PreconditionFailed, match="sync-rewrite is not of the form"):
        two.reconcile()
    two.configure(sync_rewrite="-", sync_exclude="dev/x")
    with pytest.raises(PreconditionFailed, match="sync-exclude has 'dev/x'"):
        two.reconcile()
