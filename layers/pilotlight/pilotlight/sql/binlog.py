"""The binary log of a server, read as a replica would, from the position on that another server has reached.

This is the only module that knows how the log is decoded.
"""

from __future__ import annotations

import datetime as dt
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pymysql
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.constants import FIELD_TYPE
from pymysqlreplication.event import GtidEvent, HeartbeatLogEvent, MariadbGtidEvent, NotImplementedEvent, QueryEvent
from pymysqlreplication.row_event import (
    DeleteRowsEvent,
    PartialUpdateRowsEvent,
    RowsEvent,
    UpdateRowsEvent,
    WriteRowsEvent,
)

from pilotlight.sql import server

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

    from pilotlight.aws.secret import Credentials
    from pilotlight.sql.dialect import Dialect

# Between two events: a server that skips what is known says nothing for a while.
_ANSWER_SECONDS: Final = 15
# The stream, and the connection by which the decoder asks what kind of log it is.
_CONNECTIONS: Final = 2
# Above the numbers that servers have: a server ends the stream of another reader with the same number.
_READERS: Final = (2**31, 2**32 - 1)
_EVENTS: Final = (
    GtidEvent,
    MariadbGtidEvent,
    QueryEvent,
    WriteRowsEvent,
    UpdateRowsEvent,
    DeleteRowsEvent,
    PartialUpdateRowsEvent,
    HeartbeatLogEvent,
    NotImplementedEvent,
)
# What holds rows and is not decoded: whole transactions compressed by MySQL, and rows compressed by MariaDB.
_COMPRESSED: Final = frozenset({40, *range(166, 172)})
# Transactions' own words, and what a server does to itself.
_NO_CHANGE: Final = frozenset(
    {"ANALYZE", "BEGIN", "COMMIT", "FLUSH", "OPTIMIZE", "RELEASE", "ROLLBACK", "SAVEPOINT", "START", "XA"}
)
# Their text may hold a password, or what can be turned into one.
_OF_ACCOUNTS: Final = re.compile(
    r"((CREATE|ALTER)\s+(OR\s+REPLACE\s+)?(USER|SERVER)|SET\s+PASSWORD|GRANT|CHANGE\s+(MASTER|REPLICATION))\b",
    re.IGNORECASE,
)
_COMMENTS: Final = re.compile(r"\s*(/\*.*?\*/\s*)*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Began:
    """A transaction begins."""

    gtid: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row was inserted (nothing before), deleted (nothing after) or updated."""

    schema: str
    table: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    at: str


@dataclass(frozen=True, slots=True)
class Statement:
    """Something was made, altered or dropped."""

    schema: str
    text: str
    at: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something that holds rows could not be decoded."""

    schema: str
    table: str
    why: str
    at: str


@dataclass(frozen=True, slots=True)
class Searching:
    """The server is alive and has found nothing yet: a moment to look at the clock."""


type Item = Searching | Began | Row | Statement | Unreadable


def read(host: str, port: int, credentials: Credentials, dialect: Dialect, since: str) -> Iterator[Item]:
    """Read everything in a server's binary log that another server lacks, and end at the log's end.

    Parameters
    ----------
    since
        Position of that other server. The server itself leaves out what is in it.

    Raises
    ------
    pymysql.err.Error
        The server refuses, or has not got what is asked for any more; or the connection broke.
    """
    settings = server.settings(host, port, credentials, _ANSWER_SECONDS)
    stream = BinLogStreamReader(
        connection_settings=settings,
        # Any: names of readers are no secret.
        server_id=random.randint(*_READERS),
        auto_position=since,
        is_mariadb=dialect.name == "mariadb",
        only_events=_EVENTS,
        filter_non_implemented_events=False,
        slave_heartbeat=_ANSWER_SECONDS / 3,
        pymysql_wrapper=_only(_CONNECTIONS),
        enable_logging=False,
    )
    try:
        for event in stream:
            yield from items(event)
    finally:
        stream.close()


def items(event: Any) -> Iterator[Item]:
    """Turn one event of the log into what it means here; most mean nothing."""
    at = dt.datetime.fromtimestamp(event.timestamp, dt.UTC).isoformat()
    if isinstance(event, (GtidEvent, MariadbGtidEvent)):
        yield Began(event.gtid)
    elif isinstance(event, QueryEvent):
        yield from _statement(event, at)
    elif isinstance(event, RowsEvent):
        yield from _rows(event, at)
    elif isinstance(event, HeartbeatLogEvent):
        yield Searching()
    elif event.event_type in _COMPRESSED:
        yield Unreadable("", "", "compressed", at)


def _statement(event: Any, at: str) -> Iterator[Item]:
    text = event.query if isinstance(event.query, str) else bytes(event.query).decode(errors="replace")
    text = text[_COMMENTS.match(text).end() :]  # type: ignore[union-attr]  # matches nothing at least
    first = text.split(None, 1)[0].rstrip(";").upper() if text.strip() else ""
    if not first or first in _NO_CHANGE:
        return
    if _OF_ACCOUNTS.match(text):
        text = f"{first} … (a statement about accounts: left out, it may hold a password)"
    yield Statement(event.schema.decode(errors="replace"), text, at)


def _rows(event: Any, at: str) -> Iterator[Item]:
    try:
        rows = event.rows
    except Exception as error:  # noqa: BLE001 - whatever the decoder stumbles over
        yield Unreadable(event.schema, event.table, f"{type(error).__name__}: {error}", at)
        return
    # The text in a document comes as bytes.
    documents = {place for place, column in enumerate(event.columns) if column.type == FIELD_TYPE.JSON}
    for row in rows:
        row = {side: _named(values, documents) for side, values in row.items() if side.endswith("values")}
        values = row.get("values")
        if values is None:
            yield Row(event.schema, event.table, row["before_values"], row["after_values"], at)
        elif isinstance(event, WriteRowsEvent):
            yield Row(event.schema, event.table, None, values, at)
        else:
            yield Row(event.schema, event.table, values, None, at)


def _named(values: Mapping[str, Any], documents: Container[int]) -> dict[str, Any]:
    """Name columns by their place where the log has no names: the table may have been another when it was written."""
    return {
        f"@{place + 1}" if name == f"UNKNOWN_COL{place}" else name: _text(value) if place in documents else value
        for place, (name, value) in enumerate(values.items())
    }


def _text(document: Any) -> Any:
    match document:
        case bytes():
            return document.decode(errors="replace")
        case dict():
            return {_text(name): _text(value) for name, value in document.items()}
        case list():
            return [_text(value) for value in document]
        case _:
            return document


def _only(connections: int) -> Callable[..., Any]:
    """Connect so often and no more: the reader would begin again, and list everything twice."""
    left = [connections]

    def connect(**settings: Any) -> Any:
        if not left[0]:
            raise pymysql.err.OperationalError(2013, "the connection broke while the log was read")
        left[0] -= 1
        return pymysql.connect(**settings)

    return connect
