from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from lab.gameday import audit
from lab.gameday.model import LabTime
from tests.unit.gameday.gamedays import LOST_AT, write

BEGINS = [(0.0, "failover"), (100.0, "reprotect"), (200.0, "failback"), (210.0, "switchover"), (250.0, "failback")]


def phase_at(moment: float) -> str:
    found = audit.by_phase([replace(write("one", 0), ended=moment)], BEGINS)
    return next(name for name, writes in found.items() if writes)


def test_a_phase_around_another_has_what_came_before_and_after_it() -> None:
    assert [phase_at(at) for at in (-5, 99, 100, 205, 210, 249, 250, 1e6)] == [
        *("failover", "failover", "reprotect", "failback", "switchover", "switchover", "failback", "failback")
    ]


@given(st.lists(st.floats(-10, 400)))
def test_none_is_forgotten_and_none_counts_twice(moments: list[float]) -> None:
    writes = [replace(write(f"w{number}", 0), ended=at) for number, at in enumerate(moments)]
    found = audit.by_phase(writes, BEGINS)
    assert sorted(each.id for some in found.values() for each in some) == sorted(each.id for each in writes)
    assert list(found) == ["failover", "reprotect", "failback", "switchover"]


def test_the_total_is_the_sum_of_the_parts() -> None:
    first = audit.judge([write("kept", -5), write("gone", -1)], {"kept": "note of kept"}, LOST_AT, received_unapplied=3)
    second = audit.judge([write("other", 5)], {"other": "note of other"}, LOST_AT, received_unapplied=None)
    total = audit.total([first, second])
    assert (total.acknowledged, total.lost, total.lost_ids, total.received_unapplied) == (3, 1, ("gone",), 3)
    assert audit.total([]).acknowledged == 0


def test_a_change_of_pace_moves_nothing_that_was() -> None:
    before = LabTime(100.0, 10.0)
    after = before.changed(110.0, 60.0).changed(120.0, 10.0)
    assert [after.at(moment) for moment in (90.0, 100.0, 110.0)] == [before.at(each) for each in (90.0, 100.0, 110.0)]
    assert [after.at(moment) for moment in (111.0, 120.0, 121.0)] == [160.0, 700.0, 710.0]


def test_the_zero_may_come_after_a_change_of_pace() -> None:
    time = replace(LabTime(100.0, 10.0).changed(110.0, 60.0), zero=112.0)
    assert [time.at(moment) for moment in (100.0, 110.0, 112.0, 113.0)] == [-220.0, -120.0, 0.0, 60.0]
