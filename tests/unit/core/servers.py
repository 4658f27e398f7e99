"""Servers as the SQL side sees them: what each kind answers, and what it was told, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pilotlight import sql

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSIONS = {"mysql": "8.4.5", "mariadb": "10.11.6-MariaDB-log"}
POSITIONS = {"mysql": "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-100", "mariadb": "0-1-100"}
READ_ONLY = "SELECT @@GLOBAL.read_only AS value"
POSITION = {
    "mysql": "SELECT @@GLOBAL.gtid_executed AS value",
    "mariadb": "SELECT @@GLOBAL.gtid_binlog_pos AS value",
}


class Fake:
    """A connection to a server of a kind.

    ``answers`` has rows, an error, or a list of either for one call after another, by how a statement begins.
    """

    def __init__(self, kind: str, answers: Mapping[str, Any]) -> None:
        self._answers = {
            "SELECT VERSION()": [{"version": VERSIONS[kind]}],
            POSITION[kind]: [{"value": POSITIONS[kind]}],
            "SELECT @@GLOBAL.gtid_slave_pos": [{"value": ""}],
            READ_ONLY: [{"value": 0}],
            "SELECT @@GLOBAL.event_scheduler": [{"value": "ON"}],
            "SELECT CONNECTION_ID()": [{"value": 7}],
            **answers,
        }
        self.told: list[str] = []
        self.given: list[tuple[Any, ...]] = []
        self._rows: list[dict[str, Any]] = []

    def cursor(self) -> Fake:
        return self

    def close(self) -> None:
        self.told.append("(closed)")

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, statement: str, parameters: tuple[Any, ...] | None = None) -> None:
        self.told.append(statement)
        self.given.append(parameters or ())
        begin = max((known for known in self._answers if statement.startswith(known)), key=len, default="")
        answer = self._answers[begin] if begin else []
        if isinstance(answer, list) and answer and not isinstance(answer[0], dict):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        self._rows = answer

    def fetchall(self) -> list[dict[str, Any]]:
        return self._rows


def server(kind: str = "mysql", **answers: Any) -> tuple[sql.Server, Fake]:
    """Make a server; answers by keyword stand for the statements of the same name below."""
    fake = Fake(kind, {_STATEMENTS.get(name, name): answer for name, answer in answers.items()})
    return sql.Server(fake, "the database at db.example:3306"), fake


_STATEMENTS = {
    "position": "SELECT @@GLOBAL.gtid_executed AS value",
    "binlog": "SELECT @@GLOBAL.gtid_binlog_pos AS value",
    "applied": "SELECT @@GLOBAL.gtid_slave_pos AS value",
    "read_only": READ_ONLY,
    "events": "SELECT @@GLOBAL.event_scheduler",
    "processes": "SHOW PROCESSLIST",
    "kill": "CALL mysql.rds_kill",
    "status": "SHOW REPLICA STATUS",
    "marker": "SELECT epoch FROM pilotlight.marker",
    "marked": "SELECT marked_at FROM pilotlight.marker",
    "write_marker": "REPLACE INTO pilotlight.marker",
    "heartbeat": "SELECT beat_at",
    "retention": "CALL mysql.rds_set_configuration",
    "rest": "ALTER EVENT pilotlight.heartbeat DISABLE",
    "grants": "SHOW GRANTS",
    "create_user": "CREATE USER",
    "alter_user": "ALTER USER",
}
