"""Two regions with a Parameter Store each, in moto; the events they send, and every call that the sync makes."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
from moto import mock_aws

from functions.parameter_sync import app
from pilotlight.aws import clients
from tests.unit.core.conftest import DR, PRIMARY, Context

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORD = "/dev/pilotlight/active-region"
OPERATIONS = {
    "DeleteParameter": "Delete",
    "DeleteParameters": "Delete",
    "LabelParameterVersion": "LabelParameterVersion",
    "PutParameter": "Update",
}
_REMEMBERED = ("near", "steady")


class Regions:
    """What a team does to its parameters, and the sync in both regions."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self.counting = False
        self.events: list[tuple[str, str]] = []
        self.remaining: int | None = 600_000
        for region in (PRIMARY, DR):
            for service in ("ssm", "resourcegroupstaggingapi", "events", "lambda"):
                self._watch(clients.steady(service, region), region)
            clients.steady("events", region).put_rule(
                Name="dev-parameter-sync", EventPattern='{"source": ["aws.ssm"]}', State="ENABLED"
            )
        self.record(PRIMARY)
        self.events.clear()
        self.counting = True

    def _watch(self, client: Any, region: str) -> None:
        asked: dict[str, Any] = {}

        def before(params: Any, model: Any, **_: Any) -> None:
            asked[model.name] = params
            if self.counting:
                self.calls[(region, model.name)] += 1

        def after(parsed: Any, model: Any, **_: Any) -> None:
            if model.name in OPERATIONS and parsed["ResponseMetadata"]["HTTPStatusCode"] < 300:
                params = asked[model.name]
                self.events += [(region, name) for name in params.get("Names", [params.get("Name")])]

        client.meta.events.register("before-parameter-build", before)
        client.meta.events.register("after-call", after)

    def ssm(self, region: str = PRIMARY) -> Any:
        return clients.steady("ssm", region)

    @contextmanager
    def uncounted(self) -> Iterator[Any]:
        before, self.counting = self.counting, False
        yield
        self.counting = before

    def record(self, active: str, *regions: str) -> None:
        """Record who is active, in some regions or in both."""
        with self.uncounted():
            for region in regions or (PRIMARY, DR):
                self.ssm(region).put_parameter(Name=RECORD, Value=active, Type="String", Overwrite=True)

    def configure(self, **values: str) -> None:
        with self.uncounted():
            for region in (PRIMARY, DR):
                for name, value in values.items():
                    self.ssm(region).put_parameter(
                        Name=f"/dev/pilotlight/config/{name.replace('_', '-')}",
                        Value=value,
                        Type="String",
                        Overwrite=True,
                    )

    def put(self, name: str, value: str, region: str = PRIMARY, **more: Any) -> int:
        with self.uncounted():
            return int(
                self.ssm(region).put_parameter(Name=name, Value=value, **{"Type": "String", "Overwrite": True} | more)[
                    "Version"
                ]
            )

    def invoke(self, event: Any, region: str = PRIMARY) -> Any:
        context = Context()
        if self.remaining is not None:
            context.get_remaining_time_in_millis = lambda: self.remaining  # type: ignore[method-assign,assignment,return-value]
        with patch.dict("os.environ", {"AWS_REGION": region}):
            clients.near.cache_clear()
            return app.handler(event, context)

    def reconcile(self, region: str = PRIMARY, **payload: Any) -> Any:
        return self.invoke({"action": "reconcile", "wait": True, **payload}, region)

    def bring(self, source: str = PRIMARY, **more: Any) -> Any:
        """Bring parameters over before a planned switch, as DR's function is asked to."""
        event = {"action": "bring", "source": source, "insists": False, "after": "", "labels": None, "waited": 0}
        return self.invoke(event | more, DR)

    def send(self, *names: str, region: str = PRIMARY) -> Any:
        """Deliver events as the queue would."""
        return self.invoke({"Records": [record(name, region, number) for number, name in enumerate(names)]}, region)

    def deliver(self, limit: int = 100) -> int:
        """Let both regions' functions hear every event until there is none left; say how many there were."""
        delivered = 0
        while self.events:
            delivered += 1
            assert delivered < limit, "the events don't end: this is a loop"
            region, name = self.events.pop(0)
            if name.startswith("/dev/pilotlight/"):
                continue
            assert self.send(name, region=region)["batchItemFailures"] == []
        return delivered

    def get(self, name: str, region: str = DR) -> Any:
        """A parameter with all it has; None where there is none."""
        with self.uncounted():
            ssm = self.ssm(region)
            try:
                history = ssm.get_parameter_history(Name=name, WithDecryption=True)["Parameters"]
            except ssm.exceptions.ParameterNotFound:
                return None
            tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)["TagList"]
            last = history[-1]
            return {key: last.get(key) for key in ("Value", "Type", "Description", "AllowedPattern", "Tier")} | {
                "Version": last["Version"],
                "KeyId": last.get("KeyId"),
                "Tags": {tag["Key"]: tag["Value"] for tag in tags},
                "Labels": {label: one["Value"] for one in history for label in one["Labels"]},
            }

    def value(self, name: str, region: str = DR) -> str | None:
        found = self.get(name, region)
        return found["Value"] if found else None


def record(name: str, region: str, number: int = 0) -> dict[str, Any]:
    event = {
        "detail-type": "Parameter Store Change",
        "source": "aws.ssm",
        "region": region,
        "detail": {"operation": "Update", "name": name, "type": "String"},
    }
    return {"messageId": f"message-{number}", "body": json.dumps(event), "eventSource": "aws:sqs"}


def forget() -> None:
    for name in _REMEMBERED:
        getattr(clients, name).cache_clear()


@contextmanager
def regions() -> Iterator[Regions]:
    with mock_aws():
        forget()
        try:
            yield Regions()
        finally:
            forget()
            boto3.DEFAULT_SESSION = None
