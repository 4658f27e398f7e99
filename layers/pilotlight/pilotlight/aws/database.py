"""RDS."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pilotlight.aws import clients, faults
from pilotlight.errors import PreconditionFailed, TransientError
from pilotlight.model import Database, Doors

if TYPE_CHECKING:
    from collections.abc import Iterator

# The service's code has no "Fault" at its end, the exception class of the SDK has.
_WRONG_STATE = ("InvalidDBInstanceState", "InvalidDBInstanceStateFault")
_NOT_NOW = (
    *_WRONG_STATE,
    "DBInstanceAlreadyExists",
    "DBInstanceAlreadyExistsFault",
    "DBSnapshotAlreadyExists",
    "DBSnapshotAlreadyExistsFault",
)


@contextlib.contextmanager
def unless_busy() -> Iterator[None]:
    """Ask RDS for what it may refuse for the state things are in: what that means, the next look tells."""
    try:
        yield
    except ClientError as error:
        if faults.code(error) not in _NOT_NOW:
            raise


def describe(identifier: str, client: Any = None) -> Database | None:
    """Read an instance, or None if there is none."""
    try:
        answer = (client or clients.near("rds")).describe_db_instances(DBInstanceIdentifier=identifier)
    except ClientError as error:
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
        security_groups=tuple(
            group["VpcSecurityGroupId"]
            for group in instance.get("VpcSecurityGroups", [])
            if group.get("Status") != "removing"
        ),
        arn=instance.get("DBInstanceArn", ""),
        resource=instance.get("DbiResourceId", ""),
        tags={tag["Key"]: tag["Value"] for tag in instance.get("TagList", [])},
        backup_window=instance.get("PreferredBackupWindow", ""),
        maintenance_window=instance.get("PreferredMaintenanceWindow", ""),
    )


def doors(environment: str, client: Any) -> Doors:
    """Find the two security groups of a region's database, by their tags.

    Raises
    ------
    PreconditionFailed
        One is missing or there are several; the message names the tag.
    """
    found = client.describe_security_groups(
        Filters=[
            {"Name": "tag:pilotlight:environment", "Values": [environment]},
            {"Name": "tag:pilotlight:door", "Values": ["open", "closed"]},
        ]
    )["SecurityGroups"]
    by_door: dict[str, list[str]] = {"open": [], "closed": []}
    for group in found:
        tags = {tag["Key"]: tag["Value"] for tag in group.get("Tags", [])}
        by_door[tags["pilotlight:door"]].append(group["GroupId"])
    for door, groups in by_door.items():
        if len(groups) != 1:
            raise PreconditionFailed(
                f"{len(groups)} security groups are tagged pilotlight:door={door} for {environment}, not one: "
                "deploy the stack of that region, then start again"
            )
    return Doors(open=by_door["open"][0], closed=by_door["closed"][0])


def set_door(identifier: str, group: str, client: Any) -> None:
    """Put the database behind one security group. Reversible: no rule is changed.

    Established connections outlive the change; ending them is the SQL side's. RDS changes groups as soon as it can in
    any case. Asked to apply this at once, it would carry out all that is queued for the maintenance window as well,
    with the restart that this may need (API_ModifyDBInstance, VpcSecurityGroupIds and ApplyImmediately).

    Raises
    ------
    TransientError
        The instance is busy with something else.
    """
    try:
        client.modify_db_instance(DBInstanceIdentifier=identifier, VpcSecurityGroupIds=[group])
    except ClientError as error:
        if faults.code(error) in _WRONG_STATE:
            raise TransientError(f"database {identifier} cannot be modified now: {error}") from error
        raise


def set_read_only(parameter_group: str, *, frozen: bool, client: Any) -> None:
    """Freeze or thaw every database of a parameter group.

    The master user of RDS may not SET GLOBAL, so this is the one way. `{TrueIfReplica}` is RDS's own default: writable
    exactly when it is no replica. The parameter is dynamic: applied within seconds, without a restart
    (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Appendix.MySQL.Parameters.html).
    """
    client.modify_db_parameter_group(
        DBParameterGroupName=parameter_group,
        Parameters=[
            {
                "ParameterName": "read_only",
                "ParameterValue": "1" if frozen else "{TrueIfReplica}",
                "ApplyMethod": "immediate",
            }
        ],
    )


def follows_its_role(parameter_group: str, client: Any) -> bool:
    """Whether the databases of a parameter group are writable exactly when they are no replica: RDS's own default."""
    return _read_only(parameter_group, client) == "{TrueIfReplica}"


def is_frozen(parameter_group: str, client: Any) -> bool:
    """Whether no database of a parameter group takes writes."""
    return _read_only(parameter_group, client).upper() in ("1", "ON", "TRUE")


def _read_only(parameter_group: str, client: Any) -> str:
    # Only what somebody has set is listed, so the answer is one page and not the whole group.
    for page in client.get_paginator("describe_db_parameters").paginate(
        DBParameterGroupName=parameter_group, Source="user"
    ):
        for parameter in page["Parameters"]:
            if parameter["ParameterName"] == "read_only":
                return str(parameter.get("ParameterValue", "{TrueIfReplica}"))
    return "{TrueIfReplica}"


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
        if faults.code(error) in _WRONG_STATE:
            return False
        raise
    return True
