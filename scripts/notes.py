"""The notes beside the record in DR's state table, for the scripts: what is watched, decided and asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from scripts.console import BRIEFLY, client

if TYPE_CHECKING:
    from botocore.config import Config


class Notes:
    """The state table of an environment.

    Parameters
    ----------
    environment
        Its name, such as ``dev``.
    region
        The DR region: nothing else is asked.
    config
        How long it is waited for.
    """

    def __init__(self, environment: str, region: str, config: Config = BRIEFLY) -> None:
        self._table = f"{environment}-dr-state"
        self._client = client("dynamodb", region, config)

    def record(self) -> dict[str, str]:
        """Read who is active and who switches."""
        item = self._client.get_item(TableName=self._table, Key={"id": {"S": "switch"}}, ConsistentRead=True)
        return {name: str(next(iter(value.values()))) for name, value in item.get("Item", {}).items()}

    def read(self, subject: str) -> dict[str, Any]:
        """Read a note; empty where there is none."""
        item = self._client.get_item(TableName=self._table, Key={"id": {"S": subject}}, ConsistentRead=True)
        found: dict[str, Any] = json.loads(item["Item"]["body"]["S"]) if "Item" in item else {}
        return found

    def write(self, subject: str, body: dict[str, Any]) -> None:
        """Write a note over whatever was there."""
        text = json.dumps(body, sort_keys=True)
        self._client.put_item(TableName=self._table, Item={"id": {"S": subject}, "body": {"S": text}})


def caller(region: str, config: Config = BRIEFLY) -> str:
    """Say who is at the keyboard, as AWS knows them."""
    return str(client("sts", region, config).get_caller_identity()["Arn"])
