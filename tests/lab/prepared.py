"""A database and its replica as Pilot Light prepares them, and a client of each kind."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import pymysql

from pilotlight import sql
from pilotlight.aws.secret import Credentials
from tests.lab.databases import PASSWORD, USER, Databases
from tests.lab.running import DR, PRIMARY

if TYPE_CHECKING:
    from pilotlight.model import Quiet

MASTER: Final = Credentials(USER, PASSWORD)
APPLICATION: Final = Credentials("application", "also'not\\a%s secret")
EXECUTION: Final = "arn:aws:states:eu-central-1:000000000000:execution:dev-dr-failover:one"


class Prepared:
    """A source in the primary region, prepared, and its replica in DR."""

    def __init__(self, databases: Databases, identifier: str) -> None:
        self.databases = databases
        self.identifier = identifier
        for region in (PRIMARY, DR):
            databases.rds[region].create_db_parameter_group(
                DBParameterGroupName=identifier, DBParameterGroupFamily="mysql8.4", Description="of a test"
            )
            self.set_parameters(region, event_scheduler="ON", require_secure_transport="1")
        databases.create(identifier, DBParameterGroupName=identifier)
        databases.sql(identifier, PRIMARY, "CREATE TABLE rows_of_a_test (id INT PRIMARY KEY)")
        databases.replicate(identifier, DBParameterGroupName=identifier)
        with self.server(PRIMARY) as server:
            sql.prepare(server, USER, APPLICATION, "app")

    def set_parameters(self, region: str, **values: str) -> None:
        """Set parameters of the group."""
        self.databases.rds[region].modify_db_parameter_group(
            DBParameterGroupName=self.identifier,
            Parameters=[
                {"ParameterName": name, "ParameterValue": value, "ApplyMethod": "immediate"}
                for name, value in values.items()
            ],
        )

    def server(self, region: str) -> sql.Server:
        """Connect as the product's function does."""
        endpoint = self.databases.shown(self.identifier, region)["Endpoint"]
        return sql.connect(endpoint["Address"], endpoint["Port"], MASTER)

    def client(
        self, region: str, who: Credentials = APPLICATION, **options: Any
    ) -> pymysql.connections.Connection[Any]:
        """Connect as the application does."""
        endpoint = self.databases.shown(self.identifier, region)["Endpoint"]
        options.setdefault("ssl_ca", self.databases.told(self.identifier, region)["ca"])
        return pymysql.connect(
            host=endpoint["Address"],
            port=endpoint["Port"],
            user=who.username,
            password=who.password,
            connect_timeout=20,
            read_timeout=30,
            **options,
        )

    def execute(self, statement: str, region: str = PRIMARY, who: Credentials = APPLICATION) -> Any:
        """Execute a statement as the application, on a connection of its own."""
        with contextlib.closing(self.client(region, who, autocommit=True)) as client, client.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def freeze(self) -> Quiet:
        """Make the source read-only and wait until it is at rest, as the workflow does."""
        self.set_parameters(PRIMARY, read_only="1")
        last: list[Quiet] = []

        def at_rest() -> bool:
            with self.server(PRIMARY) as server:
                last.append(sql.quiet(server))
            return len(last) > 1 and last[-1].read_only and last[-1].position == last[-2].position

        self.databases.lab.wait_until(at_rest, 60, "the source at rest")
        return last[-1]

    def beats(self, region: str) -> None:
        """Wait until a heart has beaten once more, as seen in a region."""

        def seen() -> str:
            with self.server(region) as server:
                found = sql.last_beat(server)
            return found.at if found else ""

        before = seen()
        self.databases.lab.wait_until(lambda: seen() > before, 60, "another heartbeat")
