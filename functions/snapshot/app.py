"""Brings the frozen source's database over to the target by a snapshot. Nothing is deleted, whatever becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pilotlight.aws import clients, database, parameters, snapshots, standby
from pilotlight.decide import restore
from pilotlight.step import Call, current, serve

if TYPE_CHECKING:
    from pilotlight.model import DatabaseSnapshot, Json


def take(call: Call) -> Json:
    """Bring the snapshot of the source one move closer, and say how far it is."""
    plan, name = call.plan, _name(call)
    rds = clients.at("rds", plan.source)
    found = standby.snapshot(name, rds)
    move = restore.next_snapshot_move(found, name, call.waited, plan.budgets.snapshot)
    if move == "ask":
        tags = {"pilotlight:environment": plan.environment, "pilotlight:switch-epoch": str(plan.epoch)}
        standby.take_snapshot(name, plan.database, tags, rds)
    return _answer(call, move, found)


def copy(call: Call) -> Json:
    """Bring the copy in the target one move closer, and say how far it is."""
    plan, name = call.plan, _name(call)
    rds = clients.at("rds", plan.target)
    found = standby.snapshot(name, rds)
    move = restore.next_snapshot_move(found, name, call.waited, plan.budgets.snapshot)
    if move == "ask":
        _, partition, _, _, account, *_ = call.execution.split(":")
        source = f"arn:{partition}:rds:{plan.source}:{account}:snapshot:{name}"
        snapshots.copy(name, source, f"alias/{plan.environment}-pilotlight", rds)
    return _answer(call, move, found)


def bring_back(call: Call) -> Json:
    """Bring the restored database one move closer to being there and like the old one, and say where it is.

    It stands behind its closed door until the switch opens what it brings up. Its settings are asked for once: the
    service is down meanwhile, and RDS may say a value in other words than it was told.
    """
    plan = call.plan
    rds = clients.at("rds", plan.target)
    found = database.describe(plan.database, rds)
    wanted, settled = _shape(call), bool(call.payload.get("settled", False))
    differing: Json = {}
    if found is not None and found.status == "available" and not settled:
        differing = restore.differing(snapshots.to_settle(wanted), snapshots.settings(plan.database, rds))
    move = restore.next_restore_move(found, differing, plan.database, call.waited, plan.budgets.snapshot)
    if move == "restore":
        doors = database.doors(plan.environment, clients.at("ec2", plan.target))
        snapshots.restore(plan.database, _name(call), wanted, doors.closed, rds)
    elif move == "settle":
        snapshots.settle(plan.database, differing, rds)
    elif move == "done" and found is not None:
        _tell_where(call, found.host, found.port)
    return {
        "done": move == "done",
        "status": found.status if found else "asked for",
        "host": found.host if found else "",
        "port": found.port if found else 0,
        "settled": settled or move == "settle",
        "waited": call.waited,
    }


def _name(call: Call) -> str:
    return call.environment.names.moved(call.epoch)


def _answer(call: Call, move: str, found: DatabaseSnapshot | None) -> Json:
    return {"done": move == "done", "status": found.status if found else "asked for", "waited": call.waited}


def _shape(call: Call) -> Json:
    """Say what the restored one shall be like: what stood there last, or else its source."""
    plan, names = call.plan, call.environment.names
    rds = clients.at("rds", plan.target)
    kept, first = standby.identifiers(names.retired_prefix, rds), names.retired(call.store.read().since)
    last = restore.model(kept, first, names.retired_prefix)
    days: Json = {"BackupRetentionPeriod": plan.backup_retention_days}
    old = database.describe(last, rds) if last else None
    if old is None:
        return (
            standby.plain_shape(plan.environment, standby.shape(plan.database, clients.at("rds", plan.source))) | days
        )
    days["BackupRetentionPeriod"] = max(plan.backup_retention_days, old.backup_retention_days)
    windows = {"PreferredBackupWindow": old.backup_window, "PreferredMaintenanceWindow": old.maintenance_window}
    return standby.shape(last, rds) | days | {name: value for name, value in windows.items() if value}


def _tell_where(call: Call, host: str, port: int) -> None:
    """Put the target's parameters right, where they are not: the application finds its database by them."""
    prefix, ssm = call.environment.prefix, clients.at("ssm", call.plan.target)
    wanted = {f"{prefix}/database-endpoint": host, f"{prefix}/database-port": str(port)}
    have = parameters.values(tuple(wanted), ssm)
    for name, value in wanted.items():
        if have.get(name) != value:
            parameters.put(name, value, ssm)


handler = serve("snapshot", {"take": current(take), "copy": current(copy), "restore": current(bring_back)})
