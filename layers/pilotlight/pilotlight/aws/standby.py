"""RDS: how a database that lost its role is kept, and how a replica is made in its place. Nothing here deletes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pilotlight.aws import faults
from pilotlight.aws.database import unless_busy
from pilotlight.model import DatabaseSnapshot, Json

if TYPE_CHECKING:
    from collections.abc import Mapping

_NO_SNAPSHOT = ("DBSnapshotNotFound", "DBSnapshotNotFoundFault")
# What says that an instance was retired is nothing for its successor; what AWS set nobody else may set.
_OF_THE_OLD = ("aws:", "pilotlight:retired-", "pilotlight:role", "pilotlight:divergence-")
# gp3 takes a word about its speed only from this size on.
_GIB_OF_FAST_GP3 = 400


def identifiers(prefix: str, client: Any) -> tuple[str, ...]:
    """List the instances whose names begin so."""
    pages = client.get_paginator("describe_db_instances").paginate()
    names = [instance["DBInstanceIdentifier"] for page in pages for instance in page["DBInstances"]]
    return tuple(sorted(name for name in names if name.startswith(prefix)))


def snapshot(identifier: str, client: Any) -> DatabaseSnapshot | None:
    """Read a snapshot, or None if there is none."""
    try:
        answer = client.describe_db_snapshots(DBSnapshotIdentifier=identifier)
    except ClientError as error:
        if faults.code(error) in _NO_SNAPSHOT:
            return None
        raise
    if not answer["DBSnapshots"]:
        return None
    found = answer["DBSnapshots"][0]
    return DatabaseSnapshot(identifier, found["Status"], found.get("DbiResourceId", ""))


def take_snapshot(identifier: str, instance: str, tags: Mapping[str, str], client: Any) -> None:
    """Ask for a snapshot that carries tags."""
    with unless_busy():
        client.create_db_snapshot(DBSnapshotIdentifier=identifier, DBInstanceIdentifier=instance, Tags=_listed(tags))


def tag(arn: str, tags: Mapping[str, str], client: Any) -> None:
    """Put tags on an instance; the others stay."""
    client.add_tags_to_resource(ResourceName=arn, Tags=_listed(tags))


def rename(identifier: str, name: str, client: Any) -> None:
    """Ask for another name, protected from deletion."""
    with unless_busy():
        client.modify_db_instance(
            DBInstanceIdentifier=identifier,
            NewDBInstanceIdentifier=name,
            DeletionProtection=True,
            ApplyImmediately=True,
        )


def keep_backups(identifier: str, days: int, windows: tuple[str, str], client: Any) -> None:
    """Switch automated backups on, with the windows for them and for maintenance."""
    backup, maintenance = windows
    more = {"PreferredBackupWindow": backup} if backup else {}
    more |= {"PreferredMaintenanceWindow": maintenance} if maintenance else {}
    with unless_busy():
        client.modify_db_instance(
            DBInstanceIdentifier=identifier, BackupRetentionPeriod=days, ApplyImmediately=True, **more
        )


def shape(identifier: str, client: Any) -> Json:
    """Say what a replica has to be given to be like this instance, in the words of CreateDBInstanceReadReplica.

    All of it is named, because a replica in another region takes none of it from its source
    (https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstanceReadReplica.html). What the template
    says of the instance is thereby true of the replica, and the next deployment has nothing to change.
    """
    old = client.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
    given: Json = {
        "DBInstanceClass": old["DBInstanceClass"],
        "StorageType": old.get("StorageType"),
        "MaxAllocatedStorage": old.get("MaxAllocatedStorage"),
        "KmsKeyId": old.get("KmsKeyId"),
        "DBSubnetGroupName": old.get("DBSubnetGroup", {}).get("DBSubnetGroupName"),
        "DBParameterGroupName": next(
            (group["DBParameterGroupName"] for group in old.get("DBParameterGroups", [])), None
        ),
        "OptionGroupName": _option_group(old),
        "MultiAZ": old.get("MultiAZ", False),
        "PubliclyAccessible": False,
        "AutoMinorVersionUpgrade": old.get("AutoMinorVersionUpgrade", False),
        "CACertificateIdentifier": old.get("CACertificateIdentifier"),
        "CopyTagsToSnapshot": old.get("CopyTagsToSnapshot", True),
        "DeletionProtection": True,
        "EnableCloudwatchLogsExports": old.get("EnabledCloudwatchLogsExports"),
        "EnableIAMDatabaseAuthentication": old.get("IAMDatabaseAuthenticationEnabled", False),
        "Tags": _listed(inherited({tag["Key"]: tag["Value"] for tag in old.get("TagList", [])})),
        **_speed(old),
        **_watched(old),
    }
    return {name: value for name, value in given.items() if value is not None and value != []}


def plain_shape(environment: str, source: Json) -> Json:
    """Say what a replica is given where no instance ever stood: its source's shape, with the region's own things.

    Parameters
    ----------
    source
        What `shape` says of the source.
    """
    alias = f"alias/{environment}-pilotlight"
    key = {name: alias for name in ("KmsKeyId", "PerformanceInsightsKMSKeyId") if name in source}
    # The source's key, subnets and role are its region's; both groups have one name in both.
    elsewhere = (
        "KmsKeyId",
        "PerformanceInsightsKMSKeyId",
        "MonitoringInterval",
        "MonitoringRoleArn",
        "OptionGroupName",
    )
    return {name: value for name, value in source.items() if name not in elsewhere} | key


def inherited(tags: Mapping[str, str]) -> dict[str, str]:
    """Leave out the tags that nobody may set, and those that tell of a retirement."""
    return {name: value for name, value in tags.items() if not name.startswith(_OF_THE_OLD)}


def create_replica(identifier: str, source: str, given: Json, security_group: str, client: Any) -> None:
    """Ask for a replica of an instance in another region.

    Parameters
    ----------
    source
        ARN of the source: across regions RDS takes nothing else.
    given
        What `shape` says.
    """
    with unless_busy():
        client.create_db_instance_read_replica(
            DBInstanceIdentifier=identifier,
            SourceDBInstanceIdentifier=source,
            SourceRegion=source.split(":")[3],
            VpcSecurityGroupIds=[security_group],
            **given,
        )


def _option_group(old: Json) -> str | None:
    names = [group["OptionGroupName"] for group in old.get("OptionGroupMemberships", [])]
    # RDS makes its own ones itself, and takes them for granted.
    return next((name for name in names if not name.startswith("default:")), None)


def _speed(old: Json) -> Json:
    kind, size = old.get("StorageType", ""), old.get("AllocatedStorage", 0)
    if not kind.startswith("io") and not (kind == "gp3" and size >= _GIB_OF_FAST_GP3):
        return {}
    return {"Iops": old.get("Iops"), "StorageThroughput": old.get("StorageThroughput") if kind == "gp3" else None}


def _watched(old: Json) -> Json:
    insights = old.get("PerformanceInsightsEnabled", False)
    watched: Json = {"EnablePerformanceInsights": insights}
    if insights:
        watched["PerformanceInsightsKMSKeyId"] = old.get("PerformanceInsightsKMSKeyId")
        watched["PerformanceInsightsRetentionPeriod"] = old.get("PerformanceInsightsRetentionPeriod")
    if old.get("MonitoringInterval"):
        watched["MonitoringInterval"] = old["MonitoringInterval"]
        watched["MonitoringRoleArn"] = old.get("MonitoringRoleArn")
    return watched


def _listed(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": name, "Value": value} for name, value in sorted(tags.items())]
