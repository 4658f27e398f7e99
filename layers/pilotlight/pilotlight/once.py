"""Work that is done once however often it is delivered: Powertools' idempotency, with our rules in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)

from pilotlight.aws import clients

if TYPE_CHECKING:
    from collections.abc import Callable

    from pilotlight.model import Json
    from pilotlight.step import Call

_REMEMBERED_SECONDS = 24 * 3600


def once(call: Call, key: str, work: Callable[[], Json]) -> Json:
    """Do work once for a key; later calls get the first answer.

    Only for work that ends in one call: never for a poll, which would be given its first answer for a day. Work that
    raised is forgotten and may be done again.

    Parameters
    ----------
    key
        What makes two deliveries the same, such as ``fence-7``.
    """
    config = IdempotencyConfig(
        event_key_jmespath="key",
        raise_on_no_idempotency_key=True,
        expires_after_seconds=_REMEMBERED_SECONDS,
        hash_function="sha256",
        # Without it, a run that timed out would block its key until the key expires.
        lambda_context=call.context,
    )
    store = DynamoDBPersistenceLayer(
        table_name=call.environment.idempotency_table, boto3_client=clients.near("dynamodb")
    )

    def deliver(delivery: Json) -> Json:
        return work()

    guarded = idempotent_function(
        deliver, data_keyword_argument="delivery", persistence_store=store, config=config, key_prefix="once"
    )
    answer: Json = guarded(delivery={"key": key})
    return answer
