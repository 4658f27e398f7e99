"""CloudWatch alarms: what they say now, whatever an event said of them."""

from __future__ import annotations

from typing import Any

from pilotlight.aws import clients


def states(names: tuple[str, ...], client: Any = None) -> dict[str, str]:
    """Read the states of metric and composite alarms by name; one that does not exist is left out."""
    answer = (client or clients.near("cloudwatch")).describe_alarms(
        # Only metric alarms are looked for by default.
        AlarmNames=list(names),
        AlarmTypes=["MetricAlarm", "CompositeAlarm"],
    )
    return {
        alarm["AlarmName"]: alarm["StateValue"]
        for kind in ("MetricAlarms", "CompositeAlarms")
        for alarm in answer[kind]
    }


def quieten(name: str, reason: str, client: Any = None) -> None:
    """Set a composite alarm back that rings without its parts.

    One that was set by hand stays as it is until one of its parts changes, and would not ring for them
    (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_SetAlarmState.html).
    """
    (client or clients.near("cloudwatch")).set_alarm_state(AlarmName=name, StateValue="OK", StateReason=reason)


def ring(name: str, reason: str, client: Any = None) -> None:
    """Let a composite alarm ring again that was quietened while its parts began to ring: they change no more."""
    (client or clients.near("cloudwatch")).set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason=reason)
