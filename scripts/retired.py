"""Databases that lost their role and are kept: lists them, or removes one of them.

usage: retired.py list ENVIRONMENT REGION...
       retired.py purge ENVIRONMENT IDENTIFIER REGION...

Purging removes one database for good, after its whole name was typed (or given as CONFIRM). It wants an available final
snapshot, takes one more, and leaves snapshots and automated backups where they are.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from scripts.console import acts_on, client, confirm, is_nobody, order, run

# Assumptions, as in docs/costs.md: dollars an hour in one zone, and dollars a GiB and month of gp3 in one zone.
_HOURLY = {
    "db.t4g.micro": 0.019,
    "db.t4g.small": 0.038,
    "db.t4g.medium": 0.076,
    "db.t4g.large": 0.152,
    "db.t4g.xlarge": 0.303,
    "db.m7g.large": 0.199,
    "db.m7g.xlarge": 0.398,
    "db.r7g.large": 0.291,
    "db.r7g.xlarge": 0.582,
}
_GIB_MONTH = 0.137
_HOURS = 730
_TELLS = ("pilotlight:retired-", "pilotlight:divergence-")


def is_retired(environment: str, identifier: str) -> bool:
    """Whether a name is one that only a database has that lost its role."""
    return re.fullmatch(rf"{re.escape(environment)}-db-retired-\d+", identifier) is not None


def monthly(instance: dict[str, Any]) -> str:
    """Say what an instance costs a month by assumed list prices."""
    zones = 2 if instance.get("MultiAZ") else 1
    storage = instance["AllocatedStorage"] * _GIB_MONTH * zones
    hourly = _HOURLY.get(instance["DBInstanceClass"])
    if hourly is None:
        return f"${storage:.0f} and its class"
    return f"${storage + hourly * _HOURS * zones:.0f}"


def tags(instance: dict[str, Any]) -> dict[str, str]:
    """Read what an instance's tags tell of its retirement."""
    return {tag["Key"]: tag["Value"] for tag in instance.get("TagList", []) if tag["Key"].startswith(_TELLS)}


def found(environment: str, region: str) -> list[dict[str, Any]]:
    """List a region's retired databases."""
    rds: Any = client("rds", region)
    pages = rds.get_paginator("describe_db_instances").paginate()
    instances = [instance for page in pages for instance in page["DBInstances"]]
    return [instance for instance in instances if is_retired(environment, instance["DBInstanceIdentifier"])]


def snapshots(identifier: str, region: str) -> list[dict[str, Any]]:
    """List the manual snapshots of an instance under this or an earlier name, oldest first."""
    rds: Any = client("rds", region)
    instance = rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
    pages = rds.get_paginator("describe_db_snapshots").paginate(SnapshotType="manual")
    return sorted(
        (
            snapshot
            for page in pages
            for snapshot in page["DBSnapshots"]
            # The instance's own id outlives its name.
            if identifier == snapshot["DBInstanceIdentifier"]
            or instance.get("DbiResourceId") == snapshot.get("DbiResourceId", "none")
        ),
        key=lambda snapshot: str(snapshot.get("SnapshotCreateTime", "")),
    )


def show(environment: str, regions: list[str]) -> int:
    """Print every retired database."""
    any_at_all = False
    for region in regions:
        try:
            instances = found(environment, region)
        except (ClientError, BotoCoreError) as error:
            # A region that does not answer must not hide the other one.
            if is_nobody(error):
                raise
            print(f"{region} did not answer: {error}")
            continue
        for instance in instances:
            any_at_all = True
            identifier, told = instance["DBInstanceIdentifier"], tags(instance)
            since = told.get("pilotlight:retired-at")
            zones = ", Multi-AZ" if instance.get("MultiAZ") else ""
            print(f"{identifier}  {region}  {instance['DBInstanceStatus']}")
            print(f"  size    {instance['DBInstanceClass']}{zones}, {instance['AllocatedStorage']} GiB")
            print(f"  cost    {monthly(instance)} a month (assumed list prices)")
            print(f"  since   {_age(since) if since else 'unknown'}")
            kept = [f"{one['DBSnapshotIdentifier']} ({one['Status']})" for one in snapshots(identifier, region)]
            print(f"  final   {', '.join(kept) or 'NO SNAPSHOT'}")
            for name, value in sorted(told.items()):
                print(f"  {name.removeprefix('pilotlight:')}  {value}")
    if not any_at_all:
        print("no retired databases")
    else:
        print(f"\nTo remove one: {order('retire-purge', environment, regions[-1], regions[0])} ID=<its name>")
    return 0


