from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.gameday.cloud import Execution
from lab.gameday.model import LabTime
from lab.gameday.watch import Watched, Watcher
from tests.unit.gameday import histories
from tests.unit.gameday.gamedays import LOST_AT
from tests.unit.gameday.histories import PROTECT_DR, PROTECT_PRIMARY, SWITCH

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

PARENT = histories.execution_arn("failback", "home")
GIVEN: dict[str, dict[str, Any]] = {
    PROTECT_PRIMARY: {"region": "eu-west-1"},
    SWITCH: {"mode": "graceful", "target": "eu-west-1"},
    PROTECT_DR: {"region": "eu-central-1"},
}
EVENTS = {
    PARENT: histories.failback(0),
    PROTECT_PRIMARY: histories.already_protected(2),
    SWITCH: histories.switchover(12),
    PROTECT_DR: histories.reprotect(268),
}


class Region:
    """Gives each look a little more of what happened, as a region does; ``looks`` counts by execution."""

    def __init__(self, *moments: float) -> None:
        self.moments = list(moments)
        self.now = 0.0
        self.looks: dict[str, int] = {}

    def execution(self, arn: str) -> Execution:
        if arn == PARENT:
            self.now = self.moments.pop(0) if self.moments else 1e9
        self.looks[arn] = self.looks.get(arn, 0) + 1
        seen: list[Mapping[str, Any]] = [
            event for event in EVENTS[arn] if (event["timestamp"] - histories.LOSS).total_seconds() <= self.now
        ]
        ended = seen[-1]["type"] == "ExecutionSucceeded"
        return Execution("SUCCEEDED" if ended else "RUNNING", seen, {}, "", GIVEN.get(arn, {}))


def watch(region: Region, monkeypatch: pytest.MonkeyPatch, **given: Any) -> tuple[Watched, list[tuple[str, str]]]:
    monkeypatch.setattr("lab.gameday.watch.time.sleep", lambda _: None)
    said: list[tuple[str, str]] = []
    watcher = Watcher(region, lambda mark, text, _tone, _at: said.append((mark, text)), lambda _: None)  # type: ignore[arg-type]
    return watcher.follow(PARENT, lambda: LabTime(LOST_AT, 1.0), 60, **given), said


def test_what_a_child_does_stands_between_its_parents_begin_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    _, said = watch(Region(1, 5, 30, 100, 300, 1000), monkeypatch)
    texts = [(mark, text.partition(":")[0]) for mark, text in said]
    begins, ends = texts.index(("▸", "Switch over to the primary")), texts.index(("✓", "Switch over to the primary"))
    assert begins < texts.index(("  ▸", "Close the source to writers")) < ends
    assert texts.index(("  ✓", "Close the source to writers")) < texts.index(("  ▸", "Promote the database"))


def test_two_executions_of_one_machine_are_told_each(monkeypatch: pytest.MonkeyPatch) -> None:
    _, said = watch(Region(1, 5, 30, 300, 1000), monkeypatch)
    assert [text for mark, text in said if text == "Take the lock"] == ["Take the lock"] * 3


def test_however_seldom_one_looks_nothing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    _, often = watch(Region(*range(1, 1900, 20)), monkeypatch)
    _, once = watch(Region(), monkeypatch)
    assert sorted(often) == sorted(once)


def test_what_has_ended_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    region = Region(*range(300, 1900, 100))
    watch(region, monkeypatch)
    assert region.looks[SWITCH] == region.looks[PROTECT_PRIMARY] == 1
    assert region.looks[PROTECT_DR] > 10


def test_the_whole_has_the_steps_of_its_parts_under_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    watched, _ = watch(Region(), monkeypatch)
    branches = {step.name: step.branch for step in watched.steps()}
    assert branches["Re-protect the DR region"] == "main"
    assert branches["Build the replica"] == "Re-protect eu-central-1"
    assert branches["Close the source to writers"] == "Switch over to eu-west-1"
    starts = [step.start for step in watched.steps()]
    assert starts == sorted(starts)


def test_who_watches_may_act_as_soon_as_the_target_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[bool] = []

    def seen(watched: Watched) -> None:
        switch = next((child for child in watched.children if child.arn == SWITCH), None)
        step = switch.step("Record", "active") if switch else None
        recorded.append(step is not None and not step.open)

    watch(Region(12, 200, 257, 259, 300), monkeypatch, seen=seen)
    assert recorded[:5] == [False, False, False, True, True]


def test_where_the_proof_was_is_read_from_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    watched, _ = watch(Region(), monkeypatch)
    assert watched.children[1].execution.said("Look at the source once more")["position"] == "0-1-4711"
    assert watched.execution.said("Never entered") == {}
