"""What the RDS API cannot tell: how much a replica has received, and how much of it is applied.

Works on MySQL 8 as RDS runs it and on MariaDB; `_Dialect` is the only place where they differ.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pymysql
import pymysql.cursors

from pilotlight.errors import PreconditionFailed, TransientError
from pilotlight.model import Replication

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pilotlight.aws.secret import Credentials

_CONNECT_SECONDS = 3
_ANSWER_SECONDS = 5
# The bundle of RDS's certificate authorities, put into the layer at build time (see docs/deploy.md).
_AUTHORITIES = Path("/opt/python/certificates/rds.pem")
_NO_PRIVILEGE = (1044, 1142, 1227)
_DENIED = (1045,)
_ALL_READ = "has read all relay log"
UNKNOWN = -1


def connect(host: str, port: int, credentials: Credentials, authorities: Path = _AUTHORITIES) -> Any:
    """Connect over TLS.

    The server's certificate is checked against RDS's authorities where the layer carries them. Without them the
    connection is still encrypted, but not authenticated.

    Raises
    ------
    PreconditionFailed
        The credentials are refused.
    TransientError
        The server did not answer.
    """
    if authorities.exists():
        context = ssl.create_default_context(cafile=authorities)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        return pymysql.connect(
            host=host,
            port=port,
            user=credentials.username,
            password=credentials.password,
            ssl=context,
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_ANSWER_SECONDS,
            write_timeout=_ANSWER_SECONDS,
            cursorclass=pymysql.cursors.DictCursor,
        )
    except pymysql.err.OperationalError as error:
        if error.args[0] in _DENIED:
            raise PreconditionFailed(
                f"the database at {host}:{port} refuses the secret's user {credentials.username!r}: "
                "bring the secret and the database's password together, then start again"
            ) from error
        raise TransientError(f"the database at {host}:{port} does not answer: {error}") from error


def replication(connection: Any) -> Replication:
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
    version = str(_rows(connection, "SELECT VERSION() AS version")[0]["version"])
    dialect = _MARIADB if "mariadb" in version.lower() else _MYSQL
    rows = _rows(connection, "SHOW REPLICA STATUS")
    if not rows:
        return Replication(is_replica=False, applied=True)
    return read(rows[0], dialect, _value(connection, dialect.executed))


@dataclass(frozen=True, slots=True)
class _Dialect:
    """Column names of SHOW REPLICA STATUS, and how positions are told."""

    read_file: str
    read_position: str
    applied_file: str
    applied_position: str
    receiver: str
    applier: str
    applier_state: str
    lag: str
    received: str
    executed: str


# https://dev.mysql.com/doc/refman/8.0/en/show-replica-status.html
_MYSQL = _Dialect(
    read_file="Source_Log_File",
    read_position="Read_Source_Log_Pos",
    applied_file="Relay_Source_Log_File",
    applied_position="Exec_Source_Log_Pos",
    receiver="Replica_IO_Running",
    applier="Replica_SQL_Running",
    applier_state="Replica_SQL_Running_State",
    lag="Seconds_Behind_Source",
    received="Retrieved_Gtid_Set",
    executed="SELECT @@GLOBAL.gtid_executed AS value",
)
# https://mariadb.com/kb/en/show-replica-status/
_MARIADB = _Dialect(
    read_file="Master_Log_File",
    read_position="Read_Master_Log_Pos",
    applied_file="Relay_Master_Log_File",
    applied_position="Exec_Master_Log_Pos",
    receiver="Slave_IO_Running",
    applier="Slave_SQL_Running",
    applier_state="Slave_SQL_Running_State",
    lag="Seconds_Behind_Master",
    received="Gtid_IO_Pos",
    executed="SELECT @@GLOBAL.gtid_slave_pos AS value",
)


def read(row: Mapping[str, Any], dialect: _Dialect, executed: str) -> Replication:
    """Turn a row of SHOW REPLICA STATUS into facts.

    What was received and is not applied is told by GTIDs. Positions alone would not do: they never meet when the source
    died in the middle of sending a transaction, of which nothing can be applied. Where nothing was received since the
    replica started (it forgets its received set then), equal positions or an applier that has read its whole relay log
    say the same.
    """
    received = "".join(str(row.get(dialect.received) or "").split())
    executed = "".join(executed.split())
    running = row[dialect.applier] == "Yes"
    if received:
        unapplied = (_missing_domains if dialect is _MARIADB else _missing_intervals)(received, executed)
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
    )


def _missing_domains(received: str, executed: str) -> int:
    """Count what MariaDB received beyond what it executed: ``domain-server-sequence`` lists, newest of each domain."""
    done = dict(map(_domain, filter(None, executed.split(","))))
    newest = dict(map(_domain, filter(None, received.split(","))))
    return sum(max(0, sequence - done.get(domain, 0)) for domain, sequence in newest.items())


def _domain(gtid: str) -> tuple[str, int]:
    domain, _, sequence = gtid.split("-")
    return domain, int(sequence)


def _missing_intervals(received: str, executed: str) -> int:
    """Count what MySQL received beyond what it executed: ``uuid:1-5:7,uuid:…`` sets."""
    done = _intervals(executed)
    return sum(
        (last - first + 1)
        - sum(max(0, min(last, upper) - max(first, lower) + 1) for lower, upper in done.get(source, ()))
        for source, intervals in _intervals(received).items()
        for first, last in intervals
    )


def _intervals(gtids: str) -> dict[str, list[tuple[int, int]]]:
    sets: dict[str, list[tuple[int, int]]] = {}
    for part in filter(None, gtids.split(",")):
        source, *ranges = part.split(":")
        tag = ""
        for piece in ranges:
            if not piece[0].isdigit():
                # MySQL 8.3+ may tag GTIDs: uuid:tag:1-5.
                tag = piece
                continue
            first, _, last = piece.partition("-")
            sets.setdefault(f"{source.lower()}:{tag}", []).append((int(first), int(last or first)))
    return sets


def _rows(connection: Any, statement: str) -> list[dict[str, Any]]:
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())
    except pymysql.err.Error as error:
        if error.args and error.args[0] in _NO_PRIVILEGE:
            raise PreconditionFailed(
                f"the secret's user may not run {statement!r}: grant it REPLICATION CLIENT (MariaDB: REPLICA MONITOR)"
            ) from error
        raise TransientError(f"{statement!r} was not answered: {error}") from error


def _value(connection: Any, statement: str) -> str:
    return str(_rows(connection, statement)[0]["value"] or "")