def _age(since: str) -> str:
    try:
        days = (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(since)).days
    except (ValueError, TypeError):
        return since
    return f"{since} ({days} days)"


def purge(environment: str, identifier: str, regions: list[str]) -> int:
    """Remove one retired database.

    Returns
    -------
    int
        0 when RDS has taken the request.

    Raises
    ------
    SystemExit
        Its name is not one, it is in use, it is not saved, or it was not confirmed. Nothing was done.
    """
    acts_on(environment, " and ".join(regions))
    region, instance = _to_remove(environment, identifier, regions)
    kept = [one["DBSnapshotIdentifier"] for one in snapshots(identifier, region) if one["Status"] == "available"]
    if not kept:
        raise SystemExit(f"{identifier} has no final snapshot that is available: take one. Nothing was done.")
    last = f"{identifier}-purged-{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}"
    print(f"{identifier} in {region} will be removed for good. What it holds stays in the snapshots:")
    print("\n".join(f"  {name}" for name in (*kept, f"{last} (taken at the deletion)")))
    for name, value in sorted(tags(instance).items()):
        print(f"  {name.removeprefix('pilotlight:')}  {value}")
    confirm(identifier, "its removal")
    rds = client("rds", region)
    # Only now: until here nobody could delete it.
    rds.modify_db_instance(DBInstanceIdentifier=identifier, DeletionProtection=False, ApplyImmediately=True)
    try:
        rds.delete_db_instance(
            DBInstanceIdentifier=identifier, FinalDBSnapshotIdentifier=last, DeleteAutomatedBackups=False
        )
    except ClientError as error:
        rds.modify_db_instance(DBInstanceIdentifier=identifier, DeletionProtection=True, ApplyImmediately=True)
        print(f"RDS refused, and it is protected again: {error}")
        return 1
    print(
        f"{identifier} is being deleted. What stays and is paid for: the snapshots above, and its automated backups "
        "until they are as old as they may get."
    )
    return 0


def _to_remove(environment: str, identifier: str, regions: list[str]) -> tuple[str, dict[str, Any]]:
    if not is_retired(environment, identifier):
        raise SystemExit(f"'{identifier}' is no name of a retired database ({environment}-db-retired-<number>).")
    where = [
        (region, one)
        for region in regions
        for one in found(environment, region)
        if one["DBInstanceIdentifier"] == identifier
    ]
    if len(where) != 1:
        raise SystemExit(f"{identifier} is in {len(where)} of {', '.join(regions)}, not in one. Nothing was done.")
    _, instance = where[0]
    status, replicas = instance["DBInstanceStatus"], instance.get("ReadReplicaDBInstanceIdentifiers", [])
    if status != "available" or replicas or instance.get("ReadReplicaSourceDBInstanceIdentifier"):
        roles = f", the source of {', '.join(replicas)}" if replicas else ""
        raise SystemExit(f"{identifier} is '{status}'{roles}, not available and without a role. Nothing was done.")
    return where[0]


def main(arguments: list[str]) -> int:
    """Do what was asked.

    Returns
    -------
    int
        The exit status.
    """
    match arguments:
        case ["list", environment, *regions] if regions:
            return show(environment, regions)
        case ["purge", environment, identifier, *regions] if regions:
            return purge(environment, identifier, regions)
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(run(main, sys.argv[1:]))
