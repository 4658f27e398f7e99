"""How CloudWatch judges an alarm: data in windows, M of N, and what counts when data is missing.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]

_EXTRA_WINDOWS: Final = 2
"""CloudWatch looks back further than EvaluationPeriods for data; its own examples show two windows more."""

_COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}


class Datum(NamedTuple):
    """What was put at one moment: a value that was seen ``samples`` times, or a whole set of statistics."""

    at: float
    """The AWS second of its arrival."""
    samples: float
    total: float
    low: float
    high: float


@dataclass(frozen=True)
class Alarm:
    """What of a metric alarm decides on its state."""

    period: int
    evaluation_periods: int
    datapoints_to_alarm: int
    statistic: str
    comparison: str
    threshold: float
    missing: str

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Alarm:
        """Read it from a record with the names of PutMetricAlarm.

        Parameters
        ----------
        record
            What was put, defaults filled in or not.

        Returns
        -------
        Alarm
            Ready to judge.

        Raises
        ------
        ValueError
            When it wants a statistic, a comparison or a period that the lab does not know.
        """
        periods = int(record.get("EvaluationPeriods") or 1)
        alarm = cls(
            period=int(record.get("Period") or 60),
            evaluation_periods=periods,
            datapoints_to_alarm=int(record.get("DatapointsToAlarm") or periods),
            statistic=str(record.get("ExtendedStatistic") or record.get("Statistic") or "Average"),
            comparison=str(record.get("ComparisonOperator")),
            threshold=float(record.get("Threshold") or 0),
            missing=str(record.get("TreatMissingData") or "missing"),
        )
        if alarm.statistic not in ("Average", "Sum", "Minimum", "Maximum", "SampleCount"):
            raise ValueError(f"the lab knows no statistic {alarm.statistic}")
        if alarm.comparison not in _COMPARISONS:
            raise ValueError(f"the lab knows no comparison {alarm.comparison}")
        if alarm.period not in (10, 20, 30) and (alarm.period < 60 or alarm.period % 60):
            raise ValueError(f"Period is 10, 20, 30 or a multiple of 60, not {alarm.period}")
        return alarm

    def breaches(self, value: float) -> bool:
        """Say whether a datapoint is on the wrong side of the threshold."""
        return _COMPARISONS[self.comparison](value, self.threshold)

    def windows(self, data: Iterable[Datum], now: float, *, current: bool = False) -> list[float | None]:
        """Return the datapoint of each window that counts, oldest first.

        Parameters
        ----------
        data
            Of the alarm's metric, in any order.
        now
            The AWS second of the evaluation.
        current
            Whether the window that is still open counts as the newest one.

        Returns
        -------
        list[float | None]
            None where nothing was put in the window.
        """
        # Longer windows slide: CloudWatch evaluates them every minute, not once a period.
        step = min(self.period, 60)
        end = (now // step + current) * step
        count = self.evaluation_periods + _EXTRA_WINDOWS
        held: list[list[Datum]] = [[] for _ in range(count)]
        for datum in data:
            # What was put at a window's very start belongs to it; what was put at its end, to the next.
            age = math.ceil((end - datum.at) / self.period) - 1
            if 0 <= age < count:
                held[age].append(datum)
        return [_statistic(self.statistic, window) for window in reversed(held)]

    def judge(self, values: Sequence[float | None], state: State) -> State:
        """Return the state that follows from the datapoints.

        Parameters
        ----------
        values
            One for each window, oldest first; None where data is missing.
        state
            The alarm's state until now, for what leaves it as it is.

        Returns
        -------
        State
            From now on.
        """
        known = [self.breaches(value) for value in values if value is not None]
        # Enough real data, even if older than EvaluationPeriods: what is missing does not matter then.
        latest = known[-self.evaluation_periods :]
        lacking = self.evaluation_periods - len(latest)
        assumed = lacking if self.missing == "breaching" else 0
        if sum(latest) + assumed >= self.datapoints_to_alarm:
            return "ALARM"
        if not lacking or self.missing in ("breaching", "notBreaching") or not all(latest):
            return "OK"
        if self.missing == "ignore":
            return state
        if not latest:
            return "INSUFFICIENT_DATA"
        # Fewer datapoints than it takes, and all of them breach: alarm only if the oldest is old enough that none of
        # those that may still come could have prevented it.
        oldest = next(len(values) - index for index, value in enumerate(values) if value is not None)
        return "ALARM" if oldest >= self.datapoints_to_alarm else state


def _statistic(name: str, window: Sequence[Datum]) -> float | None:
    count = sum(datum.samples for datum in window)
    if not count:
        return None
    match name:
        case "Sum":
            return sum(datum.total for datum in window)
        case "Minimum":
            return min(datum.low for datum in window)
        case "Maximum":
            return max(datum.high for datum in window)
        case "SampleCount":
            return count
    return sum(datum.total for datum in window) / count
