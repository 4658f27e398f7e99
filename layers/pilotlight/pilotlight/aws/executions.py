"""Step Functions, seen from inside."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pilotlight.aws import clients, faults

if TYPE_CHECKING:
    from pilotlight.model import Json


def is_running(arn: str, client: Any = None) -> bool:
    """Whether an execution is still running. One that no longer exists is not."""
    if not arn:
        return False
    try:
        status = (client or clients.near("stepfunctions")).describe_execution(executionArn=arn)["status"]
    except ClientError as error:
        if faults.code(error) in ("ExecutionDoesNotExist", "InvalidArn"):
            return False
        raise
    return bool(status in ("RUNNING", "PENDING_REDRIVE"))


def answer(token: str, output: Json, client: Any = None) -> bool:
    """Give an execution the answer that it waits for; say whether it still did."""
    try:
        (client or clients.near("stepfunctions")).send_task_success(taskToken=token, output=json.dumps(output))
    except ClientError as error:
        if faults.code(error) in ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken"):
            return False
        raise
    return True
