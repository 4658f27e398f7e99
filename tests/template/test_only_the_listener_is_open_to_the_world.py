from __future__ import annotations

from typing import Any

from .templates import MAIN, TEMPLATES, many, references, resources

NETWORK = TEMPLATES["network"]["Resources"]
EVERYWHERE = ("0.0.0.0/0", "::/0")
LOOPBACK = "127.0.0.1/32"


def rules() -> list[tuple[str, str, Any]]:
    """Every rule: the group it belongs to, its direction, the rule."""
    found = []
    for name, resource in NETWORK.items():
        properties = resource["Properties"]
        if resource["Type"] == "AWS::EC2::SecurityGroup":
            found += [(name, "in", rule) for rule in properties.get("SecurityGroupIngress", [])]
            found += [(name, "out", rule) for rule in properties.get("SecurityGroupEgress", [])]
        elif resource["Type"] in ("AWS::EC2::SecurityGroupIngress", "AWS::EC2::SecurityGroupEgress"):
            (group,) = references(properties["GroupId"])
            found.append((group, "in" if resource["Type"].endswith("Ingress") else "out", properties))
    return found


def peer(rule: Any) -> str:
    for key in ("SourceSecurityGroupId", "DestinationSecurityGroupId"):
        if key in rule:
            return str(rule[key]["Fn::GetAtt"][0]).removesuffix("SecurityGroup")
    if "DestinationPrefixListId" in rule:
        return "S3"
    return str(rule.get("CidrIp") or rule["CidrIpv6"])


def port(rule: Any) -> Any:
    assert rule["FromPort"] == rule["ToPort"]
    return rule["FromPort"].get("Ref") if isinstance(rule["FromPort"], dict) else rule["FromPort"]


def test_who_may_talk_to_whom() -> None:
    """All of it: a new rule is a decision, and is written down here."""
    assert {
        (group.removesuffix("SecurityGroup"), direction, peer(rule), port(rule)) for group, direction, rule in rules()
    } - {(g, "out", LOOPBACK, 1) for g in ("LoadBalancer", "Database", "ClosedDatabase", "Endpoint")} == {
        ("LoadBalancer", "in", "0.0.0.0/0", "ListenerPort"),
        ("LoadBalancer", "out", "Application", "AppPort"),
        ("Application", "in", "LoadBalancer", "AppPort"),
        ("Application", "out", "Database", 3306),
        ("Application", "out", "Endpoint", 443),
        ("Application", "out", "S3", 443),
        ("Function", "out", "Database", 3306),
        ("Function", "out", "ClosedDatabase", 3306),
        ("Function", "out", "Endpoint", 443),
        ("Function", "out", "S3", 443),
        ("Database", "in", "Application", 3306),
        ("Database", "in", "Function", 3306),
        ("ClosedDatabase", "in", "Function", 3306),
        ("Endpoint", "in", "Application", 443),
        ("Endpoint", "in", "Function", 443),
    }


def test_every_group_says_where_it_may_go() -> None:
    """EC2 gives a group without outbound rules one to everywhere."""
    for template, name, resource in resources("AWS::EC2::SecurityGroup"):
        assert resource["Properties"].get("SecurityGroupEgress"), f"{template}: {name}"


def test_the_world_is_named_once_as_a_source_and_once_as_a_route() -> None:
    def mentions(value: Any) -> int:
        if isinstance(value, dict):
            return sum(map(mentions, value.values()))
        if isinstance(value, list):
            return sum(map(mentions, value))
        return int(value in EVERYWHERE)

    named = {(t, n): mentions(r["Properties"]) for t, n, r in resources() if mentions(r.get("Properties", {}))}
    assert named == {("network", "LoadBalancerSecurityGroup"): 1, ("network", "PublicRouteToInternet"): 1}


def test_the_load_balancer_alone_is_in_public_subnets() -> None:
    users = {
        (template, name)
        for template, name, resource in resources()
        if "PublicSubnetIds" in references(resource.get("Properties", {}))
    }
    assert users == {("compute", "LoadBalancer")}
    assert all(
        not resource["Properties"].get("MapPublicIpOnLaunch") for _, _, resource in resources("AWS::EC2::Subnet")
    )


def test_the_databases_subnets_know_the_vpc_alone() -> None:
    routed = [r["Properties"]["RouteTableId"]["Ref"] for _, _, r in resources("AWS::EC2::Route")]
    assert routed == ["PublicRoutes"]
    assert NETWORK["S3Endpoint"]["Properties"]["RouteTableIds"] == [{"Ref": "ApplicationRoutes"}]
    assert TEMPLATES["database"]["Resources"]["Database"]["Properties"]["PubliclyAccessible"] is False
    assert MAIN["Resources"]["Database"]["Properties"]["Parameters"]["SubnetIds"] == {
        "Fn::GetAtt": ["Network", "Outputs.DatabaseSubnetIds"]
    }


def test_an_idle_region_keeps_the_endpoints_that_a_failover_needs() -> None:
    conditions = {
        resource["Properties"]["ServiceName"]["Fn::Sub"].rsplit(".", 1)[1]: resource.get("Condition")
        for _, _, resource in resources("AWS::EC2::VPCEndpoint")
    }
    assert conditions == {
        "s3": None,
        "secretsmanager": "AnyEndpoint",
        "ssm": "AnyEndpoint",
        "ssmmessages": "AllEndpoints",
        "logs": "AllEndpoints",
    }


def test_no_endpoint_serves_other_accounts() -> None:
    for _, name, resource in resources("AWS::EC2::VPCEndpoint"):
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
            if statement["Sid"] == "PackagesOfAmazonLinux":
                assert many(statement["Action"]) == ["s3:GetObject"]
                continue
            assert statement["Condition"] == {"StringEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}}, name


def test_instances_give_their_credentials_to_nobody() -> None:
    data = TEMPLATES["compute"]["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert "KeyName" not in data
    assert "NetworkInterfaces" not in data


def test_with_a_certificate_the_listener_speaks_modern_tls() -> None:
    listener = TEMPLATES["compute"]["Resources"]["Listener"]["Properties"]
    assert listener["Protocol"] == {"Fn::If": ["Secure", "HTTPS", "HTTP"]}
    assert "TLS13" in listener["SslPolicy"]["Fn::If"][1]
