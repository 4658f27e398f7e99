"""The lab's alarms give the states that CloudWatch's own table of missing data gives, and more cases by window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lab.alarms import Alarm, Datum

if TYPE_CHECKING:
    from lab.alarms import State

SAME: State = "INSUFFICIENT_DATA"  # what the alarm's state is before: "retain current state" in CloudWatch's table


def _alarm(**record: Any) -> Alarm:
    return Alarm.of(
        {
            "Period": 60,
            "EvaluationPeriods": 3,
            "Statistic": "Maximum",
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "Threshold": 1,
            **record,
        }
    )


def _values(drawn: str) -> list[float | None]:
    return [{"-": None, "0": 0.0, "X": 1.0}[sign] for sign in drawn.split()]


def _datum(at: float, value: float) -> Datum:
    return Datum(at, 1, value, value, value)


@pytest.mark.parametrize(
    ("drawn", "missing", "ignore", "breaching", "not_breaching"),
    [
        ("0 - X - X", "OK", "OK", "OK", "OK"),
        ("0 - - - -", "OK", "OK", "OK", "OK"),
        ("- - - - -", "INSUFFICIENT_DATA", SAME, "ALARM", "OK"),
        ("0 X X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
        ("- - X - -", "ALARM", SAME, "ALARM", "OK"),
        ("- - - - X", SAME, SAME, "ALARM", "OK"),
        ("- - - X -", SAME, SAME, "ALARM", "OK"),
    ],
)
def test_three_of_three(drawn: str, missing: State, ignore: State, breaching: State, not_breaching: State) -> None:
    wanted = {"missing": missing, "ignore": ignore, "breaching": breaching, "notBreaching": not_breaching}
    assert {how: _alarm(TreatMissingData=how).judge(_values(drawn), SAME) for how in wanted} == wanted


@pytest.mark.parametrize(
    ("drawn", "missing", "ignore", "breaching", "not_breaching"),
    [
        ("0 - X - X", "ALARM", "ALARM", "ALARM", "ALARM"),
        ("0 0 X 0 X", "ALARM", "ALARM", "ALARM", "ALARM"),
        ("0 - X - -", "OK", "OK", "ALARM", "OK"),
        ("- - - - 0", "OK", "OK", "ALARM", "OK"),
        ("- - - X -", "ALARM", SAME, "ALARM", "OK"),
    ],
)
def test_two_of_three(drawn: str, missing: State, ignore: State, breaching: State, not_breaching: State) -> None:
    wanted = {"missing": missing, "ignore": ignore, "breaching": breaching, "notBreaching": not_breaching}
    found = {how: _alarm(TreatMissingData=how, DatapointsToAlarm=2).judge(_values(drawn), SAME) for how in wanted}
    assert found == wanted


def test_a_state_that_is_kept_may_be_any() -> None:
    assert _alarm(TreatMissingData="ignore").judge(_values("- - - - -"), "ALARM") == "ALARM"
    assert _alarm(TreatMissingData="ignore").judge(_values("- - - - -"), "OK") == "OK"


@pytest.mark.parametrize(
    ("statistic", "value"), [("Average", 2.5), ("Sum", 10), ("Minimum", 1), ("Maximum", 4), ("SampleCount", 4)]
)
def test_a_window_is_one_datapoint_of_its_statistic(statistic: str, value: float) -> None:
    alarm = _alarm(EvaluationPeriods=1, Statistic=statistic)
    data = [_datum(60, 1), _datum(90, 2), Datum(119.9, 2, 7, 3, 4), _datum(120, 9)]
    assert alarm.windows(data, 125) == [None, None, value]


def test_the_window_that_is_open_counts_where_that_is_asked() -> None:
    alarm = _alarm(EvaluationPeriods=1)
    data = [_datum(61, 1), _datum(121, 0)]
    assert alarm.windows(data, 125)[-1] == 1
    assert alarm.windows(data, 125, current=True)[-2:] == [1, 0]


def test_a_short_window_is_looked_at_when_it_closes() -> None:
    data = [_datum(second, second) for second in range(0, 40, 10)]
    assert _alarm(Period=10, EvaluationPeriods=1).windows(data, 39) == [0, 10, 20]


def test_a_long_window_slides_by_the_minute() -> None:
    data = [_datum(70, 1)]
    alarm = _alarm(Period=300, EvaluationPeriods=1)
    assert alarm.windows(data, 120)[-1] == 1
    assert alarm.windows(data, 360)[-1] == 1
    assert alarm.windows(data, 420)[-2:] == [1, None]


@pytest.mark.parametrize(
    ("comparison", "breaching"),
    [
        ("GreaterThanThreshold", [2]),
        ("GreaterThanOrEqualToThreshold", [1, 2]),
        ("LessThanThreshold", [0]),
        ("LessThanOrEqualToThreshold", [0, 1]),
    ],
)
def test_a_threshold_is_compared_as_the_operator_says(comparison: str, breaching: list[int]) -> None:
    assert [value for value in range(3) if _alarm(ComparisonOperator=comparison).breaches(value)] == breaching


@pytest.mark.parametrize(
    "wrong", [{"Statistic": "p99"}, {"ComparisonOperator": "Near"}, {"Period": 45}, {"Period": 90}]
)
def test_what_the_lab_does_not_know_is_said(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the lab knows no|Period is"):
        _alarm(**wrong)
