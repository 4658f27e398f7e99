from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from pilotlight.aws import metrics
from pilotlight.model import Measure

NOW = dt.datetime.now(dt.UTC)
WITHIN = dt.timedelta(minutes=5)


def test_a_measure_is_put_under_the_environment(aws: Any) -> None:
    calls: list[Any] = []

    class Client:
        def put_metric_data(self, **call: Any) -> None:
            calls.append(call)
            aws("cloudwatch").put_metric_data(**call)

    metrics.put("dev", (Measure("ProbeFailed", 1, fine=True), Measure("ProbeLatency", 12, "Milliseconds")), Client())
    found = aws("cloudwatch").list_metrics(Namespace="PilotLight")["Metrics"]
    assert {metric["MetricName"] for metric in found} == {"ProbeFailed", "ProbeLatency"}
    assert all(metric["Dimensions"] == [{"Name": "Environment", "Value": "dev"}] for metric in found)
    assert [datum["StorageResolution"] for datum in calls[0]["MetricData"]] == [1, 60]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_what_the_checkers_said_last_is_read(aws: Any, value: float) -> None:
    cloudwatch = aws("cloudwatch", "us-east-1")
    for minutes, status in ((3, 1 - value), (1, value)):
        cloudwatch.put_metric_data(
            Namespace="AWS/Route53",
            MetricData=[
                {
                    "MetricName": "HealthCheckStatus",
                    "Dimensions": [{"Name": "HealthCheckId", "Value": "check"}],
                    "Timestamp": NOW - dt.timedelta(minutes=minutes),
                    "Value": status,
                }
            ],
        )
    found = metrics.observed("check", WITHIN, NOW, cloudwatch)
    assert found
    assert found.status == value
    # As old as it is: the minute that it is of, and not the moment at which it was asked for.
    put = NOW - dt.timedelta(minutes=1)
    assert put - dt.timedelta(minutes=1) < dt.datetime.fromisoformat(found.at) <= put
    assert metrics.observed("another", WITHIN, NOW, cloudwatch) is None
    assert metrics.observed("check", dt.timedelta(seconds=1), NOW + dt.timedelta(minutes=9), cloudwatch) is None
