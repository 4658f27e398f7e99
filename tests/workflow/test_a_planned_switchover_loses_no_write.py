"""Both regions are well, clients write all the time, and the service moves over: every promised write comes along, or
nothing moves at all."""

from __future__ import annotations

import contextlib
import itertools
import json
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pymysql
import pytest

from tests.workflow.operator import DR, PRIMARY, Operator

if TYPE_CHECKING:
    from collections.abc import Iterator


class Clients:
    """Send orders to one region from several threads, and remember what was promised."""

    def __init__(self, operator: Operator, region: str, threads: int = 3) -> None:
        self.promised: list[str] = []
        self._operator = operator
        self._door = operator.door(region)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(threads)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _write(self, number: int) -> None:
        for count in itertools.count():
            if self._stop.wait(0.02):
                return
            order = f"order-{id(self)}-{number}-{count}"
            if self._operator.order(self._door, order):
                self.promised.append(order)


@contextlib.contextmanager
def application(operator: Operator, region: str) -> Iterator[Any]:
    """Connect to a region's database as the application does, past the application."""
    secret = json.loads(
        operator.lab.client("secretsmanager", region).get_secret_value(SecretId="dev/application")["SecretString"]
    )
    endpoint = operator.database(region)["Endpoint"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = pymysql.connect(
        host=endpoint["Address"],
        port=endpoint["Port"],
        user=secret["username"],
        password=secret["password"],
        database="app",
        ssl=context,
        connect_timeout=5,
        read_timeout=10,
    )
    try:
        yield connection
    finally:
        with contextlib.suppress(pymysql.err.Error):
            connection.close()


def insert(connection: Any, number: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO orders (id, note, region, created_at) VALUES (%s, 'by hand', 'x', UTC_TIMESTAMP(6))", (number,)
        )


def test_when_the_proof_does_not_come_the_source_serves_on_as_before(operator: Operator) -> None:
    before = operator.posture(PRIMARY), operator.posture(DR)
    with Clients(operator, PRIMARY) as clients:
        operator.until(lambda: len(clients.promised) > 20, "the clients write")
        lag, budget = operator.set("most-lag-seconds", 3600), operator.set("proof-budget-seconds", 20)
        operator.lab.control("database", "slow-applying", region=DR, identifier="dev-db", seconds=30)
        ended = operator.fail_over(mode="graceful")
        assert (ended.status, ended.error) == ("FAILED", "PreconditionFailed")
        for told in ("still lacks", "proof-budget-seconds", "Nothing irreversible was done"):
            assert told in ended.cause
        so_far = len(clients.promised)
        operator.until(lambda: len(clients.promised) > so_far + 20, "the clients write again")
    operator.lab.control("database", "slow-applying", region=DR, identifier="dev-db", seconds=0)
    operator.set("most-lag-seconds", lag)
    operator.set("proof-budget-seconds", budget)
    operator.until(lambda: operator.orders_is_on(PRIMARY), "the functions are on again")
    assert (operator.posture(PRIMARY), operator.posture(DR)) == before
    assert operator.record()["active_region"] == PRIMARY


def test_a_switchover_killed_in_its_freeze_is_taken_back_by_the_next_start(operator: Operator) -> None:
    killed = operator.start(mode="graceful")
    assert operator.reaches(killed, "Prove that nothing is missing") == "entered"
    assert operator.stop(killed)
    assert not operator.order(operator.door(PRIMARY), "in-between")
    ended = operator.fail_over(mode="graceful")
    assert (ended.status, ended.error) == ("FAILED", "PreconditionFailed")
    assert "left the source closed" in ended.cause
    operator.until(lambda: operator.order(operator.door(PRIMARY), "open-again"), "the source takes writes")
    operator.until(lambda: operator.orders_is_on(PRIMARY), "the functions are on again")
    assert operator.record()["active_region"] == PRIMARY


def test_every_promised_write_comes_along_and_none_is_taken_after(operator: Operator) -> None:
    with application(operator, PRIMARY) as idle, application(operator, PRIMARY) as late:
        # A transaction that somebody left open, and a connection that will try again: neither gets a write in.
        idle.begin()
        insert(idle, "left-open")
        with Clients(operator, PRIMARY) as clients:
            operator.until(lambda: len(clients.promised) > 50, "the clients write")
            ended = operator.fail_over(mode="graceful", reason="maintenance")
            assert ended.status == "SUCCEEDED", ended.cause
        with pytest.raises(pymysql.err.MySQLError):
            idle.commit()
        with pytest.raises(pymysql.err.MySQLError):
            insert(late, "too-late")

    assert (ended.output["outcome"], ended.output["mode"]) == ("failed-over", "graceful")
    with application(operator, DR) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM orders")
        there = {row[0] for row in cursor.fetchall()}
    assert set(clients.promised) - there == set()
    assert not {"left-open", "too-late"} & there


def test_the_service_has_moved_and_the_source_stays_closed(operator: Operator) -> None:
    seen, left = operator.posture(DR), operator.posture(PRIMARY)
    assert seen["database"] == ("available", "")
    assert (seen["sizes"], seen["orders"], seen["active"]) == ((2, 2, 4), True, DR)
    assert (left["sizes"][:2], left["orders"], left["active"]) == ((0, 0), False, DR)
    assert operator.order(operator.door(DR), "after")
    with application(operator, PRIMARY) as connection, pytest.raises(pymysql.err.MySQLError):
        insert(connection, "never")
