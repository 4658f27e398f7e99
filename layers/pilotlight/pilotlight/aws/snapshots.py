"""RDS: a database that is brought to another region by a snapshot, and what a snapshot does not carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pilotlight.aws import clients, faults
from pilotlight.aws.database import unless_busy

if TYPE_CHECKING:
    from pilotlight.model import Json

# What RestoreDBInstanceFromDBSnapshot takes of an instance's shape. What it does not know is set afterwards.
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_RestoreDBInstanceFromDBSnapshot.html
_AT_RESTORE = (
    "AutoMinorVersionUpgrade",
    "CACertificateIdentifier",
    "CopyTagsToSnapshot",
    "DBInstanceClass",
    "DBParameterGroupName",
    "DBSubnetGroupName",
    "DeletionProtection",
    "EnableCloudwatchLogsExports",
    "EnableIAMDatabaseAuthentication",
    "Iops",
    "MultiAZ",
    "OptionGroupName",
    "PubliclyAccessible",
    "StorageThroughput",
    "StorageType",
    "Tags",
)
# What ModifyDBInstance calls a setting, and what DescribeDBInstances does.
_AFTERWARDS = {
    "BackupRetentionPeriod": "BackupRetentionPeriod",
    "EnablePerformanceInsights": "PerformanceInsightsEnabled",
    "MaxAllocatedStorage": "MaxAllocatedStorage",
    "MonitoringInterval": "MonitoringInterval",
    "MonitoringRoleArn": "MonitoringRoleArn",
    "PerformanceInsightsKMSKeyId": "PerformanceInsightsKMSKeyId",
    "PerformanceInsightsRetentionPeriod": "PerformanceInsightsRetentionPeriod",
    "PreferredBackupWindow": "PreferredBackupWindow",
    "PreferredMaintenanceWindow": "PreferredMaintenanceWindow",
}


def allocated_gib(identifier: str, client: Any = None) -> int:
    """Read how much storage an instance has; 0 if there is none."""
    try:
        answer = (client or clients.near("rds")).describe_db_instances(DBInstanceIdentifier=identifier)
    except ClientError as error:
        if faults.code(error) in ("DBInstanceNotFound", "DBInstanceNotFoundFault"):
            return 0
        raise
    return int(answer["DBInstances"][0].get("AllocatedStorage", 0))


def copy(identifier: str, source: str, key: str, client: Any) -> None:
    """Ask for a copy of a snapshot of another region, with its tags.

    Parameters
    ----------
    source
        ARN of the snapshot.
    key
        The key of this region: a copy of an encrypted snapshot has to name one.
    """
    with unless_busy():
        client.copy_db_snapshot(
            SourceDBSnapshotIdentifier=source,
            SourceRegion=source.split(":")[3],
            TargetDBSnapshotIdentifier=identifier,
            KmsKeyId=key,
            CopyTags=True,
        )


def restore(identifier: str, snapshot: str, given: Json, security_group: str, client: Any) -> None:
    """Ask for an instance with a snapshot's data.

    Parameters
    ----------
    given
        What it shall be like, in the words of the instance's shape; what a restore does not know is left out.
    security_group
        Nobody has to get in yet.
    """
    known = {name: value for name, value in given.items() if name in _AT_RESTORE}
    with unless_busy():
        client.restore_db_instance_from_db_snapshot(
            DBInstanceIdentifier=identifier,
            DBSnapshotIdentifier=snapshot,
            VpcSecurityGroupIds=[security_group],
            **known,
        )


def to_settle(given: Json) -> Json:
    """Pick what a restore does not know, and is set afterwards."""
    return {name: value for name, value in given.items() if name in _AFTERWARDS}


def settings(identifier: str, client: Any) -> Json:
    """Read what of an instance a restore does not know, in the words of ModifyDBInstance."""
    seen = client.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
    return {name: seen.get(told) for name, told in _AFTERWARDS.items()}


def settle(identifier: str, wanted: Json, client: Any) -> None:
    """Ask for other settings, at once."""
    with unless_busy():
        client.modify_db_instance(DBInstanceIdentifier=identifier, ApplyImmediately=True, **wanted)
