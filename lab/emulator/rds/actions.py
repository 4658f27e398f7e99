"""The actions of the RDS API on DB instances, with AWS's conditions, refusals and states."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from lab.durations import duration
from lab.emulator.rds.fleet import AVAILABLE, Database, Step
from lab.emulator.rds.records import INHERITED
from lab.emulator.rds.wire import ApiError, members

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lab.emulator.rds.fleet import Fleet
    from lab.emulator.rds.records import Records
    from lab.emulator.rds.snapshots import Snapshots

    Request = dict[str, Any]
    Result = dict[str, Any]

# A change of these takes effect with the call, whatever ApplyImmediately says, and changes no state.
_AT_ONCE: Final = frozenset(
    {
        "DeletionProtection",
        "CopyTagsToSnapshot",
        "PreferredBackupWindow",
        "PreferredMaintenanceWindow",
        "MaxAllocatedStorage",
        "MonitoringInterval",
        "MonitoringRoleArn",
        "AutoMinorVersionUpgrade",
        "VpcSecurityGroupIds",
        "CloudwatchLogsExportConfiguration",
    }
)

# For a moment after a call that changes it, an instance still says that it is available.
_STATUS_LAG: Final = 8.0


class Actions:
    """Each public method answers the action of its name.

    Parameters
    ----------
    fleet
        The instances.
    records
        Their records.
    snapshots
        What they are restored from.
    """

    NAMES: Final = (
        "CreateDBInstance",
        "CreateDBInstanceReadReplica",
        "RestoreDBInstanceFromDBSnapshot",
        "ModifyDBInstance",
        "PromoteReadReplica",
        "RebootDBInstance",
        "DeleteDBInstance",
        "StopDBInstance",
        "StartDBInstance",
    )

    def __init__(self, fleet: Fleet, records: Records, snapshots: Snapshots) -> None:
        from ministack.services import rds

        self._fleet = fleet
        self._records = records
        self._snapshots = snapshots
        self._rds = rds

    # Instances that come

    def CreateDBInstance(self, region: str, request: Request) -> Result:
        """Create an instance with an empty database."""
        if request.get("Engine") not in ("mysql", "mariadb"):
            raise ApiError("InvalidParameterValue", f"The lab has no engine {request.get('Engine')}")
        managed = request.pop("ManageMasterUserPassword", False)
        password = request.pop("MasterUserPassword", None)
        if managed == (password is not None):
            raise ApiError(
                "InvalidParameterCombination", "Specify either MasterUserPassword or ManageMasterUserPassword"
            )
        record = self._records.new(region, request, {})
        if managed:
            record["MasterUserSecret"] = {"SecretStatus": "active"}
        database = self._fleet.add(region, record)

        def make() -> None:
            self._fleet.make(database)
            database.server.create_master(
                record["MasterUsername"], password or secrets.token_hex(16), record.get("DBName")
            )

        self._come(database, duration("db-create"), make)
        return {"DBInstance": self._records.shown(database)}

    def CreateDBInstanceReadReplica(self, region: str, request: Request) -> Result:
        """Create a replica, also of an instance in another region."""
        name = request.pop("SourceDBInstanceIdentifier", "")
        source = self._fleet.find(region, name)
        if source is None:
            raise ApiError("DBInstanceNotFound", f"DBInstance {name} not found.", 404)
        abroad = source.region != region
        self._check_source(source, abroad=abroad, request=request)
        inherited = {key: source.record[key] for key in INHERITED if key in source.record}
        if not abroad:
            inherited |= {key: source.record.get(key) for key in ("KmsKeyId", "DBParameterGroups", "DBSubnetGroup")}
        record = self._records.new(
            region,
            request,
            inherited | {"BackupRetentionPeriod": 0},
        )
        record["ReadReplicaSourceDBInstanceIdentifier"] = source.arn if abroad else source.identifier
        database = self._fleet.add(region, record)

        def make() -> None:
            data = self._fleet.data_of(source)
            self._fleet.make(database)
            database.server.load(data)
            database.server.follow(source.server)

        self._fleet.change(database, Step("creating", duration("replica-create"), make))
        return {"DBInstance": self._records.shown(database)}

    def RestoreDBInstanceFromDBSnapshot(self, region: str, request: Request) -> Result:
        """Create an instance with a snapshot's data."""
        snapshot = self._snapshots.get(region, request.pop("DBSnapshotIdentifier", ""))
        self._snapshots.require_available(snapshot)
        inherited = {key: snapshot[key] for key in (*INHERITED, "KmsKeyId", "BackupRetentionPeriod") if key in snapshot}
        if "Tags" not in request and snapshot.get("TagList"):
            inherited["TagList"] = list(snapshot["TagList"])
        record = self._records.new(region, request, inherited)
        database = self._fleet.add(region, record)

        def make() -> None:
            self._fleet.make(database)
            database.server.load(snapshot["_file"])
            database.server.stop_following()

        self._come(database, duration("snapshot-restore"), make)
        return {"DBInstance": self._records.shown(database)}

    # Instances that change

    def ModifyDBInstance(self, region: str, request: Request) -> Result:
        """Change what the request names; the rest stays."""
        database = self._fleet.get(region, request.pop("DBInstanceIdentifier", ""))
        immediately = request.pop("ApplyImmediately", False)
        self._records.check(region, request)
        new_name = request.pop("NewDBInstanceIdentifier", "").lower()
        slow = {key: value for key, value in request.items() if key not in _AT_ONCE}
        if slow or new_name:
            self._fleet.require_available(database)
        if new_name and self._fleet.find(region, new_name) not in (None, database):
            raise ApiError("DBInstanceAlreadyExists", "DB instance already exists")
        record = database.record
        self._records.settle(region, record, {key: value for key, value in request.items() if key in _AT_ONCE})
        # What waits for the maintenance window goes along with the next change that does not.
        slow = record.get("_pending", {}) | slow
        record["_pending"] = {} if immediately else {key: slow[key] for key in slow if key != "MasterUserPassword"}
        pending = {**slow, "DBInstanceIdentifier": new_name, "MasterUserPassword": "****"}
        known = members("PendingModifiedValues") & (slow.keys() | ({"DBInstanceIdentifier"} if new_name else set()))
        record["PendingModifiedValues"] = {key: pending[key] for key in sorted(known)}
        if immediately:
            self._modify(database, slow, new_name)
        elif password := slow.get("MasterUserPassword"):
            # A password is changed as soon as possible, whatever ApplyImmediately says.
            self._modify(database, {"MasterUserPassword": password}, "")
        return {"DBInstance": self._records.shown(database)}

    def PromoteReadReplica(self, region: str, request: Request) -> Result:
        """Make a replica an instance of its own."""
        database = self._fleet.get(region, request.pop("DBInstanceIdentifier", ""))
        if not database.source:
            raise ApiError("InvalidDBInstanceState", "DB Instance is not a read replica.")
        self._fleet.require_available(database)
        self._records.check(region, request)
        self.promote(database, {"BackupRetentionPeriod": 1, **request})
        return {"DBInstance": self._records.shown(database)}

    def promote(self, database: Database, settings: Mapping[str, Any]) -> None:
        """Make a replica an instance of its own.

        What RDS does with what was received and is not applied yet, its documents do not say. The lab takes the side
        that hurts: the call drops it.

        Parameters
        ----------
        database
            The replica.
        settings
            BackupRetentionPeriod and PreferredBackupWindow.
        """
        fleet = self._fleet
        if (standing := fleet.replication(database)) and standing.unapplied:
            fleet.lab.log(
                f"{database.identifier}: promoted with {standing.unapplied} transactions received, not applied"
            )
        database.record["PendingModifiedValues"] = {"BackupRetentionPeriod": settings["BackupRetentionPeriod"]}
        if database.server.running:
            database.server.stop_following()
        backs_up = settings["BackupRetentionPeriod"] > 0
        backup = 30.0 if backs_up else 0.0
        work = duration("promotion") - _STATUS_LAG - backup

        def open_up() -> None:
            fleet.configure(database, replica=False)
            fleet.start(database)
            # Where an outage came between the call and now, the server came back as the replica it was.
            database.server.stop_following()

        def finish() -> None:
            database.record.pop("ReadReplicaSourceDBInstanceIdentifier")
            self._records.settle(database.region, database.record, dict(settings))
            database.record["PendingModifiedValues"] = {}

        fleet.change(
            database,
            Step(AVAILABLE, _STATUS_LAG),
            Step("modifying", work * 0.6),
            Step("rebooting", work * 0.4, lambda: fleet.stop(database)),
            Step("backing-up" if backs_up else "rebooting", backup, open_up),
            Step("backing-up" if backs_up else "rebooting", 0, finish),
        )

    def RebootDBInstance(self, region: str, request: Request) -> Result:
        """Stop and start the server."""
        database = self._fleet.get(region, request.pop("DBInstanceIdentifier", ""))
        self._fleet.require_available(database)

        def start() -> None:
            self._fleet.configure(database)
            self._fleet.start(database)

        self._fleet.change(
            database,
            Step("rebooting", duration("reboot"), lambda: self._fleet.stop(database)),
            Step("rebooting", 0, start),
        )
        return {"DBInstance": self._records.shown(database)}

    def StopDBInstance(self, region: str, request: Request) -> Result:
        """Refuse: an instance that has a replica or is one cannot be stopped, and the lab has no others."""
        database = self._fleet.get(region, request.pop("DBInstanceIdentifier", ""))
        raise ApiError("InvalidDBInstanceState", f"{database.identifier}: the lab does not stop DB instances")

    def StartDBInstance(self, region: str, request: Request) -> Result:
        """Refuse: nothing is stopped."""
        database = self._fleet.get(region, request.pop("DBInstanceIdentifier", ""))
        raise ApiError("InvalidDBInstanceState", f"Instance {database.identifier} is not stopped.")

    # Instances that go

    def DeleteDBInstance(self, region: str, request: Request) -> Result:
        """Delete an instance, after a final snapshot unless told otherwise."""
        database = self._fleet.get(region, request.pop("DBInstanceIdentifier", ""))
        skip, final = request.get("SkipFinalSnapshot", False), request.get("FinalDBSnapshotIdentifier", "")
        if database.record.get("DeletionProtection"):
            raise ApiError(
                "InvalidParameterCombination",
                "Cannot delete protected DB Instance, please disable deletion protection and try again.",
            )
        if database.source and final:
            raise ApiError(
                "InvalidParameterCombination", "FinalSnapshotIdentifier can not be specified when deleting a replica"
            )
        if bool(final) == skip and not (database.source and skip):
            raise ApiError(
                "InvalidParameterCombination",
                "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified, and only then.",
            )
        if database.status == "deleting":
            raise ApiError("InvalidDBInstanceState", f"Instance {database.identifier} is already being deleted.")
        if final:
            self._fleet.require_available(database)
        snapshot = self._snapshots.new(region, final, database, []) if final else None
        orphans = [replica for replica in self._fleet.replicas(database) if replica.status == AVAILABLE]

        def delete() -> None:
            if snapshot is not None:
                self._snapshots.take(snapshot, database)
            self._fleet.elapse(region, duration("db-delete"))
            self._fleet.remove(database)
            self._rds._tags.pop(database.arn, None)
            # Replicas of a MySQL instance do not outlive it as replicas.
            for replica in orphans:
                self.promote(replica, {"BackupRetentionPeriod": replica.record["BackupRetentionPeriod"]})

        self._fleet.change(database, Step("deleting", 0, delete))
        return {"DBInstance": self._records.shown(database)}

    def _modify(self, database: Database, slow: Mapping[str, Any], new_name: str) -> None:
        fleet, region, record = self._fleet, database.region, database.record
        first_backup = bool(slow.get("BackupRetentionPeriod")) and not record["BackupRetentionPeriod"]

        def apply() -> None:
            if (password := slow.get("MasterUserPassword")) and not database.source:
                database.server.set_password(record["MasterUsername"], password)
            self._records.settle(region, record, slow)
            for key in slow:
                record["PendingModifiedValues"].pop(key, None)

        def rename() -> None:
            fleet.stop(database)
            tags = self._rds._tags.pop(database.arn, [])
            fleet.rename(database, new_name)
            self._rds._tags[database.arn] = tags

        def reopen() -> None:
            fleet.configure(database)
            fleet.start(database)
            record["PendingModifiedValues"].pop("DBInstanceIdentifier")
            for replica in fleet.replicas(database):
                if replica.server.running:
                    replica.server.follow(database.server)

        steps = []
        if slow:
            steps += [
                Step(AVAILABLE, _STATUS_LAG / 2),
                Step("modifying", duration("db-modify")),
                Step("modifying", 0, apply),
            ]
        if first_backup:
            steps.append(Step("backing-up", duration("db-backup")))
        if new_name:
            steps += [Step("renaming", duration("db-rename"), rename), Step("renaming", 0, reopen)]
        if steps:
            fleet.change(database, *steps)

    def _check_source(self, source: Database, *, abroad: bool, request: Mapping[str, Any]) -> None:
        self._fleet.require_reachable(source.region)
        if source.status != AVAILABLE:
            raise ApiError("InvalidDBInstanceState", f"DB instance {source.identifier} is {source.status}.")
        if not source.record["BackupRetentionPeriod"]:
            raise ApiError(
                "InvalidDBInstanceState",
                "Automated backups are not enabled for this database instance. To enable automated backups, use "
                "ModifyDBInstance to set the backup retention period to a non-zero value.",
            )
        if source.record.get("MasterUserSecret"):
            raise ApiError(
                "InvalidParameterCombination",
                "A read replica can't be created of an instance whose master user password RDS manages.",
            )
        if abroad and source.record["StorageEncrypted"] and not request.get("KmsKeyId"):
            raise ApiError(
                "InvalidParameterCombination",
                "A cross-region replica of an encrypted instance needs a KmsKeyId of its own region.",
            )

    def _come(self, database: Database, seconds: float, make: Callable[[], None]) -> None:
        steps = [Step("creating", seconds, make)]
        if database.record["BackupRetentionPeriod"]:
            steps.append(Step("backing-up", duration("db-backup")))
        self._fleet.change(database, *steps)
