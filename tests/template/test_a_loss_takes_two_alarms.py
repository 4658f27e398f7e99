"""The alarms: which two make a loss, what a gap in knowledge means to each, and who hears of it."""

from __future__ import annotations

import ast
import re
import subprocess
from typing import Any

import pytest

from pilotlight.config import Names, probing_from

from .templates import MAIN, ROOT, TEMPLATES, functions, statements

DETECTION = TEMPLATES["detection"]["Resources"]
ALARMS = {name: found["Properties"] for name, found in DETECTION.items() if found["Type"] == "AWS::CloudWatch::Alarm"}
DECIDING = {"ProbeFailed", "ReplicaLostSource"}
# Where nothing is heard, something is wrong: these two tell of it.
SILENCE_IS_TOLD = {"ProbeSilent", "ReplicaLag"}
NAMES = Names("dev")


def name(alarm: str) -> str:
    return str(DETECTION[alarm]["Properties"]["AlarmName"]["Fn::Sub"].replace("${Environment}", "dev"))


def test_the_alarms_have_the_names_that_others_know() -> None:
    assert name("PrimaryLost") == "dev-dr-primary-lost"
    assert name("ProbeFailed") == NAMES.probe_failed
    assert name("ReplicaLostSource") == NAMES.replica_lost_source
    assert name("PrimaryReady") == "dev-dr-primary-ready"


def test_a_loss_is_both_and_nothing_else() -> None:
    rule = DETECTION["PrimaryLost"]["Properties"]["AlarmRule"]["Fn::Sub"].replace("${Environment}", "dev")
    assert rule == f'ALARM("{NAMES.probe_failed}") AND ALARM("{NAMES.replica_lost_source}")'
    # An alarm of a name that does not exist yet would make the rule invalid.
    assert set(DETECTION["PrimaryLost"]["DependsOn"]) == DECIDING


@pytest.mark.parametrize("alarm", ALARMS)
def test_what_is_not_known_never_makes_a_loss(alarm: str) -> None:
    missing = "breaching" if alarm in SILENCE_IS_TOLD else "notBreaching"
    assert ALARMS[alarm]["TreatMissingData"] == missing
    assert not DECIDING & SILENCE_IS_TOLD


@pytest.mark.parametrize("alarm", ALARMS)
def test_one_signal_alone_acts_on_nothing_and_everything_else_tells(alarm: str) -> None:
    told = [{"Ref": "TopicArn"}]
    assert ALARMS[alarm].get("AlarmActions", []) == ([] if alarm in DECIDING else told)
    said = ALARMS[alarm]["AlarmDescription"]
    words = said["Fn::Sub"] if isinstance(said, dict) else said
    assert len(words) > 40
    # Without the names, make acts on its defaults.
    assert words.count("make ") == words.count("ENVIRONMENT=${Environment} DR_REGION=${AWS::Region}")


def test_no_mail_says_that_a_lost_primary_is_well() -> None:
    """After a failover nobody looks at the primary: what it is judged by has no data, and that is no sign of life."""
    for alarm in ("PrimaryLost", "DeepProbeFailed", "ObserversUnhealthy"):
        assert "OKActions" not in DETECTION[alarm]["Properties"], alarm
    ends = DETECTION["PrimaryLost"]["Properties"]["AlarmDescription"]["Fn::Sub"]
    assert "does not mean that the primary is back" in ends
    assert "${Environment}-dr-failover" in ends
    assert (ROOT / "docs/runbooks/failover.md").exists()


def test_checkers_that_are_against_the_primary_for_ever_are_told_of() -> None:
    alarm = ALARMS["ObserversUnhealthy"]
    assert (alarm["MetricName"], alarm["Statistic"], alarm["Threshold"]) == ("ObserversHealthy", "Maximum", 1)
    assert alarm["ComparisonOperator"] == "LessThanThreshold"
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 900


def test_a_lag_is_judged_on_both_sides() -> None:
    behind, broken = ALARMS["ReplicaLag"], ALARMS["ReplicaBroken"]
    assert behind["MetricName"] == broken["MetricName"] == "ReplicaLag"
    assert (behind["Statistic"], behind["ComparisonOperator"]) == ("Maximum", "GreaterThanThreshold")
    assert (broken["Statistic"], broken["ComparisonOperator"], broken["Threshold"]) == (
        "Minimum",
        "LessThanThreshold",
        0,
    )


def test_every_alarm_is_over_what_the_probe_puts() -> None:
    put = set(
        re.findall(r'Measure\(\s*"(\w+)"', (ROOT / "layers/pilotlight/pilotlight/decide/detection.py").read_text())
    )
    assert len(put) > 8
    for alarm in ALARMS.values():
        assert alarm["MetricName"] in put
        assert alarm["Namespace"] == "PilotLight"
        assert alarm["Dimensions"] == [{"Name": "Environment", "Value": {"Ref": "Environment"}}]


def test_alarms_below_a_minute_have_data_below_a_minute() -> None:
    tree = ast.parse((ROOT / "layers/pilotlight/pilotlight/decide/detection.py").read_text())
    fine = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Measure"
        and isinstance(node.args[0], ast.Constant)
        and any(word.arg == "fine" for word in node.keywords)
    }
    below = {alarm["MetricName"] for alarm in ALARMS.values() if alarm["Period"] == {"Ref": "ProbePeriodSeconds"}}
    assert fine == below == {"ProbeFailed", "ReplicaLostSource"}
    assert all(alarm["Period"] in (60, {"Ref": "ProbePeriodSeconds"}) for alarm in ALARMS.values())


