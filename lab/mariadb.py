"""MariaDB servers that stand in for RDS instances: real data, real replication, really killed."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pymysql
import pymysql.cursors

from lab.children import children

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.authority import Authority

ADMIN: Final = "rdsadmin"
"""The account that RDS keeps for itself on every instance; in the lab, over the local socket only."""

REPLICATION_USER: Final = "rdsrepladmin"

# What RDS for MySQL 8 gives its master user, in MariaDB's words. There, REPLICATION CLIENT covers only the binary log;
# the state of a replica has a privilege of its own, REPLICA MONITOR. None of these passes through read_only.
_MASTER_PRIVILEGES: Final = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES, "
    "CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, REPLICA MONITOR, "
    "CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER"
)

# RDS has no SUPER: what needs it goes through procedures of its own. These are the ones that replication needs.
_PROCEDURES: Final = (
    "CREATE OR REPLACE PROCEDURE mysql.rds_start_replication() START SLAVE",
    "CREATE OR REPLACE PROCEDURE mysql.rds_stop_replication() STOP SLAVE",
    "CREATE OR REPLACE PROCEDURE mysql.rds_kill(IN thread BIGINT) KILL CONNECTION thread",
    "CREATE OR REPLACE PROCEDURE mysql.rds_kill_query(IN thread BIGINT) KILL QUERY thread",
    # RDS's configuration is each instance's own. Here nothing acts on it: the lab's servers keep all of their logs.
    "CREATE TABLE IF NOT EXISTS mysql.rds_configuration (name VARCHAR(100) PRIMARY KEY, value VARCHAR(100))",
    "CREATE OR REPLACE PROCEDURE mysql.rds_set_configuration(IN setting VARCHAR(30), IN wanted INT) BEGIN "
    "SET SESSION sql_log_bin = 0; REPLACE INTO mysql.rds_configuration VALUES (setting, wanted); "
    "SET SESSION sql_log_bin = 1; END",
)

_START_TIMEOUT: Final = 60.0
_STOP_TIMEOUT: Final = 20.0
_LONGEST_SOCKET_HOME: Final = 90
_OTHER_PLACES: Final = (
    "/usr/sbin",
    "/usr/local/sbin",
    "/usr/libexec",
    "/opt/homebrew/bin",
    "/opt/homebrew/opt/mariadb/bin",
    "/usr/local/opt/mariadb/bin",
)

# Small and quick: a lab has a handful of these side by side. Commits reach the operating system but are not forced to
# the disk: what the lab does to a server is kill -9, not a power cut, and what it acknowledged is still there.
_SMALL: Final = {
    "innodb_buffer_pool_size": "32M",
    "innodb_log_file_size": "16M",
    "innodb_log_buffer_size": "2M",
    "innodb_flush_log_at_trx_commit": "2",
    "innodb_doublewrite": "0",
    "innodb_buffer_pool_dump_at_shutdown": "0",
    "innodb_buffer_pool_load_at_startup": "0",
    "sync_binlog": "0",
    "key_buffer_size": "1M",
    "aria_pagecache_buffer_size": "1M",
    "performance_schema": "0",
    "max_connections": "200",
    "skip_name_resolve": "1",
}

# As RDS runs MySQL with GTIDs on: every instance writes a binary log, and replicas write what they apply to theirs, so
# that a promoted replica can be the next source.
_REPLICATION: Final = {
    "log_bin": "binlog",
    "relay_log": "relaylog",
    "log_slave_updates": "1",
    "binlog_format": "ROW",
    "gtid_domain_id": "0",
    "relay_log_recovery": "1",
    "slave_net_timeout": "10",
    "report_host": "127.0.0.1",
}


class DatabaseError(Exception):
    """A MariaDB server of the lab did not do what it was told."""


class ProgramsMissingError(DatabaseError):
    """MariaDB is not installed on this machine."""


@dataclass(frozen=True)
class Programs:
    """Where this machine keeps MariaDB's programs."""

    server: str
    install: str
    dump: str
    client: str

    @classmethod
    def find(cls) -> Programs:
        """Look for the programs on PATH and where Debian and Homebrew put them.

        Returns
        -------
        Programs
            All four.

        Raises
        ------
        ProgramsMissingError
            One is missing; the message says how to install it.
        """
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_OTHER_PLACES])
        found = []
        for name in ("mariadbd", "mariadb-install-db", "mariadb-dump", "mariadb"):
            program = shutil.which(name, path=path)
            if program is None:
                raise ProgramsMissingError(
                    f"{name} is not on this machine: `apt-get install mariadb-server` (Debian, Ubuntu) "
                    "or `brew install mariadb` (macOS)"
                )
            found.append(program)
        return cls(*found)


