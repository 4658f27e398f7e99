from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS = Path(__file__).parents[3] / "events"
CONTEXT = SimpleNamespace(
    function_name="dev-orders",
    memory_limit_in_mb=256,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:dev-orders",
    aws_request_id="request",
    get_remaining_time_in_millis=lambda: 30_000,
)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "BUCKET": "orders",
        "POWERTOOLS_SERVICE_NAME": "orders",
    }.items():
        monkeypatch.setenv(name, value)
    from functions.orders import app

    app._s3.cache_clear()
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="orders", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield app
    app._s3.cache_clear()


def batch(*bodies: str) -> dict[str, Any]:
    template = json.loads((EVENTS / "orders.json").read_text())["Records"][0]
    return {
        "Records": [{**template, "messageId": f"message-{number}", "body": body} for number, body in enumerate(bodies)]
    }


def stored() -> dict[str, Any]:
    s3 = boto3.client("s3")
    return {
        item["Key"]: json.loads(s3.get_object(Bucket="orders", Key=item["Key"])["Body"].read())
        for item in s3.list_objects_v2(Bucket="orders").get("Contents", [])
    }


def test_the_sample_event_is_stored(app: Any) -> None:
    event = json.loads((EVENTS / "orders.json").read_text())
    assert app.handler(event, CONTEXT) == {"batchItemFailures": []}
    assert stored() == {
        "events/order-17.json": {"id": "order-17", "note": "two of the blue ones", "region": "eu-west-1"}
    }


def test_only_the_bad_one_comes_back(app: Any) -> None:
    answer = app.handler(batch('{"id": "a"}', "not json", '{"id": "b"}'), CONTEXT)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "message-1"}]}
    assert set(stored()) == {"events/a.json", "events/b.json"}


@pytest.mark.parametrize("body", ["[]", "{}", '{"id": ""}', '{"id": "../orders/a"}', '{"id": null}'])
def test_an_order_without_a_usable_id_is_refused(app: Any, body: str) -> None:
    with pytest.raises(app.OrderRefusedError):
        app.order_from(body)


def test_a_batch_of_only_bad_ones_is_answered_the_same_way(app: Any) -> None:
    assert app.handler(batch("x", "y"), CONTEXT) == {
        "batchItemFailures": [{"itemIdentifier": "message-0"}, {"itemIdentifier": "message-1"}]
    }


def test_an_order_that_comes_twice_is_stored_once(app: Any) -> None:
    for _ in range(2):
        app.handler(batch('{"id": "a", "note": "same"}'), CONTEXT)
    assert set(stored()) == {"events/a.json"}
