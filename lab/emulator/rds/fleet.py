"""The servers behind the instances: how they change state, and what an outage does to them."""

from __future__ import annotations

import itertools
import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pymysql

from lab.authority import Authority
from lab.emulator.rds import parameters
from lab.emulator.rds.wire import ApiError
from lab.mariadb import DatabaseError, EmptyData, Server, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from lab.mariadb import Replication
    from lab.world import Lab

    Record = dict[str, Any]

AVAILABLE: Final = "available"
FAILED: Final = "failed"

_RETURN_POLL: Final = 0.2


class LabClosingError(Exception):
    """The lab ends: nothing that is under way is finished."""


class Step(NamedTuple):
    """One leg of a change: the status that is shown, for how long, and what happens as it begins."""

    status: str
    seconds: float
    act: Callable[[], None] | None = None


@dataclass(eq=False)
class Database:
    """An instance: the record that the RDS API shows, and the server behind it."""

    region: str
    record: Record
    server: Server
    wanted: bool = False
    """The server is to run whenever its region is there."""
    changing: bool = False
    """A change is under way, even where the status still says ``available``: on AWS it lags behind the call."""
    setting: threading.Lock = field(default_factory=threading.Lock)
    """One change of its parameters at a time."""

    @property
    def identifier(self) -> str:
        """Its name; a rename changes it."""
        identifier: str = self.record["DBInstanceIdentifier"]
        return identifier

    @property
    def arn(self) -> str:
        """Its ARN; a rename changes it."""
        arn: str = self.record["DBInstanceArn"]
        return arn

    @property
    def status(self) -> str:
        """What DescribeDBInstances shows."""
        status: str = self.record["DBInstanceStatus"]
        return status

    @property
    def source(self) -> str | None:
        """The identifier or ARN that it is a replica of."""
        return self.record.get("ReadReplicaSourceDBInstanceIdentifier") or None


