"""Route 53: health checks that follow something, answers that follow the health checks, and the types that stacks need.

Route 53 is global: MiniStack keeps zones, records and health checks once for all regions, and nothing here stops with
a region. How an answer is chosen is in ``lab.resolver``.
"""

from __future__ import annotations

import http.client
import ssl
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from lab.emulator import replace, scope
from lab.emulator.cloudwatch import breaching
from lab.emulator.compute import front_door
from lab.emulator.compute.targets import CANONICAL_ZONES
from lab.resolver import ALIAS_TTL, Answer, Opinion, choose, is_healthy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lab.world import Lab

    Handler = Callable[..., Any]
    Record = Mapping[str, Any]

_ADDRESS: Final = "127.0.0.1"
_METRIC_INTERVAL: Final = 30
"""AWS seconds between two looks of a health check, at its alarm's data too."""
_BEAT: Final = 10
_PROBE_SECONDS: Final = 4.0
"""AWS seconds that an endpoint has to answer, and never less than `_LEAST_SECONDS` here."""
_LEAST_SECONDS: Final = 3.0
_ENDPOINTS: Final = ("HTTP", "HTTPS")
_METRICS_REGION: Final = "us-east-1"
_METRICS_SECONDS: Final = 60
_BOOLEANS: Final = ("Inverted", "Disabled", "MeasureLatency", "EnableSNI")


def install(lab: Lab) -> None:
    """Complete MiniStack's Route 53.

    Parameters
    ----------
    lab
        Gets its ``resolve``, and a line in its status.
    """
    checks = _Checks(lab)
    lab.every(lambda: _BEAT - lab.clock.aws_now() % _BEAT, checks.look, "lab-health-checks")
    lab.resolve = _Resolver(lab, checks).resolve
    calls = _count_calls(lab)
    lab.report("route53", lambda: {"calls_since_ready": len(calls), "calls": calls[-20:], "checks": checks.told()})
    _say_booleans_as_aws_does()
    _health_checks_of_stacks()
    _record_set_groups_of_stacks()


