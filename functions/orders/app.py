"""A sample of a team's own function: stores what happened to orders, one object an event.

An order's object has the order's id for a name, so an event that is delivered twice is stored once.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()

_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}")


class OrderRefusedError(ValueError):
    """An event that no retry can mend: it ends in the dead-letter queue, with this reason in the log."""


@cache
def _s3() -> Any:
    return boto3.client("s3")


def order_from(body: str) -> dict[str, Any]:
    """Read an order event.

    Parameters
    ----------
    body
        JSON object with at least an ``id`` of letters, digits, dashes and underscores.

    Raises
    ------
    OrderRefusedError
        It is not one.
    """
    try:
        order = json.loads(body)
    except ValueError as error:
        raise OrderRefusedError(f"not JSON: {error}") from error
    identifier = order.get("id") if isinstance(order, dict) else None
    if not isinstance(identifier, str) or not _IDENTIFIER.fullmatch(identifier):
        raise OrderRefusedError("no 'id' of 1 to 64 letters, digits, dashes or underscores")
    return dict(order)


def store(record: SQSRecord) -> None:
    """Store one event in this region's bucket."""
    order = order_from(record.body)
    _s3().put_object(
        Bucket=os.environ["BUCKET"],
        Key=f"events/{order['id']}.json",
        Body=json.dumps({**order, "region": os.environ["AWS_REGION"]}, sort_keys=True).encode(),
        ContentType="application/json",
    )
    logger.info("stored", order=order["id"])


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Store a batch; name those that failed, so that only they come back."""
    # A batch that failed as a whole is answered in the same way: an exception would say less and retry the same.
    processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return dict(process_partial_response(event=event, record_handler=store, processor=processor, context=context))
