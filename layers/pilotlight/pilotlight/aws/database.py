"""RDS."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from pilotlight.aws import clients, faults
from pilotlight.model import Database


def describe(identifier: str, client: Any = None) -> Database | None:
    """Read an instance, or None if there is none."""
    try:
        answer = (client or clients.near("rds")).describe_db_instances(DBInstanceIdentifier=identifier)
    except ClientError as error:
        # The service's code has no "Fault" at its end, the exception class of the SDK has.
        if faults.code(error) in ("DBInstanceNotFound", "DBInstanceNotFoundFault"):
            return None
        raise
    instance = answer["DBInstances"][0]
    replication = [info for info in instance.get("StatusInfos", []) if info.get("StatusType") == "read replication"]
    endpoint = instance.get("Endpoint", {})
    return Database(
        identifier=identifier,
        status=instance["DBInstanceStatus"],
        source=instance.get("ReadReplicaSourceDBInstanceIdentifier", ""),
        replication=replication[0].get("Status", "unknown") if replication else "",
        replication_normal=all(info.get("Normal", True) for info in replication),
        pending=tuple(sorted(instance.get("PendingModifiedValues", {}))),
        host=endpoint.get("Address", ""),
        port=endpoint.get("Port", 0),
        backup_retention_days=instance.get("BackupRetentionPeriod", 0),
    )


def promote(identifier: str, retention_days: int, client: Any = None) -> bool:
    """Ask RDS to promote a replica; say whether it took the request.

    The retention is explicit because the call's own default is one day
    (https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_PromoteReadReplica.html).

    Returns
    -------
    bool
        False when RDS refuses for the state the instance is in (backing up, or no replica any more): what that means
        is for the next look at the instance to tell, never for the error code.
    """
    try:
        (client or clients.near("rds")).promote_read_replica(
            DBInstanceIdentifier=identifier, BackupRetentionPeriod=retention_days
        )
    except ClientError as error:
        if faults.code(error) in ("InvalidDBInstanceState", "InvalidDBInstanceStateFault"):
            return False
        raise
    return True
