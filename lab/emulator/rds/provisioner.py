"""AWS::RDS::DBInstance as CloudFormation handles it: it waits for the instance, and an update names only what changed.

MiniStack's own handler writes a record that nothing stands behind, and drops ``SourceDBInstanceIdentifier`` silently.
"""

from __future__ import annotations

import secrets
import threading
from typing import TYPE_CHECKING, Any, Final

from lab.emulator import here
from lab.emulator.rds.fleet import AVAILABLE, FAILED
from lab.emulator.rds.wire import ApiError, members

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lab.emulator.rds.actions import Actions
    from lab.emulator.rds.fleet import Database, Fleet
    from lab.emulator.rds.snapshots import Snapshots

    Properties = dict[str, Any]

TYPE: Final = "AWS::RDS::DBInstance"

_POLL: Final = 0.05
_OTHER_NAMES: Final = {"VPCSecurityGroups": "VpcSecurityGroupIds"}
_NUMBERS: Final = frozenset(
    {
        "AllocatedStorage",
        "BackupRetentionPeriod",
        "Iops",
        "MaxAllocatedStorage",
        "MonitoringInterval",
        "PerformanceInsightsRetentionPeriod",
        "Port",
        "StorageThroughput",
    }
)
# A replica is created without these, and gets them by a change right after.
_AFTER_REPLICA: Final[tuple[str, ...]] = (
    "BackupRetentionPeriod",
    "PreferredBackupWindow",
    "PreferredMaintenanceWindow",
)


class Provisioner:
    """The handlers of one resource type.

    Parameters
    ----------
    fleet
        The instances.
    actions, snapshots
        The API that CloudFormation calls.
    """

    def __init__(self, fleet: Fleet, actions: Actions, snapshots: Snapshots) -> None:
        self._fleet = fleet
        self._actions = actions
        self._snapshots = snapshots

    def create(self, logical_id: str, properties: Properties, stack: str) -> tuple[str, dict[str, str]]:
        """Create the instance and wait until it is available."""
        from ministack.services.cloudformation import provisioners

        region = here()
        wanted = _request(properties)
        wanted.setdefault(
            "DBInstanceIdentifier", provisioners._physical_name(stack, logical_id, lowercase=True, max_len=63)
        )
        identifier: str = wanted["DBInstanceIdentifier"].lower()
        if wanted.get("SourceDBInstanceIdentifier"):
            self._call("CreateDBInstanceReadReplica", region, wanted)
            database = self._await(region, identifier)
            later = {key: wanted[key] for key in _AFTER_REPLICA if key in wanted}
            if later:
                self._call("ModifyDBInstance", region, {"DBInstanceIdentifier": identifier, **later, **_NOW})
                database = self._await(region, identifier)
        elif wanted.get("DBSnapshotIdentifier"):
            self._call("RestoreDBInstanceFromDBSnapshot", region, wanted)
            database = self._await(region, identifier)
        else:
            self._call("CreateDBInstance", region, wanted)
            database = self._await(region, identifier)
        return identifier, _attributes(database)

    def update(
        self, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str | None = None
    ) -> tuple[str, dict[str, str]]:
        """Change what differs between two templates; what was changed past CloudFormation stays as it is."""
        from ministack.services.cloudformation import provisioners

        region = here()
        if provisioners._requires_replacement(TYPE, old, new):
            created = self.create(logical_id or physical_id, new, stack)
            provisioners._delete_predecessor(self.delete, physical_id, old)
            return created
        before, after = _request(old), _request(new)
        database = self._get(region, physical_id)
        if before.get("SourceDBInstanceIdentifier") and not after.get("SourceDBInstanceIdentifier"):
            # As the real handler does: it promotes without a look at what the instance is by now.
            self._call("PromoteReadReplica", region, after | {"DBInstanceIdentifier": physical_id})
            self._await(region, physical_id)
        changed = {key: value for key, value in after.items() if before.get(key) != value}
        if logs := _log_exports(before, after):
            changed["CloudwatchLogsExportConfiguration"] = logs
        changed = {key: changed[key] for key in changed if key in members("ModifyDBInstanceMessage")}
        if changed:
            self._call("ModifyDBInstance", region, {"DBInstanceIdentifier": physical_id, **changed, **_NOW})
            self._await(region, physical_id)
        if "DBParameterGroupName" in changed:
            self._call("RebootDBInstance", region, {"DBInstanceIdentifier": physical_id})
            self._await(region, physical_id)
        provisioners._rds_sync_tags(database.arn, old, new, TYPE)
        return physical_id, _attributes(self._get(region, physical_id))

    def delete(self, physical_id: str, _properties: Properties) -> None:
        """Delete the instance and wait until it is gone; one that is gone already is no error."""
        region = here()
        if self._fleet.find(region, physical_id) is None:
            return
        self._call("DeleteDBInstance", region, {"DBInstanceIdentifier": physical_id, "SkipFinalSnapshot": True})
        while self._fleet.find(region, physical_id) is not None and not self._fleet.lab.closing:
            threading.Event().wait(_POLL)

    def snapshot(self, physical_id: str, _properties: Properties) -> None:
        """Take the snapshot that a deletion policy asks for; of replicas there is none."""
        region = here()
        database = self._fleet.find(region, physical_id)
        if database is None or database.source:
            return
        name = f"{physical_id}-snapshot-{secrets.token_hex(6)}"
        self._call("CreateDBSnapshot", region, {"DBInstanceIdentifier": physical_id, "DBSnapshotIdentifier": name})
        self._await(region, physical_id)

    def _call(self, action: str, region: str, request: Mapping[str, Any]) -> None:
        known = members(f"{action}Message")
        try:
            act = getattr(self._snapshots if action in self._snapshots.NAMES else self._actions, action)
            act(region, {key: value for key, value in request.items() if key in known})
        except ApiError as error:
            raise ValueError(f"{error.message} (Service: Rds, Error Code: {error.code})") from error

    def _get(self, region: str, identifier: str) -> Database:
        try:
            return self._fleet.get(region, identifier)
        except ApiError as error:
            raise ValueError(f"{error.message} (Service: Rds, Error Code: {error.code})") from error

    def _await(self, region: str, identifier: str) -> Database:
        pause = threading.Event()
        while not self._fleet.lab.closing:
            database = self._get(region, identifier)
            if database.status == FAILED:
                raise ValueError(f"DB instance {identifier} failed to stabilise: its status is {FAILED}")
            if database.status == AVAILABLE and not database.changing:
                return database
            pause.wait(_POLL)
        raise ValueError("the lab is being taken down")


