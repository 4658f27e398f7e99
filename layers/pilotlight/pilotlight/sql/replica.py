"""How much a replica has received, and how much of it is applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pilotlight.model import Replication
from pilotlight.sql import gtids
from pilotlight.sql.dialect import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pilotlight.sql.dialect import Dialect
    from pilotlight.sql.server import Server

_ALL_READ = "has read all relay log"


def replication(server: Server) -> Replication:
    """Read how far a replica is.

    Returns
    -------
    Replication
        ``is_replica`` is False on a server that replicates from nobody.

    Raises
    ------
    PreconditionFailed
        The user may not see it.
    """
    dialect = server.dialect
    rows = server.rows("SHOW REPLICA STATUS")
    if not rows:
        return Replication(is_replica=False, applied=True)
    return read(rows[0], dialect, server.value(dialect.executed))


def read(row: Mapping[str, Any], dialect: Dialect, executed: str) -> Replication:
    """Turn a row of SHOW REPLICA STATUS into facts.

    What was received and is not applied is told by GTIDs. Positions alone would not do: they never meet when the source
    died in the middle of sending a transaction, of which nothing can be applied. Where nothing was received since the
    replica started (it forgets its received set then), equal positions or an applier that has read its whole relay log
    say the same.
    """
    received = gtids.canonical(str(row.get(dialect.received) or ""))
    executed = gtids.canonical(executed)
    running = row[dialect.applier] == "Yes"
    if received:
        unapplied = dialect.missing(received, executed)
        applied = unapplied == 0
    else:
        met = (row[dialect.applied_file], row[dialect.applied_position]) == (
            row[dialect.read_file],
            row[dialect.read_position],
        )
        idle = running and _ALL_READ in str(row.get(dialect.applier_state) or "")
        applied = met or idle
        unapplied = 0 if applied else UNKNOWN
    lag = row.get(dialect.lag)
    return Replication(
        is_replica=True,
        applied=applied,
        unapplied=unapplied,
        source_connected=row[dialect.receiver] == "Yes",
        applier_running=running,
        received=received,
        executed=executed,
        lag_seconds=None if lag is None else int(lag),
        error=str(row.get("Last_SQL_Error") or ""),
        read=f"{row.get(dialect.read_file) or ''}:{row.get(dialect.read_position) or ''}",
        receiver_error=str(row.get("Last_IO_Error") or ""),
    )
