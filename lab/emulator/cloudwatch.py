"""CloudWatch: alarms that are evaluated as AWS does, on the lab's clock, and say so to EventBridge.

MiniStack evaluates an alarm only when data is put, over all dimensions at once, in real time, and knows neither missing
data nor M of N. How an alarm is judged is in ``lab.alarms``; here is when, over which data, and what follows.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace as changed
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from lab.alarms import Alarm, Datum
from lab.emulator import here, replace, scope
from lab.emulator.events import send

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.alarms import State
    from lab.clock import Clock
    from lab.world import Lab

    Handler = Callable[..., Any]

_BEAT: Final = 10
"""AWS seconds between two evaluations: the shortest period that an alarm may have."""

_TOO_FAST: Final = 100
"""The scale above which what puts data every minute cannot keep up, as while the lab is set up.

Nothing is evaluated then, nor until an alarm's windows lie in the time after it: what is missing would not be missing.
"""

_WORDS: Final = {
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "GreaterThanThreshold": "greater than",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}


def install(lab: Lab) -> None:
    """Complete MiniStack's CloudWatch.

    Parameters
    ----------
    lab
        Its clock stamps the data and times the evaluations; in a region that is lost, nothing is evaluated.
    """
    _stamp_data(lab.clock)
    _announce(lab)
    _Alarms(lab).install()
    _composite_alarms_of_stacks()


def breaching(lab: Lab, region: str, name: str) -> bool | None:
    """Judge an alarm's metric by its newest data, the open window included; its state plays no part.

    Route 53's health checks look at an alarm in this way.

    Parameters
    ----------
    lab
        The lab.
    region
        The alarm's region.
    name
        The alarm's name.

    Returns
    -------
    bool | None
        None when the data does not tell, or when there is no such alarm.
    """
    from ministack.services import cloudwatch

    with scope(lab, region):
        record = cloudwatch._alarms.get(name)
        if record is None:
            return None
        try:
            alarm = changed(Alarm.of(record), missing="missing")
        except ValueError:
            return None
        state = alarm.judge(_datapoints(lab.clock, record, alarm, current=True), "INSUFFICIENT_DATA")
    return {"ALARM": True, "OK": False}.get(state)


class _Series(list[dict[str, Any]]):
    """The data of one metric: what is appended gets the AWS time of its arrival."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def append(self, point: dict[str, Any]) -> None:
        super().append({**point, "Arrived": self._clock.aws_now()})


def _stamp_data(clock: Clock) -> None:
    """Keep data by AWS time, and show it to who asks by the caller's own clock, which is real.

    A function that asks for the last five minutes gets what arrived in the last five minutes of AWS time.
    """
    from ministack.services import cloudwatch

    def bucket(original: Handler) -> Handler:
        def stamping(key: tuple[str, str, str]) -> Any:
            if key not in cloudwatch._metrics:
                cloudwatch._metrics[key] = _Series(clock)
            return original(key)

        return stamping

    def asked(original: Handler) -> Handler:
        @wraps(original)
        def retimed(*args: Any) -> Any:
            real_now, aws_now = time.time(), clock.aws_now()
            for series in list(cloudwatch._metrics.values()):
                for point in list(series):
                    point["Timestamp"] = real_now - (aws_now - point["Arrived"])
            return original(*args)

        return retimed

    replace(cloudwatch, "_metric_bucket", bucket)
    replace(cloudwatch, "_get_metric_statistics", asked)
    replace(cloudwatch, "_get_metric_data", asked)
    # Data is evicted after two weeks of real time, and the lists are made anew at every request: no lab lives so long.
    replace(cloudwatch, "_evict_old_metrics", lambda _: lambda: None)


def _datapoints(clock: Clock, record: dict[str, Any], alarm: Alarm, *, current: bool = False) -> list[float | None]:
    """Return what each window of an alarm's metric has, in this region."""
    from ministack.services import cloudwatch

    dimensions = cloudwatch._dims_key(cloudwatch._dims_from_list(record.get("Dimensions") or []))
    series = cloudwatch._metrics.get((record["Namespace"], record["MetricName"], dimensions)) or []
    now = clock.aws_now()
    oldest = now - (alarm.evaluation_periods + 4) * max(alarm.period, 60)

    def recent() -> Iterator[Datum]:
        for point in reversed(list(series)):
            if point["Arrived"] < oldest:
                return
            if record.get("Unit") in (None, "", point["Unit"]):
                yield Datum(point["Arrived"], *cloudwatch._point_stats(point))

    return alarm.windows(recent(), now, current=current)


