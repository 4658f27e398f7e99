"""What `make retired` shows and what `make retire-purge` insists on before it removes anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from scripts import retired

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIMARY, DR = "eu-west-1", "eu-central-1"
OLD = "dev-db-retired-3"


@pytest.fixture
def rds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("CONFIRM", OLD)
    with mock_aws():
        client = boto3.client("rds", region_name=PRIMARY)
        make(client, "dev-db")
        make(client, OLD)
        client.create_db_snapshot(DBSnapshotIdentifier=f"{OLD}-final", DBInstanceIdentifier=OLD)
        yield client


def make(client: Any, identifier: str) -> None:
    client.create_db_instance(
        DBInstanceIdentifier=identifier,
        Engine="mysql",
        DBInstanceClass="db.t4g.medium",
        AllocatedStorage=100,
        MultiAZ=True,
        DeletionProtection=True,
        MasterUsername="a",
        MasterUserPassword="secret-secret",
        Tags=[
            {"Key": "pilotlight:retired-at", "Value": "2026-11-01T00:00:00+00:00"},
            {"Key": "pilotlight:divergence-rows", "Value": "7"},
        ],
    )


def there(client: Any) -> list[str]:
    return [one["DBInstanceIdentifier"] for one in client.describe_db_instances()["DBInstances"]]


def purge(identifier: str = OLD) -> int:
    return retired.main(["purge", "dev", identifier, PRIMARY, DR])


def test_what_is_kept_is_shown_with_its_cost_and_what_it_holds(rds: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert retired.main(["list", "dev", PRIMARY, DR]) == 0
    told = capsys.readouterr().out
    # 0.076 an hour and 0.137 a GiB, in two zones.
    for part in (OLD, PRIMARY, "db.t4g.medium, Multi-AZ, 100 GiB", "$138 a month", f"{OLD}-final", "days)", "7"):
        assert part in told
    assert "dev-db  " not in told


def test_nothing_retired_is_said_too(rds: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert retired.main(["list", "prod", PRIMARY]) == 0
    assert "no retired databases" in capsys.readouterr().out


@pytest.mark.parametrize("identifier", ["dev-db", "dev-db-retired-", "dev-db-retired-3x", "", "other-db-retired-3"])
def test_another_name_is_refused(rds: Any, identifier: str) -> None:
    with pytest.raises(SystemExit, match="no name of a retired database"):
        purge(identifier)


def test_one_that_does_not_exist_is_refused(rds: Any) -> None:
    with pytest.raises(SystemExit, match="in 0 of"):
        purge("dev-db-retired-4")


@pytest.mark.parametrize("given", ["dev-db-retired", "yes", "dev-db-retired-33"])
def test_anything_but_its_whole_name_does_nothing(rds: Any, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("CONFIRM", given)
    with pytest.raises(SystemExit, match="nothing was done"):
        purge()
    assert rds.describe_db_instances(DBInstanceIdentifier=OLD)["DBInstances"][0]["DeletionProtection"]


def test_where_nobody_can_type_the_name_has_to_be_given(rds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONFIRM")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(SystemExit, match=f"CONFIRM={OLD}"):
        purge()
    assert OLD in there(rds)


def test_without_a_final_snapshot_it_stays(rds: Any) -> None:
    rds.delete_db_snapshot(DBSnapshotIdentifier=f"{OLD}-final")
    with pytest.raises(SystemExit, match="no final snapshot"):
        purge()
    assert OLD in there(rds)


def test_one_that_is_in_use_stays(rds: Any) -> None:
    boto3.client("rds", region_name=DR).create_db_instance_read_replica(
        DBInstanceIdentifier="dev-db",
        SourceDBInstanceIdentifier=f"arn:aws:rds:{PRIMARY}:123456789012:db:{OLD}",
        SourceRegion=PRIMARY,
    )
    instance = rds.describe_db_instances(DBInstanceIdentifier=OLD)["DBInstances"][0]
    if not instance["ReadReplicaDBInstanceIdentifiers"]:
        pytest.skip("moto does not list the replica at its source")
    with pytest.raises(SystemExit, match="the source of"):
        purge()


def test_the_last_state_is_saved_once_more_and_the_others_stay(rds: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert purge() == 0
    assert there(rds) == ["dev-db"]
    names = [one["DBSnapshotIdentifier"] for one in rds.describe_db_snapshots()["DBSnapshots"]]
    assert f"{OLD}-final" in names
    assert [name for name in names if name.startswith(f"{OLD}-purged-")]
    assert "What stays" in capsys.readouterr().out


def test_a_deletion_that_is_refused_leaves_it_protected(rds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = boto3.client

    def refusing(service: str, **more: Any) -> Any:
        client = real(service, **more)  # type: ignore[call-overload]

        def delete(**_: Any) -> None:
            raise client.exceptions.InvalidDBInstanceStateFault(
                {"Error": {"Code": "InvalidDBInstanceState", "Message": "busy"}}, "DeleteDBInstance"
            )

        client.delete_db_instance = delete
        return client

    monkeypatch.setattr(boto3, "client", refusing)
    assert purge() == 1
    assert rds.describe_db_instances(DBInstanceIdentifier=OLD)["DBInstances"][0]["DeletionProtection"]
