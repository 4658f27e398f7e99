"""CloudWatch: figures of our own, in this function's region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pilotlight.aws import clients

if TYPE_CHECKING:
    from collections.abc import Mapping


def publish(environment: str, values: Mapping[str, tuple[float, str]], client: Any = None) -> None:
    """Publish figures: name to value and unit."""
    data = [
        {
            "MetricName": name,
            "Dimensions": [{"Name": "Environment", "Value": environment}],
            "Value": value,
            "Unit": unit,
        }
        for name, (value, unit) in values.items()
    ]
    if data:
        (client or clients.near("cloudwatch")).put_metric_data(Namespace="PilotLight", MetricData=data)
