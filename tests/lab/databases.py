"""What the tests do with the lab's databases: through the RDS API and SQL, and past both where a fault is needed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import pymysql

from tests.lab.running import DR, PRIMARY, RunningLab

if TYPE_CHECKING:
    from collections.abc import Iterator

USER: Final = "pilotlight"
PASSWORD: Final = "not'a%secret"


class Databases:
    """The databases of a running lab."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab
        self.rds = {region: lab.client("rds", region) for region in (PRIMARY, DR)}

    @contextlib.contextmanager
    def fast_forward(self) -> Iterator[None]:
        """Let what AWS takes its time for take no longer than the work on this machine."""
        scale = self.lab.status()["clock"]["scale"]
        self.lab.set_scale(1000)
        try:
            yield
        finally:
            self.lab.set_scale(scale)

    def create(self, identifier: str, region: str = PRIMARY, **settings: Any) -> dict[str, Any]:
        """Create an instance with a database ``app`` and wait for it."""
        with self.fast_forward():
            self.rds[region].create_db_instance(
                **{
                    "DBInstanceIdentifier": identifier,
                    "Engine": "mysql",
                    "DBInstanceClass": "db.t4g.micro",
                    "AllocatedStorage": 20,
                    "MasterUsername": USER,
                    "MasterUserPassword": PASSWORD,
                    "DBName": "app",
                    "BackupRetentionPeriod": 7,
                    **settings,
                }
            )
            return self.available(identifier, region)

    def replicate(
        self, identifier: str, region: str = DR, source_region: str = PRIMARY, **settings: Any
    ) -> dict[str, Any]:
        """Create a replica of the same name in the other region, with backups on, and wait for it."""
        source = self.shown(identifier, source_region)["DBInstanceArn"]
        with self.fast_forward():
            self.rds[region].create_db_instance_read_replica(
                DBInstanceIdentifier=identifier, SourceDBInstanceIdentifier=source, **settings
            )
            self.available(identifier, region)
            self.rds[region].modify_db_instance(
                DBInstanceIdentifier=identifier, BackupRetentionPeriod=7, ApplyImmediately=True
            )
            self.lab.wait_until(lambda: not self.shown(identifier, region)["PendingModifiedValues"])
            return self.available(identifier, region)

    def pair(self, identifier: str) -> None:
        """Create an instance in the primary region, a table in it, and a replica in DR."""
        self.create(identifier)
        self.sql(identifier, PRIMARY, "CREATE TABLE rows_of_a_test (id INT PRIMARY KEY)")
        self.replicate(identifier)

    def shown(self, identifier: str, region: str) -> dict[str, Any]:
        """Describe an instance."""
        answer = self.rds[region].describe_db_instances(DBInstanceIdentifier=identifier)
        shown: dict[str, Any] = answer["DBInstances"][0]
        return shown

    def available(self, identifier: str, region: str) -> dict[str, Any]:
        """Wait until an instance is available."""
        self.lab.wait_until(
            lambda: self.shown(identifier, region)["DBInstanceStatus"] == "available", 60, f"{identifier} available"
        )
        return self.shown(identifier, region)

    def promoted(self, identifier: str, region: str = DR) -> dict[str, Any]:
        """Wait until an instance is promoted."""
        with self.fast_forward():
            self.lab.wait_until(
                lambda: "ReadReplicaSourceDBInstanceIdentifier" not in self.shown(identifier, region), 60, "promotion"
            )
        return self.shown(identifier, region)

    def connect(self, identifier: str, region: str, **options: Any) -> pymysql.connections.Connection[Any]:
        """Connect as the master user, with TLS."""
        endpoint = self.shown(identifier, region)["Endpoint"]
        options.setdefault("ssl_ca", self.told(identifier, region)["ca"])
        return pymysql.connect(
            host=endpoint["Address"],
            port=endpoint["Port"],
            user=USER,
            password=PASSWORD,
            database="app",
            autocommit=True,
            connect_timeout=20,
            **options,
        )

    def sql(self, identifier: str, region: str, *statements: str) -> Any:
        """Execute statements as the master user and return the last one's rows."""
        with contextlib.closing(self.connect(identifier, region)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall()

    def insert(self, identifier: str, region: str, first: int, last: int) -> None:
        """Commit rows, each in a transaction of its own."""
        rows = (f"INSERT INTO rows_of_a_test VALUES ({number})" for number in range(first, last + 1))
        self.sql(identifier, region, *rows)

    def count(self, identifier: str, region: str) -> int:
        """Count the rows."""
        found: int = self.sql(identifier, region, "SELECT COUNT(*) FROM rows_of_a_test")[0][0]
        return found

    def wait_for_rows(self, identifier: str, region: str, number: int) -> None:
        """Wait until so many rows are there."""
        self.lab.wait_until(lambda: self.count(identifier, region) == number, 60, f"{number} rows")

    def told(self, identifier: str, region: str) -> dict[str, Any]:
        """Return what the lab itself knows of an instance."""
        found: dict[str, Any] = next(
            entry for entry in self.control("list") if (entry["identifier"], entry["region"]) == (identifier, region)
        )
        return found

    def control(self, name: str, **order: Any) -> Any:
        """Use one of the lab's controls of databases."""
        return self.lab.control("database", name, **order)
