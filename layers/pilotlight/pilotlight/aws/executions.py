"""Step Functions, seen from inside."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from pilotlight.aws import clients, faults


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
