"""What an old database has and the new one lacks: counted by names, listed by rows, within limits."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections import Counter
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pymysql
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from pymysqlreplication.constants import FIELD_TYPE
from pymysqlreplication.event import GtidEvent, HeartbeatLogEvent, MariadbGtidEvent, NotImplementedEvent, QueryEvent
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

from pilotlight import sql
from pilotlight.aws import evidence
from pilotlight.model import as_json
from pilotlight.sql import binlog, divergence
from pilotlight.sql.binlog import Began, Row, Searching, Statement, Unreadable
from pilotlight.sql.dialect import UNKNOWN
from pilotlight.sql.divergence import LEFT_OUT, Limits, Listing, plain, write
from tests.unit.core.servers import server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pilotlight.model import Divergence

AT = "2026-11-22T10:00:00+00:00"
UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"


def row(schema: str = "app", table: str = "orders", **sides: Any) -> Row:
    return Row(schema, table, sides.get("before"), sides.get("after"), AT)


INSERT = row(after={"id": 1})
UPDATE = row(before={"id": 1}, after={"id": 2})
DELETE = row(before={"id": 2})


def listed(items: list[binlog.Item], limits: Limits | None = None, **more: Any) -> tuple[Listing, list[dict[str, Any]]]:
    found, out = Listing(), io.BytesIO()
    write(found, items, out, limits or Limits(), **more)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (found.lines, found.size) == (len(lines), len(out.getvalue()))
    return found, lines


def compared(
    kind: str, written: Any, executed: str, items: Any = ()
) -> tuple[Divergence, list[dict[str, Any]], list[str]]:
    old, _ = server(kind, **{"position" if kind == "mysql" else "binlog": written})
    out, asked = io.BytesIO(), []

    def read(since: str) -> Iterator[binlog.Item]:
        asked.append(since)
        for item in items:
            if isinstance(item, Exception):
                raise item
            yield item

    found, lines = sql.compare(old, executed, read, out)
    assert len(out.getvalue().splitlines()) == lines
    return found, [json.loads(line) for line in out.getvalue().splitlines()], asked


@pytest.mark.parametrize(
    ("kind", "written", "executed"),
    [
        ("mysql", f"{UUID}:1-103", f"{UUID}:1-100,\nab11fa47-71ca-11e1-9e33-c80aa9429562:1-500"),
        # The new one has gone on to 500 in the same sequence; what it applied of others ended at 100.
        ("mariadb", "0-1-103", "0-1-100"),
    ],
)
def test_transactions_are_counted_and_their_rows_listed(kind: str, written: str, executed: str) -> None:
    items = [Began("a"), INSERT, UPDATE, Began("b"), DELETE, Began("c"), row("pilotlight", "heartbeat", after={})]
    found, lines, asked = compared(kind, [{"value": written}], executed, items)
    assert (found.transactions, found.rows, found.listed, found.truncated, found.detail) == (3, 3, True, False, "")
    assert found.tables == {"app.orders": {"inserted": 1, "updated": 1, "deleted": 1}}
    assert [(line["action"], line["before"], line["after"], line["gtid"]) for line in lines] == [
        ("insert", None, {"id": 1}, "a"),
        ("update", {"id": 1}, {"id": 2}, "a"),
        ("delete", {"id": 2}, None, "b"),
    ]
    assert asked == [executed.replace("\n", "")]


@pytest.mark.parametrize("kind", ["mysql", "mariadb"])
def test_nothing_missing_reads_no_log(kind: str) -> None:
    position = {"mysql": f"{UUID}:1-100", "mariadb": "0-1-100"}[kind]
    found, lines, asked = compared(kind, [{"value": position}], position)
    assert (found.transactions, found.rows, found.listed, lines, asked) == (0, 0, True, [], [])


def test_without_positions_nothing_is_counted_and_nothing_fails() -> None:
    for written, executed, who in (("0-1-3", "", "the new database"), ("", "0-1-3", "db.example")):
        found, _, asked = compared("mariadb", [{"value": written}], executed)
        assert (found.transactions, found.listed, asked) == (UNKNOWN, False, [])
        assert who in found.detail


def test_what_is_written_meanwhile_is_counted_as_well() -> None:
    found, *_ = compared("mariadb", [[{"value": "0-1-102"}], [{"value": "0-1-105"}]], "0-1-100", [Began("a")] * 5)
    assert (found.transactions, found.truncated) == (5, False)


def test_a_log_that_is_gone_is_counted_and_not_listed() -> None:
    gone = pymysql.err.OperationalError(1236, "Could not find first log file name in binary log index file")
    found, lines, _ = compared("mysql", [{"value": f"{UUID}:1-103"}], f"{UUID}:1-100", [gone])
    assert (found.transactions, found.rows, found.listed, found.truncated, lines) == (3, 0, False, False, [])
    assert "1236" in found.detail


def test_a_connection_that_breaks_leaves_what_was_read() -> None:
    broken = pymysql.err.OperationalError(2013, "Lost connection")
    found, lines, _ = compared("mariadb", [{"value": "0-1-103"}], "0-1-100", [Began("a"), INSERT, broken])
    assert (found.transactions, found.rows, found.listed, found.truncated, len(lines)) == (3, 1, True, True, 1)
    assert "Lost connection" in found.detail


def test_a_log_that_held_less_than_is_missing_is_told() -> None:
    found, *_ = compared("mariadb", [{"value": "0-1-103"}], "0-1-100", [Began("a"), INSERT])
    assert found.truncated
    assert "1 of 3" in found.detail


ROWS = st.builds(
    Row,
    st.sampled_from(["app", "App", "other", *sorted(LEFT_OUT)]),
    st.sampled_from(["orders", "customers"]),
    st.just({"id": 1}),
    st.sampled_from([None, {"id": 2}]),
    st.just(AT),
)


@given(st.lists(ROWS | st.builds(Began, st.text(max_size=3)) | st.builds(Searching)))
def test_every_row_of_the_application_is_one_line_and_one_count(items: list[binlog.Item]) -> None:
    found, lines = listed(items)
    rows = [item for item in items if isinstance(item, Row) and item.schema not in LEFT_OUT]
    assert found.rows == len(lines) == len(rows)
    assert found.transactions == sum(isinstance(item, Began) for item in items)
    counted = {(table, kind): n for table, kinds in found.tables.items() for kind, n in kinds.items() if n}
    assert counted == Counter(
        (f"{item.schema}.{item.table}", "deleted" if item.after is None else "updated") for item in rows
    )


@pytest.mark.parametrize(
    ("limits", "why"),
    [(Limits(rows=2), "2 rows"), (Limits(size=150), "bytes"), (Limits(seconds=2), "2 seconds")],
    ids=["rows", "bytes", "seconds"],
)
def test_a_list_ends_at_its_limits_and_says_so(limits: Limits, why: str) -> None:
    ticks = iter(range(100))
    found, lines = listed([Began("a"), *[INSERT] * 50], limits, clock=lambda: next(ticks))
    assert found.truncated
    assert why in found.details[0]
    assert 1 <= len(lines) <= 2


def test_a_server_that_only_searches_is_not_waited_for_for_ever() -> None:
    ticks = iter(range(100))
    found, _ = listed([Searching()] * 99, Limits(seconds=5), clock=lambda: next(ticks))
    assert found.truncated


def test_statements_are_listed_and_ours_are_not() -> None:
    ours = (
        "ALTER EVENT pilotlight.heartbeat DISABLE",
        "CREATE DEFINER=`a`@`%` EVENT IF NOT EXISTS pilotlight.heartbeat ON SCHEDULE EVERY 5 SECOND DO SELECT 1",
        "CREATE DATABASE IF NOT EXISTS `pilotlight`",
    )
    found, lines = listed([*(Statement("", text, AT) for text in ours), Statement("app", "DROP TABLE pilotlights", AT)])
    assert [line["statement"] for line in lines] == ["DROP TABLE pilotlights"]
    assert (found.rows, found.statements, found.truncated) == (0, 1, False)


def test_what_cannot_be_decoded_is_told() -> None:
    found, lines = listed([Began("a"), Unreadable("app", "orders", "UnicodeDecodeError", AT), INSERT])
    assert (found.rows, found.truncated) == (1, True)
    assert [line["action"] for line in lines] == ["unreadable", "insert"]
    assert "1 events" in found.details[0]


def test_a_log_without_names_of_columns_is_told() -> None:
    found, lines = listed([Began("a"), row(after={"@1": 1}), row(before={"@1": 1}), INSERT])
    assert (found.rows, found.truncated, len(found.details), len(lines)) == (3, False, 1, 3)
    assert "by place" in found.details[0]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.decimals()
    | st.datetimes()
    | st.dates()
    | st.timedeltas()
    | st.sets(st.text()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.binary(), inner),
)


@given(VALUES)
def test_every_value_can_be_said_in_json(value: Any) -> None:
    said = json.dumps(plain(value), allow_nan=False)
    assert json.loads(said) == plain(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"\x00\xff", {"base64": "AP8="}),
        (Decimal("12.50"), "12.50"),
        (2**64 - 1, 2**64 - 1),
        (dt.datetime(2026, 11, 22, 10, 0, 0, 123), "2026-11-22T10:00:00.000123"),  # noqa: DTZ001 - as it is decoded
        (dt.date(2026, 11, 22), "2026-11-22"),
        (dt.timedelta(hours=-1), "-1 day, 23:00:00"),
        ({"b", "a"}, ["a", "b"]),
        (float("inf"), "inf"),
        ({b"key": [b"v"]}, {"key": [{"base64": "dg=="}]}),
    ],
)
def test_values_are_said_as_they_are(value: Any, said: Any) -> None:
    assert plain(value) == said


def event(kind: type, **fields: Any) -> Any:
    """An event as the decoder makes it, without a packet to make it of."""
    made: Any = object.__new__(kind)
    rows = fields.pop("rows", None)
    for name, value in {"timestamp": 1795341600, "event_type": 0, **fields}.items():
        setattr(made, name, value)
    made._RowsEvent__rows = rows
    return made


def test_events_become_what_they_mean() -> None:
    at = dt.datetime.fromtimestamp(1795341600, dt.UTC).isoformat()
    number = SimpleNamespace(type=FIELD_TYPE.LONG)
    where: dict[str, Any] = {"schema": "app", "table": "orders", "columns": [number, number]}
    documents = where | {"columns": [SimpleNamespace(type=FIELD_TYPE.JSON), number]}
    events = [
        (event(MariadbGtidEvent, gtid="0-1-5"), [Began("0-1-5")]),
        (event(HeartbeatLogEvent), [Searching()]),
        (event(WriteRowsEvent, rows=[{"values": {"id": 1}}], **where), [Row("app", "orders", None, {"id": 1}, at)]),
        (event(DeleteRowsEvent, rows=[{"values": {"id": 1}}], **where), [Row("app", "orders", {"id": 1}, None, at)]),
        (
            event(UpdateRowsEvent, rows=[{"before_values": {"id": 1}, "after_values": {"id": 2}}], **where),
            [Row("app", "orders", {"id": 1}, {"id": 2}, at)],
        ),
        # Without names in the log.
        (
            event(WriteRowsEvent, rows=[{"values": {"UNKNOWN_COL0": 1, "UNKNOWN_COL1": 2}}], **where),
            [Row("app", "orders", None, {"@1": 1, "@2": 2}, at)],
        ),
        (
            event(WriteRowsEvent, rows=[{"values": {"paper": {b"a": [b"x", 1, None]}, "raw": b"x"}}], **documents),
            [Row("app", "orders", None, {"paper": {"a": ["x", 1, None]}, "raw": b"x"}, at)],
        ),
        (event(NotImplementedEvent, event_type=40), [Unreadable("", "", "compressed", at)]),
        (event(NotImplementedEvent, event_type=27), []),
    ]
    for given_event, meant in events:
        assert list(binlog.items(given_event)) == meant


def test_a_gtid_of_mysql_is_named_as_mysql_does() -> None:
    made = event(GtidEvent, sid=bytes.fromhex(UUID.replace("-", "")), gno=9)
    assert list(binlog.items(made)) == [Began(f"{UUID}:9")]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("BEGIN", None),
        ("COMMIT", None),
        ("", None),
        ("/* of a tool */ CREATE TABLE t (id INT)", "CREATE TABLE t (id INT)"),
        ("ALTER USER a@'%' IDENTIFIED BY 'x'", "left out"),
        ("create or replace user a IDENTIFIED BY 'x'", "left out"),
        ("SET PASSWORD FOR a = 'x'", "left out"),
        ("GRANT ALL ON app.* TO a IDENTIFIED BY 'x'", "left out"),
        ("CREATE TABLE user (password TEXT)", "CREATE TABLE user (password TEXT)"),
    ],
)
def test_statements_tell_no_password(query: str, told: str | None) -> None:
    made = list(binlog.items(event(QueryEvent, query=query, schema=b"app")))
    if told is None:
        assert made == []
    else:
        (statement,) = made
        assert isinstance(statement, Statement)
        assert told in statement.text
        assert "'x'" not in statement.text


def test_rows_that_cannot_be_decoded_say_why() -> None:
    class Broken(WriteRowsEvent):  # type: ignore[misc]
        @property
        def rows(self) -> Any:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    made = event(Broken, schema="app", table="orders")
    (item,) = binlog.items(made)
    assert isinstance(item, Unreadable)
    assert item.why.startswith("UnicodeDecodeError")


def test_the_reader_connects_twice_and_never_begins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pymysql, "connect", lambda **_: SimpleNamespace())
    connect = binlog._only(2)
    connect()
    connect()
    with pytest.raises(pymysql.err.OperationalError, match="broke"):
        connect()


@mock_aws
def test_a_list_is_kept_in_one_place() -> None:
    s3 = boto3.client("s3", region_name="eu-west-1")
    s3.create_bucket(Bucket="dev-evidence", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for text in (b"first", b"second"):
        lines = io.BytesIO(text)
        lines.read()
        place = evidence.keep("dev-evidence", "divergence/dev-db-retired-3/missing.jsonl", lines, s3)
        assert place == "s3://dev-evidence/divergence/dev-db-retired-3/missing.jsonl"
    (only,) = s3.list_objects_v2(Bucket="dev-evidence")["Contents"]
    assert s3.get_object(Bucket="dev-evidence", Key=only["Key"])["Body"].read() == b"second"


def test_a_list_of_many_tables_fits_twice_between_two_states() -> None:
    items: list[binlog.Item] = [Began("a")]
    for number in range(4_000):
        items += [row("app", f"{number:05}{'é' * 59}", after={"id": 1})] * (2 if number == 3_999 else 1)
    found, lines, _ = compared("mysql", [{"value": f"{UUID}:1-101"}], f"{UUID}:1-100", items)
    assert 0 < len(found.tables) <= divergence.MOST_TABLES
    assert len(found.tables) + found.more_tables == 4_000
    # The one with the most rows comes first, and the list has all of them.
    assert next(iter(found.tables)).startswith("app.03999")
    assert (found.rows, len(lines)) == (4_001, 4_001)
    assert 2 * len(json.dumps(as_json(found))) < 128 * 1024


def test_as_many_tables_are_named_as_may_be() -> None:
    few = {f"app.t{number}": {"inserted": number + 1} for number in range(divergence.MOST_TABLES)}
    assert divergence.most_changed(few) == few
    named = divergence.most_changed(few | {"app.least": {"inserted": 0}})
    assert (len(named), "app.least" in named) == (divergence.MOST_TABLES, False)
