from __future__ import annotations

from typing import Any

import pytest

from pilotlight.aws import clients

from .templates import MAIN, ROOT, TEMPLATES, functions, ids, resources

FUNCTIONS = functions()


def test_every_folder_of_functions_is_deployed() -> None:
    deployed = {f["CodeUri"].split("/")[1] for f in FUNCTIONS.values()} | {"orders"}
    assert deployed == {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_function_ends_by_itself_and_is_traced_and_logged(name: str) -> None:
    function = FUNCTIONS[name]
    # One reads the log of an old database, for a while, another waits for it; and two compare what two regions have.
    # One looks several times a minute, and may take a little more than its minute.
    longer = {
        "SqlFunction": 120,
        "StandbyFunction": 150,
        "ParameterSyncFunction": 900,
        "ProbeFunction": 70,
        "ObjectsFunction": 300,
    }
    assert 0 < function["Timeout"] <= longer.get(name, 60)
    assert function["Tracing"] == "Active"
    assert function["Runtime"] == "python3.13"
    assert function["LoggingConfig"] == {"LogGroup": {"Ref": "FunctionsLog"}}


def test_a_call_that_hangs_is_given_up_before_its_function_is_ended() -> None:
    config: Any = clients._NEAR
    tries = config.retries["total_max_attempts"]
    # The standard mode waits at most a second before its second try.
    longest = tries * (config.connect_timeout + config.read_timeout) + (tries - 1)
    assert longest < min(function["Timeout"] for function in FUNCTIONS.values())


def test_the_sample_function_ends_by_itself_and_is_traced_and_logged() -> None:
    orders = TEMPLATES["workload"]["Resources"]["Orders"]["Properties"]
    assert 0 < orders["Timeout"] <= 60
    assert orders["TracingConfig"] == {"Mode": "Active"}
    assert orders["LoggingConfig"] == {"LogGroup": {"Ref": "OrdersLog"}}
    # Lambda gives a message back while its function may still be at work on it, if this is shorter.
    queue = TEMPLATES["workload"]["Resources"]["OrdersQueue"]["Properties"]
    assert queue["VisibilityTimeout"] >= 6 * orders["Timeout"]


def test_a_parameter_that_was_not_carried_comes_back_and_is_then_told_of() -> None:
    function = FUNCTIONS["ParameterSyncFunction"]
    queue = MAIN["Resources"]["ParameterChanges"]["Properties"]
    assert queue["VisibilityTimeout"] >= function["Timeout"]
    dead = {"Fn::GetAtt": ["ParametersNotCarried", "Arn"]}
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == function["DeadLetterQueue"]["TargetArn"] == dead
    configuration = TEMPLATES["configuration"]["Resources"]
    alarm = configuration["NotCarried"]["Properties"]
    assert alarm["Dimensions"] == [
        {"Name": "QueueName", "Value": MAIN["Resources"]["ParametersNotCarried"]["Properties"]["QueueName"]}
    ]
    assert alarm["AlarmActions"] == [{"Ref": "Alarms"}]
    for name in ("Changes", "Recorded", "Hourly", "Weekly"):
        for target in configuration[name]["Properties"]["Targets"]:
            assert target["DeadLetterConfig"] == {"Arn": {"Ref": "DeadLettersArn"}}


LOGS = resources("AWS::Logs::LogGroup")


@pytest.mark.parametrize(("template", "name", "log"), LOGS, ids=ids(LOGS))
def test_logs_are_not_kept_for_ever(template: str, name: str, log: Any) -> None:
    assert log["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_the_orchestrator_needs_nothing_of_the_network_but_for_sql() -> None:
    assert [name for name, function in FUNCTIONS.items() if "VpcConfig" in function] == ["SqlFunction"]
    groups = FUNCTIONS["SqlFunction"]["VpcConfig"]["SecurityGroupIds"]
    assert groups == [{"Fn::GetAtt": ["Network", "Outputs.FunctionSecurityGroupId"]}]


def test_a_sentinel_that_is_late_is_dropped_and_one_that_fails_is_heard_of() -> None:
    function, infra = FUNCTIONS["SentinelFunction"], TEMPLATES["sentinel"]["Resources"]
    assert function["EventInvokeConfig"] == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    assert infra["EveryMinute"]["Properties"]["ScheduleExpression"] == "rate(1 minute)"
    assert infra["Failed"]["Properties"]["MetricName"] == "Errors"
    assert infra["Failed"]["Properties"]["AlarmActions"] == [{"Ref": "TopicArn"}]


def test_a_sentinel_that_never_runs_or_never_sees_is_heard_of() -> None:
    """Either leaves an old primary open for ever, without one failure."""
    infra = TEMPLATES["sentinel"]["Resources"]
    silent, blind = (infra[name]["Properties"] for name in ("Silent", "Blind"))
    assert (silent["MetricName"], silent["Statistic"], silent["TreatMissingData"]) == (
        "SentinelLooked",
        "SampleCount",
        "breaching",
    )
    assert (silent["ComparisonOperator"], silent["Threshold"]) == ("LessThanThreshold", 1)
    assert silent["Period"] * silent["EvaluationPeriods"] == 300
    assert (blind["MetricName"], blind["Statistic"], blind["TreatMissingData"]) == (
        "SentinelBlind",
        "Minimum",
        "notBreaching",
    )
    assert (blind["ComparisonOperator"], blind["Threshold"]) == ("GreaterThanOrEqualToThreshold", 1)
    assert blind["Period"] * blind["EvaluationPeriods"] == 1800
    for alarm in (silent, blind):
        assert alarm["Namespace"] == "PilotLight"
        assert alarm["Dimensions"] == [{"Name": "Environment", "Value": {"Ref": "Environment"}}]
        assert alarm["AlarmActions"] == [{"Ref": "TopicArn"}]
        assert "DatapointsToAlarm" not in alarm


def test_a_sentinel_wakes_in_both_regions_whatever_is_recorded() -> None:
    """A rule that followed the record would be off in the very region that is to be closed."""
    for name in ("SentinelFunction", "Sentinel"):
        assert "Condition" not in MAIN["Resources"][name]
    rules = {
        n: r["Properties"] for n, r in TEMPLATES["sentinel"]["Resources"].items() if r["Type"] == "AWS::Events::Rule"
    }
    assert set(rules) == {"EveryMinute", "InstanceLaunched", "DatabaseBack"}
    for name, rule in rules.items():
        assert "State" not in rule
        (target,) = rule["Targets"]
        assert target["Input"] == '{"action": "watch"}'
        permission = TEMPLATES["sentinel"]["Resources"][f"{name}MayInvoke"]["Properties"]
        assert permission["SourceArn"] == {"Fn::GetAtt": [name, "Arn"]}
    assert rules["InstanceLaunched"]["EventPattern"]["detail"] == {
        "AutoScalingGroupName": [
            TEMPLATES["compute"]["Resources"]["AutoScalingGroup"]["Properties"]["AutoScalingGroupName"]
        ]
    }


def test_closing_a_region_is_tried_once_and_soon() -> None:
    config = FUNCTIONS["FenceFunction"]["EventInvokeConfig"]
    assert config == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}


def test_what_is_not_told_is_not_lost() -> None:
    config = FUNCTIONS["NotifyFunction"]["EventInvokeConfig"]
    assert config["DestinationConfig"]["OnFailure"]["Destination"] == {"Fn::GetAtt": ["Undelivered", "Arn"]}


PUT_ASIDE = [
    pytest.param(queue["Properties"]["QueueName"], id=name)
    for template, name, queue in resources("AWS::SQS::Queue")
    if template != "workload" and "RedrivePolicy" not in queue["Properties"]
]


@pytest.mark.parametrize("called", PUT_ASIDE)
def test_what_is_put_aside_is_told_by_an_alarm(called: Any) -> None:
    """Through a topic, not by a function: it may be the one that could not tell."""
    (alarm,) = [
        alarm["Properties"]
        for _, _, alarm in resources("AWS::CloudWatch::Alarm")
        if alarm["Properties"].get("Namespace") == "AWS/SQS"
        and alarm["Properties"]["Dimensions"] == [{"Name": "QueueName", "Value": called}]
    ]
    assert alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    (topic,) = alarm["AlarmActions"]
    assert topic["Ref"] in ("Alarms", "Notifications", "TopicArn")


IN_BOTH = {"PairFunction", "ParameterSyncFunction", "SentinelFunction", "SqlFunction", "ImageFunction"}


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - IN_BOTH))
def test_the_functions_of_a_switch_are_in_dr_alone(name: str) -> None:
    assert MAIN["Resources"][name]["Condition"] == "IsDr"


def test_each_region_looks_into_its_database_from_inside() -> None:
    """With all that the function is made of."""
    for name in (*IN_BOTH, "ImageMachine", "PilotLightLayer", "DependenciesLayer", "Network"):
        assert "Condition" not in MAIN["Resources"][name]
    assert FUNCTIONS["SqlFunction"]["FunctionName"] == {"Fn::Sub": "${Environment}-sql"}
    assert MAIN["Resources"]["Failover"]["Properties"]["DefinitionSubstitutions"]["SqlFunctionArn"] == {
        "Fn::GetAtt": ["SqlFunction", "Arn"]
    }


def test_no_function_of_a_switch_carries_the_workloads_tag() -> None:
    """Or the orchestrator would switch itself off."""
    for function in FUNCTIONS.values():
        assert "pilotlight:workload" not in function.get("Tags", {})
