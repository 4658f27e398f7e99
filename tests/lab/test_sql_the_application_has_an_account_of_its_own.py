"""Prepared twice is prepared; the application's account ends at its schema, at read_only, and needs TLS."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pymysql
import pytest

from pilotlight import sql
from pilotlight.errors import PreconditionFailed
from tests.lab.databases import USER, Databases
from tests.lab.prepared import APPLICATION, MASTER, Prepared
from tests.lab.running import DR, PRIMARY, RunningLab

if TYPE_CHECKING:
    from pilotlight.aws.secret import Credentials


def _prepare(pair: Prepared, application: Credentials = APPLICATION, schema: str = "app") -> None:
    with pair.server(PRIMARY) as server:
        sql.prepare(server, USER, application, schema)


def test_the_applications_account_is_made_and_brought_in_line(lab: RunningLab) -> None:
    pair = Prepared(Databases(lab), "accounts")
    _prepare(pair)
    pair.execute("CREATE TABLE app.made_by_it (id INT PRIMARY KEY)")
    pair.execute("INSERT INTO app.made_by_it VALUES (1)")
    grants = pair.execute("SHOW GRANTS")
    assert len(grants) == 2

    # It is where its data is: in the replica by replication.
    lab.wait_until(lambda: _reads(pair, DR), 60, "the account in the replica")
    with pytest.raises(pymysql.err.OperationalError, match="read-only"):
        pair.execute("INSERT INTO app.made_by_it VALUES (2)", DR)

    for statement in (
        "CREATE DATABASE elsewhere",
        "CREATE TABLE pilotlight.elsewhere (id INT)",
        "DELETE FROM pilotlight.heartbeat",
        "CREATE EVENT app.elsewhere ON SCHEDULE EVERY 1 SECOND DO SELECT 1",
        "SET GLOBAL read_only = 0",
        "CALL mysql.rds_kill(1)",
    ):
        with pytest.raises(pymysql.err.MySQLError, match=r"denied|privilege"):
            pair.execute(statement)
    with pytest.raises(pymysql.err.OperationalError):
        pair.client(PRIMARY, ssl_ca=None, ssl_disabled=True)

    changed = dataclasses.replace(APPLICATION, password="another")
    _prepare(pair, changed)
    pair.execute("INSERT INTO app.made_by_it VALUES (2)", who=changed)
    with pytest.raises(pymysql.err.OperationalError, match="denied"):
        pair.execute("SELECT 1")
    # What somebody gave it beyond its schema is taken away again.
    pair.execute("GRANT CREATE USER, PROCESS ON *.* TO application@'%' WITH GRANT OPTION", who=MASTER)
    _prepare(pair, changed)
    assert pair.execute("SHOW GRANTS", who=changed)[1:] == grants[1:]


def test_an_underscore_in_the_schemas_name_is_an_underscore(lab: RunningLab) -> None:
    pair = Prepared(Databases(lab), "underscore")
    for schema in ("my_app", "myxapp"):
        pair.execute(f"CREATE DATABASE {schema}", who=MASTER)
    for _ in range(2):
        _prepare(pair, schema="my_app")
    pair.execute("CREATE TABLE my_app.its (id INT)")
    with pytest.raises(pymysql.err.OperationalError, match="denied"):
        pair.execute("CREATE TABLE myxapp.not_its (id INT)")


def test_the_applications_user_is_never_the_master(lab: RunningLab) -> None:
    pair = Prepared(Databases(lab), "never-the-master")
    for name in (USER, "rdsadmin", ""):
        with pytest.raises(PreconditionFailed, match="another name"):
            _prepare(pair, dataclasses.replace(APPLICATION, username=name))
    with pytest.raises(PreconditionFailed, match="DATABASE_NAME"):
        _prepare(pair, schema="app`.*; DROP")
    assert pair.execute("SELECT 1", who=MASTER) == ((1,),)


def _reads(pair: Prepared, region: str) -> bool:
    try:
        return bool(pair.execute("SELECT 1 FROM app.made_by_it", region))
    except pymysql.err.MySQLError:
        return False
