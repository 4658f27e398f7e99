"""Where the application keeps its data: rows in MySQL, and an object a row in S3.

Nothing here waits long. On the worst day a database or a whole region does not answer: a request then fails within
seconds and says why, and the next one starts from what the parameters and the secret say by then.
"""

from __future__ import annotations

import json
import queue
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import botocore.session
import pymysql
import pymysql.cursors
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pymysql.constants import CR, ER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.sample_app.settings import Settings

_AWS: Final = Config(connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 1})
_IDLE_CONNECTIONS: Final = 8
_GONE: Final = {CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, CR.CR_CONN_HOST_ERROR, CR.CR_CONNECTION_ERROR, 0}
# ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION and ER_READ_ONLY_MODE have no name in the driver.
_READ_ONLY: Final = {ER.OPTION_PREVENTS_STATEMENT, 1792, 1836}

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS orders (id VARCHAR(64) PRIMARY KEY, note VARCHAR(255) NOT NULL,"
    " region VARCHAR(32) NOT NULL, created_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3))",
    "CREATE TABLE IF NOT EXISTS pilotlight_verify (token VARCHAR(128) PRIMARY KEY,"
    " region VARCHAR(32) NOT NULL, written_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3))",
)


class UnavailableError(Exception):
    """The request cannot be served now; the message says why."""


class ConflictError(Exception):
    """The row exists already with other content."""


@dataclass(frozen=True)
class _Place:
    """Where the database is and who we are there."""

    host: str
    port: int
    user: str
    password: str


class Aws:
    """The few AWS calls of the application, each with a short time-out and without retries."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._session = botocore.session.Session()
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def parameter(self, name: str) -> str:
        """Return the value of an SSM parameter."""
        return str(self._client("ssm").get_parameter(Name=name)["Parameter"]["Value"])

    def secret(self, name: str) -> dict[str, str]:
        """Return a secret's JSON object."""
        found: dict[str, str] = json.loads(
            self._client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
        )
        return found

    def put_object(self, bucket: str, key: str, body: dict[str, str]) -> None:
        """Write a JSON object to S3."""
        self._client("s3").put_object(
            Bucket=bucket, Key=key, Body=json.dumps(body).encode(), ContentType="application/json"
        )

    def _client(self, service: str) -> Any:
        with self._lock:  # botocore's sessions are not made for several threads
            if service not in self._clients:
                self._clients[service] = self._session.create_client(service, region_name=self._region, config=_AWS)
            return self._clients[service]


class Database:
    """A small pool of connections that follows the database wherever the parameters say it is."""

    def __init__(self, settings: Settings, aws: Aws) -> None:
        self._settings = settings
        self._aws = aws
        self._idle: queue.LifoQueue[pymysql.Connection[Any]] = queue.LifoQueue(_IDLE_CONNECTIONS)
        self._place: _Place | None = None
        self._moved = False
        self._tables_made = False
        self._tls = ssl.create_default_context(cafile=settings.database_ca)
        if settings.database_ca is None:
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE

    @contextmanager
    def cursor(self) -> Iterator[pymysql.cursors.DictCursor]:
        """Run statements in one transaction, committed at the end of the block.

        Yields
        ------
        DictCursor
            On a connection that answered a moment ago.

        Raises
        ------
        UnavailableError
            When the database cannot be reached, only reads, or refuses. Whether a commit that was under way took effect
            is then unknown.
        """
        try:
            connection = self._connection()
            try:
                with connection.cursor(pymysql.cursors.DictCursor) as cursor:
                    yield cursor
                connection.commit()
            except BaseException:
                # Closing rolls back what is open, and a connection that has failed once is not used again.
                connection.close()
                raise
            self._give_back(connection)
        except pymysql.err.IntegrityError:
            raise
        except pymysql.err.MySQLError as error:
            if error.args and error.args[0] in _READ_ONLY:
                # We may hold on to a server that has lost its role: ask again where the database is.
                self._moved = True
            raise UnavailableError(self._reason(error)) from error

    def _connection(self) -> pymysql.Connection[Any]:
        while True:
            try:
                connection = self._idle.get_nowait()
            except queue.Empty:
                return self._connect()
            try:
                if not self._moved:
                    connection.ping(reconnect=False)
                    return connection
            except pymysql.err.MySQLError:
                pass
            connection.close()

    def _connect(self) -> pymysql.Connection[Any]:
        known = self._place
        if known is None or self._moved:
            return self._open(self._look_up(known))
        try:
            return self._open(known)
        except pymysql.err.MySQLError:
            # Moved, or a new password: look again, once.
            if (now := self._look_up(known)) == known:
                raise
            return self._open(now)

    def _look_up(self, known: _Place | None) -> _Place:
        try:
            secret = self._aws.secret(self._settings.secret_id)
            self._place = _Place(
                host=self._aws.parameter(self._settings.endpoint_parameter),
                port=int(self._aws.parameter(self._settings.port_parameter)),
                user=secret["username"],
                password=secret["password"],
            )
        except (BotoCoreError, ClientError, KeyError, ValueError) as error:
            if known is None:
                raise UnavailableError(f"where the database is cannot be read: {error}") from error
            return known
        self._moved = False
        return self._place

    def _open(self, place: _Place) -> pymysql.Connection[Any]:
        connection: pymysql.Connection[Any] = pymysql.connect(
            host=place.host,
            port=place.port,
            user=place.user,
            password=place.password,
            database=self._settings.database,
            ssl=self._tls,
            charset="utf8mb4",
            connect_timeout=2,
            read_timeout=3,
            write_timeout=3,
        )
        if not self._tables_made:
            self._make_tables(connection)
        return connection

    def _make_tables(self, connection: pymysql.Connection[Any]) -> None:
        try:
            with connection.cursor() as cursor:
                for table in _TABLES:
                    cursor.execute(table)
        except pymysql.err.MySQLError:
            # A replica, or an account without the right: the tables are there already or reading will say so.
            connection.rollback()
        else:
            self._tables_made = True

    def _give_back(self, connection: pymysql.Connection[Any]) -> None:
        try:
            self._idle.put_nowait(connection)
        except queue.Full:
            connection.close()

    @staticmethod
    def _reason(error: pymysql.err.MySQLError) -> str:
        code = error.args[0] if error.args else 0
        text = str(error.args[1]) if len(error.args) > 1 else str(error)
        if code in _READ_ONLY:
            return f"the database is read-only: {text}"
        if code in _GONE:
            return f"the database does not answer: {text}"
        return f"the database refused: {text}"


