"""Every difference between MySQL 8 and MariaDB that matters here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from pilotlight.sql import gtids

if TYPE_CHECKING:
    from collections.abc import Callable

UNKNOWN: Final = -1
"""A number of transactions that the server cannot tell."""

SERVERS_OWN: Final = frozenset(
    {
        "event_scheduler",
        "mariadb.sys",
        "mysql.infoschema",
        "mysql.session",
        "mysql.sys",
        "rdsadmin",
        "rdsrepladmin",
        "system user",
        "unauthenticated user",
    }
)
"""Accounts and threads of the server itself and of RDS, as a list of processes names them."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """Column names of SHOW REPLICA STATUS, and how positions are told."""

    name: Literal["mysql", "mariadb"]
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
    """Asks a replica what it has applied."""
    written: str
    """Asks a source what it has committed: all that a replica could ever be sent."""
    missing: Callable[[str, str], int]
    """Counts the transactions of one position that another lacks."""


# https://dev.mysql.com/doc/refman/8.4/en/show-replica-status.html
MYSQL: Final = Dialect(
    name="mysql",
    read_file="Source_Log_File",
    read_position="Read_Source_Log_Pos",
    applied_file="Relay_Source_Log_File",
    applied_position="Exec_Source_Log_Pos",
    receiver="Replica_IO_Running",
    applier="Replica_SQL_Running",
    applier_state="Replica_SQL_Running_State",
    lag="Seconds_Behind_Source",
    received="Retrieved_Gtid_Set",
    # One set holds what a server committed itself and what it applied: the same question on both sides.
    executed="SELECT @@GLOBAL.gtid_executed AS value",
    written="SELECT @@GLOBAL.gtid_executed AS value",
    missing=gtids.missing_intervals,
)
# https://mariadb.com/kb/en/show-replica-status/
MARIADB: Final = Dialect(
    name="mariadb",
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
    # Not gtid_current_pos: it leaves out what the server wrote under another id than its own, and may name what no
    # binary log holds. The end of the binary log is what replicas are sent.
    written="SELECT @@GLOBAL.gtid_binlog_pos AS value",
    missing=gtids.missing_domains,
)


def of_version(version: str) -> Dialect:
    """Tell the kind of server by what ``SELECT VERSION()`` says."""
    return MARIADB if "mariadb" in version.lower() else MYSQL
