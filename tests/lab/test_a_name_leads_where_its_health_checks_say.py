"""A failover pair in a hosted zone, made by the stacks of both regions, answers by what a metric in DR says."""

from __future__ import annotations

import json
import socket
import struct
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.running import DR, PRIMARY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.running import RunningLab

OFFSETS = {PRIMARY: 13, DR: 14}


def _template(lab: RunningLab, region: str, zone: str, host: str, name: str) -> dict[str, Any]:
    """One region's stack: its load balancer and its record of the pair, with the health check of the primary in DR."""
    alias = {
        "DNSName": {"Fn::GetAtt": ["Balancer", "DNSName"]},
        "HostedZoneId": {"Fn::GetAtt": ["Balancer", "CanonicalHostedZoneID"]},
        "EvaluateTargetHealth": False,
    }
    record = {
        "Name": host,
        "Type": "A",
        "SetIdentifier": region,
        "Failover": "PRIMARY" if region == PRIMARY else "SECONDARY",
        "AliasTarget": alias,
    }
    resources: dict[str, Any] = {
        "Balancer": {"Type": "AWS::ElasticLoadBalancingV2::LoadBalancer", "Properties": {"Name": name}},
        "Listener": {
            "Type": "AWS::ElasticLoadBalancingV2::Listener",
            "Properties": {
                "LoadBalancerArn": {"Ref": "Balancer"},
                "Port": lab.port + OFFSETS[region],
                "Protocol": "HTTP",
                "DefaultActions": [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}],
            },
        },
    }
    if region == PRIMARY:
        config = {
            "Type": "CLOUDWATCH_METRIC",
            "AlarmIdentifier": {"Name": name, "Region": DR},
            "InsufficientDataHealthStatus": "LastKnownStatus",
        }
        tags = [{"Key": "Name", "Value": name}]
        resources["Check"] = {
            "Type": "AWS::Route53::HealthCheck",
            "Properties": {"HealthCheckConfig": config, "HealthCheckTags": tags},
        }
        record = {**record, "HealthCheckId": {"Ref": "Check"}}
        resources["Record"] = {"Type": "AWS::Route53::RecordSet", "Properties": {"HostedZoneId": zone, **record}}
    else:
        resources["Records"] = {
            "Type": "AWS::Route53::RecordSetGroup",
            "Properties": {"HostedZoneId": zone, "RecordSets": [record]},
        }
    return {"Resources": resources}


class Pair:
    """A name with a record in each region, and the metric that leads it."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab
        self.name = f"pair-{uuid.uuid4().hex[:8]}"
        self.dns = lab.client("route53", "us-east-1")
        zone = self.dns.create_hosted_zone(Name=f"{self.name}.example", CallerReference=self.name)["HostedZone"]
        self.zone = zone["Id"].removeprefix("/hostedzone/")
        self.host = f"app.{self.name}.example"
        self.cloudwatch = lab.client("cloudwatch", DR)
        self.cloudwatch.put_metric_alarm(
            AlarmName=self.name,
            Namespace="PilotLight",
            MetricName="PrimaryReady",
            Dimensions=[{"Name": "Subject", "Value": self.name}],
            Statistic="Minimum",
            Period=60,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="LessThanThreshold",
        )
        for region in (PRIMARY, DR):
            stacks = lab.client("cloudformation", region)
            body = json.dumps(_template(lab, region, self.zone, self.host, self.name))
            stacks.create_stack(StackName=self.name, TemplateBody=body)
            stacks.get_waiter("stack_create_complete").wait(StackName=self.name, WaiterConfig={"Delay": 1})

    def end(self) -> None:
        for region in (PRIMARY, DR):
            stacks = self.lab.client("cloudformation", region)
            stacks.delete_stack(StackName=self.name)
            stacks.get_waiter("stack_delete_complete").wait(StackName=self.name, WaiterConfig={"Delay": 1})

    def put(self, value: float) -> None:
        """Put what a function in DR puts every minute: whether the primary is ready."""
        dimensions = [{"Name": "Subject", "Value": self.name}]
        datum = {"MetricName": "PrimaryReady", "Dimensions": dimensions, "Value": value}
        self.cloudwatch.put_metric_data(Namespace="PilotLight", MetricData=[datum])

    def answer(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.lab.endpoint}/_lab/resolve/{self.host}", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def leads_to(self, region: str) -> None:
        """Put what makes the name lead to a region, until it does."""

        def led() -> bool:
            self.put(float(region == PRIMARY))
            return bool(self.answer()["region"] == region)

        self.lab.wait_until(led, what=f"{self.host} in {region}")


@pytest.fixture
def pair(lab: RunningLab) -> Iterator[Pair]:
    made = Pair(lab)
    yield made
    made.end()


def _door(lab: RunningLab, region: str) -> int:
    """Return the first port of a region: other tests' load balancers have the same name, ``localhost``."""
    client = lab.client("elbv2", region)
    balancers = client.describe_load_balancers()["LoadBalancers"]
    listeners = [
        listener
        for balancer in balancers
        for listener in client.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    ]
    return int(min(listener["Port"] for listener in listeners))


