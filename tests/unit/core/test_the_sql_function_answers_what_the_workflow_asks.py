"""The function's answers, in the shape that the workflow and the other region read."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any, BinaryIO

import pymysql
import pytest

from pilotlight import sql
from pilotlight.aws import evidence
from pilotlight.aws.secret import Credentials
from pilotlight.errors import FatalError, PreconditionFailed, TransientError
from pilotlight.sql import binlog
from tests.unit.core.conftest import Context, load
from tests.unit.core.samples import EXECUTION, event
from tests.unit.core.servers import POSITIONS, Fake, server
from tests.unit.core.test_a_frozen_source_is_quiet_and_its_replica_proves_it import MYSQL_STATUS

if TYPE_CHECKING:
    from collections.abc import Callable

type Asked = Callable[..., tuple[dict[str, Any], Fake]]
DATABASE = {"database": {"host": "db.example", "port": 3306}}


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Ask the function for an action, of a server that answers as given."""
    function = load("sql")
    secrets = {
        "dev/database": Credentials("pilotlight", "of-the-master"),
        "dev/application": Credentials("application", "of-the-application"),
    }
    monkeypatch.setattr(function, "credentials", secrets.__getitem__)
    monkeypatch.setenv("DATABASE_NAME", "app")

    def asked(action: str, more: dict[str, Any], **answers: Any) -> tuple[dict[str, Any], Fake]:
        seen, fake = server("mysql", **answers)

        def connect(host: str, port: int, login: Credentials) -> sql.Server:
            assert (host, port, login.username) == ("db.example", 3306, "pilotlight")
            return seen

        monkeypatch.setattr(sql, "connect", connect)
        answer = function.handler(event(action, **more), Context())
        assert json.loads(json.dumps(answer)) == answer
        assert fake.told[-1] == "(closed)"
        return answer, fake

    return asked


def test_a_database_is_prepared_by_a_deployment(ask: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask("prepare", DATABASE)[0] == {"prepared": True, "server": "mysql"}
    monkeypatch.delenv("DATABASE_NAME")
    with pytest.raises(PreconditionFailed, match="DATABASE_NAME"):
        ask("prepare", DATABASE)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({"Seconds_Behind_Source": 3}, (True, 3, "")),
        ({"Replica_IO_Running": "Connecting", "Last_IO_Error": "no route"}, (False, None, "no route")),
        ({"Replica_SQL_Running": "No", "Last_SQL_Error": "duplicate key"}, (True, None, "duplicate key")),
    ],
)
def test_a_replica_says_whether_it_still_has_its_source(
    ask: Asked, status: dict[str, Any], told: tuple[bool, int | None, str]
) -> None:
    beats = [{"beat_at": dt.datetime(2026, 11, 22, 10, 0, 0), "age": 4}]  # noqa: DTZ001 - as the driver gives it
    answer, _ = ask("follow", DATABASE, status=[MYSQL_STATUS | status], heartbeat=beats)
    assert (answer["source_connected"], answer["lag_seconds"], answer["detail"]) == told
    assert (answer["is_replica"], answer["heartbeat_age_seconds"]) == (True, 4)
    # Moves with every event that is received, whether or not it ends a transaction.
    later, _ = ask("follow", DATABASE, status=[MYSQL_STATUS | {"Read_Source_Log_Pos": 901}], heartbeat=beats)
    assert later["received"] != answer["received"]


def test_a_large_transaction_that_comes_in_is_heard_before_it_ends(ask: Asked) -> None:
    """Its set of transactions stands still until then: whoever looks twice would take it for silence."""
    before, _ = ask("heard", DATABASE, status=[MYSQL_STATUS], heartbeat=[])
    later, _ = ask("heard", DATABASE, status=[MYSQL_STATUS | {"Read_Source_Log_Pos": 901}], heartbeat=[])
    assert later["received"] != before["received"]
    assert before["received"] == ask("follow", DATABASE, status=[MYSQL_STATUS], heartbeat=[])[0]["received"]


def test_a_database_that_replicates_from_nobody_says_so(ask: Asked) -> None:
    answer, _ = ask("follow", DATABASE, status=[], heartbeat=[])
    assert (answer["is_replica"], answer["source_connected"], answer["heartbeat_at"]) == (False, False, "")


