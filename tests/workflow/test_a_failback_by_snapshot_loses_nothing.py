"""Where no replica can be had, the database goes back by a snapshot that is taken of a frozen DR: killed in the freeze,
started again, and no promised write is lost. In this order, on one system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.workflow.clients import Clients, orders
from tests.workflow.operator import DR, FAILBACK, PRIMARY, Operator

if TYPE_CHECKING:
    from tests.workflow.operator import End

BY_SNAPSHOT = {"method": "snapshot", "reason": "another key"}
# AWS seconds in one: the freeze is long by nature, and how long is not what is looked at here.
IN_A_HURRY = 100


def instance(operator: Operator, name: str, region: str = PRIMARY) -> dict[str, Any]:
    found: dict[str, Any] = operator.lab.client("rds", region).describe_db_instances(DBInstanceIdentifier=name)[
        "DBInstances"
    ][0]
    return found


def instances(operator: Operator, region: str = PRIMARY) -> dict[str, str]:
    """List a region's instances, with what names each for good."""
    found = operator.lab.client("rds", region).describe_db_instances()["DBInstances"]
    return {one["DBInstanceIdentifier"]: one["DbiResourceId"] for one in found}


def fail_back(operator: Operator, **fields: str) -> End:
    return operator.end_of(operator.start(FAILBACK, **fields), 240)


def test_dr_has_taken_over_and_the_primary_is_back(operator: Operator) -> None:
    operator.until(lambda: operator.order(operator.door(PRIMARY), "first"), "an order is acknowledged")
    operator.lab.lose(PRIMARY, "refuse")
    ended = operator.fail_over()
    assert ended.status == "SUCCEEDED", ended.cause
    operator.lab.bring_back(PRIMARY)
    operator.lab.set_scale(IN_A_HURRY)


def test_killed_while_the_copy_is_made_the_next_start_opens_dr_and_goes_on(operator: Operator) -> None:
    operator.kill("Give the copy time", FAILBACK, "switch", **BY_SNAPSHOT)
    assert not operator.order(operator.door(DR), "in-between")
    assert "dev-db" not in instances(operator)


def test_killed_while_it_is_restored_nothing_is_deleted(operator: Operator) -> None:
    operator.kill("Give the restore time", FAILBACK, "switch", **BY_SNAPSHOT)
    assert not operator.order(operator.door(DR), "in-between")
    before = instances(operator)
    assert "dev-db" in before
    operator.until(lambda: instance(operator, "dev-db")["DBInstanceStatus"] == "available", "it is restored", 60)


def test_started_again_it_ends_well_and_no_promised_write_is_lost(operator: Operator) -> None:
    before = instances(operator)
    with Clients(operator, DR) as clients:
        arn = operator.start(FAILBACK, **BY_SNAPSHOT)
        # DR is opened first; the stale one that was restored before makes room; then all from the beginning.
        operator.until(lambda: len(clients.promised) > 20, "DR takes writes again", 120)
        ended = operator.end_of(arn, 240)
    assert ended.status == "SUCCEEDED", ended.cause
    parts = [child.rsplit(":", 1)[-1].removeprefix(arn.rsplit(":", 1)[-1]) for child in operator.children(arn)]
    assert parts == ["-switch", "-protect-primary", "-image", "-switch-again", "-protect-dr"]
    assert {"first", *clients.promised} - orders(operator, PRIMARY) == set()

    output = ended.output
    assert (output["outcome"], output["method"]) == ("failed-back", "snapshot")
    assert output["primary"]["outcome"] == "retired"
    assert "estimate" in output["switchover"]["plan"]["freeze_estimate"]
    assert (output["dr"]["outcome"], output["dr"]["region"]) == ("protected", DR)
    assert output["dr"]["divergence"]["rows"] == 0, output["dr"]["divergence"]
    # Nothing of what was a database is gone.
    assert set(before.values()) <= set(instances(operator).values())


def test_the_restored_one_is_what_the_old_one_was(operator: Operator) -> None:
    kept, seen = instance(operator, "dev-db-retired-1"), instance(operator, "dev-db")
    for same in (
        *("DBInstanceClass", "StorageType", "KmsKeyId", "MultiAZ", "BackupRetentionPeriod", "PreferredBackupWindow"),
        *("PreferredMaintenanceWindow", "CopyTagsToSnapshot", "AutoMinorVersionUpgrade", "MaxAllocatedStorage"),
        *("EnabledCloudwatchLogsExports", "CACertificateIdentifier", "PubliclyAccessible", "DeletionProtection"),
    ):
        assert seen.get(same) == kept.get(same), same
    assert "pilotlight:role" not in {tag["Key"] for tag in seen["TagList"]}
    ssm = operator.lab.client("ssm", PRIMARY)
    for name, value in (
        ("database-endpoint", seen["Endpoint"]["Address"]),
        ("database-port", seen["Endpoint"]["Port"]),
    ):
        assert ssm.get_parameter(Name=f"/dev/pilotlight/{name}")["Parameter"]["Value"] == str(value)


def test_all_is_as_on_the_first_day(operator: Operator) -> None:
    operator.lab.set_scale(20)
    record, seen, standby = operator.record(), operator.posture(PRIMARY), operator.posture(DR)
    assert (record["active_region"], record["lock"]) == (PRIMARY, "free")
    assert seen["database"] == ("available", "")
    assert (seen["sizes"], seen["orders"], seen["active"]) == ((2, 2, 4), True, PRIMARY)
    assert standby["database"] == ("available", f"arn:aws:rds:{PRIMARY}:000000000000:db:dev-db")
    assert (standby["sizes"][:2], standby["orders"], standby["active"]) == ((0, 0), False, PRIMARY)
    assert operator.order(operator.door(PRIMARY), "home-again")
