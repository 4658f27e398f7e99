"""CloudWatch metrics: our own, and what health checkers of Route 53 say."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from pilotlight.aws import clients
from pilotlight.model import Observed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pilotlight.model import Measure

NAMESPACE = "PilotLight"


def put(environment: str, measures: Sequence[Measure], client: Any = None, namespace: str = NAMESPACE) -> None:
    """Put values of this moment, in one call; none for none."""
    if not measures:
        return
    (client or clients.near("cloudwatch")).put_metric_data(
        Namespace=namespace,
        MetricData=[
            {
                "MetricName": measure.name,
                "Dimensions": [
                    {"Name": "Environment", "Value": environment},
                    *([{"Name": "Role", "Value": measure.role}] if measure.role else []),
                ],
                "Value": measure.value,
                "Unit": measure.unit,
                "StorageResolution": 1 if measure.fine else 60,
            }
            for measure in measures
        ],
    )


def observed(health_check: str, within: dt.timedelta, now: dt.datetime, client: Any) -> Observed | None:
    """Read what Route 53's health checkers said last of an endpoint, and of which minute; None if they say nothing.

    Parameters
    ----------
    within
        How old it may be.
    client
        For CloudWatch in us-east-1, the only region that has this metric
        (https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/monitoring-cloudwatch.html).
    """
    points = client.get_metric_statistics(
        Namespace="AWS/Route53",
        MetricName="HealthCheckStatus",
        Dimensions=[{"Name": "HealthCheckId", "Value": health_check}],
        StartTime=now - within,
        EndTime=now + dt.timedelta(minutes=1),
        Period=60,
        Statistics=["Minimum"],
    )["Datapoints"]
    newest = max(points, key=lambda point: point["Timestamp"], default=None)
    if newest is None:
        return None
    return Observed(float(newest["Minimum"]), newest["Timestamp"].astimezone(dt.UTC).isoformat(timespec="seconds"))