def test_every_period_that_decides_holds_a_look() -> None:
    """Whatever is chosen: a combination with periods without a look is refused before anything is made."""
    looks, periods = (MAIN["Parameters"][name]["AllowedValues"] for name in ("ProbesPerMinute", "ProbePeriodSeconds"))
    for period in periods:
        rules = [
            rule
            for rule in MAIN["Rules"].values()
            if rule.get("RuleCondition") == {"Fn::Equals": [{"Ref": "ProbePeriodSeconds"}, str(period)]}
        ]
        allowed = {int(value) for rule in rules for value in rule["Assertions"][0]["Assert"]["Fn::Contains"][0]} or set(
            looks
        )
        assert allowed == {n for n in looks if n * period >= 60}


def test_the_probe_reads_what_the_template_writes() -> None:
    written = {
        found["Properties"]["Name"]["Fn::Sub"].rsplit("/", 1)[1]: found["Properties"]["Value"]["Ref"]
        for key, found in DETECTION.items()
        if key.startswith("Config")
    }
    values = {key: str(MAIN["Parameters"][parameter]["Default"]) for key, parameter in written.items()}
    probing = probing_from(values, "/dev/pilotlight/config", ("eu-west-1", "eu-central-1"))
    assert (probing.health_path, probing.deep_health_path, probing.rounds) == ("/health", "/health/deep", 4)
    assert len(probing.witnesses) == 4


@pytest.mark.parametrize("dr", ["us-west-2", "ap-southeast-1", "ap-southeast-2", "eu-central-1"])
@pytest.mark.parametrize("primary", ["us-west-2", "sa-east-1", "eu-west-1"])
def test_two_witnesses_are_left_whichever_the_two_regions_are(primary: str, dr: str) -> None:
    """And none is in DR: it would answer a DR that is cut off, which would never count as blind then."""
    values = {"witness-urls": MAIN["Parameters"]["WitnessUrls"]["Default"], "probes-per-minute": "4"}
    values |= {"health-path": "/health", "deep-health-path": "-"}
    probing = probing_from(values, "/dev/pilotlight/config", (primary, dr))
    assert len(probing.witnesses) >= 2
    assert not [url for url in probing.witnesses if primary in url or dr in url]


def test_a_missed_look_is_not_made_up_for() -> None:
    probe = functions()["ProbeFunction"]
    assert probe["EventInvokeConfig"] == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    (target,) = DETECTION["EveryMinute"]["Properties"]["Targets"]
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0}
    assert DETECTION["EveryMinute"]["Properties"]["ScheduleExpression"] == "rate(1 minute)"


@pytest.mark.parametrize("template", ["detection", "health-forward"])
def test_a_hint_of_aws_starts_nothing(template: str) -> None:
    """It reaches the probe, which notes it, or DR's bus, where it does."""
    found: list[Any] = [
        resource["Properties"]
        for resource in TEMPLATES[template]["Resources"].values()
        if resource["Type"] == "AWS::Events::Rule" and "EventPattern" in resource["Properties"]
    ]
    (rule,) = found
    assert rule["EventPattern"]["source"] == ["aws.health"]
    assert rule["EventPattern"]["detail"]["eventRegion"] == [{"Ref": "PrimaryRegion"}]
    (target,) = rule["Targets"]
    assert target["Arn"] in (
        {"Ref": "FunctionArn"},
        {"Fn::Sub": "arn:${AWS::Partition}:events:${DrRegion}:${AWS::AccountId}:event-bus/default"},
    )


def _holds(condition: Any, values: dict[str, str]) -> bool:
    (how, parts), *_ = condition.items()
    if how == "Fn::Not":
        return not _holds(parts[0], values)
    assert how == "Fn::Equals"
    left, right = (values[part["Ref"]] if isinstance(part, dict) else part for part in parts)
    return bool(left == right)


@pytest.mark.parametrize(
    ("primary", "dr", "here", "taken"),
    [
        ("eu-west-1", "eu-central-1", "us-west-2", True),
        ("eu-west-1", "eu-central-1", "us-east-1", False),
        ("eu-west-1", "us-west-2", "us-west-2", False),
        ("us-west-2", "us-east-2", "us-east-1", True),
        ("us-west-2", "us-east-2", "us-west-2", False),
        ("us-west-2", "us-east-1", "us-east-1", False),
    ],
)
def test_the_hint_is_fetched_where_aws_leaves_it(primary: str, dr: str, here: str, taken: bool) -> None:
    values = {"PrimaryRegion": primary, "DrRegion": dr, "AWS::Region": here}
    asserted = [
        _holds(assertion["Assert"], values)
        for rule in TEMPLATES["health-forward"]["Rules"].values()
        if _holds(rule["RuleCondition"], values)
        for assertion in rule["Assertions"]
    ]
    assert len(asserted) == 2
    assert all(asserted) is taken
    if taken:
        made = ["make", "-n", "deploy-health", f"PRIMARY_REGION={primary}"]
        shown = subprocess.run(made, cwd=ROOT, capture_output=True, text=True, check=True).stdout.replace("\\\n", "")
        assert f"--region {here} " in shown
        # SAM looks for its configuration beside the template, and that one is in infra/.
        assert f'--config-file "{ROOT / "samconfig.toml"}"' in shown


def test_what_brings_the_hint_may_do_nothing_else() -> None:
    (allowed,) = statements(TEMPLATES["health-forward"]["Resources"]["ToDr"]["Properties"]["Policies"])
    assert (allowed["Action"], "event-bus/default" in str(allowed["Resource"])) == ("events:PutEvents", True)
