"""An AWS that gives the answers a test has written down, by service, operation and region."""

from __future__ import annotations

import io
import json
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

DR, PRIMARY = "eu-central-1", "eu-west-1"
ACCOUNT = "123456789012"
ARN = f"arn:aws:states:{DR}:{ACCOUNT}:execution:dev-dr-failover:one"
HANGS = ReadTimeoutError(endpoint_url="https://somewhere")


def refusal(code: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        "Operation",
    )


class Cloud:
    """Clients for whatever is asked; ``answers`` maps an operation, or operation and region, to what it gives."""

    def __init__(self, answers: dict[Any, Any] | None = None) -> None:
        self.notes: dict[str, Any] = {}
        self.record = {"active_region": PRIMARY, "epoch": "3", "lock": "free"}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[Any, Any] = {
            "get_item": self._item,
            "put_item": self._put,
            "get_caller_identity": {"Arn": f"arn:aws:iam::{ACCOUNT}:user/ann", "Account": ACCOUNT},
            "get_parameter": {"Parameter": {"Value": PRIMARY}},
            "get_function_concurrency": {},
            "describe_rule": {"State": "ENABLED"},
            "list_executions": {"executions": []},
            "describe_execution": {"status": "RUNNING"},
            "describe_alarms": {"MetricAlarms": [], "CompositeAlarms": []},
            "describe_auto_scaling_groups": {"AutoScalingGroups": [{"Instances": []}]},
            "describe_db_instances": {"DBInstances": [{"DBInstanceStatus": "available"}]},
            "publish": {},
        } | (answers or {})

    def client(self, _service: str, region_name: str, config: Any = None) -> Any:
        assert config.connect_timeout <= 3, "a client of a script gives up"
        return _Client(self, region_name)

    def _item(self, **given: Any) -> dict[str, Any]:
        subject = given["Key"]["id"]["S"]
        if subject == "switch":
            return {"Item": {name: {"S": value} for name, value in self.record.items()}} if self.record else {}
        note = self.notes.get(subject)
        return {"Item": {"body": {"S": json.dumps(note)}}} if note is not None else {}

    def _put(self, **given: Any) -> dict[str, Any]:
        self.notes[given["Item"]["id"]["S"]] = json.loads(given["Item"]["body"]["S"])
        return {}


class _Client:
    def __init__(self, cloud: Cloud, region: str) -> None:
        self._cloud, self._region = cloud, region

    def __getattr__(self, operation: str) -> Any:
        def call(**given: Any) -> Any:
            self._cloud.calls.append((operation, given))
            known = self._cloud.answers
            answer = known.get((operation, self._region), known.get(operation))
            if isinstance(answer, Exception):
                raise answer
            return answer(**given) if callable(answer) else answer

        return call


def invoked(answer: Any, error: str = "") -> dict[str, Any]:
    """Make what Lambda gives back of an invocation."""
    return {"Payload": io.BytesIO(json.dumps(answer).encode())} | ({"FunctionError": error} if error else {})
