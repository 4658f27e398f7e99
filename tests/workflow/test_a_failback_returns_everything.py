"""The primary is lost and comes back, and the service returns to it under writes. In the end all is as on the first
day: the same active region, the same protection, the same stacks. In this order, on one system."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from tests.lab.running import ACCOUNT, ROOT
from tests.workflow.clients import Clients, orders
from tests.workflow.operator import DR, FAILBACK, PRIMARY, REPROTECT, Operator

if TYPE_CHECKING:
    from tests.workflow.operator import End

# AWS seconds in one: what RDS takes for replicas and snapshots is not what is looked at here.
IN_A_HURRY = 100


def deployments_change_nothing(operator: Operator, *regions: str) -> None:
    before = {region: operator.posture(region) for region in regions}
    for region in regions:
        assert "No changes to deploy" in operator.lab.deploy(region)
    assert {region: operator.posture(region) for region in regions} == before


def is_a_replica_of(operator: Operator, region: str, other: str) -> bool:
    found = operator.database(region)
    return (
        found["DBInstanceStatus"] == "available"
        and found.get("ReadReplicaSourceDBInstanceIdentifier", "") == f"arn:aws:rds:{other}:000000000000:db:dev-db"
        and [info["Status"] for info in found["StatusInfos"]] == ["replicating"]
    )


def instances(operator: Operator, region: str) -> set[str]:
    found = operator.lab.client("rds", region).describe_db_instances()["DBInstances"]
    return {one["DBInstanceIdentifier"] for one in found}


def command(operator: Operator, *arguments: str, confirm: str = "") -> subprocess.CompletedProcess[str]:
    """Run what `make retired` and `make retire-purge` run, where nobody can type."""
    environment = os.environ | {
        "AWS_ENDPOINT_URL": operator.lab.endpoint,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "lab",
        "CONFIRM": confirm,
    }
    return subprocess.run(
        [ROOT / ".venv/bin/python", "-m", "scripts.retired", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def fail_back(operator: Operator, **fields: str) -> End:
    return operator.end_of(operator.start(FAILBACK, **fields), 240)


def test_a_system_that_is_well_is_left_alone(operator: Operator) -> None:
    before = operator.posture(PRIMARY), operator.posture(DR), operator.record()
    arn = operator.start(FAILBACK)
    ended = operator.end_of(arn)
    assert (ended.status, ended.output["outcome"]) == ("SUCCEEDED", "already-back"), ended.cause
    assert operator.children(arn) == []
    assert (operator.posture(PRIMARY), operator.posture(DR), operator.record()) == before
    refused = fail_back(operator, method="magic")
    assert (refused.status, refused.error) == ("FAILED", "PreconditionFailed")
    assert "'method' is 'magic'" in refused.cause


def test_dr_takes_over(operator: Operator) -> None:
    operator.until(lambda: operator.order(operator.door(PRIMARY), "first"), "an order is acknowledged")
    operator.lab.lose(PRIMARY, "refuse")
    ended = operator.fail_over()
    assert ended.status == "SUCCEEDED", ended.cause
    deployments_change_nothing(operator, DR)


def test_without_the_primary_the_way_back_says_so_and_dr_serves_on(operator: Operator) -> None:
    ended = fail_back(operator)
    assert ended.status == "FAILED"
    for told in ("'Re-protect the primary' did not succeed", f"{DR} is the active region", "goes on where it stopped"):
        assert told in ended.cause
    assert operator.order(operator.door(DR), "during")


def test_the_primary_comes_back_and_is_protected_first(operator: Operator) -> None:
    operator.lab.bring_back(PRIMARY)
    operator.lab.set_scale(IN_A_HURRY)
    ended = operator.end_of(operator.start(REPROTECT), 240)
    assert ended.status == "SUCCEEDED", ended.cause
    operator.lab.set_scale(20)


def test_the_service_returns_under_writes_and_no_promised_one_is_lost(operator: Operator) -> None:
    with Clients(operator, DR) as clients:
        operator.until(lambda: len(clients.promised) > 50, "the clients write")
        arn = operator.start(FAILBACK, reason="the event is over")
        switch = operator.child(arn, "switch")
        assert operator.end_of(switch).status == "SUCCEEDED"
        operator.lab.set_scale(IN_A_HURRY)
        ended = operator.end_of(arn, 240)
        operator.lab.set_scale(20)
    assert ended.status == "SUCCEEDED", ended.cause
    assert ({"first", "during", *clients.promised}) - orders(operator, PRIMARY) == set()

    output = ended.output
    assert (output["outcome"], output["method"]) == ("failed-back", "replica")
    assert output["primary"]["outcome"] == "already-protected"
    assert (output["switchover"]["target"], output["switchover"]["mode"]) == (PRIMARY, "graceful")
    assert (output["dr"]["outcome"], output["dr"]["region"]) == ("protected", DR)
    assert output["dr"]["divergence"]["rows"] == 0, output["dr"]["divergence"]
    assert output["dr"]["retired"] in output["next"]
    parent = arn.rsplit(":", 1)[-1]
    names = [child.rsplit(":", 1)[-1] for child in operator.children(arn)]
    assert names == [f"{parent}-{part}" for part in ("protect-primary", "image", "switch", "protect-dr")]


def test_everything_is_as_on_the_first_day(operator: Operator) -> None:
    record = operator.record()
    assert (record["active_region"], record["lock"]) == (PRIMARY, "free")
    assert is_a_replica_of(operator, DR, PRIMARY)
    seen, standby = operator.posture(PRIMARY), operator.posture(DR)
    assert seen["database"] == ("available", "")
    assert (seen["sizes"], seen["orders"], seen["active"]) == ((2, 2, 4), True, PRIMARY)
    assert (standby["sizes"][:2], standby["orders"], standby["active"]) == ((0, 0), False, PRIMARY)
    assert operator.order(operator.door(PRIMARY), "home-again")
    for region in (PRIMARY, DR):
        (retired,) = instances(operator, region) - {"dev-db"}
        assert retired.startswith("dev-db-retired-")
    again = fail_back(operator)
    assert again.output["outcome"] == "already-back"


def test_the_stacks_go_on_as_before(operator: Operator) -> None:
    deployments_change_nothing(operator, PRIMARY, DR)
    before = operator.posture(PRIMARY), operator.posture(DR), instances(operator, PRIMARY), instances(operator, DR)
    for region in (PRIMARY, DR):
        operator.lab.deploy(region, LogRetentionDays="30")
    after = operator.posture(PRIMARY), operator.posture(DR), instances(operator, PRIMARY), instances(operator, DR)
    assert after == before


def test_a_retired_database_is_removed_by_its_whole_name_and_stays_as_snapshots(operator: Operator) -> None:
    (identifier,) = instances(operator, PRIMARY) - {"dev-db"}
    listed = command(operator, "list", "dev", PRIMARY, DR)
    assert listed.returncode == 0, listed.stderr
    for told in (identifier, f"{identifier}-final (available)", "a month", "days)", "divergence-rows"):
        assert told in listed.stdout, listed.stdout

    for wrong, given in (("dev-db", "dev-db"), (identifier, "yes"), (identifier, "")):
        refused = command(operator, "purge", "dev", wrong, PRIMARY, DR, confirm=given)
        assert refused.returncode != 0
    assert instances(operator, PRIMARY) == {"dev-db", identifier}
    found = operator.lab.client("rds", PRIMARY).describe_db_instances(DBInstanceIdentifier=identifier)
    assert found["DBInstances"][0]["DeletionProtection"]

    removed = command(operator, "purge", "dev", identifier, PRIMARY, DR, confirm=identifier)
    assert removed.returncode == 0, removed.stdout + removed.stderr
    operator.until(lambda: instances(operator, PRIMARY) == {"dev-db"}, "it is removed", 120)
    snapshots = operator.lab.client("rds", PRIMARY).describe_db_snapshots()["DBSnapshots"]
    kept = {one["DBSnapshotIdentifier"] for one in snapshots if one["Status"] == "available"}
    assert f"{identifier}-final" in kept
    assert [name for name in kept if name.startswith(f"{identifier}-purged-")]
    assert operator.order(operator.door(PRIMARY), "after-the-removal")


def test_a_stack_that_is_deleted_leaves_the_data(operator: Operator) -> None:
    before = instances(operator, DR)
    tables = operator.lab.client("dynamodb")
    stacks = operator.lab.client("cloudformation")
    stacks.update_termination_protection(StackName="dev-pilotlight", EnableTerminationProtection=False)
    stacks.delete_stack(StackName="dev-pilotlight")

    def gone() -> bool:
        found = stacks.describe_stacks()["Stacks"]
        return "dev-pilotlight" not in {one["StackName"] for one in found if one["StackStatus"] != "DELETE_COMPLETE"}

    operator.until(gone, "the stack is deleted", 120)
    assert instances(operator, DR) == before
    assert is_a_replica_of(operator, DR, PRIMARY)
    assert "dev-dr-state" in tables.list_tables()["TableNames"]
    assert operator.order(operator.door(PRIMARY), "still-here")
