"""Of each key: what won, what lost and where it is; what never crossed and may be copied; and nothing else."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from pilotlight.decide import objects as decide
from pilotlight.decide.objects import BEHIND, BOTH, MARKER, NEVER, PERHAPS, UNTOLD, Key
from pilotlight.model import ObjectVersion, Switched

SWITCH = Switched(
    active="eu-central-1",
    returned="eu-west-1",
    at="2026-11-23T01:00:00+00:00",
    uncertain_from="2026-11-23T00:44:00+00:00",
    returned_at="2026-11-23T02:00:00+00:00",
    overdue_before="2026-11-23T02:15:00+00:00",
)
OLD, UNSEEN, AFTER, LATER = (f"2026-11-23T{time}:00+00:00" for time in ("00:10", "00:58", "01:20", "01:40"))


def version(name: str, modified: str, *, latest: bool = False, marker: bool = False) -> ObjectVersion:
    return ObjectVersion("a", name, modified, 5, latest, marker)


def judged(active: tuple[ObjectVersion, ...], returned: tuple[ObjectVersion, ...], **statuses: str) -> list[Any]:
    key = Key("a", active, returned)
    asked = {question.version.version for question in decide.questions(key, SWITCH)}
    assert set(statuses) <= asked | {"copy"}, "what was not asked is not known"
    return list(decide.judge(key, statuses, SWITCH))


def test_what_is_on_both_sides_once_is_not_even_asked_about() -> None:
    for modified in (OLD, UNSEEN, AFTER):
        one = version("v1", modified, latest=True)
        assert decide.questions(Key("a", (one,), (one,)), SWITCH) == ()
        assert judged((one,), (one,)) == []


def test_of_two_writers_the_one_that_is_current_on_the_active_side_won_and_the_other_is_named() -> None:
    ours = version("ours", AFTER, latest=True)
    theirs = version("theirs", LATER, latest=True)
    (line,) = judged((ours,), (theirs,), ours="PENDING", theirs="FAILED")
    assert (line["kind"], line["won"], line["won_version"], line["won_is_older"]) == (BOTH, "active", "ours", True)
    assert line["lost"] == [
        {
            "side": "returned",
            "version": "theirs",
            "modified": LATER,
            "size": 5,
            "on_the_active_side": False,
            "deleted": False,
        }
    ]


def test_an_older_write_that_arrived_on_top_of_a_newer_one_won_and_that_is_said() -> None:
    ours, theirs = version("ours", AFTER), version("theirs", UNSEEN, latest=True)
    (line,) = judged((theirs, ours), (theirs, ours), ours="COMPLETED", theirs="REPLICA")
    assert (line["kind"], line["won"], line["won_is_older"]) == (BOTH, "returned", True)
    assert [lost["version"] for lost in line["lost"]] == ["ours"]
    assert decide.kinds_of(line) == (BOTH, "older won")


def test_what_was_overwritten_after_the_switch_may_have_been_seen_before() -> None:
    ours, theirs = version("ours", AFTER, latest=True), version("theirs", UNSEEN)
    (line,) = judged((ours, theirs), (ours, theirs), ours="COMPLETED", theirs="REPLICA")
    assert line["kind"] == PERHAPS


def test_an_ordinary_history_is_nothing_to_tell() -> None:
    ours = (version("second", LATER, latest=True), version("first", AFTER))
    before = version("old", OLD)
    assert judged((*ours, before), (*ours, before), first="COMPLETED", second="COMPLETED") == []
    theirs = (version("second", UNSEEN, latest=True), version("first", OLD))
    assert judged(theirs, theirs) == []


def test_a_stray_write_that_crossed_alone_is_nothing_to_tell() -> None:
    both = (version("stray", AFTER, latest=True), version("old", UNSEEN))
    assert judged(both, both, stray="REPLICA", old="REPLICA") == []


@pytest.mark.parametrize("status", ["PENDING", "FAILED"])
def test_what_one_side_has_alone_may_be_copied(status: str) -> None:
    alone = (version("new", UNSEEN, latest=True), version("before", UNSEEN))
    (line,) = judged((), alone, new=status, before=status)
    assert (line["kind"], line["version"], line["side"], line["older_versions"]) == (NEVER, "new", "returned", 1)


def test_the_active_side_lacks_only_what_s3_has_given_up() -> None:
    one = (version("v1", AFTER, latest=True),)
    assert judged(one, (), v1="PENDING") == []
    (line,) = judged(one, (), v1="FAILED")
    assert (line["kind"], line["side"]) == (NEVER, "active")


def test_an_update_of_what_the_active_side_has_is_told_and_never_copied() -> None:
    before = version("before", OLD, latest=True)
    update = version("update", UNSEEN, latest=True)
    (line,) = judged((before,), (update, version("before", OLD)), update="FAILED")
    assert line["kind"] == BEHIND


def test_an_update_that_is_still_on_its_way_is_waited_for() -> None:
    before, fresh = version("before", OLD, latest=True), version("update", "2026-11-23T02:20:00+00:00", latest=True)
    assert judged((before,), (fresh, version("before", OLD)), update="PENDING") == []


def test_a_deletion_is_told_and_never_applied() -> None:
    there = version("v1", OLD, latest=True)
    gone = version("marker", AFTER, latest=True, marker=True)
    (line,) = judged((there,), (gone, version("v1", OLD)))
    assert (line["kind"], line["version"]) == (MARKER, "marker")


def test_what_was_deleted_on_the_active_side_is_not_brought_back() -> None:
    marker = version("marker", AFTER, latest=True, marker=True)
    theirs = version("theirs", LATER, latest=True)
    (line,) = judged((marker, version("v0", OLD)), (theirs, version("v0", OLD)), theirs="PENDING")
    assert (line["kind"], line["won"], line["won_deleted"]) == (BOTH, "active", True)


def test_what_was_never_told_to_cross_is_only_counted() -> None:
    (line,) = judged((), (version("v1", OLD, latest=True),), v1="")
    assert line["kind"] == UNTOLD


def test_a_copy_of_ours_is_no_writer_and_what_it_copied_has_crossed() -> None:
    theirs = version("theirs", UNSEEN, latest=False)
    copy = version("copy", LATER, latest=True)
    key = Key("a", (copy,), (copy, theirs))
    assert [one.version for one in decide.copies(key, {"theirs": "FAILED"}, SWITCH)] == ["copy"]
    assert decide.judge(key, {"theirs": "copied", "copy": "copy"}, SWITCH) == ()
    # Nor is whoever overwrote the copy: it was there to be seen.
    after = version("after", "2026-11-23T02:30:00+00:00", latest=True)
    key = Key("a", (after, copy), (after, copy, theirs))
    assert decide.judge(key, {"theirs": "copied", "copy": "copy", "after": "COMPLETED"}, SWITCH) == ()


def test_without_a_note_of_the_switch_only_what_is_on_one_side_is_told() -> None:
    unknown = decide.switched({}, "eu-central-1", "eu-west-1", "", dt.datetime(2026, 11, 23, 3, tzinfo=dt.UTC), 900)
    ours, theirs = version("ours", AFTER, latest=True), version("theirs", UNSEEN)
    both = Key("a", (ours, theirs), (ours, theirs))
    assert decide.questions(both, unknown) == ()
    alone = Key("a", (), (version("v1", OLD, latest=True),))
    assert [line["kind"] for line in decide.judge(alone, {"v1": "FAILED"}, unknown)] == [NEVER]


def test_the_uncertain_time_begins_before_the_last_figures_by_what_s3_promises() -> None:
    noted = {
        "region": "eu-west-1",
        "target": "eu-central-1",
        "at": "2026-11-23T01:00:00+00:00",
        "measured_at": "2026-11-23T00:58:00+00:00",
        "latency_seconds": 30,
    }
    now = dt.datetime(2026, 11, 23, 3, tzinfo=dt.UTC)
    assert decide.switched(noted, "eu-central-1", "eu-west-1", "", now, 900).uncertain_from == (
        "2026-11-23T00:43:00+00:00"
    )
    late = noted | {"latency_seconds": 3600}
    assert (
        decide.switched(late, "eu-central-1", "eu-west-1", "", now, 900).uncertain_from == "2026-11-22T23:58:00+00:00"
    )


# --- Copying

NOW = dt.datetime(2026, 11, 23, 2, 10, tzinfo=dt.UTC)
LINE = {"modified": UNSEEN, "size": 5}


@pytest.mark.parametrize(
    ("status", "exists", "copied", "move", "outcome"),
    [
        ("FAILED", False, False, "copy", ""),
        ("PENDING", False, False, "wait", ""),
        ("COMPLETED", True, False, "leave", "crossed by itself"),
        ("gone", False, False, "leave", "gone"),
        ("FAILED", True, False, "leave", "the key is there by now"),
        ("PENDING", True, False, "leave", "the key is there by now"),
        ("FAILED", True, True, "leave", "copied"),
    ],
)
def test_only_what_is_nowhere_else_is_copied(status: str, exists: bool, copied: bool, move: str, outcome: str) -> None:
    assert decide.next_move(LINE, status, exists, copied, SWITCH, NOW, 900) == (move, outcome)


def test_what_is_pending_is_copied_after_its_grace_from_the_regions_return() -> None:
    returned = dt.datetime.fromisoformat(SWITCH.returned_at)
    for seconds, move in ((899, "wait"), (900, "copy")):
        moment = returned + dt.timedelta(seconds=seconds)
        assert decide.next_move(LINE, "PENDING", False, False, SWITCH, moment, 900)[0] == move


def test_what_one_call_cannot_copy_is_left_and_said() -> None:
    large = LINE | {"size": decide.LARGEST_COPY + 1}
    assert decide.next_move(large, "FAILED", False, False, SWITCH, NOW, 0) == ("leave", "too large for one call")


def test_a_copy_says_where_it_came_from_where_there_is_room() -> None:
    assert decide.tags_of_copy({"team": "a"}, "v1") == {"team": "a", decide.COPIED_FROM: "v1"}
    assert decide.tags_of_copy({str(number): "" for number in range(10)}, "v1") is None
