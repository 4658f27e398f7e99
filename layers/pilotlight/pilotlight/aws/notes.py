"""Notes beside the record, in DR's state table: one item a subject, of one writer each, read by whoever needs it.

``watch`` is what the probe sees, ``automation`` the maintenance switch, ``decision`` the last decision and its inputs,
``health`` what AWS says of the active region, and ``posture-<region>`` what the sentinel of a region has closed.
``probe`` is what the probe itself has to remember. ``objects`` is what has not crossed by now, ``objects-switch`` what
had not when the last switch began, and ``objects-return`` what came of comparing both sides; ``secrets`` is whether
both regions have the same ones. ``approval``, the question that waits for an answer, has two writers: who asks takes
the answer, and who tells of an execution's end withdraws what that one asked.

``run`` is in another table, of the images, in each region: which execution makes one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pilotlight.aws import clients, faults

if TYPE_CHECKING:
    from pilotlight.model import Json


def read(table: str, subject: str, client: Any = None) -> Json:
    """Read a note, consistently; empty where there is none."""
    answer = (client or clients.near("dynamodb")).get_item(
        TableName=table, Key={"id": {"S": subject}}, ConsistentRead=True
    )
    found: Json = json.loads(answer["Item"]["body"]["S"]) if "Item" in answer else {}
    return found


def write(table: str, subject: str, body: Json, client: Any = None) -> None:
    """Write a note over whatever was there."""
    (client or clients.near("dynamodb")).put_item(TableName=table, Item=_item(subject, body))


def replace(table: str, subject: str, seen: Json, body: Json, client: Any = None) -> bool:
    """Write a note if it still is what was seen (empty: not there, or emptied); say whether it was."""
    try:
        (client or clients.near("dynamodb")).put_item(
            TableName=table,
            Item=_item(subject, body),
            ConditionExpression="body = :seen" if seen else "attribute_not_exists(id) OR body = :seen",
            ExpressionAttributeValues={":seen": {"S": _text(seen)}},
        )
    except ClientError as error:
        if faults.code(error) == "ConditionalCheckFailedException":
            return False
        raise
    return True


def _item(subject: str, body: Json) -> Json:
    return {"id": {"S": subject}, "body": {"S": _text(body)}}


def _text(body: Json) -> str:
    return json.dumps(body, sort_keys=True)
