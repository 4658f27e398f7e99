"""What the RDS API shows of an instance: its settings, and its state at this moment."""

from __future__ import annotations

import datetime
import secrets
from typing import TYPE_CHECKING, Any, Final

from lab.emulator.rds.wire import ApiError, members

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.emulator.rds.fleet import Database, Fleet, Record

# What the request calls one thing and the answer another.
_OTHER_NAMES: Final = {
    "EnableCloudwatchLogsExports": "EnabledCloudwatchLogsExports",
    "EnableIAMDatabaseAuthentication": "IAMDatabaseAuthenticationEnabled",
    "EnablePerformanceInsights": "PerformanceInsightsEnabled",
}

# What a replica and a restored instance take over from where their data comes from.
INHERITED: Final[tuple[str, ...]] = (
    "Engine",
    "EngineVersion",
    "DBInstanceClass",
    "AllocatedStorage",
    "StorageType",
    "Iops",
    "StorageThroughput",
    "StorageEncrypted",
    "MasterUsername",
    "DBName",
    "LicenseModel",
)

_DEFAULTS: Final = {
    "EngineVersion": "8.0.40",
    "DBInstanceClass": "db.t4g.micro",
    "AllocatedStorage": 20,
    "StorageType": "gp3",
    "MasterUsername": "admin",
    "LicenseModel": "general-public-license",
    "PreferredBackupWindow": "03:00-03:30",
    "PreferredMaintenanceWindow": "sun:05:00-sun:05:30",
    "BackupRetentionPeriod": 1,
    "MultiAZ": False,
    "AutoMinorVersionUpgrade": True,
    "PubliclyAccessible": False,
    "StorageEncrypted": False,
    "CopyTagsToSnapshot": False,
    "MonitoringInterval": 0,
    "DeletionProtection": False,
    "IAMDatabaseAuthenticationEnabled": False,
    "PerformanceInsightsEnabled": False,
    "CACertificateIdentifier": "rds-ca-rsa2048-g1",
    "BackupTarget": "region",
    "NetworkType": "IPV4",
}

_LONGEST_RETENTION: Final = 35


