"""The application's own account: what it may do ends at its schema, and at ``read_only``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pilotlight.errors import PreconditionFailed
from pilotlight.sql import heartbeat
from pilotlight.sql.dialect import SERVERS_OWN

if TYPE_CHECKING:
    from pilotlight.aws.secret import Credentials
    from pilotlight.sql.server import Server

# What an application and its migrations need. Named one by one: ALL would take in what a master user has not got. No
# EVENT: a replica has every event disabled, and would not run the application's after its promotion.
_RIGHTS: Final = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES, "
    "EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, TRIGGER"
)
_SCHEMA: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def prepare(server: Server, master: str, application: Credentials, schema: str) -> None:
    """Make the heartbeat and the application's account, or bring them in line.

    Parameters
    ----------
    master
        Name of the account that does this: never the application's.
    application
        Its account, from every host and over TLS only. A password that changed is changed.
    schema
        The one schema that it has rights on.

    Raises
    ------
    PreconditionFailed
        A name cannot be, or the server is none that may be written to.
    TransientError
        The server is read-only.
    """
    if not _SCHEMA.fullmatch(schema):
        raise PreconditionFailed(
            f"the application's schema is {schema!r}: a letter, then letters, digits and underscores, 64 at most: "
            "correct DATABASE_NAME (template parameter DatabaseName), then deploy again"
        )
    user = application.username
    if not user or user == master or user in SERVERS_OWN:
        raise PreconditionFailed(
            f"the application's secret names the user {user!r}, which is the master's or the server's own: "
            "put another name into it, then start again"
        )
    heartbeat.beat(server)
    server.run_secretly("CREATE USER IF NOT EXISTS %s@'%%' IDENTIFIED BY %s REQUIRE SSL", user, application.password)
    server.run_secretly("ALTER USER %s@'%%' IDENTIFIED BY %s REQUIRE SSL", user, application.password)
    # In the name of a schema that rights are granted on, an underscore stands for any character.
    pattern = schema.replace("_", r"\_")
    if _beyond(server, user, pattern):
        server.rows("REVOKE ALL PRIVILEGES, GRANT OPTION FROM %s@'%%'", user)
    server.rows(f"GRANT {_RIGHTS} ON `{pattern}`.* TO %s@'%%'", user)
    if more := _beyond(server, user, pattern):
        raise PreconditionFailed(
            f"the application's account {user!r} may do more than its schema needs, and could pass through read_only: "
            f"revoke {'; '.join(more)}, then start again"
        )


def _beyond(server: Server, user: str, schema: str) -> list[str]:
    """List what an account was granted beyond its schema."""
    # Some servers quote names as the SQL standard does.
    grants = [str(next(iter(row.values()))).replace('"', "`") for row in server.rows("SHOW GRANTS FOR %s@'%%'", user)]
    return [
        grant.partition(" TO ")[0]
        for grant in grants
        if not (grant.startswith("GRANT USAGE ON *.* TO ") or f" ON `{schema}`.* TO " in grant)
        or "WITH GRANT OPTION" in grant
    ]
