"""Elastic Load Balancing: MiniStack keeps the records, ``lab.balancer`` makes them true.

By itself MiniStack calls every target healthy and forwards by host name on its own port. Here a load balancer's name is
``localhost``, its listeners bind their own ports, and health is what the probes find.
"""

from __future__ import annotations

from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ministack.services import alb
from ministack.services.cloudformation import provisioners

from lab.balancer import Health, HealthCheck, Response
from lab.emulator import here, replace
from lab.emulator.compute.wire import AwsError, Params, Reply, one, render
from lab.world import DR, PRIMARY

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.balancer import Balancer
    from lab.emulator.compute.instances import Fleet
    from lab.world import Lab

_CHANGING: Final = (
    "CreateLoadBalancer",
    "DeleteLoadBalancer",
    "CreateTargetGroup",
    "ModifyTargetGroup",
    "DeleteTargetGroup",
    "CreateListener",
    "ModifyListener",
    "DeleteListener",
    "RegisterTargets",
    "DeregisterTargets",
)
_TYPES: Final = tuple(f"AWS::ElasticLoadBalancingV2::{name}" for name in ("LoadBalancer", "TargetGroup", "Listener"))

CANONICAL_ZONES: Final = {PRIMARY: "Z32O12XQLNTSW2", DR: "Z215JYRZR1TBD5"}
"""The hosted zone of the load balancers' own names, one a region, as on AWS: an alias names it beside the name."""

_NOT_REGISTERED: Final = Health("unused", "Target.NotRegistered", "Target is not registered to the target group")
_ANY_ZONE: Final = "Z35SXDOTRQ7X7K"  # what MiniStack says in every region

_NOT_IN_USE: Final = Health(
    "unused", "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer"
)


class Door(NamedTuple):
    """Where a region's load balancer listens, and whether a healthy target is behind it."""

    port: int
    healthy: bool


