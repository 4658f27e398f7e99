"""DB snapshots: an instance's data at one moment, kept apart from it, also in another region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lab.durations import duration
from lab.emulator.rds.fleet import AVAILABLE, FAILED, LabClosingError, Step
from lab.emulator.rds.records import INHERITED, now
from lab.emulator.rds.wire import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lab.emulator.rds.fleet import Database, Fleet, Record
    from lab.emulator.rds.records import Records

    Request = dict[str, Any]
    Result = dict[str, Any]


class Snapshots:
    """Each method that is named like an action answers it.

    Parameters
    ----------
    fleet
        The instances.
    records
        Their records.
    """

    NAMES: Final = ("CreateDBSnapshot", "CopyDBSnapshot", "DeleteDBSnapshot")

    def __init__(self, fleet: Fleet, records: Records) -> None:
        from ministack.services import rds

        self._fleet = fleet
        self._records = records
        self._rds = rds
        self._account = fleet.lab.account

    def CreateDBSnapshot(self, region: str, request: Request) -> Result:
        """Take a snapshot."""
        database = self._fleet.get(region, request.get("DBInstanceIdentifier", ""))
        self._fleet.require_available(database)
        snapshot = self.new(region, request["DBSnapshotIdentifier"], database, request.get("Tags", []))
        self._fleet.change(database, Step("backing-up", 0, lambda: self.take(snapshot, database)))
        return {"DBSnapshot": snapshot}

    def CopyDBSnapshot(self, region: str, request: Request) -> Result:
        """Copy a snapshot, also from another region."""
        source = self.get(region, request["SourceDBSnapshotIdentifier"])
        self.require_available(source)
        home = source["DBSnapshotArn"].split(":")[3]
        self._fleet.require_reachable(home)
        key = self._records.key(region, request.get("KmsKeyId", ""))
        if home != region and source.get("Encrypted") and not key:
            raise ApiError("InvalidParameterCombination", "KmsKeyId is required to copy an encrypted snapshot abroad")
        copied = {name: value for name, value in source.items() if name not in ("TagList", "KmsKeyId")}
        tags = source["TagList"] if request.get("CopyTags") else request.get("Tags", [])
        snapshot = self._keep(
            region, request["TargetDBSnapshotIdentifier"], copied | {"KmsKeyId": key or source.get("KmsKeyId")}, tags
        )
        snapshot["SourceDBSnapshotIdentifier"] = source["DBSnapshotArn"]
        if home != region:
            snapshot["SourceRegion"] = home

        def copy() -> None:
            for part in range(10):
                snapshot["PercentProgress"] = part * 10
                self._fleet.elapse(region, duration("snapshot-copy") / 10)
            snapshot.update({"Status": AVAILABLE, "PercentProgress": 100})

        self._spawn_for(snapshot, copy)
        return {"DBSnapshot": snapshot}

    def DeleteDBSnapshot(self, region: str, request: Request) -> Result:
        """Delete a snapshot."""
        snapshot = self.get(region, request["DBSnapshotIdentifier"])
        self.require_available(snapshot)
        self._rds._snapshots.pop_scoped(self._account, region, snapshot["DBSnapshotIdentifier"], None)
        self._rds._tags.pop(snapshot["DBSnapshotArn"], None)
        return {"DBSnapshot": snapshot | {"Status": "deleted"}}

    def get(self, region: str, identifier: str) -> Record:
        """Look for a snapshot that the request names.

        Parameters
        ----------
        region
            The request's, unless an ARN says otherwise.
        identifier
            Its name or ARN.

        Returns
        -------
        Record
            The snapshot.

        Raises
        ------
        ApiError
            There is none.
        """
        if identifier.startswith("arn:"):
            region, identifier = identifier.split(":")[3], identifier.rpartition(":snapshot:")[2]
        found: Record | None = self._records.stored(self._rds._snapshots, region, identifier)
        if found is None:
            raise ApiError("DBSnapshotNotFound", f"DBSnapshot {identifier} not found.", 404)
        return found

    @staticmethod
    def require_available(snapshot: Mapping[str, Any]) -> None:
        """Refuse a snapshot that is not finished.

        Parameters
        ----------
        snapshot
            The snapshot.

        Raises
        ------
        ApiError
            It is not available.
        """
        if snapshot["Status"] != AVAILABLE:
            raise ApiError(
                "InvalidDBSnapshotState",
                f"DBSnapshot {snapshot['DBSnapshotIdentifier']} is {snapshot['Status']}, not available.",
            )

    def new(self, region: str, identifier: str, database: Database, tags: list[dict[str, str]]) -> Record:
        """Write the record of a snapshot that is about to be taken.

        Parameters
        ----------
        region, identifier
            Where, and its name.
        database
            The instance.
        tags
            Its tags; the instance's, where those are to be copied and there are no others.

        Returns
        -------
        Record
            Its status is ``creating``.

        Raises
        ------
        ApiError
            The name is taken.
        """
        of = database.record
        fields = {
            key: of[key]
            for key in (*INHERITED, "KmsKeyId", "AvailabilityZone", "DbiResourceId", "BackupRetentionPeriod")
            if key in of
        }
        fields |= {
            "DBInstanceIdentifier": database.identifier,
            "InstanceCreateTime": of["InstanceCreateTime"],
            "Encrypted": of["StorageEncrypted"],
            "Port": database.server.port,
            "SnapshotType": "manual",
            "SnapshotTarget": "region",
        }
        return self._keep(region, identifier, fields, tags or (of["TagList"] if of["CopyTagsToSnapshot"] else []))

    def _keep(self, region: str, identifier: str, fields: Mapping[str, Any], tags: list[dict[str, str]]) -> Record:
        if self._records.stored(self._rds._snapshots, region, identifier):
            raise ApiError("DBSnapshotAlreadyExists", f"DBSnapshot {identifier} already exists.")
        snapshot: Record = {
            **fields,
            "DBSnapshotIdentifier": identifier,
            "DBSnapshotArn": f"arn:aws:rds:{region}:{self._account}:snapshot:{identifier}",
            "SnapshotCreateTime": now(),
            "Status": "creating",
            "PercentProgress": 0,
            "TagList": list(tags),
        }
        self._rds._snapshots.set_scoped(self._account, region, identifier, snapshot)
        self._rds._tags[snapshot["DBSnapshotArn"]] = snapshot["TagList"]
        return snapshot

    def take(self, snapshot: Record, database: Database) -> None:
        """Take a snapshot, in the time that RDS takes.

        Parameters
        ----------
        snapshot
            What ``new`` wrote.
        database
            The instance; its server runs.
        """
        snapshot["_file"] = self._fleet.data_of(database)
        self._fleet.elapse(database.region, duration("snapshot-create"))
        snapshot.update({"Status": AVAILABLE, "PercentProgress": 100})

    def _spawn_for(self, snapshot: Record, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except LabClosingError:
                return
            except Exception:
                snapshot["Status"] = FAILED
                raise

        self._fleet.lab.spawn(run, f"rds-snapshot-{snapshot['DBSnapshotIdentifier']}")
