"""RDS for MySQL on real MariaDB servers.

MiniStack keeps RDS's groups, tags and look-ups; instances and snapshots are ours. Where MiniStack starts a container,
or nothing at all when CloudFormation asks, an instance here is a process whose data replicates, dies and is promoted.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from lab.emulator import here, replace, scope
from lab.emulator.rds import parameters, provisioner, wire
from lab.emulator.rds.actions import Actions
from lab.emulator.rds.controls import Controls
from lab.emulator.rds.fleet import Fleet
from lab.emulator.rds.provisioner import Provisioner
from lab.emulator.rds.records import Records
from lab.emulator.rds.snapshots import Snapshots
from lab.emulator.rds.wire import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lab.world import Lab

_MINUTE: Final = 60.0
# A set-up that runs fast-forward would measure more often than anything can look.
_SHORTEST_REAL_MINUTE: Final = 1.0


def install(lab: Lab) -> None:
    """Put MariaDB servers behind MiniStack's RDS.

    Parameters
    ----------
    lab
        Loses and returns regions; its controls get the group ``database``.
    """
    from ministack.services import rds
    from ministack.services.cloudformation import provisioners, stacks

    fleet = Fleet(lab)
    records = Records(fleet)
    snapshots = Snapshots(fleet, records)
    actions = Actions(fleet, records, snapshots)

    for service in (actions, snapshots):
        for name in service.NAMES:
            rds._ACTION_MAP[name] = _handler(rds, name, getattr(service, name))

    # MiniStack writes an instance's XML without its replication state, and empty elements for what is not there.
    def instance_xml(_original: Callable[[Any], str]) -> Callable[[Any], str]:
        def write(record: Mapping[str, Any]) -> str:
            database = fleet.find(here(), record["DBInstanceArn"])
            return wire.element("DBInstance", records.shown(database) if database else record)

        return write

    replace(rds, "_instance_xml", instance_xml)
    replace(rds, "_snapshot_xml", lambda _original: lambda record: wire.element("DBSnapshot", record))
    replace(rds, "_apply_parameter_group_changes", lambda _original: _parameter_changes(rds, fleet))

    handlers = Provisioner(fleet, actions, snapshots)
    provisioners._RESOURCE_HANDLERS[provisioner.TYPE].update(
        create=handlers.create, update=handlers.update, delete=handlers.delete, snapshot=handlers.snapshot
    )
    naming = provisioners._CUSTOM_NAME_REPLACEMENT[provisioner.TYPE]
    naming["requires_replacement"] = provisioner.replaced_when(naming["requires_replacement"])
    # An instance takes its time: elsewhere than on the loop that answers everybody.
    replace(stacks, "_runs_on_worker_thread", lambda original: lambda kind: kind == provisioner.TYPE or original(kind))

    controls = Controls(fleet)
    lab.controls["database"] = controls.table()
    lab.report("databases", controls.list_all)
    lab.spawn(lambda: _measure(lab, fleet), "rds-replica-lag")


def _handler(rds: Any, name: str, act: Callable[[str, dict[str, Any]], Mapping[str, Any]]) -> Callable[[Any], Any]:
    def handle(request: Mapping[str, Any]) -> Any:
        try:
            result = act(here(), wire.read(name, request))
        except ApiError as error:
            return rds._error(error.code, wire.escaped(error.message), error.status)
        return rds._xml(200, f"{name}Response", wire.answer(name, result))

    return handle


def _parameter_changes(rds: Any, fleet: Fleet) -> Callable[..., Any]:
    """Apply the changes of a group to the instances that use it; the answer is a refusal or None."""

    def apply(group: str, changes: Iterable[tuple[str, str | None, str]], refuse_static: bool = True) -> Any:
        changes = list(changes)
        at_once = {name: value for name, value, method in changes if method == "immediate"}
        if refuse_static and any(map(parameters.is_static, at_once)):
            return rds._error(
                "InvalidParameterCombination", "cannot use immediate apply method for static parameter", 400
            )
        region = here()
        for database in fleet.all():
            memberships = database.record.get("DBParameterGroups") or [{}]
            if database.region != region or memberships[0].get("DBParameterGroupName") != group:
                continue
            # What is reset needs its default, which the server knows when it starts.
            if len(at_once) < len(changes) or None in at_once.values():
                memberships[0]["ParameterApplyStatus"] = "pending-reboot"
            given = {name: value for name, value in at_once.items() if value is not None}
            fleet.set_globals(database, parameters.options(given, replica=database.source is not None), given)
        return None

    return apply


def _measure(lab: Lab, fleet: Fleet) -> None:
    """Put ReplicaLag into each replica's region every AWS minute, as RDS does: -1 while replication is broken."""
    from ministack.services import cloudwatch

    measured = 0.0
    while lab.clock.sleep_aws(_MINUTE):
        if time.monotonic() - measured < _SHORTEST_REAL_MINUTE:
            continue
        measured = time.monotonic()
        for database in fleet.all():
            if not database.source or database.status == "creating" or lab.is_down(database.region):
                continue
            standing = fleet.replication(database)
            lag = -1 if standing is None or standing.lag_seconds is None else standing.lag_seconds
            with scope(lab, database.region):
                cloudwatch._store_datum(
                    "AWS/RDS",
                    "ReplicaLag",
                    {"DBInstanceIdentifier": database.identifier},
                    time.time(),
                    "Seconds",
                    lag,
                    None,
                    None,
                    None,
                )
