from __future__ import annotations

import pytest

from scripts import automation
from tests.unit.scripts.answers import DR, HANGS, Cloud

RINGS = {"MetricAlarms": [], "CompositeAlarms": [{"AlarmName": "dev-dr-primary-lost", "StateValue": "ALARM"}]}
QUIET = {"MetricAlarms": [], "CompositeAlarms": [{"AlarmName": "dev-dr-primary-lost", "StateValue": "OK"}]}
BY_HAND = "make failover ENVIRONMENT=dev DR_REGION=eu-central-1"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    found = Cloud({"describe_alarms": RINGS})
    found.notes["automation"] = {"on": False, "at": "then", "by": "ann", "reason": "moving"}
    monkeypatch.setattr("boto3.client", found.client)
    return found


def on(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> str:
    assert automation.main("dev", DR, "on") == 0
    said = capsys.readouterr().out
    assert said.startswith("dev in eu-central-1\n")
    assert cloud.notes["automation"]["on"] is True
    # The team hears the same.
    (mail,) = [given["Message"] for operation, given in cloud.calls if operation == "publish"]
    assert mail in said
    return said


def test_an_alarm_that_is_quiet_is_not_spoken_of(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.answers["describe_alarms"] = QUIET
    assert "RINGS" not in on(cloud, capsys)


def test_an_alarm_that_rings_and_that_nobody_hears_any_more_needs_a_hand(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    said = on(cloud, capsys)
    assert "dev-dr-primary-lost RINGS NOW and does not ring again: nothing starts by itself" in said
    assert BY_HAND in said
    (asked,) = [given for operation, given in cloud.calls if operation == "list_executions"]
    assert asked["statusFilter"] == "RUNNING"
    # Composite alarms are not looked for by default.
    (alarms,) = [given for operation, given in cloud.calls if operation == "describe_alarms"]
    assert "CompositeAlarm" in alarms["AlarmTypes"]


def test_an_execution_that_waits_for_it_is_named(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.answers["list_executions"] = {"executions": [{"name": "woken"}]}
    said = on(cloud, capsys)
    assert "RINGS NOW, and woken is running" in said
    assert BY_HAND not in said


def test_an_alarm_that_cannot_be_read_keeps_nothing_off(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.answers["describe_alarms"] = HANGS
    said = on(cloud, capsys)
    assert "whether dev-dr-primary-lost rings now cannot be read" in said
    assert BY_HAND in said
