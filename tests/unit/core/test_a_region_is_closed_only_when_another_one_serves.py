"""The sentinel's decision as a table, and what holds for every record there can be."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotlight.decide import sentinel
from pilotlight.model import Capacity, Database, Doors, Function, Group, Record, Trigger
from tests.unit.core.samples import DR, EMPTY_GROUP, OFF, ON, PRIMARY, PROMOTED, REPLICA, UP_GROUP

DOORS = Doors(open="sg-open", closed="sg-closed")
OLD = dataclasses.replace(PROMOTED, security_groups=("sg-open",))
NOTED = "2026-11-23T01:28:13+00:00"


def record(
    active: str, lock: Any = "free", target: str = "", mode: str = "", promotion: str = "", **more: Any
) -> Record:
    return Record(
        active_region=active, epoch=5, lock=lock, target=target, mode=mode, promotion=promotion, since=4, **more
    )


TABLE = [
    # At rest.
    ("nobody ever switched", PRIMARY, Record(active_region=PRIMARY), "active"),
    ("nobody ever switched", DR, Record(active_region=PRIMARY), "closed"),
    ("after a failover", PRIMARY, record(DR), "closed"),
    ("after a failover", DR, record(DR), "active"),
    ("after a failback", PRIMARY, record(PRIMARY), "active"),
    ("after a failback", DR, record(PRIMARY), "closed"),
    # An unplanned failover, step by step.
    ("it has begun", PRIMARY, record(PRIMARY, "held", DR, "ungraceful"), "active"),
    ("it has begun", DR, record(PRIMARY, "held", DR, "ungraceful"), "brought up"),
    ("it promotes", PRIMARY, record(PRIMARY, "held", DR, "ungraceful", NOTED), "closed"),
    ("it promotes", DR, record(PRIMARY, "held", DR, "ungraceful", NOTED), "brought up"),
    ("it is recorded, and not over", PRIMARY, record(DR, "held", DR, "ungraceful", NOTED), "closed"),
    ("it is recorded, and not over", DR, record(DR, "held", DR, "ungraceful", NOTED), "active"),
    # One that failed. Somebody has to serve.
    ("it failed before the note", PRIMARY, record(PRIMARY, "failed", DR, "ungraceful"), "active"),
    ("it failed before the note", DR, record(PRIMARY, "failed", DR, "ungraceful"), "brought up"),
    ("it failed after the note", PRIMARY, record(PRIMARY, "failed", DR, "ungraceful", NOTED), "closed"),
    ("it failed after the note", DR, record(PRIMARY, "failed", DR, "ungraceful", NOTED), "brought up"),
    # A planned switch home: DR is left.
    ("it freezes", DR, record(DR, "held", PRIMARY, "graceful"), "active"),
    ("it freezes", PRIMARY, record(DR, "held", PRIMARY, "graceful"), "closed"),
    ("it promotes", DR, record(DR, "held", PRIMARY, "graceful", NOTED), "closed"),
    ("it promotes", PRIMARY, record(DR, "held", PRIMARY, "graceful", NOTED), "brought up"),
    ("it was called off", DR, record(DR, "failed", PRIMARY, "graceful"), "active"),
    # Asked for while the primary was lost, it failed; and then the primary returns as it was.
    ("it was called off", PRIMARY, record(DR, "failed", PRIMARY, "graceful"), "closed"),
    ("it failed after the note", DR, record(DR, "failed", PRIMARY, "graceful", NOTED), "closed"),
    ("it failed after the note", PRIMARY, record(DR, "failed", PRIMARY, "graceful", NOTED), "brought up"),
    # The primary is lost in the middle of it: DR serves again.
    ("DR takes over from it", DR, record(DR, "held", DR, "ungraceful"), "active"),
    ("DR takes over from it", PRIMARY, record(DR, "held", DR, "ungraceful"), "closed"),
    # A standby is built.
    ("it is built", PRIMARY, record(DR, "held", PRIMARY, "reprotect"), "closed"),
    ("it is built", DR, record(DR, "held", PRIMARY, "reprotect"), "active"),
    ("it could not be built", PRIMARY, record(DR, "failed", PRIMARY, "reprotect"), "closed"),
    ("it could not be built", DR, record(DR, "failed", PRIMARY, "reprotect"), "active"),
]


@pytest.mark.parametrize(("moment", "region", "said", "outcome"), TABLE)
def test_a_region_is_closed_when_another_one_may_write(moment: str, region: str, said: Record, outcome: str) -> None:
    verdict = sentinel.judge(said, region)
    assert verdict.outcome == outcome, (moment, verdict.why)
    assert verdict.why
    assert verdict.closed == (outcome == "closed")


def test_whoever_builds_a_standby_is_not_disturbed() -> None:
    assert sentinel.judge(record(DR, "held", PRIMARY, "reprotect"), PRIMARY).worked_on
    assert sentinel.judge(record(DR, "held", PRIMARY, "graceful"), PRIMARY).worked_on
    assert not sentinel.judge(record(DR, "failed", PRIMARY, "reprotect"), PRIMARY).worked_on
    assert not sentinel.judge(record(DR), PRIMARY).worked_on


RECORDS = st.builds(
    Record,
    active_region=st.sampled_from([PRIMARY, DR]),
    epoch=st.integers(0, 9),
    lock=st.sampled_from(["free", "held", "failed"]),
    source=st.sampled_from(["", PRIMARY, DR]),
    target=st.sampled_from(["", PRIMARY, DR]),
    mode=st.sampled_from(["", "ungraceful", "graceful", "reprotect"]),
    promotion=st.sampled_from(["", NOTED]),
    since=st.integers(0, 9),
)
FUNCTIONS = st.builds(
    Function,
    name=st.just("f"),
    reserved_concurrency=st.sampled_from([None, 0, 5]),
    triggers=st.lists(
        st.builds(
            Trigger,
            identifier=st.uuids().map(str),
            state=st.sampled_from(["Enabled", "Disabled", "Enabling", "Disabling", "Creating", "Updating"]),
        ),
        max_size=3,
    ).map(tuple),
)
DATABASES = st.builds(
    Database,
    identifier=st.just("dev-db"),
    status=st.sampled_from(["available", "creating", "modifying", "backing-up", "stopped", "rebooting"]),
    source=st.sampled_from(["", "arn:of-another"]),
    replication=st.sampled_from(["", "replicating", "error"]),
    security_groups=st.sampled_from([("sg-open",), ("sg-closed",), ("sg-open", "sg-closed"), ("sg-else",), ()]),
)


@given(RECORDS)
def test_the_active_region_is_closed_only_by_a_noted_promotion_of_the_other(said: Record) -> None:
    if sentinel.judge(said, said.active_region).closed:
        assert said.promotion
        assert said.target not in ("", said.active_region)
        assert said.lock != "free"
        assert said.mode != "reprotect"


@given(RECORDS)
def test_at_most_one_region_serves_once_a_promotion_is_noted(said: Record) -> None:
    """Of the two, one is closed as soon as there may be two writers."""
    verdicts = {region: sentinel.judge(said, region) for region in (PRIMARY, DR)}
    if said.promotion and said.lock != "free" and said.mode != "reprotect" and said.target:
        assert any(verdict.closed for verdict in verdicts.values())


@given(RECORDS)
def test_never_are_both_closed_while_no_switch_is_under_way(said: Record) -> None:
    if said.lock == "free":
        assert not sentinel.judge(said, said.active_region).closed


@given(RECORDS, st.sampled_from([PRIMARY, DR]))
def test_a_region_that_is_closed_is_never_named_its_own_successor(said: Record, region: str) -> None:
    verdict = sentinel.judge(said, region)
    assert (verdict.successor not in ("", region)) == verdict.closed


@given(st.lists(FUNCTIONS, max_size=4))
def test_no_function_is_ever_switched_on(seen: list[Function]) -> None:
    for change in sentinel.silenced(seen):
        assert change.triggers_on == ()
        assert change.concurrency in (None, 0)


@given(DATABASES, RECORDS, st.booleans())
def test_a_replica_keeps_its_door_and_is_never_frozen(found: Database, said: Record, frozen: bool) -> None:
    if found.source or found.replication:
        assert not sentinel.may_write(found)
    elif sentinel.may_write(found):
        todo = sentinel.shutting(found, DOORS, sentinel.judge(said, PRIMARY), frozen=frozen)
        assert not (todo.freeze and frozen)
        assert not (todo.door and found.security_groups == ("sg-closed",))


LEFT, BUILT = sentinel.judge(record(DR), PRIMARY), sentinel.judge(record(DR, "held", PRIMARY, "reprotect"), PRIMARY)


@pytest.mark.parametrize(
    ("why", "found", "doors", "verdict", "frozen", "todo"),
    [
        ("as it came back", OLD, DOORS, LEFT, False, (True, True, True)),
        ("connections outlive the door", dataclasses.replace(OLD, security_groups=("sg-closed",)), DOORS, LEFT, True,
         (False, False, True)),
        ("busy: its door is tried all the same", dataclasses.replace(OLD, status="modifying"), DOORS, LEFT, False,
         (True, True, False)),
        ("doors that cannot be told apart", OLD, None, LEFT, False, (False, True, True)),
        ("a third door", dataclasses.replace(OLD, security_groups=("sg-open", "sg-closed")), DOORS, LEFT, True,
         (True, False, True)),
        ("its log is read", dataclasses.replace(OLD, security_groups=("sg-closed",)), DOORS, BUILT, True,
         (False, False, False)),
        ("it is restored, and thawed", dataclasses.replace(OLD, security_groups=("sg-closed",)), DOORS, BUILT, False,
         (False, False, False)),
        ("open under whoever works on it", OLD, DOORS, BUILT, False, (True, True, False)),
    ],
)  # fmt: skip
def test_a_database_is_closed_by_its_door_its_group_and_its_connections(
    why: str,
    found: Database,
    doors: Doors | None,
    verdict: sentinel.Verdict,
    frozen: bool,
    todo: tuple[bool, ...],
) -> None:
    shutting = sentinel.shutting(found, doors, verdict, frozen=frozen)
    assert (shutting.door, shutting.freeze, shutting.quiet) == todo, why


@pytest.mark.parametrize(
    ("found", "writes"),
    [
        (None, False),
        (OLD, True),
        (REPLICA, False),
        (dataclasses.replace(REPLICA, source=""), False),
        (dataclasses.replace(OLD, status="creating"), False),
        (dataclasses.replace(OLD, status="stopped"), False),
        (dataclasses.replace(OLD, status="backing-up"), True),
    ],
)
def test_only_what_writes_by_itself_is_closed(found: Database | None, writes: bool) -> None:
    assert sentinel.may_write(found) == writes


@pytest.mark.parametrize(
    ("group", "runs"),
    [
        (None, False),
        (EMPTY_GROUP, False),
        (UP_GROUP, True),
        (Group("dev-asg", Capacity(0, 1, 4), "dev-app", "1"), True),
        (Group("dev-asg", Capacity(1, 0, 4), "dev-app", "1"), True),
    ],
)
def test_a_group_that_may_start_anything_is_emptied(group: Group | None, runs: bool) -> None:
    assert sentinel.runs(group) == runs


def test_what_is_silent_is_left_alone() -> None:
    assert sentinel.silenced([OFF]) == ()
    assert [change.function for change in sentinel.silenced([ON, OFF])] == ["dev-orders"]


NOW = dt.datetime(2026, 11, 23, 2, 0, tzinfo=dt.UTC)


def test_people_are_told_of_each_part_once_and_again_after_an_hour() -> None:
    first = sentinel.noted({}, PRIMARY, LEFT, 5, {"capacity": "from 2 to 0"}, NOW)
    news = sentinel.untold(first, NOW)
    assert list(news) == ["capacity"]
    told = first | {"told": {**first["told"], **news}}
    assert sentinel.untold(told, NOW) == {}
    # Somebody opens it again, and another part is found: only that one is news.
    later = NOW + dt.timedelta(minutes=1)
    again = sentinel.noted(told, PRIMARY, LEFT, 5, {"capacity": "from 1 to 0", "rules": "x off"}, later)
    assert list(sentinel.untold(again, later)) == ["rules"]
    assert list(sentinel.untold(again, later + dt.timedelta(hours=1))) == ["capacity", "rules"]


def test_another_switch_is_another_story() -> None:
    first = sentinel.noted({}, PRIMARY, LEFT, 5, {"capacity": "from 2 to 0"}, NOW)
    told = first | {"told": sentinel.untold(first, NOW)}
    next_one = sentinel.judge(dataclasses.replace(record(DR), since=9), PRIMARY)
    later = NOW + dt.timedelta(minutes=1)
    note = sentinel.noted(told, PRIMARY, next_one, 9, {"capacity": "from 4 to 0"}, later)
    assert list(sentinel.untold(note, later)) == ["capacity"]
    assert note["since"] == 9


def test_a_switch_is_one_story_from_its_point_of_no_return_to_its_record() -> None:
    """Closed while it promotes, closed when it is recorded: told once."""
    promoting = sentinel.judge(record(PRIMARY, "held", DR, "ungraceful", NOTED), PRIMARY)
    recorded = sentinel.judge(dataclasses.replace(record(DR), since=5), PRIMARY)
    assert (promoting.successor, promoting.since) == (recorded.successor, recorded.since) == (DR, 5)


def test_the_notification_says_what_was_closed_and_what_to_do() -> None:
    note = sentinel.noted({}, PRIMARY, LEFT, 5, {"capacity": "from 2 to 0", "functions": "dev-orders off"}, NOW)
    told = sentinel.notification("dev", note, sentinel.untold(note, NOW))
    assert told["subject"] == "[dev] eu-west-1 CLOSED by its sentinel: eu-central-1 serves (epoch 5)"
    for part in ("from 2 to 0", "dev-orders off", "Nothing was deleted", "dev-dr-reprotect", "since epoch 4"):
        assert part in told["message"], part
