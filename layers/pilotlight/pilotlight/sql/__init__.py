"""What the RDS API cannot tell or do: how far a replica is, a heartbeat, a freeze that holds, an account.

Works on MySQL 8 as RDS runs it, and on MariaDB; `dialect` is the only place where they differ. Everything is done as
RDS's master user, who may neither set a global variable nor kill by himself: ``read_only`` goes through the parameter
group, and a kill through the procedure that RDS has for it.
"""

from pilotlight.sql.accounts import prepare
from pilotlight.sql.divergence import Limits, compare, keep_log, position
from pilotlight.sql.freeze import mark, prove, quiet
from pilotlight.sql.heartbeat import beat, last_beat
from pilotlight.sql.replica import replication
from pilotlight.sql.server import Server, connect

__all__ = [
    "Limits",
    "Server",
    "beat",
    "compare",
    "connect",
    "keep_log",
    "last_beat",
    "mark",
    "position",
    "prepare",
    "prove",
    "quiet",
    "replication",
]
