"""The last figures, how old they are, and how they are told."""

from __future__ import annotations

from typing import Any

from pilotlight.decide import objects as decide
from pilotlight.model import Backlog, Measure, as_json

SEEN = Backlog("eu-west-1", "2026-11-23T00:59:20+00:00", 12, 3_400_000, 8, 0, "2026-11-23T00:59:30+00:00")


def noted(**changes: Any) -> Any:
    return decide.at_the_switch(
        changes.pop("before", {}),
        changes.pop("seen", SEEN),
        **{
            "epoch": 4,
            "mode": "ungraceful",
            "taken_at": "2026-11-23T01:02:00+00:00",
            "target": "eu-central-1",
            "since": 2,
            "failing_since": "2026-11-23T01:00:00+00:00",
            **changes,
        },
    )


def test_it_is_said_how_old_the_last_figures_were_when_the_region_was_lost() -> None:
    assert decide.backlog_told(noted()) == "12 operations, 3.4 MB had not crossed, seen 40 s before the loss"
    # Without a probe that saw the loss, the switch is what there is to count from.
    told = decide.backlog_told(noted(failing_since=""))
    assert told == "12 operations, 3.4 MB had not crossed, seen 160 s before the switch"


def test_a_planned_switch_has_the_figures_of_its_moment() -> None:
    seen = Backlog("eu-west-1", "2026-11-23T01:03:00+00:00", failed=2)
    told = decide.backlog_told(noted(seen=seen, mode="graceful", failing_since=""))
    assert told == "0 operations, 0 bytes had not crossed, 2 operations had failed within the hour, seen at the switch"


def test_a_switch_that_is_started_again_keeps_what_was_noted_first() -> None:
    first = noted()
    again = noted(before=first, seen=Backlog("eu-west-1"), epoch=5, taken_at="2026-11-23T03:00:00+00:00")
    assert again == first | {"epoch": 5}
    # A later switch the same way is another one: the region became active in between.
    later = noted(before=first, epoch=9, since=8, taken_at="2026-11-24T03:00:00+00:00", failing_since="")
    assert later["at"] == "2026-11-24T03:00:00+00:00"
    assert noted(before=first, target="eu-west-1", epoch=9, since=4)["epoch"] == 9


def test_a_region_that_does_not_answer_keeps_its_last_figures() -> None:
    kept = decide.unheard(as_json(SEEN), "eu-west-1", "2026-11-23T01:10:00+00:00", "ConnectTimeoutError")
    assert (kept.operations, kept.measured_at) == (12, SEEN.measured_at)
    assert (kept.asked_at, kept.detail) == ("2026-11-23T01:10:00+00:00", "ConnectTimeoutError")
    # What is known of the other region says nothing of this one.
    other = decide.unheard(as_json(SEEN), "eu-central-1", "2026-11-23T01:10:00+00:00", "ConnectTimeoutError")
    assert (other.operations, other.measured_at) == (0, "")
    assert "not known (ConnectTimeoutError)" in decide.backlog_told(noted(seen=other))


def test_what_was_never_noted_is_said() -> None:
    assert decide.backlog_told({}) == "how many had not crossed is not known"


def test_only_what_was_heard_just_now_is_published_as_that() -> None:
    now = "2026-11-23T01:10:00+00:00"
    points = {"OperationsPendingReplication": ("2026-11-23T01:09:00+00:00", 7.0)}
    fresh = decide.heard("eu-west-1", points, 1.0, now)
    assert decide.measures(fresh, now) == (
        Measure("ObjectsSeenAge", 60.0, "Seconds"),
        Measure("ObjectsPendingOperations", 7.0, "Count"),
        Measure("ObjectsPendingBytes", 0.0, "Bytes"),
        Measure("ObjectsReplicationLatency", 0.0, "Seconds"),
        Measure("ObjectsFailedOperations", 1.0, "Count"),
    )
    later = "2026-11-23T01:20:00+00:00"
    assert decide.measures(decide.unheard(as_json(fresh), "eu-west-1", later, "x"), later) == (
        Measure("ObjectsSeenAge", 660.0, "Seconds"),
    )
    assert decide.measures(decide.unheard({}, "eu-west-1", later, "x"), later) == ()