class Records:
    """Writes and shows the records of instances.

    Parameters
    ----------
    fleet
        The instances.
    """

    def __init__(self, fleet: Fleet) -> None:
        from ministack.services import rds

        self._fleet = fleet
        self._rds = rds
        self._account = fleet.lab.account

    def new(self, region: str, request: dict[str, Any], inherited: Mapping[str, Any]) -> Record:
        """Write the record of a new instance.

        Parameters
        ----------
        region
            Where.
        request
            What was asked for.
        inherited
            What it takes over where the request is silent.

        Returns
        -------
        Record
            Its status is ``creating``.

        Raises
        ------
        ApiError
            A setting is not one.
        """
        identifier = request.pop("DBInstanceIdentifier", "").lower()
        if not identifier:
            raise ApiError("MissingParameter", "DBInstanceIdentifier is required")
        self.check(region, request)
        record: Record = {
            **_DEFAULTS,
            "AvailabilityZone": f"{region}a",
            "VpcSecurityGroups": [],
            "TagList": [],
            "PendingModifiedValues": {},
            **inherited,
            "DBInstanceIdentifier": identifier,
            "DBInstanceArn": f"arn:aws:rds:{region}:{self._account}:db:{identifier}",
            "DbiResourceId": f"db-{secrets.token_hex(13).upper()}",
            "DBInstanceStatus": "creating",
            "InstanceCreateTime": now(),
        }
        self.settle(region, record, request)
        version = ".".join(str(record["EngineVersion"]).split(".")[:2])
        record.setdefault("DBParameterGroups", [membership(f"default.{record['Engine']}{version}")])
        record["OptionGroupMemberships"] = [
            {"OptionGroupName": f"default:{record['Engine']}-{version.replace('.', '-')}", "Status": "in-sync"}
        ]
        if record["StorageEncrypted"] and not record.get("KmsKeyId"):
            record["KmsKeyId"] = f"arn:aws:kms:{region}:{self._account}:alias/aws/rds"
        # What ListTagsForResource reads.
        self._rds._tags[record["DBInstanceArn"]] = record["TagList"]
        return record

    def check(self, region: str, request: Mapping[str, Any]) -> None:
        """Refuse settings that RDS refuses.

        Parameters
        ----------
        region
            Where.
        request
            What was asked for.

        Raises
        ------
        ApiError
            A setting is not one.
        """
        retention = request.get("BackupRetentionPeriod", 0)
        if not 0 <= retention <= _LONGEST_RETENTION:
            raise ApiError("InvalidParameterValue", f"Invalid backup retention period: {retention}. Must be 0 to 35.")
        group = request.get("DBParameterGroupName")
        if group and not group.startswith("default.") and not self.stored(self._rds._param_groups, region, group):
            raise ApiError("DBParameterGroupNotFound", f"DBParameterGroup not found: {group}", 404)
        subnets = request.get("DBSubnetGroupName")
        if subnets and not self.stored(self._rds._subnet_groups, region, subnets):
            raise ApiError("DBSubnetGroupNotFoundFault", f"DB subnet group '{subnets}' does not exist.", 404)

    def settle(self, region: str, record: Record, request: Mapping[str, Any]) -> None:
        """Write what a request asks for into a record.

        Parameters
        ----------
        region
            Where.
        record
            An instance's.
        request
            Checked; what the record does not show is left out.
        """
        known = members("DBInstance")
        for key, value in request.items():
            match key:
                case "VpcSecurityGroupIds":
                    record["VpcSecurityGroups"] = [{"VpcSecurityGroupId": group, "Status": "active"} for group in value]
                case "DBParameterGroupName":
                    record["DBParameterGroups"] = [membership(value, "pending-reboot")]
                case "KmsKeyId":
                    record[key] = self.key(region, value)
                case "DBSubnetGroupName":
                    record["DBSubnetGroup"] = self.stored(self._rds._subnet_groups, region, value)
                case "Tags":
                    record["TagList"] = list(value)
                case "CloudwatchLogsExportConfiguration":
                    exports = set(record.get("EnabledCloudwatchLogsExports") or [])
                    exports |= set(value.get("EnableLogTypes", []))
                    record["EnabledCloudwatchLogsExports"] = sorted(exports - set(value.get("DisableLogTypes", [])))
                case _:
                    name = _OTHER_NAMES.get(key, key)
                    if name in known and name != "MasterUserPassword":
                        record[name] = value

    def key(self, region: str, name: str) -> str:
        """Return the ARN of the key that an alias stands for, as RDS shows it; what is no alias stays.

        Parameters
        ----------
        region
            The key's.
        name
            An alias, an ARN or an id.

        Returns
        -------
        str
            The ARN where the name is an alias that is known.
        """
        from ministack.services import kms

        if not name.startswith("alias/"):
            return name
        alias = f"arn:aws:kms:{region}:{self._account}:{name}"
        key = kms._aliases.get_scoped(self._account, region, alias)
        return f"arn:aws:kms:{region}:{self._account}:key/{key}" if key else name

    def stored(self, store: Any, region: str, name: str) -> Any:
        """Look into one of MiniStack's stores.

        Parameters
        ----------
        store
            The store.
        region, name
            What is looked for.

        Returns
        -------
        Any
            None if there is none.
        """
        return store.get_scoped(self._account, region, name)

    def shown(self, database: Database) -> dict[str, Any]:
        """Return an instance as the API shows it now.

        Parameters
        ----------
        database
            The instance.

        Returns
        -------
        dict[str, Any]
            A DBInstance.
        """
        with self._fleet.lock:
            shown = dict(database.record)
        shown["ReadReplicaDBInstanceIdentifiers"] = [
            replica.identifier if replica.region == database.region else replica.arn
            for replica in self._fleet.replicas(database)
        ]
        if database.source:
            shown["StatusInfos"] = [self._standing(database)]
        if database.status == "creating":
            shown.pop("Endpoint", None)
        elif shown.get("BackupRetentionPeriod"):
            shown["LatestRestorableTime"] = now() - datetime.timedelta(minutes=5)
        return shown

    def _standing(self, database: Database) -> dict[str, Any]:
        info = {"StatusType": "read replication", "Normal": True, "Status": "replicating"}
        standing = self._fleet.replication(database)
        if database.status == "creating":
            return info
        if standing is None:
            return info | {"Normal": False, "Status": "stopped"}
        if standing.error:
            return info | {"Normal": False, "Status": "error", "Message": standing.error}
        if standing.receiving == "No" or not standing.applying:
            return info | {"Normal": False, "Status": "stopped"}
        return info


def membership(name: str, status: str = "in-sync") -> dict[str, str]:
    """Return an instance's membership in a parameter group.

    Parameters
    ----------
    name
        The group's.
    status
        Whether its parameters are in effect.

    Returns
    -------
    dict[str, str]
        As the API shows it.
    """
    return {"DBParameterGroupName": name, "ParameterApplyStatus": status}


def now() -> datetime.datetime:
    """Return the time of day.

    Returns
    -------
    datetime.datetime
        In UTC.
    """
    return datetime.datetime.now(datetime.UTC)