class EmptyData:
    """An empty data directory, made once and copied for each server: making one takes seconds on a busy machine.

    Parameters
    ----------
    directory
        Where it is kept.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()

    def copy(self, to: Path) -> None:
        """Copy it, after making it if nobody did yet.

        Parameters
        ----------
        to
            The new data directory.

        Raises
        ------
        DatabaseError
            It could not be made.
        """
        with self._lock:
            if not self._directory.exists():
                self._make()
        shutil.copytree(self._directory, to)

    def _make(self) -> None:
        draft = self._directory.with_name(f"{self._directory.name}-draft")
        command = [
            Programs.find().install,
            "--no-defaults",
            f"--datadir={draft}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            f"--innodb-log-file-size={_SMALL['innodb_log_file_size']}",
            *_as_user(),
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            shutil.rmtree(draft, ignore_errors=True)
            raise DatabaseError(f"mariadb-install-db failed:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
        draft.rename(self._directory)


@dataclass(frozen=True)
class Replication:
    """How a replica stands."""

    receiving: str
    """The thread that receives: ``Yes``, ``No``, or what it is trying."""
    applying: bool
    error: str
    received: str
    """The last transaction that it received whole."""
    applied: str
    """The last transaction that it applied."""
    lag_seconds: int | None

    @property
    def healthy(self) -> bool:
        """Both threads do their work and nothing went wrong."""
        return self.receiving == "Yes" and self.applying and not self.error

    @property
    def unapplied(self) -> int:
        """The transactions that were received and are not applied yet.

        Positions in the log would not do: they stay apart for ever when the source died amid a transaction.
        """
        applied = _sequences(self.applied)
        return sum(max(0, last - applied.get(domain, 0)) for domain, last in _sequences(self.received).items())


class Server:
    """One MariaDB server: its data directory, its process and its place in replication.

    Parameters
    ----------
    home
        Its own directory; made here.
    authority
        Signs its certificate.
    server_id
        Unique among servers that replicate from each other.
    port
        On 127.0.0.1; a free one if not given. A server keeps it for life, as an RDS endpoint does.
    password
        Of the administrator. Servers that are seeded from one another share it.
    empty
        What its data directory starts as; servers of one lab share it. One of its own if not given.
    """

    def __init__(
        self,
        home: Path,
        authority: Authority,
        *,
        server_id: int,
        port: int | None = None,
        password: str | None = None,
        empty: EmptyData | None = None,
    ) -> None:
        home.mkdir(parents=True)
        self.home = home
        self.authority = authority
        self.server_id = server_id
        self.port = port or free_port()
        self.password = password or secrets.token_hex(16)
        self.options: dict[str, str] = {}
        """Server options beyond the lab's own; they take effect at the next start."""
        self._programs = Programs.find()
        self._empty = empty or EmptyData(home / "empty")
        self._socket_home = _short_directory(home)
        self.socket = self._socket_home / "socket"
        self._data = home / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()
        self._tls = authority.issue(home)

    # Its life

    @property
    def running(self) -> bool:
        """True while its process is there."""
        return self._process is not None and self._process.poll() is None

    def create(self) -> None:
        """Make an empty data directory, start the server and give it its administrator."""
        self._empty.copy(self._data)
        self.start(_admin=("root", ""))
        with self._session(("root", "")) as cursor:
            # None of this is anybody else's: the other servers have their own.
            cursor.execute("SET SESSION sql_log_bin = 0")
            cursor.execute(f"CREATE USER {ADMIN}@localhost IDENTIFIED BY %s", (self.password,))
            cursor.execute(f"GRANT ALL PRIVILEGES ON *.* TO {ADMIN}@localhost WITH GRANT OPTION")
            cursor.execute(f"CREATE USER {REPLICATION_USER}@`%%` IDENTIFIED BY %s REQUIRE SSL", (self.password,))
            cursor.execute(f"GRANT REPLICATION SLAVE ON *.* TO {REPLICATION_USER}@`%`")
        with self._session((ADMIN, self.password)) as cursor:
            cursor.execute("SET SESSION sql_log_bin = 0")
            cursor.execute("SELECT User AS user, Host AS host FROM mysql.global_priv WHERE User IN ('', 'root')")
            for account in cursor.fetchall():
                cursor.execute("DROP USER %s@%s", (account["user"], account["host"]))
            # Made by the administrator, so that they run with its rights, whoever calls them.
            for procedure in _PROCEDURES:
                cursor.execute(procedure)

    def create_master(self, user: str, password: str, database: str | None) -> None:
        """Create the master user with what RDS gives it, and the first database.

        Parameters
        ----------
        user, password
            As the instance was asked for with.
        database
            None for no database.
        """
        with self._session((ADMIN, self.password)) as cursor:
            cursor.execute("CREATE USER %s@'%%' IDENTIFIED BY %s", (user, password))
            cursor.execute(f"GRANT {_MASTER_PRIVILEGES} ON *.* TO %s@'%%' WITH GRANT OPTION", (user,))
            if database:
                cursor.execute(f"CREATE DATABASE `{database}` CHARACTER SET utf8mb4")

    def set_password(self, user: str, password: str) -> None:
        """Change the password of an account.

        Parameters
        ----------
        user, password
            The account, from any host.
        """
        self.execute("ALTER USER %s@'%%' IDENTIFIED BY %s", parameters=(user, password))

    def start(self, *, _admin: tuple[str, str] | None = None) -> None:
        """Start the process and wait until it answers; nothing if it runs.

        Raises
        ------
        DatabaseError
            It ended, or does not answer in time; the message ends with its log.
        """
        with self._lock:
            if self.running:
                return
            self.socket.unlink(missing_ok=True)
            with self._log.open("ab") as log:
                self._process = children.start(self._command(), stdout=log, stderr=log, cwd=self.home)
            self._await_answer(_admin or (ADMIN, self.password))

    def stop(self) -> None:
        """End the process in good order."""
        with self._lock:
            self._end(_STOP_TIMEOUT)

    def kill(self) -> None:
        """End the process as a region's end would: at once, whatever it was doing."""
        # Not under the lock: a start that waits for the server to answer must not hold up its end.
        self._end(0)

    def restart(self) -> None:
        """Stop and start, so that changed options take effect."""
        with self._lock:
            self.stop()
            self.start()

    def destroy(self) -> None:
        """Kill the process and remove everything it had."""
        self.kill()
        shutil.rmtree(self._socket_home, ignore_errors=True)
        shutil.rmtree(self.home, ignore_errors=True)

    # SQL

    def connect(self, database: str | None = None) -> pymysql.connections.Connection[pymysql.cursors.DictCursor]:
        """Connect as the administrator, over the local socket.

        Parameters
        ----------
        database
            The default database.

        Returns
        -------
        pymysql.connections.Connection
            Autocommit; rows are dictionaries.
        """
        return self._connect((ADMIN, self.password), database)

    def execute(self, *statements: str, parameters: tuple[Any, ...] | None = None) -> list[dict[str, Any]]:
        """Execute statements as the administrator.

        Parameters
        ----------
        statements
            One after another, on one connection.
        parameters
            Of every statement.

        Returns
        -------
        list[dict[str, Any]]
            The rows of the last one.
        """
        rows: list[dict[str, Any]] = []
        with self._session((ADMIN, self.password)) as cursor:
            for statement in statements:
                cursor.execute(statement, parameters)
                rows = list(cursor.fetchall())
        return rows

    def scalar(self, statement: str) -> Any:
        """Return the only value that a statement selects.

        Parameters
        ----------
        statement
            A SELECT of one column.

        Returns
        -------
        Any
            None if there is no row.
        """
        rows = self.execute(statement)
        return next(iter(rows[0].values())) if rows else None

    # Copies of its data

    def dump(self, to: Path) -> None:
        """Write all data and accounts, and the replication position they stand for, as SQL.

        Parameters
        ----------
        to
            The file; consistent, made without stopping writers.

        Raises
        ------
        DatabaseError
            The dump failed.
        """
        databases = [
            row["schema_name"]
            for row in self.execute(
                "SELECT schema_name AS schema_name FROM information_schema.schemata WHERE schema_name NOT IN "
                "('mysql', 'information_schema', 'performance_schema', 'sys')"
            )
        ]
        with to.open("wb") as file:
            common = [self._programs.dump, "--no-defaults", f"--socket={self.socket}", f"--user={ADMIN}"]
            if databases:
                self._run_client(
                    [
                        *common,
                        "--single-transaction",
                        "--master-data=1",
                        "--gtid",
                        "--routines",
                        "--triggers",
                        "--events",
                        "--hex-blob",
                        "--databases",
                        *databases,
                    ],
                    stdout=file,
                )
            else:
                file.write(f"SET GLOBAL gtid_slave_pos='{self.scalar('SELECT @@gtid_binlog_pos')}';\n".encode())
        # Accounts apart, because the system tables themselves hold what is this server's alone.
        accounts = "".join(f"{statement};\n" for statement in self._account_statements())
        with to.open("a", encoding="utf-8") as text:
            text.write(accounts)

    def load(self, file: Path) -> None:
        """Take over what ``dump`` wrote, without writing it to the binary log.

        Parameters
        ----------
        file
            As ``dump`` made it.

        Raises
        ------
        DatabaseError
            A statement failed.
        """
        with file.open("rb") as script:
            self._run_client(
                [
                    self._programs.client,
                    "--no-defaults",
                    f"--socket={self.socket}",
                    f"--user={ADMIN}",
                    "--init-command=SET SESSION sql_log_bin=0",
                    "--binary-mode",
                ],
                stdin=script,
            )

    # Replication

    def follow(self, source: Server) -> None:
        """Replicate from ``source`` over TLS, from the position of the loaded dump on.

        Parameters
        ----------
        source
            It need not be running.
        """
        self.execute(
            "STOP ALL SLAVES",
            f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={source.port}, MASTER_USER='{REPLICATION_USER}', "
            f"MASTER_PASSWORD='{source.password}', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1, "
            f"MASTER_HEARTBEAT_PERIOD=2, MASTER_SSL=1, MASTER_SSL_CA='{source.authority.certificate}', "
            "MASTER_SSL_VERIFY_SERVER_CERT=1",
            "START SLAVE",
        )

    def stop_following(self) -> None:
        """Stop replicating for good and drop what was received but is not applied."""
        self.execute("STOP ALL SLAVES", "RESET SLAVE ALL")

    def replication(self) -> Replication | None:
        """Return how the replica stands.

        Returns
        -------
        Replication | None
            None if this server replicates from nobody.
        """
        rows = self.execute("SHOW ALL SLAVES STATUS")
        if not rows:
            return None
        row = rows[0]
        return Replication(
            receiving=row["Slave_IO_Running"],
            applying=row["Slave_SQL_Running"] == "Yes",
            error=row["Last_SQL_Error"] or row["Last_IO_Error"] or "",
            received=row["Gtid_IO_Pos"],
            applied=self.scalar("SELECT @@gtid_slave_pos") or "",
            lag_seconds=row["Seconds_Behind_Master"],
        )

    # Faults, for tests

    def delay(self, seconds: int) -> None:
        """Apply what is received only after a while, so that a backlog of that length builds up.

        Parameters
        ----------
        seconds
            Real seconds; 0 ends it.
        """
        self.execute("STOP SLAVE", f"CHANGE MASTER TO MASTER_DELAY={int(seconds)}", "START SLAVE")

    def pause_applying(self, *, pause: bool) -> None:
        """Go on receiving, but apply nothing.

        Parameters
        ----------
        pause
            False goes on applying.
        """
        self.execute("STOP SLAVE SQL_THREAD" if pause else "START SLAVE SQL_THREAD")

    def hold_receiving(self, *, hold: bool) -> None:
        """Receive nothing, as with a slow line, but go on applying what is here.

        Parameters
        ----------
        hold
            False goes on receiving.
        """
        # Never both threads: that would throw away what was received and is not applied.
        self.execute("STOP SLAVE IO_THREAD" if hold else "START SLAVE IO_THREAD")

    def break_replication(self, *, broken: bool) -> None:
        """Let the replica lose its source, as with a broken network or wrong credentials.

        Parameters
        ----------
        broken
            False repairs it.
        """
        password = "wrong" if broken else self.password
        self.execute("STOP SLAVE", f"CHANGE MASTER TO MASTER_PASSWORD='{password}'", "START SLAVE")

    # Inside

    @property
    def _log(self) -> Path:
        return self.home / "mariadbd.log"

    def _command(self) -> list[str]:
        certificate, key = self._tls
        settings = {
            "datadir": str(self._data),
            "socket": str(self.socket),
            "pid_file": str(self.home / "mariadbd.pid"),
            "tmpdir": str(self.home),
            "bind_address": "127.0.0.1",
            "port": str(self.port),
            "server_id": str(self.server_id),
            "ssl_ca": str(self.authority.certificate),
            "ssl_cert": str(certificate),
            "ssl_key": str(key),
            **_SMALL,
            **_REPLICATION,
            **self.options,
        }
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        return [self._programs.server, "--no-defaults", *_as_user(), *arguments]

    def _await_answer(self, admin: tuple[str, str]) -> None:
        until = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < until:
            if not self.running:
                raise DatabaseError(f"mariadbd ended while starting:\n{self._log_tail()}")
            with contextlib.suppress(pymysql.err.OperationalError):
                self._connect(admin, None).close()
                return
            time.sleep(0.05)
        raise DatabaseError(f"mariadbd does not answer:\n{self._log_tail()}")

    def _log_tail(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]

    def _end(self, grace: float) -> None:
        process = self._process
        if process is not None:
            children.end(process, grace=grace)

    def _connect(
        self, admin: tuple[str, str], database: str | None
    ) -> pymysql.connections.Connection[pymysql.cursors.DictCursor]:
        user, password = admin
        return pymysql.connect(
            unix_socket=str(self.socket),
            user=user,
            password=password,
            database=database,
            autocommit=True,
            connect_timeout=5,
            cursorclass=pymysql.cursors.DictCursor,
        )

    @contextlib.contextmanager
    def _session(self, admin: tuple[str, str]) -> Iterator[pymysql.cursors.DictCursor]:
        with contextlib.closing(self._connect(admin, None)) as connection, connection.cursor() as cursor:
            yield cursor

    def _account_statements(self) -> Iterator[str]:
        for row in self.execute("SELECT User AS user, Host AS host FROM mysql.global_priv ORDER BY User"):
            user, host = row["user"], row["host"]
            if user in (ADMIN, REPLICATION_USER, "mariadb.sys"):
                continue
            account = f"`{user}`@`{host}`"
            created = self.scalar(f"SHOW CREATE USER {account}")
            yield re.sub("^CREATE USER ", "CREATE USER IF NOT EXISTS ", created)
            for grant in self.execute(f"SHOW GRANTS FOR {account}"):
                yield next(iter(grant.values()))

    def _run_client(self, command: list[str], **files: Any) -> None:
        environment = {**os.environ, "MYSQL_PWD": self.password}
        result = subprocess.run(command, stderr=subprocess.PIPE, env=environment, check=False, **files)
        if result.returncode:
            raise DatabaseError(f"{Path(command[0]).name} failed: {result.stderr.decode(errors='replace')[-2000:]}")


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on.

    Returns
    -------
    int
        Free a moment ago; the caller is to take it soon.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _sequences(position: str) -> dict[str, int]:
    """Return the sequence number of each domain in a GTID position such as ``0-1-64016,1-7-12``."""
    parts = (gtid.strip().split("-") for gtid in position.split(",") if gtid.strip())
    return {domain: int(sequence) for domain, _server, sequence in parts}


def _as_user() -> list[str]:
    # mariadbd refuses to run as root unless it is told to.
    return ["--user=root"] if os.geteuid() == 0 else []


def _short_directory(home: Path) -> Path:
    # A path to a Unix socket holds about 100 characters: fewer than macOS's temporary directory and a few names make.
    if len(str(home)) < _LONGEST_SOCKET_HOME:
        return home
    return Path(tempfile.mkdtemp(prefix="pilotlight-", dir="/tmp"))
