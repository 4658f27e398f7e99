"""A connection to a database server, and what its errors mean."""

from __future__ import annotations

import contextlib
import ssl
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import pymysql
import pymysql.cursors
from pymysql.constants import ER

from pilotlight.errors import FatalError, PilotLightError, PreconditionFailed, TransientError
from pilotlight.sql import dialect, gtids

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import TracebackType

    from pilotlight.aws.secret import Credentials
    from pilotlight.sql.dialect import Dialect

_CONNECT_SECONDS = 3
_ANSWER_SECONDS = 5
# The bundle of RDS's certificate authorities, put into the layer at build time (see docs/deploy.md).
_AUTHORITIES = Path("/opt/python/certificates/rds.pem")
_NEW_AUTHORITIES = (
    "put RDS's present authorities into layers/dependencies/certificates/rds.pem (docs/deploy.md, TLS), deploy both "
    "regions, then start again"
)
# X509_V_ERR_HOSTNAME_MISMATCH of OpenSSL.
_ANOTHER_NAME: Final = 62

_EVENT_DOES_NOT_EXIST: Final = 1539
_NO_PRIVILEGE: Final = (
    ER.DBACCESS_DENIED_ERROR,
    ER.TABLEACCESS_DENIED_ERROR,
    ER.PROCACCESS_DENIED_ERROR,
    ER.SPECIFIC_ACCESS_DENIED_ERROR,
)
NOT_THERE: Final = (ER.BAD_DB_ERROR, ER.NO_SUCH_TABLE, ER.SP_DOES_NOT_EXIST, _EVENT_DOES_NOT_EXIST)
# CREATE or ALTER USER failed; the password is too simple; or it was used before.
_ACCOUNT_REFUSED: Final = (ER.CANNOT_USER, 1819, 3638)
# What read_only says to whoever does not pass through it.
_READ_ONLY: Final = (ER.OPTION_PREVENTS_STATEMENT,)


class Server:
    """A database server, connected to. Closes its connection at the end of a ``with``.

    Parameters
    ----------
    connection
        Of PyMySQL, with rows as dictionaries and autocommit.
    address
        For messages.
    """

    def __init__(self, connection: Any, address: str = "the database") -> None:
        self._connection = connection
        self.address = address

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A connection that is broken already has nothing to say goodbye to.
        with contextlib.suppress(pymysql.err.Error):
            self._connection.close()

    @cached_property
    def dialect(self) -> Dialect:
        """Which kind of server it is."""
        return dialect.of_version(str(self.rows("SELECT VERSION() AS version")[0]["version"]))

    @property
    def read_only(self) -> bool:
        """Whether it refuses writes of everybody who may not pass through.

        Invariant: once this is True, every commit that was let through before is in the server's position. Setting
        ``read_only`` waits for commits under way, and only then does the variable show it.
        """
        return self.value("SELECT @@GLOBAL.read_only AS value").upper() not in ("0", "OFF")

    @property
    def position(self) -> str:
        """The last of what this server has committed, as a source.

        One that was restored and has written nothing since has no log of its own yet: it is where it was made.
        """
        return gtids.canonical(self.value(self.dialect.written) or self.value(self.dialect.executed))

    def value(self, statement: str, *parameters: object) -> str:
        """Return the column ``value`` of a statement's only row, empty for NULL.

        Raises
        ------
        PreconditionFailed, TransientError, FatalError
            As `rows`.
        """
        found = self.rows(statement, *parameters)[0]["value"]
        return "" if found is None else str(found)

    def rows(self, statement: str, *parameters: object, but_for: Collection[int] = ()) -> list[dict[str, Any]]:
        """Run a statement.

        Parameters
        ----------
        statement
            With ``%s`` for each parameter. It is told in errors; parameters never are.
        but_for
            Errors of the server that are no error here: no rows, then.

        Raises
        ------
        PreconditionFailed, TransientError, FatalError
            The server refused it, or did not answer.
        """
        try:
            return self._execute(statement, parameters)
        except pymysql.err.Error as error:
            if _code(error) in but_for:
                return []
            raise self._sorted(statement, error) from error

    def run_secretly(self, statement: str, *parameters: object) -> None:
        """Run a statement one of whose parameters is a secret.

        A server's error may quote the statement, and with it the secret: only its number is told.

        Raises
        ------
        PreconditionFailed, TransientError, FatalError
            As `rows`.
        """
        failed: pymysql.err.Error | None = None
        try:
            self._execute(statement, parameters)
        except pymysql.err.Error as error:
            failed = error
        if failed is not None:
            # Outside of `except`: the server's own words would travel along as this error's context.
            raise self._sorted(statement, type(failed)(_code(failed), "(the server's words are left out)"))

    def _execute(self, statement: str, parameters: tuple[object, ...]) -> list[dict[str, Any]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, parameters or None)
            return list(cursor.fetchall())

    def _sorted(self, statement: str, error: pymysql.err.Error) -> PilotLightError:
        code = _code(error)
        if code in _NO_PRIVILEGE:
            return PreconditionFailed(
                f"the secret's user may not run {statement!r} on {self.address}: grant it what RDS gives a master user "
                f"(SHOW REPLICA STATUS: REPLICATION CLIENT, on MariaDB REPLICA MONITOR). The server says {error}"
            )
        if code in NOT_THERE:
            return PreconditionFailed(
                f"{self.address} lacks what {statement!r} needs: let the function sql carry out 'prepare' on the "
                f"active database, then start again. The server says {error}"
            )
        if code in _ACCOUNT_REFUSED:
            return PreconditionFailed(
                f"{self.address} refuses the account or its password (error {code} of {statement!r}): put a password "
                "into the secret that the server's policy accepts, then start again"
            )
        if code in _READ_ONLY:
            return TransientError(
                f"{self.address} is read-only and refuses {statement!r}. Where it should be open, look at read_only in "
                "its parameter group"
            )
        if isinstance(error, (pymysql.err.OperationalError, pymysql.err.InterfaceError)):
            return TransientError(f"{statement!r} was not carried out by {self.address}: {error}")
        return FatalError(f"{self.address} refuses {statement!r}: {error}")


