"""A source that went on writing after its replica lost it: what the promoted replica lacks, to the row."""

from __future__ import annotations

import contextlib
import io
import json
from typing import TYPE_CHECKING, Any

import pymysql
import pytest

from pilotlight import sql
from pilotlight.aws import evidence
from pilotlight.sql import binlog
from tests.lab.databases import Databases
from tests.lab.prepared import APPLICATION, MASTER, Prepared
from tests.lab.running import DR, PRIMARY, RunningLab

if TYPE_CHECKING:
    from pilotlight.aws.secret import Credentials
    from pilotlight.model import Divergence

BUCKET = "dev-evidence-of-a-test"


class Diverged(Prepared):
    """A source that wrote what its replica never received, and the replica, promoted."""

    def __init__(self, databases: Databases, identifier: str) -> None:
        super().__init__(databases, identifier)
        for region in (PRIMARY, DR):
            self.set_parameters(region, binlog_row_metadata="full", binlog_row_image="full")
        databases.lab.wait_until(
            lambda: self.execute("SELECT @@GLOBAL.binlog_row_metadata", who=MASTER) == (("FULL",),),
            20,
            "names in the log",
        )

    def lose(self) -> None:
        """Let the replica lose its source."""
        self.databases.control("break-replication", region=DR, identifier=self.identifier)

        def lost() -> bool:
            with self.server(DR) as replica:
                return not sql.replication(replica).source_connected if sql.replication(replica).is_replica else True

        self.databases.lab.wait_until(lost, 60, "the replica without its source")

    def promote(self) -> None:
        """Promote the replica and let its heart beat."""
        self.databases.rds[DR].promote_read_replica(DBInstanceIdentifier=self.identifier, BackupRetentionPeriod=7)
        self.databases.promoted(self.identifier)
        self.databases.available(self.identifier, DR)
        with self.server(DR) as promoted:
            sql.beat(promoted)

    def crossed(self) -> None:
        """Wait until all that is written is in the replica."""

        def all_there() -> bool:
            with self.server(PRIMARY) as source, self.server(DR) as replica:
                return replica.dialect.missing(source.position, sql.position(replica).executed) == 0

        self.databases.lab.wait_until(all_there, 60, "everything across")

    def executed(self) -> str:
        """Ask the new database how far it was."""
        with self.server(DR) as new:
            return sql.position(new).executed

    def compare(
        self, executed: str, login: Credentials = MASTER
    ) -> tuple[Divergence, list[dict[str, Any]], io.BytesIO]:
        """Ask the old database what the new one lacks."""
        endpoint = self.databases.shown(self.identifier, PRIMARY)["Endpoint"]
        out = io.BytesIO()
        with self.server(PRIMARY) as old:
            dialect = old.dialect
            found, lines = sql.compare(
                old,
                executed,
                lambda since: binlog.read(endpoint["Address"], endpoint["Port"], login, dialect, since),
                out,
            )
        listed = [json.loads(line) for line in out.getvalue().splitlines()]
        assert len(listed) == lines
        return found, listed, out


