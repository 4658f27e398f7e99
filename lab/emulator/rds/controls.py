"""What the game day and the tests may do to a database, past the RDS API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.emulator.rds.fleet import AVAILABLE, Step
from lab.mariadb import ADMIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.emulator.rds.fleet import Database, Fleet


class Controls:
    """Each method is a control of the group ``database``; arguments and answers are plain data.

    Parameters
    ----------
    fleet
        The instances.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def table(self) -> dict[str, Callable[..., Any]]:
        """Return the controls by name.

        Returns
        -------
        dict[str, Callable[..., Any]]
            For ``POST /_lab/control/database/<name>``.
        """
        return {
            "list": self.list_all,
            "back-up": self.back_up,
            "slow-applying": self.slow_applying,
            "pause-applying": self.pause_applying,
            "resume-applying": self.resume_applying,
            "hold-receiving": self.hold_receiving,
            "resume-receiving": self.resume_receiving,
            "break-replication": self.break_replication,
            "repair-replication": self.repair_replication,
            "kill": self.kill,
            "start": self.start,
            "remove": self.remove,
        }

    def list_all(self) -> list[dict[str, Any]]:
        """List every instance, with how an administrator gets in."""
        return [self._told(database) for database in self._fleet.all()]

    def back_up(self, region: str, identifier: str, seconds: float) -> dict[str, Any]:
        """Let an instance be ``backing-up`` for some AWS seconds, as in its backup window."""
        database = self._get(region, identifier)
        if database.status != AVAILABLE or database.changing:
            raise ValueError(f"{identifier} in {region} is {database.status}: it cannot start a backup now")
        self._fleet.change(database, Step("backing-up", float(seconds)))
        return self._told(database)

    def slow_applying(self, region: str, identifier: str, seconds: int) -> dict[str, Any]:
        """Let a replica apply what it receives only so many real seconds later; 0 ends it."""
        database = self._get(region, identifier)
        database.server.delay(int(seconds))
        return self._told(database)

    def pause_applying(self, region: str, identifier: str) -> dict[str, Any]:
        """Let a replica go on receiving and apply nothing."""
        database = self._get(region, identifier)
        database.server.pause_applying(pause=True)
        return self._told(database)

    def resume_applying(self, region: str, identifier: str) -> dict[str, Any]:
        """Let a replica apply again."""
        database = self._get(region, identifier)
        database.server.pause_applying(pause=False)
        return self._told(database)

    def hold_receiving(self, region: str, identifier: str) -> dict[str, Any]:
        """Let a replica go on applying and receive nothing: what its source acknowledges from now on does not cross."""
        database = self._get(region, identifier)
        database.server.hold_receiving(hold=True)
        return self._told(database)

    def resume_receiving(self, region: str, identifier: str) -> dict[str, Any]:
        """Let a replica receive again, from where it stopped."""
        database = self._get(region, identifier)
        database.server.hold_receiving(hold=False)
        return self._told(database)

    def break_replication(self, region: str, identifier: str) -> dict[str, Any]:
        """Let a replica lose its source."""
        database = self._get(region, identifier)
        database.server.break_replication(broken=True)
        return self._told(database)

    def repair_replication(self, region: str, identifier: str) -> dict[str, Any]:
        """Let a replica find its source again."""
        database = self._get(region, identifier)
        database.server.break_replication(broken=False)
        return self._told(database)

    def kill(self, region: str, identifier: str) -> dict[str, Any]:
        """Kill one server; its region stays."""
        database = self._get(region, identifier)
        database.server.kill()
        return self._told(database)

    def start(self, region: str, identifier: str) -> dict[str, Any]:
        """Start a server that was killed."""
        database = self._get(region, identifier)
        self._fleet.start(database)
        return self._told(database)

    def remove(self, region: str, identifier: str) -> None:
        """Take an instance away at once, with its data and whatever it is doing: nobody asks for a snapshot."""
        self._fleet.remove(self._get(region, identifier))

    def _get(self, region: str, identifier: str) -> Database:
        database = self._fleet.find(region, identifier)
        if database is None:
            raise ValueError(f"there is no DB instance {identifier} in {region}")
        return database

    def _told(self, database: Database) -> dict[str, Any]:
        server = database.server
        told: dict[str, Any] = {
            "region": database.region,
            "identifier": database.identifier,
            "status": database.status,
            "running": server.running,
            "source": database.source,
            "host": "127.0.0.1",
            "port": server.port,
            "socket": str(server.socket),
            "user": ADMIN,
            "password": server.password,
            "ca": str(server.authority.certificate),
        }
        if standing := self._fleet.replication(database):
            told["replication"] = {
                "healthy": standing.healthy,
                "error": standing.error,
                "received": standing.received,
                "applied": standing.applied,
                "unapplied": standing.unapplied,
            }
        return told