def connect(host: str, port: int, credentials: Credentials, authorities: Path = _AUTHORITIES) -> Server:
    """Connect over TLS.

    The server's certificate is checked against RDS's authorities where the layer carries them. Without them the
    connection is still encrypted, but not authenticated.

    Raises
    ------
    PreconditionFailed
        The credentials are refused; or the server's certificate is, or the authorities that it is held against.
    TransientError
        The server did not answer.
    """
    address = f"the database at {host}:{port}"
    try:
        connection = pymysql.connect(
            **settings(host, port, credentials, _ANSWER_SECONDS, authorities),
            autocommit=True,
            cursorclass=pymysql.cursors.DictCursor,
        )
    except pymysql.err.OperationalError as error:
        if _code(error) == ER.ACCESS_DENIED_ERROR:
            raise PreconditionFailed(
                f"{address} refuses the secret's user {credentials.username!r}: "
                "bring the secret and the database's password together, then start again"
            ) from error
        if _is_untrusted(error):
            raise PreconditionFailed(
                f"{address} shows a certificate that none of the layer's authorities vouches for: {_NEW_AUTHORITIES}. "
                f"{error}"
            ) from error
        raise TransientError(f"{address} does not answer: {error}") from error
    return Server(connection, address)


def _is_untrusted(error: pymysql.err.OperationalError) -> bool:
    """Tell a certificate that will not do from a server that is away.

    One that is for another name passes: an instance that was just renamed may still show its old one.
    """
    cause = getattr(error, "original_exception", None)
    return isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code != _ANOTHER_NAME


def settings(
    host: str, port: int, credentials: Credentials, answer_seconds: int, authorities: Path = _AUTHORITIES
) -> dict[str, Any]:
    """Make what PyMySQL is told for a connection over TLS that waits so long for each answer.

    Raises
    ------
    PreconditionFailed
        There are authorities in the layer, and they cannot be read.
    """
    if authorities.exists():
        try:
            context = ssl.create_default_context(cafile=authorities)
        except ssl.SSLError as error:
            raise PreconditionFailed(f"{authorities} holds no certificates ({error}): {_NEW_AUTHORITIES}") from error
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return {
        "host": host,
        "port": port,
        "user": credentials.username,
        "password": credentials.password,
        "ssl": context,
        "connect_timeout": _CONNECT_SECONDS,
        "read_timeout": answer_seconds,
        "write_timeout": answer_seconds,
    }


def _code(error: pymysql.err.Error) -> int:
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0
