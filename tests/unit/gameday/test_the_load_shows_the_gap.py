from __future__ import annotations

from dataclasses import replace

from lab.gameday import load
from lab.gameday.model import LabTime
from tests.unit.gameday.gamedays import DR, LOST_AT, PRIMARY, SCALE, write, writes


def test_a_time_without_a_write_is_there_with_zero() -> None:
    seen = load.series([write("a", -7), write("b", 21, region=DR)], LabTime(LOST_AT, SCALE), bucket=0.5)
    assert [each["at"] for each in seen["buckets"]] == [-10, -5, 0, 5, 10, 15, 20]
    assert seen["buckets"][0]["acknowledged"] == {PRIMARY: 1, DR: 0}
    assert seen["buckets"][3]["acknowledged"] == {PRIMARY: 0, DR: 0}
    assert seen["buckets"][-1]["acknowledged"] == {PRIMARY: 0, DR: 1}


def test_every_write_is_counted_once() -> None:
    made = writes()
    seen = load.series(made, LabTime(LOST_AT, SCALE))
    counted = sum(sum(each["acknowledged"].values()) + each["failed"] for each in seen["buckets"])
    assert counted == len(made)


def test_no_writes_make_no_load() -> None:
    assert load.series([], LabTime(LOST_AT, SCALE))["buckets"] == []


def test_the_same_clients_draw_the_same_height_however_fast_the_clock_runs() -> None:
    time = LabTime(LOST_AT, SCALE).changed(LOST_AT + 10, 60.0)
    made = [replace(write("a", 0), ended=LOST_AT + number / 10, id=str(number)) for number in range(200)]
    buckets = load.series(made, time)["buckets"]
    assert {each["acknowledged"][PRIMARY] for each in buckets} == {5}
    assert {round(each["until"] - each["at"]) for each in buckets} == {5, 30}
