"""Those whose writes must not be lost: clients of the application, and connections past it."""

from __future__ import annotations

import contextlib
import itertools
import json
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pymysql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.workflow.operator import Operator


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


def orders(operator: Operator, region: str) -> set[str]:
    """List the orders that a region's database has."""
    with application(operator, region) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM orders")
        return {str(row[0]) for row in cursor.fetchall()}
