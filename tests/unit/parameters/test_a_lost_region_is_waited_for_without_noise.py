"""While the other region is lost, nothing fails that nobody can mend; when it is back, everything crosses."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ConnectTimeoutError

from pilotlight.aws import clients, parameter_store
from pilotlight.errors import TransientError
from tests.unit.core.conftest import DR, PRIMARY
from tests.unit.parameters.regions import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.parameters.regions import Regions

SILENCE = ConnectTimeoutError(endpoint_url=f"https://ssm.{PRIMARY}.amazonaws.com")


@pytest.fixture
def lost(two: Regions, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """DR is active, and the primary answers to nothing."""
    two.record(DR)
    real = parameter_store.value

    def value(name: str, client: Any) -> Any:
        if client.meta.region_name == PRIMARY:
            raise SILENCE
        return real(name, client)

    with monkeypatch.context() as patched:
        patched.setattr(parameter_store, "value", value)
        yield patched


def unanswered(region: str = DR) -> list[float]:
    now = dt.datetime.now(dt.UTC)
    found = boto3.client("cloudwatch", region_name=region).get_metric_data(
        MetricDataQueries=[
            {
                "Id": "m",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "PilotLight",
                        "MetricName": "ParametersUnanswered",
                        "Dimensions": [{"Name": "Environment", "Value": "dev"}],
                    },
                    "Period": 60,
                    "Stat": "Sum",
                },
            }
        ],
        StartTime=now - dt.timedelta(hours=1),
        EndTime=now + dt.timedelta(hours=1),
    )
    return [float(value) for value in found["MetricDataResults"][0]["Values"]]


def test_the_hourly_comparison_counts_it_and_does_not_fail(two: Regions, lost: pytest.MonkeyPatch) -> None:
    two.put("/dev/app/a", "v", DR)
    for _ in range(3):
        answer = two.invoke({"action": "reconcile"}, DR)
        assert answer["outcome"] == "the other region does not answer"
    assert sum(unanswered()) == 3
    lost.undo()
    assert two.invoke({"action": "reconcile"}, DR)["outcome"] == "reconciled"
    assert two.value("/dev/app/a", PRIMARY) == "v"
    # The last one says that it is over.
    assert sum(unanswered()) == 3


def test_who_asks_is_told(two: Regions, lost: pytest.MonkeyPatch) -> None:
    with pytest.raises(TransientError, match=f"{PRIMARY} does not answer"):
        two.reconcile(DR)
    with pytest.raises(TransientError, match="nothing was carried"):
        two.reconcile(DR, dry_run=True)


def test_an_event_comes_again_a_few_times_and_is_then_left_to_the_comparison(
    two: Regions, lost: pytest.MonkeyPatch
) -> None:
    for times, comes_again in ((1, True), (3, True), (4, False)):
        message = record("/dev/app/a", DR) | {"attributes": {"ApproximateReceiveCount": str(times)}}
        answer = two.invoke({"Records": [message]}, DR)
        assert bool(answer["batchItemFailures"]) is comes_again


def test_a_record_that_was_put_right_wakes_the_active_regions_comparison(
    two: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []

    def send_off(name: str, payload: Any, client: Any) -> None:
        sent.append((name, payload, client.meta.region_name))

    monkeypatch.setattr("pilotlight.aws.functions.send_off", send_off)
    two.record(DR)
    assert two.invoke({"action": "reconcile", "turned": True}, PRIMARY)["outcome"] == "standing by"
    assert sent == [("dev-parameter-sync", {"action": "reconcile"}, DR)]
    # Neither every hour, nor by the active one itself.
    two.invoke({"action": "reconcile"}, PRIMARY)
    two.invoke({"action": "reconcile", "turned": True}, DR)
    assert len(sent) == 1


def test_a_switch_records_one_region_before_the_other_and_nobody_is_alarmed(
    two: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr("pilotlight.aws.functions.send_off", lambda name, payload, client: sent.append(payload))
    two.put("/dev/app/x", "v", DR)
    two.record(DR, DR)
    first = two.invoke({"action": "reconcile", "turned": True}, DR)
    assert (first["outcome"], first["done"]) == ("standing by", True)
    assert f"{PRIMARY} still records {PRIMARY}" in first["detail"]
    # It wakes nobody: the one that is behind would find the same and fail. The record that follows does.
    assert sent == []
    two.record(DR, PRIMARY)
    two.invoke({"action": "reconcile", "turned": True}, PRIMARY)
    two.invoke(sent.pop(), DR)
    assert two.value("/dev/app/x", PRIMARY) == "v"


def test_that_it_could_not_be_woken_fails_nothing(two: Regions, monkeypatch: pytest.MonkeyPatch) -> None:
    def send_off(*_: Any) -> None:
        raise SILENCE

    monkeypatch.setattr("pilotlight.aws.functions.send_off", send_off)
    two.record(DR)
    assert two.invoke({"action": "reconcile", "turned": True}, PRIMARY)["outcome"] == "standing by"


def test_a_refusal_is_no_silence(two: Regions, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person has to mend goes on to fail."""
    two.record(DR)
    two.record(PRIMARY, PRIMARY)
    with pytest.raises(Exception, match="nothing was carried, or an old"):
        two.invoke({"action": "reconcile"}, DR)
    assert clients.near("cloudwatch").list_metrics(Namespace="PilotLight")["Metrics"] == []