class Targets:
    """The load balancers of every region.

    Parameters
    ----------
    lab
        Says which regions are lost.
    balancer
        What really listens, forwards and probes.
    fleet
        Where a target's instance listens.
    """

    def __init__(self, lab: Lab, balancer: Balancer, fleet: Fleet) -> None:
        self._lab = lab
        self._balancer = balancer
        self._fleet = fleet
        # What the balancer has been told, so that following what has not changed costs nothing.
        self._groups: dict[str, tuple[HealthCheck, set[str]]] = {}
        self._listening: dict[str, tuple[int, str | Response]] = {}

    def install(self) -> None:
        """Follow every change of MiniStack's records."""
        # In what is said, not in the record: MiniStack takes a request for a record's host name to be traffic for it.
        replace(alb, "_lb_xml", lambda original: lambda record: _said(original({**record, "DNSName": "localhost"})))
        for action in _CHANGING:
            alb._ACTION_MAP[action] = self._followed(alb._ACTION_MAP[action])
        for kind in _TYPES:
            handlers = provisioners._RESOURCE_HANDLERS[kind]
            for verb in ("create", "update", "delete"):
                handlers[verb] = self._provisioned(handlers[verb])

    def handlers(self) -> dict[str, Callable[[Params], Reply]]:
        """Return what answers which action of Elastic Load Balancing."""
        return {"DescribeTargetHealth": self.DescribeTargetHealth}

    # For the others of this package

    def exists(self, group: str) -> bool:
        """Say whether this region has such a target group."""
        return group in alb._tgs

    def register(self, group: str, instance_id: str) -> None:
        """Register an instance in a target group of this region."""
        if group in alb._tgs:
            known = alb._targets.setdefault(group, [])
            if not any(target["Id"] == instance_id for target in known):
                known.append({"Id": instance_id})
            self.follow()

    def deregister(self, group: str, instance_id: str) -> None:
        """Take an instance out of a target group of this region; it drains."""
        if group in alb._tgs:
            alb._targets[group] = [t for t in alb._targets.get(group, []) if t["Id"] != instance_id]
            self.follow()

    def health(self, group: str, instance_id: str) -> Health | None:
        """Return what the probes say of a target, or None when it is not (or no longer) in the group."""
        return self._balancer.health(group).get(instance_id)

    def follow(self) -> None:
        """Make the records of this region true: open and close listeners, add and drain targets.

        Raises
        ------
        OSError
            When a listener's port is taken on this machine.
        """
        region = here()
        self._follow_groups(region)
        self._follow_listeners(region)

    def lose(self, region: str) -> None:
        """Close every listener of a region at once."""
        for listener in [arn for arn in self._listening if _region(arn) == region]:
            self._shut(listener)

    def door(self, region: str) -> Door | None:
        """Return the first listener of the load balancers in the region that the caller acts in, lost or not."""
        records = sorted(alb._listeners.values(), key=lambda record: int(record["Port"]))
        for record in records:
            action = _action(record)
            found = self._balancer.health(action) if isinstance(action, str) else {}
            serving = any(health.state in ("healthy", "unavailable") for health in found.values())
            return Door(int(record["Port"]), serving and not self._lab.is_down(region))
        return None

    def listeners(self) -> list[dict[str, Any]]:
        """Return the open listeners, for the lab's status."""
        return [{"region": _region(arn), "listener": arn, "port": port} for arn, port in self._balancer.ports().items()]

    # Following

    def _follow_groups(self, region: str) -> None:
        for arn in [arn for arn in self._groups if _region(arn) == region and arn not in alb._tgs]:
            self._balancer.drop_group(arn)
            del self._groups[arn]
        for arn, record in alb._tgs.items():
            check, before = self._groups.get(arn, (None, set()))
            wanted, now = _check(record), {target["Id"] for target in alb._targets.get(arn, [])}
            if wanted != check:
                self._balancer.set_group(arn, wanted)
            for instance_id in now - before:
                self._balancer.register(arn, instance_id, partial(self._fleet.address, instance_id))
            for instance_id in before - now:
                self._balancer.deregister(arn, instance_id, _deregistration_delay(arn))
            self._groups[arn] = wanted, now

    def _follow_listeners(self, region: str) -> None:
        for arn in [arn for arn in self._listening if _region(arn) == region and arn not in alb._listeners]:
            self._shut(arn)
        if self._lab.is_down(region):
            return
        for arn, record in alb._listeners.items():
            wanted = int(record["Port"]), _action(record)
            if wanted != self._listening.get(arn):
                self._balancer.listen(arn, *wanted)
                self._listening[arn] = wanted

    def _shut(self, arn: str) -> None:
        self._balancer.shut(arn)
        # A request and the pulse may both have seen that it is to go.
        self._listening.pop(arn, None)

    def _followed(self, original: Callable[[Params], Reply]) -> Callable[[Params], Reply]:
        @wraps(original)
        def change(params: Params) -> Reply:
            listeners = {arn: dict(record) for arn, record in alb._listeners.items()}
            reply = original(params)
            try:
                self.follow()
            except OSError as error:
                _restore(listeners)
                return alb._error("InvalidConfigurationRequest", _taken(error))  # type: ignore[no-any-return]
            return reply

        return change

    def _provisioned(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def change(*args: Any, **kwargs: Any) -> Any:
            listeners = {arn: dict(record) for arn, record in alb._listeners.items()}
            result = original(*args, **kwargs)
            try:
                self.follow()
            except OSError as error:
                _restore(listeners)
                raise ValueError(_taken(error)) from error
            if isinstance(result, tuple) and "DNSName" in result[1]:
                result[1].update(DNSName="localhost", CanonicalHostedZoneID=CANONICAL_ZONES[here()])
            return result

        return change

    # Actions

    def DescribeTargetHealth(self, params: Params) -> Reply:
        """List the targets of a group and what the probes say of them."""
        group = one(params, "TargetGroupArn")
        if group not in alb._tgs:
            raise AwsError("TargetGroupNotFound", f"Target group '{group}' not found")
        found = self._balancer.health(group)
        record = alb._tgs[group]
        if not record["LoadBalancerArns"]:
            found = dict.fromkeys(found, _NOT_IN_USE)
        asked = [target["Id"] for target in alb._parse_targets_param(params)]
        if asked:
            found = {target: found.get(target, _NOT_REGISTERED) for target in asked}
        descriptions = [
            {
                "Target": {"Id": target, "Port": record["Port"]},
                "HealthCheckPort": str(record["Port"]),
                "TargetHealth": {
                    "State": health.state,
                    "Reason": health.reason or None,
                    "Description": health.description or None,
                },
            }
            for target, health in found.items()
        ]
        reply: Reply = alb._xml(
            200, "DescribeTargetHealth", render({"TargetHealthDescriptions": descriptions}, "member")
        )
        return reply


def _region(arn: str) -> str:
    return arn.split(":")[3]


def _check(record: dict[str, Any]) -> HealthCheck:
    return HealthCheck(
        path=record["HealthCheckPath"],
        interval=float(record["HealthCheckIntervalSeconds"]),
        timeout=float(record["HealthCheckTimeoutSeconds"]),
        healthy_threshold=int(record["HealthyThresholdCount"]),
        unhealthy_threshold=int(record["UnhealthyThresholdCount"]),
        codes=str(record["Matcher"]["HttpCode"]),
        enabled=bool(record["HealthCheckEnabled"]),
    )


def _deregistration_delay(group: str) -> float:
    given = {attribute["Key"]: attribute["Value"] for attribute in alb._tg_attrs.get(group, [])}
    return float(given.get("deregistration_delay.timeout_seconds", 300))


def _action(record: dict[str, Any]) -> str | Response:
    for action in record["DefaultActions"]:
        if action["Type"] == "forward" and action.get("TargetGroupArn"):
            return str(action["TargetGroupArn"])
        if action["Type"] == "fixed-response":
            given = action["FixedResponseConfig"]
            return Response(
                int(given.get("StatusCode", 200)), given.get("ContentType", "text/plain"), given.get("MessageBody", "")
            )
    return Response(503)


def _said(load_balancer: str) -> str:
    return load_balancer.replace(_ANY_ZONE, CANONICAL_ZONES[here()])


def _restore(listeners: dict[str, dict[str, Any]]) -> None:
    for arn in [arn for arn in alb._listeners if arn not in listeners]:
        alb._listeners.pop(arn)
    for arn, record in listeners.items():
        alb._listeners[arn] = record


def _taken(error: OSError) -> str:
    return f"the listener cannot be opened on this machine: {error.strerror or error}"
