"""DB parameter groups: what a user of RDS for MySQL sets, in MariaDB's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Parameter(NamedTuple):
    """What a parameter of RDS for MySQL is to MariaDB."""

    option: str | None
    """MariaDB's name; None where it has none and the lab does without."""
    static: bool = False
    """RDS applies it at the next reboot only."""
    values: Mapping[str, str] = {}
    """MySQL's values that MariaDB spells otherwise."""


# Parameters that are not here are stored, shown and not applied.
TABLE: Final[Mapping[str, Parameter]] = {
    # who may write, and how they connect
    "read_only": Parameter("read_only"),
    "require_secure_transport": Parameter("require_secure_transport"),
    "max_connections": Parameter("max_connections"),
    "max_connect_errors": Parameter("max_connect_errors"),
    "connect_timeout": Parameter("connect_timeout"),
    "wait_timeout": Parameter("wait_timeout"),
    "interactive_timeout": Parameter("interactive_timeout"),
    "net_read_timeout": Parameter("net_read_timeout"),
    "net_write_timeout": Parameter("net_write_timeout"),
    "max_allowed_packet": Parameter("max_allowed_packet"),
    "local_infile": Parameter("local_infile"),
    # replication
    "binlog_format": Parameter("binlog_format"),
    "binlog_row_image": Parameter("binlog_row_image"),
    "binlog_row_metadata": Parameter("binlog_row_metadata"),
    "binlog_expire_logs_seconds": Parameter("binlog_expire_logs_seconds"),
    "log_bin_trust_function_creators": Parameter("log_bin_trust_function_creators"),
    "replica_net_timeout": Parameter("slave_net_timeout"),
    "slave_net_timeout": Parameter("slave_net_timeout"),
    # MariaDB applies in parallel, in the order of commit, as soon as it has threads for it: MySQL's default.
    "replica_parallel_workers": Parameter("slave_parallel_threads", static=True),
    "slave_parallel_workers": Parameter("slave_parallel_threads", static=True),
    "replica_preserve_commit_order": Parameter(None, static=True),
    # MariaDB always writes GTIDs, and always consistently.
    "gtid-mode": Parameter(None, static=True),
    "gtid_mode": Parameter(None, static=True),
    "enforce_gtid_consistency": Parameter(None, static=True),
    # A kill loses nothing that was acknowledged, forced to the disk or not: the lab leaves it to the operating system.
    "sync_binlog": Parameter(None),
    "innodb_flush_log_at_trx_commit": Parameter(None),
    "performance_schema": Parameter(None, static=True),
    # logs
    "slow_query_log": Parameter("slow_query_log"),
    "long_query_time": Parameter("long_query_time"),
    "log_queries_not_using_indexes": Parameter("log_queries_not_using_indexes"),
    "general_log": Parameter("general_log"),
    "log_output": Parameter("log_output"),
    # how statements behave
    "character_set_server": Parameter("character_set_server"),
    "collation_server": Parameter("collation_server", values={"utf8mb4_0900_ai_ci": "utf8mb4_unicode_ci"}),
    "time_zone": Parameter("time_zone", values={"UTC": "+00:00"}),
    "explicit_defaults_for_timestamp": Parameter("explicit_defaults_for_timestamp"),
    "event_scheduler": Parameter("event_scheduler"),
    "lock_wait_timeout": Parameter("lock_wait_timeout"),
    "innodb_lock_wait_timeout": Parameter("innodb_lock_wait_timeout"),
    "innodb_print_all_deadlocks": Parameter("innodb_print_all_deadlocks"),
    "transaction_isolation": Parameter("transaction_isolation"),
}

TRUE_IF_REPLICA: Final = "{TrueIfReplica}"


def options(values: Mapping[str, str], *, replica: bool) -> dict[str, str]:
    """Return the server options for the parameters of a group.

    Parameters
    ----------
    values
        Parameter to value, as the group holds them.
    replica
        What ``{TrueIfReplica}`` comes to.

    Returns
    -------
    dict[str, str]
        MariaDB's option to its value. ``read_only`` is always there: on RDS it is ``{TrueIfReplica}`` by default.
    """
    found = {}
    for name, value in {"read_only": TRUE_IF_REPLICA, **values}.items():
        known = TABLE.get(name)
        text = value.replace(TRUE_IF_REPLICA, "1" if replica else "0")
        # Other formulas compute from the memory of an instance class, which the lab has not got.
        if known is not None and known.option is not None and "{" not in text:
            found[known.option] = known.values.get(text, text)
    return found


def ignored(values: Mapping[str, str]) -> list[str]:
    """Return the parameters that are stored and have no effect here.

    Parameters
    ----------
    values
        Parameter to value, as the group holds them.

    Returns
    -------
    list[str]
        Their names.
    """
    return sorted(name for name in values if name not in TABLE)


def is_static(name: str) -> bool:
    """Say whether RDS applies a parameter at the next reboot only.

    Parameters
    ----------
    name
        A parameter of RDS for MySQL.

    Returns
    -------
    bool
        False for what the table does not have.
    """
    known = TABLE.get(name)
    return known is not None and known.static
