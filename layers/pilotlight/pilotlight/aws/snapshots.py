"""RDS: snapshots, and what of an instance they do not carry."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from pilotlight.aws import clients, faults


def allocated_gib(identifier: str, client: Any = None) -> int:
    """Read how much storage an instance has; 0 if there is none."""
    try:
        answer = (client or clients.near("rds")).describe_db_instances(DBInstanceIdentifier=identifier)
    except ClientError as error:
        if faults.code(error) in ("DBInstanceNotFound", "DBInstanceNotFoundFault"):
            return 0
        raise
    return int(answer["DBInstances"][0].get("AllocatedStorage", 0))
