"""A function's surroundings: its environment, an AWS of moto's, and a way to load a handler from its folder."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from pilotlight.aws import clients
from pilotlight.aws.record import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from pilotlight.model import Record

ROOT = Path(__file__).parents[3]
PRIMARY, DR = "eu-west-1", "eu-central-1"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "AWS_REGION": DR,
        "AWS_DEFAULT_REGION": DR,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "ENVIRONMENT": "dev",
        "PRIMARY_REGION": PRIMARY,
        "DR_REGION": DR,
        "STATE_TABLE": "dev-dr-state",
        "IDEMPOTENCY_TABLE": "dev-dr-idempotency",
        "NOTIFICATION_TOPIC_ARN": f"arn:aws:sns:{DR}:123456789012:dev-dr-notifications",
        "POWERTOOLS_TRACE_DISABLED": "1",
        "POWERTOOLS_SERVICE_NAME": "test",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


@pytest.fixture
def aws() -> Iterator[Any]:
    """An empty AWS; call it with a service (and a region) for a client."""
    with mock_aws():
        # Named now: a test may put something in their place.
        factories = (clients.near, clients.patient, clients.far, clients.brisk)
        for factory in factories:
            factory.cache_clear()
        yield lambda service, region=DR: boto3.client(service, region_name=region)
        for factory in factories:
            factory.cache_clear()


@pytest.fixture
def state_table(aws: Any) -> str:
    for name in ("dev-dr-state", "dev-dr-idempotency"):
        aws("dynamodb").create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    return "dev-dr-state"


@pytest.fixture
def overtaken(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let another execution take the lock over, between a step's guard and its own look at the record."""

    def by(**fields: Any) -> None:
        looks = 0

        class Overtaken(Store):
            def read(self) -> Record:
                nonlocal looks
                looks += 1
                seen = super().read()
                if looks == 2:
                    assert self.replace(seen, replace(seen, **fields))
                return super().read()

        monkeypatch.setattr("pilotlight.step.Store", Overtaken)

    return by


def load(function: str) -> ModuleType:
    """Load a handler as Lambda does: by file, since every function's module is called app."""
    spec = importlib.util.spec_from_file_location(f"{function}_app", ROOT / "functions" / function / "app.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their own module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Context:
    """What Lambda hands a handler."""

    function_name = "dev-dr-test"
    memory_limit_in_mb = 512
    invoked_function_arn = f"arn:aws:lambda:{DR}:123456789012:function:dev-dr-test"
    aws_request_id = "request"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000
