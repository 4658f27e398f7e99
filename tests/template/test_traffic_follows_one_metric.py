"""The records, the health check, the alarm and the function that publishes: made for each other, and for a bad day."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from moto import mock_aws

from pilotlight.aws import metrics
from pilotlight.config import Names
from pilotlight.decide import decision, traffic
from pilotlight.model import Record

from .templates import MAIN, ROOT, TEMPLATES, many, references, resources, statements

TRAFFIC: dict[str, Any] = TEMPLATES["traffic"]["Resources"]
OF_ROUTE_53 = {name: found for name, found in TRAFFIC.items() if found["Type"].startswith("AWS::Route53::")}
CHECKS = {
    name: found["Properties"]["HealthCheckConfig"] for name, found in OF_ROUTE_53.items() if "Check" in found["Type"]
}
RECORDS = {name: found["Properties"] for name, found in OF_ROUTE_53.items() if "RecordSet" in found["Type"]}


def test_all_of_route_53_is_in_one_place_and_in_drs_stack_alone() -> None:
    """The primary is deployed first and without DR; the health check needs DR's alarm."""
    found = [(template, name) for template, name, each in resources() if each["Type"].startswith("AWS::Route53")]
    assert {template for template, _ in found} == {"traffic"}
    assert {name for _, name in found} == {"PrimaryServes", "Primary", "Secondary", "Observer"}
    assert MAIN["Resources"]["Traffic"]["Condition"] == "IsDr"
    assert MAIN["Resources"]["TrafficFunction"]["Condition"] == "IsDr"


@pytest.mark.parametrize("name", OF_ROUTE_53)
def test_without_a_hosted_zone_nothing_of_route_53_is_made(name: str) -> None:
    assert OF_ROUTE_53[name]["Condition"] == "HasZone"
    assert TEMPLATES["traffic"]["Conditions"] == {
        "HasZone": {"Fn::Not": [{"Fn::Equals": [{"Ref": "HostedZoneId"}, "-"]}]}
    }
    assert MAIN["Parameters"]["HostedZoneId"]["Default"] == "-"


def test_everything_else_is_there_without_a_zone_and_needs_nothing_of_it() -> None:
    for name, found in TRAFFIC.items():
        if name in OF_ROUTE_53:
            continue
        assert "Condition" not in found, name
        assert name == "ConfigObserver" or not references(found) & set(OF_ROUTE_53), name
    assert TRAFFIC["ConfigObserver"]["Properties"]["Value"] == {"Fn::If": ["HasZone", {"Ref": "Observer"}, "-"]}


