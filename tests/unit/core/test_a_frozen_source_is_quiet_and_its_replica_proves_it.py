"""What is ended and what is left alone, in which order a source is looked at, and what proves a replica."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pymysql
import pytest

from pilotlight import sql
from pilotlight.errors import PreconditionFailed, TransientError
from pilotlight.model import Mark, Proof, Quiet
from tests.unit.core.servers import POSITION, POSITIONS, READ_ONLY, server

KINDS = ("mysql", "mariadb")
UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"


def process(number: int, user: str, command: str = "Sleep") -> dict[str, Any]:
    return {"Id": number, "User": user, "Host": "10.0.0.9:4711", "db": "app", "Command": command, "Time": 1}


THE_SERVERS_OWN = [
    process(1, "system user", "Connect"),
    process(2, "system user", "Query"),
    process(3, "event_scheduler", "Daemon"),
    process(4, "rdsadmin"),
    process(5, "rdsrepladmin", "Binlog Dump GTID"),
    process(6, "unauthenticated user", "Connect"),
    process(7, "pilotlight", "Query"),
    process(8, "a_change_feed", "Binlog Dump"),
]


def quiet(seen: sql.Server) -> Quiet:
    return sql.quiet(seen, pause=lambda _: None)


@pytest.mark.parametrize("kind", KINDS)
def test_only_who_could_write_is_ended(kind: str) -> None:
    others = [process(11, "application"), process(12, "pilotlight", "Execute"), process(13, "somebody", "Query")]
    seen, fake = server(kind, processes=[[*THE_SERVERS_OWN, *others], THE_SERVERS_OWN], read_only=[{"value": 1}])
    assert quiet(seen) == Quiet(True, 0, POSITIONS[kind])
    ended = [given for told, given in zip(fake.told, fake.given, strict=True) if told.startswith("CALL")]
    assert ended == [(11,), (12,), (13,)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_position_is_read_after_read_only(kind: str) -> None:
    # The other way round, a commit between the two would be neither in the position nor refused.
    seen, fake = server(kind, processes=[])
    quiet(seen)
    assert fake.told.index(READ_ONLY) < fake.told.index(POSITION[kind])


def test_who_cannot_be_ended_is_counted() -> None:
    # Gone by itself, protected by RDS, and one that goes on rolling back.
    gone, protected = pymysql.err.OperationalError(1094, "Unknown thread"), pymysql.err.OperationalError(1644, "no")
    stays = [process(11, "application", "Killed"), process(12, "aws"), process(13, "application")]
    seen, _ = server(processes=stays, kill=[gone, protected, []])
    assert quiet(seen).connections == 3


def test_a_user_that_may_not_end_connections_is_told() -> None:
    seen, _ = server(processes=[process(11, "application")], kill=pymysql.err.OperationalError(1370, "denied"))
    with pytest.raises(PreconditionFailed, match="rds_kill"):
        quiet(seen)


@pytest.mark.parametrize("kind", KINDS)
def test_the_marker_is_the_last_write(kind: str) -> None:
    after = {"mysql": f"{UUID}:1-102", "mariadb": "0-1-102"}[kind]
    positions = {("position" if kind == "mysql" else "binlog"): [[{"value": POSITIONS[kind]}], [{"value": after}]]}
    at = dt.datetime(2026, 11, 22, 10, 0, 0, 250000)  # noqa: DTZ001 - as the driver gives it
    seen, fake = server(kind, marked=[{"marked_at": at}], **positions)
    assert sql.mark(seen, 3, "arn:x") == Mark(after, "2026-11-22T10:00:00.250000+00:00")
    writes = [told for told in fake.told if not told.startswith("SELECT")]
    assert writes[0] == "ALTER EVENT pilotlight.heartbeat DISABLE"
    assert writes[1].startswith("REPLACE INTO pilotlight.marker")
    assert len(writes) == 2


@pytest.mark.parametrize(
    ("answers", "way_out"),
    [
        ({"read_only": [{"value": 1}]}, "open the source again"),
        ({"rest": pymysql.err.OperationalError(1539, "Unknown event")}, "prepare"),
        ({"write_marker": pymysql.err.ProgrammingError(1146, "no such table")}, "prepare"),
        # It stands still whatever is written: everything would seem quiet, and proven.
        ({}, "gtid-mode"),
        ({"position": [{"value": ""}]}, "gtid-mode"),
    ],
)
def test_a_source_that_cannot_be_proven_is_not_marked(answers: dict[str, Any], way_out: str) -> None:
    with pytest.raises(PreconditionFailed, match=way_out):
        sql.mark(server(**answers)[0], 3, "arn:x")


MYSQL_STATUS = {
    "Source_Log_File": "bin.7",
    "Read_Source_Log_Pos": 900,
    "Relay_Source_Log_File": "bin.7",
    "Exec_Source_Log_Pos": 900,
    "Replica_IO_Running": "Yes",
    "Replica_SQL_Running": "Yes",
    "Retrieved_Gtid_Set": f"{UUID}:50-90",
}
MARIADB_STATUS = {
    "Master_Log_File": "bin.7",
    "Read_Master_Log_Pos": 900,
    "Relay_Master_Log_File": "bin.7",
    "Exec_Master_Log_Pos": 900,
    "Slave_IO_Running": "Yes",
    "Slave_SQL_Running": "No",
    "Last_SQL_Error": "duplicate key",
    "Gtid_IO_Pos": "0-1-90",
}


def test_all_that_was_received_and_applied_is_not_all_that_was_written() -> None:
    applied = f"{UUID}:1-90,\n4e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"
    seen, _ = server(status=[MYSQL_STATUS], position=[{"value": applied}], marker=[{"epoch": 3}])
    assert sql.prove(seen, 3, f"{UUID}:1-93") == Proof(proven=False, marker=True, missing=3, applier_running=True)
    assert sql.prove(seen, 3, f"{UUID}:1-90") == Proof(proven=True, marker=True, missing=0, applier_running=True)


def test_a_position_that_is_reached_without_the_marker_proves_nothing() -> None:
    answers: tuple[Any, ...] = ([], pymysql.err.ProgrammingError(1146, "no such table"))
    for answer in answers:
        seen, _ = server("mariadb", status=[MARIADB_STATUS], applied=[{"value": "0-1-90"}], marker=answer)
        proof = sql.prove(seen, 3, "0-1-90")
        assert proof == Proof(False, False, 0, False, "duplicate key")


@pytest.mark.parametrize("kind", ["mysql", "mariadb"])
def test_one_that_was_restored_is_asked_what_it_was_made_with(kind: str) -> None:
    has = {"mysql": "position", "mariadb": "applied"}[kind]
    less = {"mysql": "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-97", "mariadb": "0-1-97"}[kind]
    replica, _ = server(kind, status=[], marker=[{"epoch": 3}], **{has: [{"value": less}]})
    proof = sql.prove(replica, 3, POSITIONS[kind], restored=True)
    assert (proof.proven, proof.marker, proof.missing, proof.executed) == (False, True, 3, less)


def test_nothing_is_proven_of_no_replica_or_without_a_position() -> None:
    with pytest.raises(PreconditionFailed, match="no replica"):
        sql.prove(server(status=[])[0], 3, f"{UUID}:1")
    with pytest.raises(PreconditionFailed, match="no position"):
        sql.prove(server(status=[MYSQL_STATUS])[0], 3, "\n")


@pytest.mark.parametrize("kind", KINDS)
def test_a_heart_beats_at_once_and_from_then_on(kind: str) -> None:
    seen, fake = server(kind)
    sql.beat(seen)
    enabled = next(told for told in fake.told if told.startswith("ALTER EVENT"))
    assert "EVERY 5 SECOND ON COMPLETION PRESERVE ENABLE" in enabled
    assert fake.told[-1] == "REPLACE INTO pilotlight.heartbeat VALUES (1, UTC_TIMESTAMP(6))"


def test_a_heart_that_cannot_beat_is_told() -> None:
    with pytest.raises(PreconditionFailed, match="event_scheduler"):
        sql.beat(server(events=[{"value": "OFF"}])[0])
    still: dict[str, Any] = {"ALTER EVENT": pymysql.err.OperationalError(1290, "the --read-only option")}
    # A promoted or opened database becomes writable in a moment: worth another try.
    with pytest.raises(TransientError, match="read-only"):
        sql.beat(server(**still)[0])


def test_the_last_beat_is_told_with_its_age() -> None:
    at = dt.datetime(2026, 11, 22, 10, 0, 0)  # noqa: DTZ001 - as the driver gives it
    found = sql.last_beat(server(heartbeat=[{"beat_at": at, "age": -1}])[0])
    assert found
    assert (found.at, found.age_seconds) == ("2026-11-22T10:00:00+00:00", 0)
    assert sql.last_beat(server(heartbeat=[])[0]) is None
    assert sql.last_beat(server(heartbeat=pymysql.err.OperationalError(1049, "Unknown database"))[0]) is None