class Fleet:
    """All instances of all regions.

    Parameters
    ----------
    lab
        Its clock times every change, its outages kill servers.
    """

    def __init__(self, lab: Lab) -> None:
        from ministack.services import rds

        self.lab = lab
        self.lock = threading.RLock()
        self._rds = rds
        self._databases: dict[str, Database] = {}
        self._home = lab.home / "databases"
        self._authority = Authority(self._home / "ca")
        self._empty = EmptyData(self._home / "empty")
        # One for all: an instance that is made of another's data keeps working with it.
        self._password = secrets.token_hex(16)
        self._ports: dict[tuple[str, str], int] = {}
        self._server_ids = itertools.count(1)
        self._files = itertools.count(1)
        self._starting = {region: threading.Lock() for region in lab.regions}
        lab.on_outage(self._kill_all)
        lab.on_return(self._start_all)
        lab.on_close(self._close)

    # Who there is

    def all(self) -> list[Database]:
        """Return all instances.

        Returns
        -------
        list[Database]
            Of all regions.
        """
        with self.lock:
            return list(self._databases.values())

    def find(self, region: str, identifier: str) -> Database | None:
        """Look for an instance, as RDS does.

        Parameters
        ----------
        region
            Where, unless an ARN says otherwise.
        identifier
            Its name, its ARN or its resource id.

        Returns
        -------
        Database | None
            None if there is none.
        """
        if identifier.startswith("arn:"):
            return next((found for found in self.all() if found.arn == identifier), None)
        return next(
            (
                found
                for found in self.all()
                if found.region == region and identifier.lower() in (found.identifier, found.record["DbiResourceId"])
            ),
            None,
        )

    def get(self, region: str, identifier: str) -> Database:
        """Look for an instance that the request names.

        Parameters
        ----------
        region
            The request's.
        identifier
            Its name, its ARN or its resource id.

        Returns
        -------
        Database
            In that region.

        Raises
        ------
        ApiError
            There is none.
        """
        found = self.find(region, identifier)
        if found is None or found.region != region:
            raise ApiError("DBInstanceNotFound", f"DBInstance {identifier} not found.", 404)
        return found

    def replicas(self, source: Database) -> Iterator[Database]:
        """Return an instance's replicas, wherever they are.

        Parameters
        ----------
        source
            The instance.

        Yields
        ------
        Database
            One that replicates from it.
        """
        for found in self.all():
            if found.source and self.find(found.region, found.source) is source:
                yield found

    def replication(self, database: Database) -> Replication | None:
        """Ask a replica how it stands.

        Parameters
        ----------
        database
            A replica or not.

        Returns
        -------
        Replication | None
            None if it is no replica or cannot be asked.
        """
        if not database.source or not database.server.running:
            return None
        try:
            return database.server.replication()
        except Exception as error:  # noqa: BLE001  # whatever is wrong with it, it cannot be asked now
            self.lab.log(f"{database.identifier} in {database.region} does not say how it replicates: {error}")
            return None

    @staticmethod
    def require_available(database: Database) -> None:
        """Refuse what can only be done to an instance at rest.

        Parameters
        ----------
        database
            The instance.

        Raises
        ------
        ApiError
            It is not available, or a change is under way.
        """
        if database.status != AVAILABLE or database.changing:
            raise ApiError(
                "InvalidDBInstanceState",
                f"DB instance {database.identifier} is not in the available state: it is {database.status}.",
            )

    def require_reachable(self, region: str) -> None:
        """Refuse what needs another region that is lost.

        Parameters
        ----------
        region
            The other region.

        Raises
        ------
        ApiError
            It is lost.
        """
        if self.lab.is_down(region):
            raise ApiError("InternalFailure", f"The region {region} does not answer.", 500)

    # How they come and go

    def add(self, region: str, record: Record) -> Database:
        """Add an instance; its server is made, but not started.

        Parameters
        ----------
        region
            Where.
        record
            What the API is to show of it.

        Returns
        -------
        Database
            The new instance.

        Raises
        ------
        ApiError
            The name is taken.
        """
        identifier = record["DBInstanceIdentifier"]
        with self.lock:
            if self.find(region, identifier):
                raise ApiError("DBInstanceAlreadyExists", "DB instance already exists")
            server_id = next(self._server_ids)
            server = Server(
                self._home / f"{region}-{server_id}",
                self._authority,
                server_id=server_id,
                password=self._password,
                empty=self._empty,
                port=self._port(region, identifier),
            )
            database = Database(region, record, server)
            self._databases[record["DbiResourceId"]] = database
            self._rds._instances.set_scoped(self.lab.account, region, identifier, record)
        self.show_endpoint(database)
        return database

    def make(self, database: Database) -> None:
        """Make an instance's server, empty but for its administrator, and start it.

        Parameters
        ----------
        database
            What ``add`` returned.

        Raises
        ------
        DatabaseError
            It does not start, or its region is lost meanwhile.
        """
        self.configure(database)
        with self._starting[database.region]:
            database.wanted = True
            database.server.create()

    def remove(self, database: Database) -> None:
        """Take an instance away for good, with its data.

        Parameters
        ----------
        database
            The instance.
        """
        with self.lock:
            database.wanted = False
            self._databases.pop(database.record["DbiResourceId"], None)
            self._rds._instances.pop_scoped(self.lab.account, database.region, database.identifier, None)
        database.server.destroy()

    def rename(self, database: Database, identifier: str) -> None:
        """Give an instance another name and another address.

        Parameters
        ----------
        database
            The instance; its server does not run.
        identifier
            The new name.
        """
        with self.lock:
            store, account = self._rds._instances, self.lab.account
            store.pop_scoped(account, database.region, database.identifier, None)
            replicas = [replica for replica in self.replicas(database) if replica.source]
            old_arn = database.arn
            database.record["DBInstanceIdentifier"] = identifier
            database.record["DBInstanceArn"] = old_arn.rpartition(":")[0] + f":{identifier}"
            for replica in replicas:
                by_arn = str(replica.source).startswith("arn:")
                replica.record["ReadReplicaSourceDBInstanceIdentifier"] = database.arn if by_arn else identifier
            store.set_scoped(account, database.region, identifier, database.record)
        # What points at the old name's address finds nobody there, as when RDS removes the old DNS name.
        database.server.port = self._port(database.region, identifier)
        self.show_endpoint(database)

    def _port(self, region: str, identifier: str) -> int:
        """Return a name's port: on AWS an instance that is made anew under a name has the address of the one before."""
        with self.lock:
            return self._ports.setdefault((region, identifier), free_port())

    @staticmethod
    def show_endpoint(database: Database) -> None:
        """Write where the server listens into the record.

        Parameters
        ----------
        database
            The instance.
        """
        database.record["Endpoint"] = {
            "Address": "127.0.0.1",
            "Port": database.server.port,
            "HostedZoneId": "Z1LABPILOTLIGHT",
        }

    def data_of(self, database: Database) -> Path:
        """Copy an instance's data.

        Parameters
        ----------
        database
            The instance; its server runs.

        Returns
        -------
        Path
            A file for ``Server.load``.
        """
        file = self._home / f"copy-{next(self._files)}.sql"
        database.server.dump(file)
        return file

    # How they change

    def change(self, database: Database, *steps: Step) -> None:
        """Start a change of an instance; it is ``available`` when all its steps are done.

        Parameters
        ----------
        database
            The instance.
        steps
            One after another. If one fails, so has the instance.
        """
        with self.lock:
            database.changing = True
            database.record["DBInstanceStatus"] = steps[0].status

        def run() -> None:
            try:
                for step in steps:
                    self.wait_for_region(database.region)
                    database.record["DBInstanceStatus"] = step.status
                    if step.act is not None:
                        step.act()
                    self.elapse(database.region, step.seconds)
            except LabClosingError:
                return
            except Exception:
                with self.lock:
                    database.record["DBInstanceStatus"] = FAILED
                    database.changing = False
                raise
            with self.lock:
                database.record["DBInstanceStatus"] = AVAILABLE
                database.changing = False

        self.lab.spawn(run, f"rds-{database.region}-{database.identifier}")

    def elapse(self, region: str, aws_seconds: float) -> None:
        """Let time pass; while the region is lost, nothing goes on in it.

        Parameters
        ----------
        region
            Where the change happens.
        aws_seconds
            How long it takes.

        Raises
        ------
        LabClosingError
            The lab ends.
        """
        if not self.lab.clock.sleep_aws(aws_seconds):
            raise LabClosingError
        self.wait_for_region(region)

    def wait_for_region(self, region: str) -> None:
        """Wait until a region is there.

        Parameters
        ----------
        region
            The region.

        Raises
        ------
        LabClosingError
            The lab ends first.
        """
        pause = threading.Event()
        while self.lab.is_down(region) and not self.lab.closing:
            pause.wait(_RETURN_POLL)
        if self.lab.closing:
            raise LabClosingError

    def start(self, database: Database) -> None:
        """Start an instance's server with the options it should have; an outage meanwhile only delays it.

        Parameters
        ----------
        database
            The instance.

        Raises
        ------
        DatabaseError
            The server does not start.
        """
        database.wanted = True
        while True:
            self.wait_for_region(database.region)
            try:
                self._start(database)
            except DatabaseError:
                if self.lab.is_down(database.region):
                    continue
                raise
            if database.server.running:
                return

    def stop(self, database: Database) -> None:
        """Stop an instance's server in good order.

        Parameters
        ----------
        database
            The instance.
        """
        database.wanted = False
        database.server.stop()

    def parameter_values(self, database: Database) -> dict[str, str]:
        """Return what an instance's parameter group sets.

        Parameters
        ----------
        database
            The instance.

        Returns
        -------
        dict[str, str]
            Parameter to value.
        """
        groups = database.record.get("DBParameterGroups") or [{}]
        name = groups[0].get("DBParameterGroupName")
        group = self._rds._param_groups.get_scoped(self.lab.account, database.region, name) or {}
        return {
            parameter: str(entry["ParameterValue"])
            for parameter, entry in (group.get("Parameters") or {}).items()
            if entry.get("ParameterValue") is not None
        }

    def configure(self, database: Database, *, replica: bool | None = None) -> None:
        """Set the options that the server is to start with next.

        Parameters
        ----------
        database
            The instance.
        replica
            Whether it starts as a replica; as it is shown unless given.
        """
        if replica is None:
            replica = database.source is not None
        values = self.parameter_values(database)
        if unknown := parameters.ignored(values):
            self.lab.log(f"{database.identifier} in {database.region}: no effect in the lab: {', '.join(unknown)}")
        database.server.options = parameters.options(values, replica=replica)
        for group in database.record.get("DBParameterGroups") or []:
            group["ParameterApplyStatus"] = "in-sync"

    def set_globals(self, database: Database, options: Mapping[str, str], given: Collection[str]) -> None:
        """Set options of a running server soon, as RDS does: the call that changed them does not wait for it.

        Setting ``read_only`` waits for whoever holds locks on tables, however long.

        Parameters
        ----------
        database
            The instance; if it does not run, it takes them up when it starts.
        options
            MariaDB's options to their values.
        given
            The parameters that they come from.
        """
        if "read_only" not in given:
            options = {name: value for name, value in options.items() if name != "read_only"}
        database.server.options.update(options)
        if not options or not database.server.running:
            return
        self._show_parameters(database, "applying", but_for="pending-reboot")
        self.lab.spawn(
            lambda: self._set_globals(database, tuple(options)),
            f"rds-parameters-{database.region}-{database.identifier}",
        )

    def _set_globals(self, database: Database, names: Iterable[str]) -> None:
        with database.setting:
            for name in names:
                # As it is by now: changes may overtake each other on their way here, and the last one counts.
                value = database.server.options[name]
                try:
                    database.server.execute(f"SET GLOBAL {name} = %s", parameters=(_number(value),))
                    self.lab.log(f"{database.identifier} in {database.region}: {name} = {value}")
                except pymysql.err.MySQLError as error:
                    # Some of what MySQL changes at once, MariaDB takes at a start only.
                    self.lab.log(f"{database.identifier} in {database.region}: {name} waits for a reboot: {error}")
                    self._show_parameters(database, "pending-reboot")
            self._show_parameters(database, "in-sync", but_for="pending-reboot")

    @staticmethod
    def _show_parameters(database: Database, status: str, but_for: str = "") -> None:
        for group in database.record.get("DBParameterGroups") or []:
            if group["ParameterApplyStatus"] != but_for:
                group["ParameterApplyStatus"] = status

    # Outages

    def _start(self, database: Database) -> None:
        # An outage in these milliseconds would leave a server running in a lost region.
        with self._starting[database.region]:
            if not self.lab.is_down(database.region) and not self.lab.closing:
                database.server.start()

    def _in(self, region: str) -> list[Database]:
        return [database for database in self.all() if database.region == region]

    def _kill_all(self, region: str) -> None:
        for database in self._in(region):
            database.server.kill()
        with self._starting[region]:
            for database in self._in(region):
                database.server.kill()

    def _start_all(self, region: str) -> None:
        for database in self._in(region):
            if database.wanted:
                self._start(database)

    def _close(self) -> None:
        for database in self.all():
            database.server.destroy()
        for lock in self._starting.values():
            with lock:
                for database in self.all():
                    database.server.kill()


def _number(value: str) -> int | float | str:
    # A numeric variable refuses a string.
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value