class _Checks:
    """What each health check is held to be."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._opinions: dict[str, Opinion] = {}
        self._told = 0

    def healthy(self, identity: str) -> bool:
        """Say whether a health check is healthy; one that is not known yet is."""
        opinion = self._opinions.get(identity)
        return opinion is None or opinion.healthy

    def told(self) -> dict[str, bool]:
        """Return every health check by id, for the lab's status."""
        return {identity: opinion.healthy for identity, opinion in dict(self._opinions).items()}

    def look(self) -> None:
        """Look at what is due to be looked at."""
        from ministack.services import route53

        beat = round(self._lab.clock.aws_now() / _BEAT)
        with scope(self._lab, self._lab.regions[0]):
            found = {identity: dict(check["config"]) for identity, check in list(route53._health_checks.items())}
        for identity in self._opinions.keys() - found.keys():
            del self._opinions[identity]
        self._tell()
        for identity, config in found.items():
            opinion = self._opinions.setdefault(identity, Opinion(config))
            opinion.config = config
            self._look(opinion, beat)

    def _look(self, opinion: Opinion, beat: int) -> None:
        config = opinion.config
        kind, interval = config.get("Type"), int(config.get("RequestInterval", _METRIC_INTERVAL))
        if beat % max(1, interval // _BEAT):
            return
        if kind == "CLOUDWATCH_METRIC":
            alarm = config.get("AlarmIdentifier", {})
            region, name = alarm.get("Region", ""), alarm.get("Name", "")
            # From a lost region no data arrives.
            reached = region in self._lab.regions and not self._lab.is_down(region)
            opinion.learn_from_alarm(breaching(self._lab, region, name) if reached else None)
        elif kind in _ENDPOINTS:
            self._lab.spawn(lambda: opinion.learn_from_probe(_answers(self._lab, config)), "lab-health-probe")

    def _tell(self) -> None:
        """Tell CloudWatch once a minute, in the one region that has these metrics, what endpoints are held to be."""
        from ministack.services import cloudwatch

        minute = int(self._lab.clock.aws_now() // _METRICS_SECONDS)
        if minute == self._told:
            return
        self._told = minute
        with scope(self._lab, _METRICS_REGION):
            for identity, opinion in self._opinions.items():
                if opinion.config.get("Type") in _ENDPOINTS:
                    of, healthy = {"HealthCheckId": identity}, float(opinion.healthy)
                    cloudwatch.record_metric("AWS/Route53", "HealthCheckStatus", healthy, "None", of)
                    # Here all checkers see the same.
                    percentage = "HealthCheckPercentageHealthy"
                    cloudwatch.record_metric("AWS/Route53", percentage, 100 * healthy, "Percent", of)


def _answers(lab: Lab, config: Mapping[str, Any]) -> bool:
    name = config.get("FullyQualifiedDomainName") or config.get("IPAddress") or ""
    port = int(config.get("Port", 443 if config["Type"] == "HTTPS" else 80))
    address = name
    # A name of the lab's own zones leads where its record says, and to another port in each region.
    if (answer := lab.resolve(name)) is not None:
        if answer.port is None:
            return False
        address, port = answer.addresses[0], answer.port
    patience = max(_LEAST_SECONDS, _PROBE_SECONDS / lab.clock.scale)
    connection = http.client.HTTPConnection(address, port, timeout=patience)
    if config["Type"] == "HTTPS":
        # Route 53 does not verify certificates either.
        connection = http.client.HTTPSConnection(
            address, port, timeout=patience, context=ssl._create_unverified_context()
        )
    try:
        connection.request("GET", config.get("ResourcePath", "/"), headers={"Host": name})
        return 200 <= connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class _Resolver:
    """Answers for the names of every hosted zone."""

    def __init__(self, lab: Lab, checks: _Checks) -> None:
        self._lab = lab
        self._checks = checks

    def resolve(self, name: str) -> Answer | None:
        """Return what a name resolves to now, or None when no zone has it."""
        wanted = name.rstrip(".").lower() + "."
        record = choose(
            self._records(wanted), partial(is_healthy, check=self._checks.healthy, target=self._has_healthy_target)
        )
        if record is None:
            return None
        answer = Answer(
            name=wanted.rstrip("."),
            addresses=tuple(record.get("ResourceRecords") or ()),
            ttl=int(record.get("TTL") or ALIAS_TTL),
            at=round(self._lab.clock.aws_now(), 3),
            set_identifier=record.get("SetIdentifier"),
        )
        region = _region(record)
        if region is None:
            return answer
        door = front_door(self._lab, region)
        return answer._replace(addresses=(_ADDRESS,), region=region, port=door.port if door else None)

    def _records(self, name: str) -> list[Record]:
        from ministack.services import route53

        with scope(self._lab, self._lab.regions[0]):
            zones = sorted(route53._zones.values(), key=lambda zone: -len(zone["name"]))
            zone = next((zone for zone in zones if name == zone["name"] or name.endswith("." + zone["name"])), None)
            records = list(route53._records.get(zone["id"], [])) if zone else []
        return [record for record in records if record["Name"] == name and record["Type"] == "A"]

    def _has_healthy_target(self, record: Record) -> bool:
        region = _region(record)
        door = front_door(self._lab, region) if region else None
        return door is not None and door.healthy


def _region(record: Record) -> str | None:
    """Say which region's load balancer an alias leads to: every one of them is called ``localhost`` here."""
    zone = record.get("AliasTarget", {}).get("HostedZoneId")
    return next((region for region, known in CANONICAL_ZONES.items() if known == zone), None)


def _count_calls(lab: Lab) -> list[str]:
    """Note every call of the Route 53 API once the lab is set up: no workflow may depend on its control plane."""
    from ministack.services import route53

    calls: list[str] = []

    def handle(original: Handler) -> Handler:
        async def handling(method: str, path: str, *args: Any, **kwargs: Any) -> Any:
            if lab.ready:
                calls.append(f"{method} {path}")
            return await original(method, path, *args, **kwargs)

        return handling

    replace(route53, "handle_request", handle)
    return calls


def _say_booleans_as_aws_does() -> None:
    """MiniStack answers ``True`` where the SDK reads ``true`` and takes everything else for false."""
    from ministack.services import route53

    def parse(original: Handler) -> Handler:
        return lambda element: _lower_booleans(original(element))

    replace(route53, "_parse_health_check_config", parse)


def _lower_booleans(config: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value).lower() if name in _BOOLEANS else value for name, value in config.items()}


def _health_checks_of_stacks() -> None:
    """AWS::Route53::HealthCheck, which MiniStack's CloudFormation lacks."""
    from ministack.core.responses import new_uuid
    from ministack.services import route53
    from ministack.services.cloudformation import provisioners

    def told(identity: str, props: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        route53._tags[("healthcheck", identity)] = {
            tag["Key"]: tag["Value"] for tag in props.get("HealthCheckTags") or []
        }
        return identity, {"HealthCheckId": identity}

    def create(_logical_id: str, props: dict[str, Any], _stack_name: str) -> Any:
        config = _lower_booleans(props["HealthCheckConfig"])
        if config.get("Type") == "CLOUDWATCH_METRIC" and not {"Name", "Region"} <= set(config["AlarmIdentifier"]):
            raise ValueError("AlarmIdentifier needs a Name and a Region")
        identity, reference = route53._hc_id(), new_uuid()
        with route53._lock:
            route53._health_checks[identity] = {
                "id": identity,
                "caller_reference": reference,
                "config": config,
                "version": 1,
            }
            route53._hc_caller_refs[reference] = identity
        return told(identity, props)

    def update(identity: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> Any:
        fixed = ("Type", "RequestInterval", "MeasureLatency")
        before, after = old["HealthCheckConfig"], new["HealthCheckConfig"]
        if any(before.get(name) != after.get(name) for name in fixed) or identity not in route53._health_checks:
            return create(identity, new, stack_name)
        check = route53._health_checks[identity]
        check["config"], check["version"] = _lower_booleans(after), check["version"] + 1
        return told(identity, new)

    def delete(identity: str, _props: dict[str, Any]) -> None:
        with route53._lock:
            check = route53._health_checks.pop(identity, {})
            route53._hc_caller_refs.pop(check.get("caller_reference"), None)
            route53._tags.pop(("healthcheck", identity), None)

    provisioners._RESOURCE_HANDLERS["AWS::Route53::HealthCheck"] = {
        "create": create,
        "update": update,
        "delete": delete,
    }


def _record_set_groups_of_stacks() -> None:
    """AWS::Route53::RecordSetGroup: records as AWS::Route53::RecordSet makes them, several at once."""
    from ministack.services.cloudformation import provisioners

    single = provisioners._RESOURCE_HANDLERS["AWS::Route53::RecordSet"]

    def records(props: dict[str, Any]) -> dict[tuple[str, str, str], dict[str, Any]]:
        zone: dict[str, Any] = {name: props[name] for name in ("HostedZoneId", "HostedZoneName") if name in props}
        return {
            (record["Name"], record["Type"], record.get("SetIdentifier", "")): {**zone, **record}
            for record in props.get("RecordSets") or []
        }

    def create(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        for record in records(props).values():
            single["create"](logical_id, record, stack_name)
        return f"{stack_name}-{logical_id}", {}

    def update(physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> Any:
        before, after = records(old), records(new)
        for key in before.keys() - after.keys():
            single["delete"](physical_id, before[key])
        for key, record in after.items():
            if key in before:
                single["update"](physical_id, before[key], record, stack_name)
            else:
                single["create"](physical_id, record, stack_name)
        return physical_id, {}

    def delete(physical_id: str, props: dict[str, Any]) -> None:
        for record in records(props).values():
            single["delete"](physical_id, record)

    provisioners._RESOURCE_HANDLERS["AWS::Route53::RecordSetGroup"] = {
        "create": create,
        "update": update,
        "delete": delete,
    }