def test_a_source_is_marked_quieted_and_let_beat(ask: Asked) -> None:
    at = dt.datetime(2026, 11, 22, 10, 0, 0)  # noqa: DTZ001 - as the driver gives it
    answer, fake = ask(
        "mark", DATABASE, marked=[{"marked_at": at}], position=[[{"value": "u:1"}], [{"value": "u:1-2"}]]
    )
    assert answer == {"position": "u:1-2", "marked_at": "2026-11-22T10:00:00+00:00"}
    assert any(given[:1] == (3,) and given[1].startswith("arn:aws:states:") for given in fake.given if given)
    answer, _ = ask("quiet", DATABASE, processes=[], read_only=[{"value": 1}])
    assert answer == {"read_only": True, "connections": 0, "position": POSITIONS["mysql"]}
    assert ask("beat", DATABASE)[0] == {"beating": True, "log_kept": True, "detail": ""}


def test_only_a_deployment_stops_where_the_log_cannot_be_kept(ask: Asked) -> None:
    answer, fake = ask("beat", DATABASE)
    assert ("CALL mysql.rds_set_configuration('binlog retention hours', %s)", (72,)) in zip(
        fake.told, fake.given, strict=False
    )
    refused = pymysql.err.OperationalError(1644, "no such setting")
    answer, _ = ask("beat", DATABASE, retention=refused)
    assert (answer["beating"], answer["log_kept"]) == (True, False)
    assert "no such setting" in answer["detail"]
    with pytest.raises(TransientError, match="no such setting"):
        ask("prepare", DATABASE, retention=refused)


