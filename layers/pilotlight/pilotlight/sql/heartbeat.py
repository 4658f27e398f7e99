"""A row that the active database writes every few seconds: its age in the replica is what a loss would cost."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from pilotlight.errors import PreconditionFailed
from pilotlight.model import Heartbeat
from pilotlight.sql.server import NOT_THERE

if TYPE_CHECKING:
    from pilotlight.sql.server import Server

_BEAT: Final = "REPLACE INTO pilotlight.heartbeat VALUES (1, UTC_TIMESTAMP(6))"
_TABLES: Final = (
    "CREATE DATABASE IF NOT EXISTS pilotlight",
    "CREATE TABLE IF NOT EXISTS pilotlight.heartbeat (id TINYINT PRIMARY KEY, beat_at DATETIME(6) NOT NULL)",
    "CREATE TABLE IF NOT EXISTS pilotlight.marker "
    "(epoch BIGINT PRIMARY KEY, execution VARCHAR(256) NOT NULL, marked_at DATETIME(6) NOT NULL)",
    # Comes into being at rest: what makes it beat is the same wherever it was before.
    f"CREATE EVENT IF NOT EXISTS pilotlight.heartbeat ON SCHEDULE EVERY 5 SECOND DISABLE DO {_BEAT}",
)
# A replica has the event disabled, whatever its source says of it (REPLICA_SIDE_DISABLED). Said in full, so that an
# event that somebody changed is as it should be again; and its definer is from now on who says it, so one that exists.
_ENABLE: Final = f"ALTER EVENT pilotlight.heartbeat ON SCHEDULE EVERY 5 SECOND ON COMPLETION PRESERVE ENABLE DO {_BEAT}"
_DISABLE: Final = "ALTER EVENT pilotlight.heartbeat DISABLE"


def beat(server: Server) -> None:
    """Let the heartbeat beat: now, and from now on. Asked again, it changes nothing.

    The event runs as the master user, who does not pass through ``read_only``: a frozen source's heart stands still.

    Raises
    ------
    PreconditionFailed
        The server runs no events.
    TransientError
        It is read-only, still.
    """
    if server.value("SELECT @@GLOBAL.event_scheduler AS value").upper() not in ("ON", "1"):
        raise PreconditionFailed(
            f"{server.address} runs no events: set event_scheduler to ON in its parameter group, then start again"
        )
    for statement in (*_TABLES, _ENABLE, _BEAT):
        server.rows(statement)


def rest(server: Server) -> None:
    """Let the heartbeat rest.

    Raises
    ------
    PreconditionFailed
        There is none: the database was never prepared.
    """
    server.rows(_DISABLE)


def last_beat(server: Server) -> Heartbeat | None:
    """Look when the source's heart last beat as far as this server knows, None if never.

    The age is by this server's clock. Its difference to the source's is far below the five seconds between two beats.
    """
    rows = server.rows(
        "SELECT beat_at, TIMESTAMPDIFF(SECOND, beat_at, UTC_TIMESTAMP(6)) AS age "
        "FROM pilotlight.heartbeat WHERE id = 1",
        but_for=NOT_THERE,
    )
    if not rows:
        return None
    return Heartbeat(iso(rows[0]["beat_at"]), max(0, int(rows[0]["age"])))


def iso(at: dt.datetime) -> str:
    """Write a time that the server keeps, in UTC."""
    return at.replace(tzinfo=dt.UTC).isoformat()
