from __future__ import annotations

from typing import Any

import boto3
import pytest

from functions.pair import app

from .conftest import DR, PRIMARY, Regions, environment, settings


def database(retention: int) -> None:
    boto3.client("rds", region_name=PRIMARY.region).create_db_instance(
        DBInstanceIdentifier="dev-db",
        DBInstanceClass="db.t4g.medium",
        Engine="mysql",
        MasterUsername="pilotlight",
        MasterUserPassword="only-in-moto",
        AllocatedStorage=20,
        BackupRetentionPeriod=retention,
    )


def test_a_replica_without_a_source_is_refused_with_what_to_do(regions: Regions) -> None:
    with pytest.raises(app.PrimaryNotReadyError, match=r"is not there.*sam deploy --config-env dev-primary"):
        app.require_primary(settings(DR.region))


def test_a_source_without_backups_cannot_be_replicated(regions: Regions) -> None:
    database(retention=0)
    with pytest.raises(app.PrimaryNotReadyError, match="no automated backups"):
        app.require_primary(settings(DR.region))


def test_a_source_with_backups_will_do(regions: Regions) -> None:
    database(retention=7)
    app.require_primary(settings(DR.region))


@pytest.mark.parametrize("status", ["creating", "failed", "deleting", "stopped"])
def test_a_source_that_cannot_be_read_from_is_refused(status: str) -> None:
    assert status in app.can_be_replicated({"DBInstanceStatus": status, "BackupRetentionPeriod": 7})


@pytest.mark.parametrize("status", ["available", "backing-up", "modifying", "storage-optimization"])
def test_a_source_that_is_busy_will_do(status: str) -> None:
    assert app.can_be_replicated({"DBInstanceStatus": status, "BackupRetentionPeriod": 7}) == ""


@pytest.mark.parametrize(("kind", "region"), [("Update", DR.region), ("Delete", DR.region), ("Create", PRIMARY.region)])
def test_nobody_else_is_asked_for_the_primarys_database(
    monkeypatch: pytest.MonkeyPatch, kind: str, region: str
) -> None:
    """A deployment of DR must work while the primary is lost."""
    for name, value in environment(region).items():
        monkeypatch.setenv(name, value)

    def no_client(service: str, region: str) -> Any:
        raise AssertionError(f"{service} in {region} was asked")

    monkeypatch.setattr(app, "_client", no_client)
    assert app._work({"ResourceType": "Custom::DatabaseSource", "RequestType": kind}) == {}
