"""A source that comes to rest, and the proof that its replica has everything."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from pymysql.constants import ER

from pilotlight.errors import PreconditionFailed
from pilotlight.model import Mark, Proof, Quiet
from pilotlight.sql import gtids, heartbeat
from pilotlight.sql.dialect import SERVERS_OWN
from pilotlight.sql.replica import replication
from pilotlight.sql.server import NOT_THERE

if TYPE_CHECKING:
    from collections.abc import Callable

    from pilotlight.sql.server import Server

_SIGNALLED: Final = 1644
# A replica's connection sends what is committed, and cannot write. It must stay: what it has not sent yet is to cross.
_TO_A_REPLICA: Final = "Binlog Dump"
# Gone by itself, another's, or refused by the procedure.
_NOT_ENDED: Final = (ER.NO_SUCH_THREAD, ER.KILL_DENIED_ERROR, _SIGNALLED)
_LOOKS: Final = 10
_SECONDS_BETWEEN_LOOKS: Final = 0.1


def mark(server: Server, epoch: int, execution: str) -> Mark:
    """Let the heartbeat rest and write the marker of a switchover, the last write that the replica is asked for.

    Raises
    ------
    PreconditionFailed
        The server is read-only, was never prepared, or does not name its transactions.
    """
    if server.read_only:
        raise PreconditionFailed(
            f"{server.address} is read-only, so it is a replica, or a source that an earlier switchover left closed: "
            "open the source again (read_only {TrueIfReplica} in its parameter group), then start again"
        )
    before = server.position
    heartbeat.rest(server)
    server.rows("REPLACE INTO pilotlight.marker VALUES (%s, %s, UTC_TIMESTAMP(6))", epoch, execution)
    position = server.position
    if position == before:
        # gtid_executed would stand still whatever is written: everything would look quiet, and proven.
        raise PreconditionFailed(
            f"{server.address} does not name its transactions: set gtid-mode to ON in its parameter group, reboot it, "
            "then start again"
        )
    written = server.rows("SELECT marked_at FROM pilotlight.marker WHERE epoch = %s", epoch)
    return Mark(position, heartbeat.iso(written[0]["marked_at"]))


def quiet(server: Server, pause: Callable[[float], None] = time.sleep) -> Quiet:
    """End every connection that could write, then say how the source stands.

    A transaction that was left open is rolled back with its connection. And it must be ended: while a client holds
    locks on tables, a server that is told to be read-only waits for it.

    The position of a source at rest may still move by itself: RDS writes a heartbeat of its own every few minutes
    (``mysql.rds_heartbeat2``), through ``read_only`` and into the binary log. Whoever sees it move proves anew.
    """
    for look in range(_LOOKS):
        if look:
            pause(_SECONDS_BETWEEN_LOOKS)
        left = _writers(server)
        if not left:
            break
        for writer in left:
            _end(server, writer)
    # In this order: a commit between the two would be missing in a position that was read first.
    read_only = server.read_only
    return Quiet(read_only, len(left), server.position)


def prove(server: Server, epoch: int, position: str, *, restored: bool = False) -> Proof:
    """Look whether a replica has the marker of a switchover and everything up to a position of its source.

    Parameters
    ----------
    restored
        It is no replica: it was restored from a snapshot of the source, so it has what it was made with.

    Raises
    ------
    PreconditionFailed
        There is no position to ask for, or the server replicates from nobody.
    """
    wanted = gtids.canonical(position)
    if not wanted:
        raise PreconditionFailed(
            "the source told no position, so nothing can be proven: set gtid-mode to ON in its "
            "parameter group, reboot it, then start again"
        )
    seen = replication(server)
    if not seen.is_replica and not restored:
        raise PreconditionFailed(
            f"{server.address} is no replica any more, so it gets nothing of its source: look who promoted it"
        )
    executed = gtids.canonical(server.value(server.dialect.executed)) if restored else seen.executed
    missing = server.dialect.missing(wanted, executed)
    marker = bool(server.rows("SELECT epoch FROM pilotlight.marker WHERE epoch = %s", epoch, but_for=NOT_THERE))
    return Proof(
        proven=marker and missing == 0,
        marker=marker,
        missing=missing,
        applier_running=seen.applier_running,
        detail=seen.error,
        executed=executed if restored else "",
    )


def _writers(server: Server) -> list[int]:
    """List the connections that are not this one, not the server's own, and not a replica's."""
    ours = int(server.value("SELECT CONNECTION_ID() AS value"))
    return [
        int(row["Id"])
        for row in server.rows("SHOW PROCESSLIST")
        if int(row["Id"]) != ours
        and row["User"] not in SERVERS_OWN
        and not str(row["Command"]).startswith(_TO_A_REPLICA)
    ]


def _end(server: Server, connection: int) -> None:
    """End one connection; one that is gone already, or that RDS protects, shows in the next look."""
    server.rows("CALL mysql.rds_kill(%s)", connection, but_for=_NOT_ENDED)