def test_the_rows_that_never_crossed_are_listed_exactly(lab: RunningLab) -> None:
    pair = Diverged(Databases(lab), "diverged")
    pair.execute(
        "CREATE TABLE app.orders (id BIGINT UNSIGNED PRIMARY KEY, item VARCHAR(40), price DECIMAL(10,2), "
        "made DATETIME(6), day DATE, raw VARBINARY(8), open BOOL, kind ENUM('a','b'), note TEXT)"
    )
    for number in (1, 2, 3):
        pair.execute(f"INSERT INTO app.orders (id, item) VALUES ({number}, 'crossed')")
    pair.crossed()
    with pair.server(PRIMARY) as source, pair.server(DR) as replica:
        # Nothing is missing where everything crossed; the heart still beats, so asked for what the replica has.
        assert sql.position(replica).executed
        assert sql.position(source).written
    pair.lose()

    before = _at(pair, PRIMARY)
    opened = pair.client(PRIMARY, database="app")
    opened.cursor().execute("INSERT INTO orders (id, item) VALUES (99, 'never committed')")
    big = 2**64 - 1
    pair.execute(
        f"INSERT INTO app.orders VALUES ({big}, 'grüße ☃', 12.50, '2026-11-22 10:00:00.000123', '2026-11-22', "
        "x'00ff', 1, 'b', NULL)"
    )
    pair.execute("UPDATE app.orders SET item = 'changed' WHERE id IN (1, 2)")
    pair.execute("DELETE FROM app.orders WHERE id = 3")
    pair.execute("INSERT INTO app.rows_of_a_test VALUES (1), (2)")
    pair.execute("CREATE TABLE app.made_late (id INT PRIMARY KEY)")
    opened.rollback()
    after = _at(pair, PRIMARY)
    pair.promote()
    # The new one writes too, and more than the old one did: numbers in the same sequence.
    for number in range(100, 130):
        pair.execute(f"INSERT INTO app.orders (id, item) VALUES ({number}, 'of the new one')", DR)

    executed = pair.executed()
    found, lines, out = pair.compare(executed)

    assert (found.listed, found.truncated, found.detail) == (True, False, "")
    assert found.rows == 6
    assert found.tables == {
        "app.orders": {"inserted": 1, "updated": 2, "deleted": 1},
        "app.rows_of_a_test": {"inserted": 2, "updated": 0, "deleted": 0},
    }
    # Five of ours; the rest are beats.
    assert found.transactions >= after - before >= 5
    nothing: dict[str, Any] = dict.fromkeys(("price", "made", "day", "raw", "open", "kind", "note"))
    assert [(line["table"], line["action"], line["before"], line["after"]) for line in lines if "table" in line] == [
        (
            "app.orders",
            "insert",
            None,
            {
                "id": big,
                "item": "grüße ☃",
                "price": "12.50",
                "made": "2026-11-22T10:00:00.000123",
                "day": "2026-11-22",
                "raw": {"base64": "AP8="},
                "open": 1,
                "kind": "b",
                "note": None,
            },
        ),
        *(
            (
                "app.orders",
                "update",
                {"id": number, "item": "crossed", **nothing},
                {"id": number, "item": "changed", **nothing},
            )
            for number in (1, 2)
        ),
        ("app.orders", "delete", {"id": 3, "item": "crossed", **nothing}, None),
        ("app.rows_of_a_test", "insert", None, {"id": 1}),
        ("app.rows_of_a_test", "insert", None, {"id": 2}),
    ]
    assert [line["statement"] for line in lines if line["action"] == "statement"] == [
        "CREATE TABLE app.made_late (id INT PRIMARY KEY)"
    ]
    assert all(line["gtid"].startswith("0-") and line["at"].endswith("+00:00") for line in lines)

    # What is put twice is one object, with both versions.
    s3 = lab.client("s3", PRIMARY)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": PRIMARY})
    for _ in range(2):
        assert evidence.keep(BUCKET, "divergence/diverged/missing.jsonl", out, s3) == (
            f"s3://{BUCKET}/divergence/diverged/missing.jsonl"
        )
    assert s3.get_object(Bucket=BUCKET, Key="divergence/diverged/missing.jsonl")["Body"].read() == out.getvalue()

    # Whoever may not read the log still counts.
    refused, none, _ = pair.compare(executed, APPLICATION)
    assert refused.transactions >= found.transactions
    assert (refused.listed, refused.rows, none) == (False, 0, [])
    assert "cannot be read" in refused.detail

    # And a log that is gone is no failure either.
    lab.wait_until(lambda: _purged(pair), 60, "the old log purged")
    gone, none, _ = pair.compare(executed)
    assert gone.transactions >= found.transactions
    assert (gone.listed, gone.rows, none) == (False, 0, [])
    assert "1236" in gone.detail


def test_nothing_is_missing_where_everything_crossed(lab: RunningLab) -> None:
    pair = Diverged(Databases(lab), "crossed")
    with pair.server(PRIMARY) as source:
        sql.mark(source, 3, "of a test")
    pair.crossed()
    pair.lose()
    pair.promote()
    for number in (1, 2, 3):
        pair.execute(f"INSERT INTO app.rows_of_a_test VALUES ({number})", DR)
    found, lines, _ = pair.compare(pair.executed())
    assert (found.transactions, found.rows, found.tables, found.listed, lines) == (0, 0, {}, True, [])

    # Beats and markers are transactions, and no lost rows.
    with pair.server(PRIMARY) as source:
        sql.mark(source, 4, "of a test")
    found, lines, _ = pair.compare(pair.executed())
    assert (found.transactions >= 2, found.rows, found.listed, lines) == (True, 0, True, [])


def test_rds_is_told_to_keep_the_log(lab: RunningLab) -> None:
    pair = Prepared(Databases(lab), "kept")
    for region in (PRIMARY, DR):
        with pair.server(region) as server:
            sql.keep_log(server)
            sql.keep_log(server)
            assert server.rows("SELECT * FROM mysql.rds_configuration") == [
                {"name": "binlog retention hours", "value": "72"}
            ]
    with pytest.raises(pymysql.err.OperationalError, match="denied"):
        pair.execute("CALL mysql.rds_set_configuration('binlog retention hours', 0)")


def _at(pair: Prepared, region: str) -> int:
    with pair.server(region) as server:
        return int(server.position.rpartition("-")[2])


def _purged(pair: Prepared) -> bool:
    """Purge the log, as RDS does by itself; False while the server still needs what is in it."""
    told = pair.databases.told(pair.identifier, PRIMARY)
    with (
        contextlib.closing(
            pymysql.connect(unix_socket=told["socket"], user=told["user"], password=told["password"])
        ) as admin,
        admin.cursor() as cursor,
    ):
        cursor.execute("FLUSH BINARY LOGS")
        cursor.execute("SHOW BINARY LOGS")
        last = cursor.fetchall()[-1][0]
        cursor.execute("PURGE BINARY LOGS TO %s", (last,))
        cursor.execute("SHOW BINARY LOGS")
        return [row[0] for row in cursor.fetchall()] == [last]
