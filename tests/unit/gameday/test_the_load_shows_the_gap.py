from __future__ import annotations

from lab.gameday import load
from lab.gameday.model import LabTime
from tests.unit.gameday.gamedays import DR, LOST_AT, PRIMARY, SCALE, write, writes


def test_a_time_without_a_write_is_there_with_zero() -> None:
    seen = load.series([write("a", -7), write("b", 21, region=DR)], LabTime(LOST_AT, SCALE).at, bucket=5)
    assert [each["at"] for each in seen["buckets"]] == [-10, -5, 0, 5, 10, 15, 20]
    assert seen["buckets"][0]["acknowledged"] == {PRIMARY: 1, DR: 0}
    assert seen["buckets"][3]["acknowledged"] == {PRIMARY: 0, DR: 0}
    assert seen["buckets"][-1]["acknowledged"] == {PRIMARY: 0, DR: 1}


def test_every_write_is_counted_once() -> None:
    made = writes()
    seen = load.series(made, LabTime(LOST_AT, SCALE).at)
    counted = sum(sum(each["acknowledged"].values()) + each["failed"] for each in seen["buckets"])
    assert counted == len(made)


def test_no_writes_make_no_load() -> None:
    assert load.series([], LabTime(LOST_AT, SCALE).at)["buckets"] == []
