"""DR notes at its deployment where the primary's load balancer is, and keeps it while the primary does not answer."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from functions.pair import app

from .conftest import DR, PRIMARY, Regions, environment, settings

PARAMETER = "/dev/pilotlight/primary-door"
NOTED = {"url": "https://old.example", "dns_name": "old.example", "hosted_zone_id": "ZOLD"}


def door(port: int = 80) -> Any:
    ec2 = boto3.client("ec2", region_name=PRIMARY.region)
    vpc = ec2.create_vpc(CidrBlock="10.10.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.10.{n}.0/24", AvailabilityZone=f"{PRIMARY.region}{zone}")
        for n, zone in enumerate("ab")
    ]
    elb = boto3.client("elbv2", region_name=PRIMARY.region)
    made = elb.create_load_balancer(Name="dev-alb", Subnets=[s["Subnet"]["SubnetId"] for s in subnets])
    balancer = made["LoadBalancers"][0]
    group = elb.create_target_group(Name="dev-app", Protocol="HTTP", Port=8080, VpcId=vpc)["TargetGroups"][0]
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=port,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}],
    )
    return balancer


def noted() -> None:
    boto3.client("ssm", region_name=DR.region).put_parameter(Name=PARAMETER, Type="String", Value=json.dumps(NOTED))


def lose_the_primary(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    reach = app._client

    class Lost:
        def describe_load_balancers(self, **_: Any) -> Any:
            raise error

    def client(service: str, region: str, *patience: Any) -> Any:
        return Lost() if region == PRIMARY.region else reach(service, region, *patience)

    monkeypatch.setattr(app, "_client", client)


def test_the_primary_is_asked_while_it_answers(regions: Regions) -> None:
    balancer = door()
    noted()
    assert app.primary_door(settings(DR.region), PARAMETER) == {
        "Url": f"http://{balancer['DNSName']}",
        "DnsName": balancer["DNSName"],
        "HostedZoneId": balancer["CanonicalHostedZoneId"],
        "Protocol": "HTTP",
        "Port": "80",
    }


def test_a_port_of_its_own_is_in_the_address(regions: Regions) -> None:
    balancer = door(port=8443)
    asked = app.primary_door(settings(DR.region), PARAMETER)
    assert (asked["Url"], asked["Port"]) == (f"http://{balancer['DNSName']}:8443", "8443")


@pytest.mark.parametrize(
    "error",
    [
        ReadTimeoutError(endpoint_url="https://elasticloadbalancing"),
        ClientError({"Error": {"Code": "503"}, "ResponseMetadata": {"HTTPStatusCode": 503}}, "DescribeLoadBalancers"),  # type: ignore[typeddict-item]
    ],
)
def test_what_was_noted_stands_while_the_primary_is_lost(
    regions: Regions, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    noted()
    lose_the_primary(monkeypatch, error)
    kept = app.primary_door(settings(DR.region), PARAMETER)
    assert kept == {
        "Url": "https://old.example",
        "DnsName": "old.example",
        "HostedZoneId": "ZOLD",
        "Protocol": "HTTPS",
        "Port": "443",
    }


def test_nobody_knows_is_told_with_what_to_do(regions: Regions) -> None:
    with pytest.raises(app.PrimaryDoorUnknownError, match=r"is not there.*sam deploy --config-env dev-primary"):
        app.primary_door(settings(DR.region), PARAMETER)


def test_a_missing_permission_is_no_lost_region(regions: Regions, monkeypatch: pytest.MonkeyPatch) -> None:
    noted()
    denied = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    lose_the_primary(monkeypatch, ClientError(denied, "DescribeLoadBalancers"))  # type: ignore[arg-type]
    with pytest.raises(ClientError, match="AccessDenied"):
        app.primary_door(settings(DR.region), PARAMETER)


def test_the_custom_resource_answers_with_the_door(regions: Regions, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(DR.region).items():
        monkeypatch.setenv(name, value)
    door()
    event = {
        "ResourceType": "Custom::PrimaryDoor",
        "RequestType": "Create",
        "ResourceProperties": {"Parameter": PARAMETER},
    }
    assert set(app._work(event)) == {"Url", "DnsName", "HostedZoneId", "Protocol", "Port"}
    assert app._work(event | {"RequestType": "Delete"}) == {}
