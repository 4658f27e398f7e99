"""CloudWatch: one value of this moment."""

from __future__ import annotations

from typing import Any

from pilotlight.aws import clients

_NAMESPACE = "PilotLight"


def count(environment: str, name: str, value: float, client: Any = None) -> None:
    """Put one value of a metric of an environment, in the function's own region."""
    (client or clients.near("cloudwatch")).put_metric_data(
        Namespace=_NAMESPACE,
        MetricData=[
            {
                "MetricName": name,
                "Dimensions": [{"Name": "Environment", "Value": environment}],
                "Value": value,
                "Unit": "Count",
            }
        ],
    )