def _port_by_dns(lab: RunningLab, host: str) -> int:
    """Ask as a resolver library does: SRV, whose answer's last field before the target is the port."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in f"_http._tcp.{host}".split("."))
    query = struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 33, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(query, ("127.0.0.1", lab.port + 12))
        answer = client.recv(512)
    port: int = struct.unpack_from("!3H", answer, len(query) + 12)[2]
    return port


def test_a_name_follows_the_metric_and_holds_what_was_last_known(pair: Pair) -> None:
    lab = pair.lab
    first = pair.answer()
    assert (first["region"], first["set_identifier"], first["ttl"]) == (PRIMARY, PRIMARY, 60)
    assert (first["addresses"], first["port"]) == (["127.0.0.1"], _door(lab, PRIMARY))

    pair.leads_to(DR)
    assert _port_by_dns(lab, pair.host) == _door(lab, DR)

    # The alarm's state plays no part, nor does the loss of the region that the data comes from.
    pair.cloudwatch.set_alarm_state(AlarmName=pair.name, StateValue="OK", StateReason="by hand")
    lab.lose(DR)
    lab.lose(PRIMARY)
    lab.set_scale(100)
    lab.clock_passes(300)
    assert pair.answer()["region"] == DR
    lab.bring_back(DR)
    lab.bring_back(PRIMARY)
    lab.clock_passes(100)
    assert pair.answer()["region"] == DR
    lab.set_scale(50)

    pair.leads_to(PRIMARY)


def test_records_keep_their_properties_and_are_the_same_in_every_region(pair: Pair) -> None:
    for region in (PRIMARY, DR, "us-east-1"):
        dns = pair.lab.client("route53", region)
        listed = dns.list_resource_record_sets(HostedZoneId=pair.zone)["ResourceRecordSets"]
        records = {each["SetIdentifier"]: each for each in listed if "SetIdentifier" in each}
        assert {key: each["Failover"] for key, each in records.items()} == {PRIMARY: "PRIMARY", DR: "SECONDARY"}
        assert records[PRIMARY]["AliasTarget"]["HostedZoneId"] != records[DR]["AliasTarget"]["HostedZoneId"]
        check = dns.get_health_check(HealthCheckId=records[PRIMARY]["HealthCheckId"])["HealthCheck"]
        assert check["HealthCheckConfig"]["AlarmIdentifier"] == {"Name": pair.name, "Region": DR}
    zones = {
        region: pair.lab.client("elbv2", region).describe_load_balancers(Names=[pair.name])["LoadBalancers"][0]
        for region in (PRIMARY, DR)
    }
    assert {region: zones[region]["CanonicalHostedZoneId"] for region in zones} == {
        region: records[region]["AliasTarget"]["HostedZoneId"] for region in zones
    }


def test_an_alias_whose_targets_are_evaluated_is_unhealthy_without_any(pair: Pair) -> None:
    """The fixed response of the test's load balancers has no target at all, as a standby without instances."""
    pair.leads_to(DR)
    listed = pair.dns.list_resource_record_sets(HostedZoneId=pair.zone)["ResourceRecordSets"]
    record = next(each for each in listed if each.get("Failover") == "SECONDARY")
    record["AliasTarget"]["EvaluateTargetHealth"] = True
    change = {"Action": "UPSERT", "ResourceRecordSet": record}
    pair.dns.change_resource_record_sets(HostedZoneId=pair.zone, ChangeBatch={"Changes": [change]})
    assert pair.answer()["region"] == PRIMARY  # both are unhealthy
    record["AliasTarget"]["EvaluateTargetHealth"] = False
    pair.dns.change_resource_record_sets(HostedZoneId=pair.zone, ChangeBatch={"Changes": [change]})
    assert pair.answer()["region"] == DR


def test_calls_of_route_53_are_counted(pair: Pair) -> None:
    before = pair.lab.status()["route53"]["calls_since_ready"]
    pair.put(1)
    pair.answer()
    assert pair.lab.status()["route53"]["calls_since_ready"] == before
    pair.dns.list_hosted_zones()
    assert pair.lab.status()["route53"]["calls_since_ready"] == before + 1


def test_checkers_ask_by_name_and_cloudwatch_hears_of_it_every_minute(pair: Pair) -> None:
    """The two metrics of Route 53's that a second opinion is read off, in us-east-1 and nowhere else."""
    lab = pair.lab
    config = {
        "Type": "HTTP",
        "FullyQualifiedDomainName": pair.host,
        # Not the name's: the regions of a lab have one address, and a port each.
        "Port": 80,
        "ResourcePath": "/",
        "RequestInterval": 10,
        "FailureThreshold": 2,
    }
    made = pair.dns.create_health_check(CallerReference=pair.name, HealthCheckConfig=config)
    identity = made["HealthCheck"]["Id"]

    def said(metric: str, region: str = "us-east-1") -> list[float]:
        now = datetime.now(UTC)
        found = lab.client("cloudwatch", region).get_metric_statistics(
            Namespace="AWS/Route53",
            MetricName=metric,
            Dimensions=[{"Name": "HealthCheckId", "Value": identity}],
            StartTime=now - timedelta(minutes=5),
            EndTime=now + timedelta(minutes=1),
            Period=60,
            Statistics=["Minimum"],
        )["Datapoints"]
        return [point["Minimum"] for point in sorted(found, key=lambda point: point["Timestamp"])]

    try:
        lab.wait_until(lambda: said("HealthCheckStatus")[-1:] == [1], what="healthy")
        assert said("HealthCheckPercentageHealthy")[-1] == 100
        assert said("HealthCheckStatus", DR) == []
        lab.lose(PRIMARY)
        lab.wait_until(lambda: said("HealthCheckStatus")[-1:] == [0], what="unhealthy")
        assert said("HealthCheckPercentageHealthy")[-1] == 0
    finally:
        lab.bring_back(PRIMARY)
        pair.dns.delete_health_check(HealthCheckId=identity)


def test_a_name_of_no_zone_is_not_resolved(lab: RunningLab) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{lab.endpoint}/_lab/resolve/app.nobody.example", timeout=10)


def test_the_witness_answers(lab: RunningLab) -> None:
    with urllib.request.urlopen(f"{lab.endpoint}/_lab/witness", timeout=10) as answer:
        assert answer.status == 200
