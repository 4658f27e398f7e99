from __future__ import annotations

from typing import Any

import pytest

from pilotlight import sql
from pilotlight.model import Replication
from pilotlight.sql.dialect import UNKNOWN


class Fake:
    """Answers the three statements that are asked, as a server of a kind does."""

    def __init__(self, version: str, row: dict[str, Any] | None, executed: str) -> None:
        self._answers = {
            "SELECT VERSION() AS version": [{"version": version}],
            "SHOW REPLICA STATUS": [row] if row else [],
            "SELECT @@GLOBAL.gtid_executed AS value": [{"value": executed}],
            "SELECT @@GLOBAL.gtid_slave_pos AS value": [{"value": executed}],
        }

    def cursor(self) -> Fake:
        return self

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, statement: str, parameters: object = None) -> None:
        assert parameters is None
        self._now = self._answers[statement]

    def fetchall(self) -> list[dict[str, Any]]:
        return self._now


def mysql(received: str, executed: str, **changes: Any) -> Replication:
    row = {
        "Source_Log_File": "bin.7",
        "Read_Source_Log_Pos": 900,
        "Relay_Source_Log_File": "bin.7",
        "Exec_Source_Log_Pos": 400,
        "Replica_IO_Running": "Connecting",
        "Replica_SQL_Running": "Yes",
        "Replica_SQL_Running_State": "Reading event from the relay log",
        "Seconds_Behind_Source": None,
        "Last_SQL_Error": "",
        "Retrieved_Gtid_Set": received,
    }
    return sql.replication(sql.Server(Fake("8.0.40", row | changes, executed)))


def mariadb(received: str, executed: str, **changes: Any) -> Replication:
    row = {
        "Master_Log_File": "bin.7",
        "Read_Master_Log_Pos": 900,
        "Relay_Master_Log_File": "bin.7",
        "Exec_Master_Log_Pos": 400,
        "Slave_IO_Running": "Connecting",
        "Slave_SQL_Running": "Yes",
        "Slave_SQL_Running_State": "Reading event from the relay log",
        "Seconds_Behind_Master": None,
        "Last_SQL_Error": "",
        "Gtid_IO_Pos": received,
    }
    return sql.replication(sql.Server(Fake("10.11.6-MariaDB-log", row | changes, executed)))


UUID, OTHER = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"


@pytest.mark.parametrize(
    ("received", "executed", "unapplied"),
    [
        (f"{UUID}:1-100", f"{UUID}:1-100", 0),
        (f"{UUID}:1-100", f"{UUID}:1-93", 7),
        (f"{UUID}:1-100", "", 100),
        (f"{UUID}:50-100", f"{UUID}:1-49", 51),
        (f"{UUID}:1-10:20-30", f"{UUID}:1-10:20-25", 5),
        (f"{UUID}:1-10,\n{OTHER}:1-5", f"{UUID}:1-10,\n{OTHER}:1-3", 2),
        (f"{UUID}:7", f"{UUID}:1-6", 1),
        (f"{UUID.upper()}:1-5", f"{UUID}:1-5,{OTHER}:1-900", 0),
        (f"{UUID}:nightly:1-4", f"{UUID}:1-900:nightly:1-3", 1),
    ],
)
def test_mysql_tells_it_by_gtid_sets(received: str, executed: str, unapplied: int) -> None:
    seen = mysql(received, executed)
    assert (seen.is_replica, seen.applied, seen.unapplied) == (True, unapplied == 0, unapplied)


@pytest.mark.parametrize(
    ("received", "executed", "unapplied"),
    [
        ("0-1-100", "0-1-100", 0),
        ("0-1-100", "0-1-93", 7),
        ("0-1-64016", "", 64016),
        ("0-1-10,1-1-5", "0-1-10,1-1-3", 2),
        ("0-1-10", "0-2-12", 0),
    ],
)
def test_mariadb_tells_it_by_the_newest_of_each_domain(received: str, executed: str, unapplied: int) -> None:
    seen = mariadb(received, executed)
    assert (seen.applied, seen.unapplied) == (unapplied == 0, unapplied)


@pytest.mark.parametrize("server", [mysql, mariadb])
def test_a_transaction_cut_off_in_the_middle_does_not_keep_it_waiting(server: Any) -> None:
    # The positions differ for ever: what was cut off can never be applied.
    same = f"{UUID}:1-9" if server is mysql else "0-1-9"
    assert server(same, same).applied


@pytest.mark.parametrize(
    ("changes", "applied"),
    [
        ({}, False),
        ({"Exec_Source_Log_Pos": 900}, True),
        ({"Replica_SQL_Running_State": "Replica has read all relay log; waiting for more updates"}, True),
        (
            {
                "Replica_SQL_Running": "No",
                "Replica_SQL_Running_State": "Replica has read all relay log; waiting for more updates",
            },
            False,
        ),
    ],
)
def test_a_replica_that_received_nothing_since_its_start_is_judged_by_position_or_idleness(
    changes: dict[str, Any], applied: bool
) -> None:
    seen = mysql("", f"{UUID}:1-9", **changes)
    assert (seen.applied, seen.unapplied) == (applied, 0 if applied else UNKNOWN)


def test_a_server_that_replicates_from_nobody_is_no_replica() -> None:
    assert sql.replication(sql.Server(Fake("8.0.40", None, ""))) == Replication(is_replica=False, applied=True)


def test_a_broken_applier_is_said() -> None:
    seen = mysql(f"{UUID}:1-9", f"{UUID}:1-3", Replica_SQL_Running="No", Last_SQL_Error="duplicate key")
    assert (seen.applier_running, seen.error, seen.source_connected) == (False, "duplicate key", False)