class Orders:
    """What the application does with its data."""

    def __init__(self, settings: Settings, aws: Aws | None = None) -> None:
        self._settings = settings
        self._aws = aws or Aws(settings.region)
        self._database = Database(settings, self._aws)

    def check(self) -> None:
        """Do one round trip to the database."""
        with self._database.cursor() as cursor:
            cursor.execute("SELECT 1")

    def place(self, order_id: str, note: str) -> dict[str, str]:
        """Write an order; when this returns, it is committed.

        Placing the same order again is answered like the first time, so a client that got no answer may ask again.

        Parameters
        ----------
        order_id
            Chosen by the client.
        note
            Any text.

        Returns
        -------
        dict[str, str]
            The order's id, the region that wrote it and what became of its object.
        """
        region = self._settings.region
        try:
            with self._database.cursor() as cursor:
                cursor.execute("INSERT INTO orders (id, note, region) VALUES (%s, %s, %s)", (order_id, note, region))
        except pymysql.err.IntegrityError:
            there = self.find(order_id)
            if there is None or there["note"] != note:
                raise ConflictError(f"order {order_id} exists already with another note") from None
            region = there["region"]
        return {"id": order_id, "region": region, "object": self._put_object(order_id, note, region)}

    def find(self, order_id: str) -> dict[str, str] | None:
        """Return an order, or None."""
        with self._database.cursor() as cursor:
            cursor.execute("SELECT id, note, region, created_at FROM orders WHERE id = %s", (order_id,))
            row = cursor.fetchone()
        return {**row, "created_at": row["created_at"].isoformat()} if row else None

    def sign(self, token: str) -> dict[str, str]:
        """Write a verification token; when this returns, it is committed."""
        region = self._settings.region
        with self._database.cursor() as cursor:
            cursor.execute("REPLACE INTO pilotlight_verify (token, region) VALUES (%s, %s)", (token, region))
        return {"token": token, "region": region}

    def signed(self, token: str) -> dict[str, str] | None:
        """Return a verification token, or None."""
        with self._database.cursor() as cursor:
            cursor.execute("SELECT token, region, written_at FROM pilotlight_verify WHERE token = %s", (token,))
            row = cursor.fetchone()
        return {**row, "written_at": row["written_at"].isoformat()} if row else None

    def _put_object(self, order_id: str, note: str, region: str) -> str:
        # After the commit and best effort: the row is the order, the object is a copy for others to read.
        try:
            self._aws.put_object(self._settings.bucket, f"orders/{order_id}.json", {"id": order_id, "note": note})
        except (BotoCoreError, ClientError) as error:
            return f"not written: {error}"
        return "written"