_NOW: Final = {"ApplyImmediately": True}


def replaced_when(original: Callable[[Properties, Properties], bool]) -> Callable[[Properties, Properties], bool]:
    """Tell which changes need another instance: MiniStack's list, and another or a first source.

    Parameters
    ----------
    original
        MiniStack's rule.

    Returns
    -------
    Callable[[Properties, Properties], bool]
        The rule for old and new properties. A source that is taken away is none: it promotes in place.
    """

    def needs_another(old: Properties, new: Properties) -> bool:
        source = new.get("SourceDBInstanceIdentifier")
        return original(old, new) or bool(source and source != old.get("SourceDBInstanceIdentifier"))

    return needs_another


def _request(properties: Mapping[str, Any]) -> Properties:
    request = {}
    for key, value in properties.items():
        name = _OTHER_NAMES.get(key, key)
        if value in ("", None):
            continue
        if name in _NUMBERS:
            request[name] = int(value)
        elif isinstance(value, str) and value.lower() in ("true", "false"):
            request[name] = value.lower() == "true"
        else:
            request[name] = value
    return request


def _log_exports(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[str]]:
    old, new = (set(properties.get("EnableCloudwatchLogsExports") or []) for properties in (before, after))
    changes = {"EnableLogTypes": sorted(new - old), "DisableLogTypes": sorted(old - new)}
    return changes if old != new else {}


def _attributes(database: Database) -> dict[str, str]:
    endpoint = database.record["Endpoint"]
    return {
        "Endpoint.Address": endpoint["Address"],
        "Endpoint.Port": str(endpoint["Port"]),
        "Endpoint.HostedZoneId": endpoint["HostedZoneId"],
        "DbiResourceId": database.record["DbiResourceId"],
        "DBInstanceArn": database.arn,
    }