def test_a_zone_without_a_name_is_refused_with_a_sentence() -> None:
    rule = MAIN["Rules"]["AZoneNeedsAName"]
    assert rule["RuleCondition"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "HostedZoneId"}, "-"]}]}
    (assertion,) = rule["Assertions"]
    assert assertion["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "ApplicationHost"}, "-"]}]}


def test_the_pair_leads_to_the_two_load_balancers() -> None:
    primary, secondary = RECORDS["Primary"], RECORDS["Secondary"]
    assert (primary["Failover"], secondary["Failover"]) == ("PRIMARY", "SECONDARY")
    for same in ("HostedZoneId", "Name", "Type"):
        assert primary[same] == secondary[same]
    assert primary["SetIdentifier"] != secondary["SetIdentifier"]
    handed = MAIN["Resources"]["Traffic"]["Properties"]["Parameters"]
    for record, prefix in ((primary, "Primary"), (secondary, "Dr")):
        assert record["AliasTarget"]["DNSName"] == {"Ref": f"{prefix}DnsName"}
        assert record["AliasTarget"]["HostedZoneId"] == {"Ref": f"{prefix}ZoneId"}
    assert handed["PrimaryDnsName"] == {"Fn::GetAtt": ["PrimaryDoor", "DnsName"]}
    assert handed["PrimaryZoneId"] == {"Fn::GetAtt": ["PrimaryDoor", "HostedZoneId"]}
    assert handed["DrDnsName"] == {"Fn::GetAtt": ["Compute", "Outputs.LoadBalancerDnsName"]}
    assert handed["DrZoneId"] == {"Fn::GetAtt": ["Compute", "Outputs.LoadBalancerZoneId"]}


def test_the_secondary_can_never_be_judged_unhealthy() -> None:
    """Or, with DR's group at 0, both would be, and Route 53 would answer with the primary that is lost."""
    assert "HealthCheckId" not in RECORDS["Secondary"]
    assert RECORDS["Secondary"]["AliasTarget"]["EvaluateTargetHealth"] is False


def test_the_primary_is_judged_by_the_metric_alone() -> None:
    assert RECORDS["Primary"]["HealthCheckId"] == {"Ref": "PrimaryServes"}
    assert RECORDS["Primary"]["AliasTarget"]["EvaluateTargetHealth"] is False


def test_nothing_is_inverted_or_disabled_and_silence_keeps_what_was_known() -> None:
    for config in CHECKS.values():
        assert not {"Inverted", "Disabled"} & set(config)
    config = CHECKS["PrimaryServes"]
    assert config["Type"] == "CLOUDWATCH_METRIC"
    assert config["InsufficientDataHealthStatus"] == "LastKnownStatus"
    assert config["AlarmIdentifier"] == {"Name": {"Ref": "Traffic"}, "Region": {"Ref": "AWS::Region"}}


def test_no_record_follows_the_observer() -> None:
    assert not [name for name, record in RECORDS.items() if "Observer" in references(record)]


def test_the_observer_asks_as_users_do_and_sees_a_loss_before_the_decision() -> None:
    """What it asks for is its Host header, and an application may have a list of hosts."""
    config = CHECKS["Observer"]
    assert config["FullyQualifiedDomainName"] == RECORDS["Primary"]["Name"] == {"Ref": "ApplicationHost"}
    assert config["ResourcePath"] == {"Ref": "HealthPath"}
    assert "IPAddress" not in config
    # Twice ten seconds, and the minute in which CloudWatch is told: not much later than DR's own two periods.
    assert (config["RequestInterval"], config["FailureThreshold"]) == (10, 2)


def test_a_decision_waits_for_the_first_minute_in_which_the_observer_could_have_seen_a_loss() -> None:
    config = CHECKS["Observer"]
    # Of Route 53: four seconds to connect and two to answer. And a minute is published some time after its end.
    misses, published = config["RequestInterval"] * config["FailureThreshold"] + 6, 30
    look = 60 / int(MAIN["Parameters"]["ProbesPerMinute"]["Default"])
    assert misses < decision.OBSERVERS_SEE_SECONDS
    # The minute that contains that moment is not whole: the one after it is.
    assert decision.OBSERVERS_SEE_SECONDS + 60 + 60 + published + look <= decision.OBSERVERS_PATIENCE_SECONDS


def test_the_alarm_is_over_exactly_what_the_function_puts(monkeypatch: pytest.MonkeyPatch) -> None:
    alarm = TRAFFIC["Traffic"]["Properties"]
    assert alarm["AlarmName"]["Fn::Sub"].replace("${Environment}", "dev") == Names("dev").traffic
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    with mock_aws():
        client = boto3.client("cloudwatch", region_name="eu-central-1")
        sent: list[Any] = []
        client.meta.events.register(
            "provide-client-params.cloudwatch.PutMetricData", lambda params, **_: sent.append(params)
        )
        for active in ("eu-west-1", "eu-central-1"):
            found = traffic.measures(Record(active_region=active), "eu-central-1")
            metrics.put("dev", found, client, traffic.NAMESPACE)
    assert len(sent) == 2
    for call in sent:
        assert call["Namespace"] == alarm["Namespace"]
        (datum,) = call["MetricData"]
        assert datum["MetricName"] == alarm["MetricName"]
        (dimension,) = alarm["Dimensions"]
        assert datum["Dimensions"] == [{"Name": dimension["Name"], "Value": "dev"}]
        assert dimension["Value"] == {"Ref": "Environment"}
        # Route 53 follows alarms of standard resolution alone, with one of five statistics, and no other arithmetic.
        assert datum["StorageResolution"] == 60
    away, here = (call["MetricData"][0]["Value"] for call in sent)
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    assert away < alarm["Threshold"] <= here
    assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (60, 1, 1)
    assert alarm["Statistic"] == "Maximum"
    assert alarm["TreatMissingData"] == "ignore"
    assert "Metrics" not in alarm


def test_the_alarm_acts_on_nothing_and_its_silence_is_told() -> None:
    assert not {"AlarmActions", "OKActions", "InsufficientDataActions"} & set(TRAFFIC["Traffic"]["Properties"])
    silent = TRAFFIC["TrafficSilent"]["Properties"]
    for same in ("Namespace", "MetricName", "Dimensions"):
        assert silent[same] == TRAFFIC["Traffic"]["Properties"][same]
    assert (silent["Statistic"], silent["TreatMissingData"]) == ("SampleCount", "breaching")
    assert silent["AlarmActions"] == [{"Ref": "TopicArn"}]


def test_it_is_published_every_minute_and_never_late() -> None:
    rule = TRAFFIC["EveryMinute"]["Properties"]
    assert (rule["ScheduleExpression"], rule["State"]) == ("rate(1 minute)", "ENABLED")
    (target,) = rule["Targets"]
    assert target["Input"] == '{"action": "follow"}'
    assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] == 60
    function = MAIN["Resources"]["TrafficFunction"]["Properties"]
    assert function["EventInvokeConfig"] == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    # Reserved nothing: it takes part in no limit that the team's functions could use up by a reservation of their own.
    assert "ReservedConcurrentExecutions" not in function