def test_a_database_says_how_far_it_is(ask: Asked) -> None:
    answer, _ = ask("position", DATABASE, position=[{"value": "u:1-3,\nv:1"}])
    assert answer == {"executed": "u:1-3,v:1", "written": "u:1-3,v:1"}


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What was put into the bucket."""
    kept: dict[str, bytes] = {}

    def keep(bucket: str, key: str, lines: BinaryIO) -> str:
        lines.seek(0)
        kept[f"{bucket}/{key}"] = lines.read()
        return f"s3://{bucket}/{key}"

    monkeypatch.setenv("EVIDENCE_BUCKET", "dev-evidence")
    monkeypatch.setattr(evidence, "keep", keep)
    return kept


def test_an_old_database_is_compared(ask: Asked, monkeypatch: pytest.MonkeyPatch, kept: dict[str, bytes]) -> None:
    asked: list[object] = []

    def read(*given: object) -> list[binlog.Item]:
        asked.extend(given)
        row = binlog.Row("app", "orders", None, {"id": 1}, "2026-11-22T10:00:00+00:00")
        return [binlog.Began("u:9"), row, binlog.Began("u:10")]

    monkeypatch.setattr(binlog, "read", read)
    wanted = DATABASE | {"executed": "u:1-8", "name": "dev-db-retired-3"}
    answer, _ = ask("compare", wanted, position=[{"value": "u:1-10"}])
    assert answer == {
        "transactions": 2,
        "rows": 1,
        "statements": 0,
        "tables": {"app.orders": {"inserted": 1, "updated": 0, "deleted": 0}},
        "more_tables": 0,
        "listed": True,
        "truncated": False,
        "evidence": "s3://dev-evidence/divergence/dev-db-retired-3/one/missing.jsonl",
        "detail": "",
    }
    assert (asked[0], asked[1], asked[-1]) == ("db.example", 3306, "u:1-8")
    assert [json.loads(line)["after"] for text in kept.values() for line in text.splitlines()] == [{"id": 1}]

    # Run again, when the log is shorter: the longer list stays.
    answer, _ = ask("compare", wanted | {"execution": f"{EXECUTION}-more"}, position=[{"value": "u:1-10"}])
    assert answer["evidence"] == "s3://dev-evidence/divergence/dev-db-retired-3/one-more/missing.jsonl"
    assert len(kept) == 2

    kept.clear()
    answer, _ = ask("compare", wanted, position=[{"value": "u:1-8"}])
    assert (answer["transactions"], answer["listed"], answer["evidence"], kept) == (0, True, "", {})


def test_a_comparison_in_a_freeze_ends_in_time(
    ask: Asked, monkeypatch: pytest.MonkeyPatch, kept: dict[str, bytes]
) -> None:
    monkeypatch.setattr(binlog, "read", lambda *_: [binlog.Began("u:9"), binlog.Searching()])
    wanted = DATABASE | {"executed": "u:1-8", "name": "dev-db-switch-3", "seconds": 0}
    answer, _ = ask("compare", wanted, position=[{"value": "u:1-9"}])
    assert (answer["truncated"], "the list ends at 0 seconds" in answer["detail"]) == (True, True)


def test_a_comparison_needs_a_bucket_and_a_name(
    ask: Asked, monkeypatch: pytest.MonkeyPatch, kept: dict[str, bytes]
) -> None:
    for name in ("", "../elsewhere", "Dev"):
        with pytest.raises(FatalError, match="name"):
            ask("compare", DATABASE | {"executed": "u:1", "name": name})
    monkeypatch.delenv("EVIDENCE_BUCKET")
    with pytest.raises(PreconditionFailed, match="EVIDENCE_BUCKET"):
        ask("compare", DATABASE | {"executed": "u:1", "name": "dev-db-retired-3"})


def test_a_replica_is_asked_for_the_proof(ask: Asked) -> None:
    wanted = DATABASE | {"position": POSITIONS["mysql"]}
    answer, _ = ask("prove", wanted, status=[MYSQL_STATUS], marker=[{"epoch": 3}])
    told = {"marker": True, "missing": 0, "applier_running": True, "detail": "", "executed": ""}
    assert answer == {"proven": True} | told


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            [{"beat_at": dt.datetime(2026, 11, 22, 10, 0, 0), "age": 4}],  # noqa: DTZ001 - as the driver gives it
            ("2026-11-22T10:00:00+00:00", 4),
        ),
        ([], ("", None)),
    ],
)
def test_a_drain_tells_the_last_heartbeat(ask: Asked, rows: list[dict[str, Any]], told: tuple[str, int | None]) -> None:
    answer, _ = ask("drain", {}, status=[MYSQL_STATUS], heartbeat=rows)
    assert (answer["heartbeat_at"], answer["heartbeat_age_seconds"]) == told
    assert (answer["outcome"], answer["received_unapplied"]) == ("applied", 0)


def test_a_login_tells_each_secret_for_itself_and_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    function = load("sql")
    secrets = {
        "dev/database": Credentials("pilotlight", "of-the-master", "v1"),
        "dev/application": Credentials("application", "of-the-application", "v2"),
    }
    monkeypatch.setattr(function, "credentials", secrets.__getitem__)

    def connect(host: str, port: int, login: Credentials) -> sql.Server:
        if login.username == "application":
            raise PreconditionFailed("db.example:3306 refuses the secret's user 'application'")
        return server("mysql")[0]

    monkeypatch.setattr(sql, "connect", connect)
    answer = function.handler({"action": "login", **DATABASE}, Context())
    assert answer["logins"]["dev/database"] == {"version": "v1", "logged_in": True, "detail": ""}
    assert answer["logins"]["dev/application"] == {
        "version": "v2",
        "logged_in": False,
        "detail": "db.example:3306 refuses the secret's user 'application'",
    }
    assert "of-the" not in json.dumps(answer)


def test_a_new_password_is_set_by_its_version(ask: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_for: list[tuple[str, ...]] = []

    def credentials(*asked: str) -> Credentials:
        asked_for.append(asked)
        return Credentials("application" if "application" in asked[0] else "pilotlight", "secret")

    def prepare(*_: Any) -> None:
        pass

    ask("prepare", DATABASE)
    function = load("sql")
    monkeypatch.setattr(function, "credentials", credentials)
    monkeypatch.setattr(sql, "prepare", prepare)
    monkeypatch.setattr(sql, "connect", lambda *_: server("mysql")[0])
    function.handler({"action": "prepare", "version": "v2", **DATABASE}, Context())
    assert ("dev/application", "v2") in asked_for
