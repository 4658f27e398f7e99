"""The record: who is active and who is switching. One item in DR's state table, changed only by conditional writes."""

from __future__ import annotations

import dataclasses
from typing import Any

from botocore.exceptions import ClientError

from pilotlight.aws import clients, faults
from pilotlight.model import Record

_KEY = {"id": {"S": "switch"}}
_NUMBERS = ("epoch", "since")


class Store:
    """The state table.

    Parameters
    ----------
    table
        Its name.
    primary_region
        Who is active while nobody has written a record.
    client
        A DynamoDB client for DR's region.
    """

    def __init__(self, table: str, primary_region: str, client: Any = None) -> None:
        self._table = table
        self._primary = primary_region
        self._client = client or clients.near("dynamodb")

    def read(self) -> Record:
        """Read the record, consistently."""
        return self.find() or Record(active_region=self._primary)

    def find(self) -> Record | None:
        """Read the record, consistently, or None if nobody has written one."""
        item = self._client.get_item(TableName=self._table, Key=_KEY, ConsistentRead=True).get("Item")
        return _parse(item) if item else None

    def replace(self, seen: Record, new: Record) -> bool:
        """Write what differs if the record still is what was seen; say whether it was.

        The condition names the epoch, the lock and its holder: of two executions that saw the same free lock, one wins.
        Only what differs is written, so a note made meanwhile on the side (`note_fence`) stays.
        """
        first = seen == Record(active_region=self._primary)
        before = dataclasses.asdict(seen)
        changed = {name: value for name, value in dataclasses.asdict(new).items() if first or value != before[name]}
        # A record that no switch has touched yet names no holder.
        nobody = "" if seen.holder else "attribute_not_exists(#holder) OR "
        condition = f"#epoch = :seen_epoch AND #lock = :seen_lock AND ({nobody}#holder = :seen_holder)"
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_KEY,
                UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in changed | {"lock": new.lock}),
                ConditionExpression=f"attribute_not_exists(id) OR ({condition})" if first else condition,
                ExpressionAttributeNames={f"#{name}": name for name in changed | {"epoch": 0, "lock": 0, "holder": 0}},
                ExpressionAttributeValues={f":{name}": _value(name, value) for name, value in changed.items()}
                | {
                    ":lock": _value("lock", new.lock),
                    ":seen_epoch": _value("epoch", seen.epoch),
                    ":seen_lock": _value("lock", seen.lock),
                    ":seen_holder": _value("holder", seen.holder),
                },
            )
        except ClientError as error:
            if faults.code(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def note_fence(self, epoch: int, outcome: str) -> bool:
        """Note how closing the primary went, unless that switch is over. Touches nothing else of the record."""
        try:
            self._client.update_item(
                TableName=self._table,
                Key=_KEY,
                UpdateExpression="SET fence = :outcome",
                ConditionExpression="#epoch = :epoch",
                ExpressionAttributeNames={"#epoch": "epoch"},
                ExpressionAttributeValues={":outcome": {"S": outcome}, ":epoch": {"N": str(epoch)}},
            )
        except ClientError as error:
            if faults.code(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True


def _value(name: str, value: Any) -> dict[str, str]:
    return {"N": str(value)} if name in _NUMBERS else {"S": str(value)}


def _parse(item: dict[str, Any]) -> Record:
    known = {field.name for field in dataclasses.fields(Record)}
    values: dict[str, Any] = {
        name: int(value["N"]) if name in _NUMBERS else value["S"] for name, value in item.items() if name in known
    }
    return Record(**values)
