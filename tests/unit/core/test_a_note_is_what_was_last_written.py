from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from pilotlight.aws import notes

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = "dev-dr-state"


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-central-1")
        client.create_table(
            TableName=TABLE,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield client


def test_nothing_was_noted(dynamodb: Any) -> None:
    assert notes.read(TABLE, "watch", dynamodb) == {}


def test_what_was_noted_is_read_and_other_subjects_are_not_touched(dynamodb: Any) -> None:
    notes.write(TABLE, "watch", {"at": "now", "number": 1, "list": ["a"]}, dynamodb)
    notes.write(TABLE, "decision", {"outcome": "fail-over"}, dynamodb)
    assert notes.read(TABLE, "watch", dynamodb) == {"at": "now", "number": 1, "list": ["a"]}


def test_of_two_who_saw_the_same_one_writes(dynamodb: Any) -> None:
    assert notes.replace(TABLE, "posture-eu-west-1", {}, {"closed": 1}, dynamodb)
    assert not notes.replace(TABLE, "posture-eu-west-1", {}, {"closed": 2}, dynamodb)
    assert notes.replace(TABLE, "posture-eu-west-1", {"closed": 1}, {"closed": 3}, dynamodb)
    assert not notes.replace(TABLE, "posture-eu-west-1", {"closed": 1}, {"closed": 4}, dynamodb)
    assert notes.read(TABLE, "posture-eu-west-1", dynamodb) == {"closed": 3}


def test_a_note_that_was_emptied_is_one_that_is_not_there(dynamodb: Any) -> None:
    notes.write(TABLE, "approval", {"execution": "one"}, dynamodb)
    notes.write(TABLE, "approval", {}, dynamodb)
    assert notes.replace(TABLE, "approval", notes.read(TABLE, "approval", dynamodb), {"execution": "two"}, dynamodb)
    assert notes.read(TABLE, "approval", dynamodb) == {"execution": "two"}