@pytest.mark.parametrize("name", ["Traffic", "PrimaryServes", "Primary", "Secondary"])
def test_the_name_stays_when_a_parameter_or_the_stack_goes(name: str) -> None:
    """A deployment that forgets the zone, or the end of DR's stack, must not take production's name away."""
    assert (TRAFFIC[name]["DeletionPolicy"], TRAFFIC[name]["UpdateReplacePolicy"]) == ("Retain", "Retain")
    stack = MAIN["Resources"]["Traffic"]
    assert (stack["DeletionPolicy"], stack["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_a_deployment_while_failed_over_moves_nothing() -> None:
    """Nothing here is made of the record: the metric says it, and no template does."""
    assert "ActiveRegion" not in TEMPLATES["traffic"]["Parameters"]
    assert "Record" not in references(MAIN["Resources"]["Traffic"]["Properties"]["Parameters"])


def test_the_primarys_door_is_asked_for_again_when_it_should_be() -> None:
    door = MAIN["Resources"]["PrimaryDoor"]["Properties"]
    asks = {"ListenerPort", "CertificateArn", "HostedZoneId", "AskPrimaryAgain"}
    assert references([door[key] for key in door if key not in ("ServiceToken", "Parameter")]) == asks
    # It is production's way in: the page says so too.
    page = (ROOT / "docs/traffic.md").read_text()
    assert all(f"`{name}`" in page for name in asks)


def test_no_role_anywhere_may_call_route_53() -> None:
    for template, name, resource in resources(
        "AWS::IAM::Role", "AWS::Serverless::Function", "AWS::Serverless::StateMachine"
    ):
        for statement in statements(resource["Properties"].get("Policies", [])):
            for action in many(statement["Action"]):
                assert not action.startswith(("route53", "*")), f"{template}-{name}"


def test_no_code_of_the_product_names_the_api_of_route_53() -> None:
    for path in [*(ROOT / "functions").rglob("*.py"), *(ROOT / "layers/pilotlight").rglob("*.py")]:
        text = path.read_text()
        for word in ('"route53"', "change_resource_record_sets", "update_health_check"):
            # The plan's word for who moves the traffic is no client's name.
            assert word not in text or (word == '"route53"' and path.name == "traffic.py"), path