class _Alarms:
    """Evaluates every alarm of every region that is up."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        # An evaluation and a request never change an alarm at once.
        self._lock = threading.RLock()
        self._unknown: set[str] = set()
        self._kept_up_since = 0.0
        self._minute = 0

    def install(self) -> None:
        """Take the place of MiniStack's evaluation and start."""
        from ministack.services import cloudwatch

        for name in ("_evaluate_alarm", "_evaluate_all_alarms"):
            replace(cloudwatch, name, lambda _: lambda *_: None)
        for name in ("_set_alarm_state", "_put_metric_alarm", "_put_composite_alarm", "_delete_alarms"):
            replace(cloudwatch, name, self._locked)
        self._lab.report("alarms", self._states)
        self._lab.every(lambda: _BEAT - self._lab.clock.aws_now() % _BEAT, self._look, "lab-alarms")

    def _look(self) -> None:
        clock = self._lab.clock
        minute, self._minute = self._minute, int(clock.aws_now() // 60)
        if clock.scale > _TOO_FAST:
            self._kept_up_since = clock.aws_now()
        for region in self._lab.regions:
            with self._lock, scope(self._lab, region):
                # Judged first: what is counted now belongs to the minute that begins.
                self._evaluate(region)
                if self._minute != minute and not self._lab.is_down(region):
                    _count_messages()

    def _evaluate(self, region: str) -> None:
        from ministack.services import cloudwatch

        for record in list(cloudwatch._alarms.values()):
            if self._lab.is_down(region):
                return
            try:
                alarm = Alarm.of(record)
            except ValueError as error:
                if record["AlarmArn"] not in self._unknown:
                    self._unknown.add(record["AlarmArn"])
                    self._lab.log(f"the alarm {record['AlarmName']} in {region} is not evaluated: {error}")
                continue
            if self._lab.clock.aws_now() - self._kept_up_since < (alarm.evaluation_periods + 1) * alarm.period:
                continue
            values = _datapoints(self._lab.clock, record, alarm)
            before = record["StateValue"]
            after = alarm.judge(values, before)
            if after != before:
                _transition(record, after, *_reason(alarm, values, before, after))

    def _states(self) -> dict[str, dict[str, str]]:
        from ministack.services import cloudwatch

        states = {}
        for region in self._lab.regions:
            with scope(self._lab, region):
                records = [*cloudwatch._alarms.values(), *cloudwatch._composite_alarms.values()]
                states[region] = {record["AlarmName"]: record["StateValue"] for record in records}
        return states

    def _locked(self, original: Handler) -> Handler:
        @wraps(original)
        def locked(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                return original(*args, **kwargs)

        return locked


def _transition(record: dict[str, Any], state: State, reason: str, data: dict[str, Any]) -> None:
    from ministack.services import cloudwatch

    before, now = record["StateValue"], int(time.time())
    record.update(
        StateValue=state,
        StateReason=reason,
        StateReasonData=json.dumps(data),
        StateUpdatedTimestamp=now,
        StateTransitionedTimestamp=now,
    )
    cloudwatch._record_history(record["AlarmName"], before, state, reason, "MetricAlarm", data)
    cloudwatch._dispatch_alarm_actions(record, before, state, reason)
    cloudwatch._evaluate_parent_alarms(record)


def _reason(alarm: Alarm, values: list[float | None], before: str, after: str) -> tuple[str, dict[str, Any]]:
    """Say why, as CloudWatch words it, and in data."""
    known = [value for value in values if value is not None][-alarm.evaluation_periods :]
    wrong = [value for value in known if alarm.breaches(value)]
    lacking = alarm.evaluation_periods - len(known)
    if after == "INSUFFICIENT_DATA":
        reason = f"Insufficient Data: {lacking} datapoint{_s(lacking)} {_were(lacking)} unknown."
    elif not known:
        treated = "Breaching" if after == "ALARM" else "NonBreaching"
        reason = (
            f"Threshold Crossed: no datapoints were received for {lacking} period{_s(lacking)} and {lacking} missing"
            f" datapoint{_s(lacking)} {_were(lacking)} treated as [{treated}]."
        )
    else:
        told = wrong if after == "ALARM" else [value for value in known if not alarm.breaches(value)]
        needed = alarm.datapoints_to_alarm
        needed = needed if after == "ALARM" else alarm.evaluation_periods - needed + 1
        reason = (
            f"Threshold Crossed: {len(told)} out of the last {alarm.evaluation_periods} datapoints"
            f" [{', '.join(f'{value:g}' for value in told)}] {_were(len(told))}{'' if after == 'ALARM' else ' not'}"
            f" {_WORDS[alarm.comparison]} the threshold ({alarm.threshold:g}) (minimum {needed} datapoint{_s(needed)}"
            f" for {before} -> {after} transition)."
        )
    return reason, {
        "version": "1.0",
        "queryDate": _timestamp(time.time()),
        "statistic": alarm.statistic,
        "period": alarm.period,
        "recentDatapoints": known,
        "threshold": alarm.threshold,
    }


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _count_messages() -> None:
    """Put what SQS puts every minute, for the queues that an alarm of this region watches."""
    from ministack.services import cloudwatch, sqs

    name, now = "ApproximateNumberOfMessagesVisible", time.time()
    watched = {
        dimension["Value"]
        for record in cloudwatch._alarms.values()
        if (record["Namespace"], record["MetricName"]) == ("AWS/SQS", name)
        for dimension in record.get("Dimensions") or []
        if dimension["Name"] == "QueueName"
    }
    for queue in list(sqs._queues.values()):
        if queue["name"] in watched:
            visible = sum(message["visible_at"] <= now for message in list(queue["messages"]))
            cloudwatch.record_metric("AWS/SQS", name, visible, "Count", {"QueueName": queue["name"]})


def _announce(lab: Lab) -> None:
    """'CloudWatch Alarm State Change', for metric and composite alarms, in the shape that AWS gives it.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
    """
    from ministack.services import cloudwatch

    last: dict[tuple[str, str], dict[str, Any]] = {}

    def record(original: Handler) -> Handler:
        def recorded(name: str, old: str, new: str, reason: str, *args: Any, **kwargs: Any) -> None:
            original(name, old, new, reason, *args, **kwargs)
            if old == new:
                return
            alarm = cloudwatch._alarms.get(name) or cloudwatch._composite_alarms.get(name) or {}
            state = {"value": new, "reason": reason, "timestamp": _timestamp(time.time())}
            if alarm.get("StateReasonData"):
                state["reasonData"] = alarm["StateReasonData"]
            key = here(), name
            previous = last.get(key, {})
            detail = {
                "alarmName": name,
                "state": state,
                "previousState": previous if previous.get("value") == old else {"value": old},
                "configuration": _configuration(alarm),
            }
            last[key] = state
            arn = alarm.get("AlarmArn") or f"arn:aws:cloudwatch:{here()}:{lab.account}:alarm:{name}"
            send(lab, here(), "aws.cloudwatch", "CloudWatch Alarm State Change", detail, [arn])

        return recorded

    def stated(original: Handler) -> Handler:
        def set_state(params: Any, data: dict[str, Any], *args: Any) -> Any:
            # What an evaluation found must not be told as the reason of a state that is set by hand.
            name = data.get("AlarmName") or cloudwatch._p(params, "AlarmName")
            cloudwatch._alarms.get(name, {}).pop("StateReasonData", None)
            return original(params, data, *args)

        return set_state

    replace(cloudwatch, "_record_history", record)
    replace(cloudwatch, "_set_alarm_state", stated)


def _configuration(alarm: dict[str, Any]) -> dict[str, Any]:
    described = {"description": alarm["AlarmDescription"]} if alarm.get("AlarmDescription") else {}
    if "AlarmRule" in alarm:
        return {**described, "alarmRule": alarm["AlarmRule"]}
    if "MetricName" not in alarm:
        return described
    metric = {
        "namespace": alarm["Namespace"],
        "name": alarm["MetricName"],
        "dimensions": {each["Name"]: each["Value"] for each in alarm.get("Dimensions") or []},
    }
    stat = {"metric": metric, "period": alarm.get("Period", 60), "stat": alarm.get("Statistic", "Average")}
    return {**described, "metrics": [{"id": "m1", "metricStat": stat, "returnData": True}]}


def _timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(at % 1 * 1000):03d}+0000"


def _composite_alarms_of_stacks() -> None:
    """AWS::CloudWatch::CompositeAlarm, which MiniStack's CloudFormation lacks."""
    from ministack.services import cloudwatch
    from ministack.services.cloudformation import provisioners

    def put(name: str, props: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        wanted = {
            **props,
            "AlarmName": name,
            "ActionsEnabled": str(props.get("ActionsEnabled", True)).lower() == "true",
        }
        status, _, body = cloudwatch._put_composite_alarm({}, wanted, False, True)
        if status >= 400:
            raise ValueError(json.loads(body)["message"])
        record = cloudwatch._composite_alarms[name]
        cloudwatch._resource_tags[record["AlarmArn"]] = {tag["Key"]: tag["Value"] for tag in props.get("Tags") or []}
        return name, {"Arn": record["AlarmArn"]}

    def named(props: dict[str, Any], stack_name: str, logical_id: str) -> str:
        return str(props.get("AlarmName") or provisioners._physical_name(stack_name, logical_id, max_len=255))

    def create(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        return put(named(props, stack_name, logical_id), props)

    def update(
        physical_id: str, _old: dict[str, Any], new: dict[str, Any], _stack_name: str, _logical_id: str = ""
    ) -> Any:
        name = str(new.get("AlarmName") or physical_id)
        result = put(name, new)
        if name != physical_id:
            delete(physical_id, _old)
        return result

    def delete(physical_id: str, _props: dict[str, Any]) -> None:
        record = cloudwatch._composite_alarms.pop(physical_id, {})
        cloudwatch._composite_triggers.pop(physical_id, None)
        cloudwatch._resource_tags.pop(record.get("AlarmArn"), None)

    provisioners._RESOURCE_HANDLERS["AWS::CloudWatch::CompositeAlarm"] = {
        "create": create,
        "update": update,
        "delete": delete,
    }
