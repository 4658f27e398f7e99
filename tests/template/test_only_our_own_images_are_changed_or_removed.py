from __future__ import annotations

import json
from typing import Any

from pilotlight.decide.images import ENVIRONMENT, MARK

from .templates import MAIN, ROOT, TEMPLATES, functions, many, statements

FUNCTION = functions()["ImageFunction"]
STATEMENTS = {statement["Sid"]: statement for statement in statements(FUNCTION["Policies"])}
IMAGES = TEMPLATES["images"]["Resources"]
BOTH = [{"Ref": "PrimaryRegion"}, {"Ref": "DrRegion"}]


def granting(action: str) -> list[Any]:
    return [statement for statement in STATEMENTS.values() if action in many(statement["Action"])]


def test_only_what_carries_our_mark_is_deleted() -> None:
    for action in ("ec2:DeregisterImage", "ec2:DeleteSnapshot"):
        (statement,) = granting(action)
        assert statement["Condition"]["StringEquals"][f"aws:ResourceTag/{ENVIRONMENT}"] == {"Ref": "Environment"}
        assert statement["Condition"]["Null"] == {f"aws:ResourceTag/{MARK}": False}


def test_tags_are_put_on_what_is_being_made_or_was_made_by_us() -> None:
    conditions = [str(statement["Condition"]) for statement in granting("ec2:CreateTags")]
    assert len(conditions) == 2
    assert all("ec2:CreateAction" in text or MARK in text for text in conditions)


def test_images_are_made_of_the_applications_instances_alone() -> None:
    instances = [one for one in granting("ec2:CreateImage") if "instance/*" in str(one["Resource"])]
    assert [one["Condition"] for one in instances] == [
        {"StringEquals": {f"aws:ResourceTag/{ENVIRONMENT}": {"Ref": "Environment"}}}
    ]
    # That tag is on them, from the launch template.
    (tags,) = [
        specification["Tags"]
        for specification in TEMPLATES["compute"]["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"][
            "TagSpecifications"
        ]
        if specification["ResourceType"] == "instance"
    ]
    assert {"Key": ENVIRONMENT, "Value": {"Ref": "Environment"}} in tags


def test_it_starts_nothing_and_hands_over_no_role() -> None:
    for action in ("ec2:RunInstances", "iam:PassRole", "autoscaling:UpdateAutoScalingGroup"):
        assert not granting(action), action


def test_it_is_held_to_the_two_regions() -> None:
    for statement in STATEMENTS.values():
        if "*" in many(statement["Resource"]) or "ec2:*::" in str(statement["Resource"]):
            assert statement["Condition"]["StringEquals"]["aws:RequestedRegion"] == BOTH, statement["Sid"]


def test_the_keys_of_both_sides_are_ours_by_their_alias() -> None:
    for statement in STATEMENTS.values():
        if any(action.startswith("kms:") for action in many(statement["Action"])):
            assert statement["Condition"]["ForAnyValue:StringEquals"] == {
                "kms:ResourceAliases": {"Fn::Sub": "alias/${Environment}-pilotlight"}
            }


def test_the_same_stands_in_both_regions() -> None:
    for name in ("ImageFunction", "ImageTable", "ImageNotices", "ImageMachine", "Images"):
        assert "Condition" not in MAIN["Resources"][name]


def test_whoever_is_woken_by_a_rule_and_fails_tells_the_topic() -> None:
    assert FUNCTION["EventInvokeConfig"]["DestinationConfig"]["OnFailure"] == {
        "Type": "SNS",
        "Destination": {"Ref": "ImageNotices"},
    }
    assert FUNCTION["Environment"]["Variables"]["NOTIFICATION_TOPIC_ARN"] == {"Ref": "ImageNotices"}


def test_a_run_that_caught_nothing_is_told_by_a_rule() -> None:
    rule = IMAGES["EndedBadly"]["Properties"]
    assert set(rule["EventPattern"]["detail"]["status"]) == {"FAILED", "TIMED_OUT", "ABORTED"}
    (target,) = rule["Targets"]
    # Never the topic, which is encrypted: see test_everything_is_encrypted.
    assert target["Arn"] == {"Ref": "FunctionArn"}
    transformer = target["InputTransformer"]
    event = json.loads(transformer["InputTemplate"])
    assert event == json.loads((ROOT / "events/image-ended.json").read_text()) | {
        name: f"<{name}>" for name in transformer["InputPathsMap"]
    }
    permission = IMAGES["EndedBadlyMayInvoke"]["Properties"]
    assert permission["SourceArn"] == {"Fn::GetAtt": ["EndedBadly", "Arn"]}
    assert (permission["FunctionName"], permission["Principal"]) == ({"Ref": "FunctionArn"}, "events.amazonaws.com")
    # And it may tell.
    assert FUNCTION["Environment"]["Variables"]["NOTIFICATION_TOPIC_ARN"] in many(STATEMENTS["Tell"]["Resource"])


def test_the_alarm_judges_the_standby_by_the_metric_that_the_function_puts() -> None:
    alarm = IMAGES["TooOld"]["Properties"]
    source = (ROOT / "functions/image/app.py").read_text()
    assert f'"{alarm["MetricName"]}"' in source
    assert {one["Name"]: one["Value"] for one in alarm["Dimensions"]} == {
        "Environment": {"Ref": "Environment"},
        "Role": "standby",
    }
    assert 'role="active" if active else "standby"' in source
    assert alarm["AlarmActions"] == [{"Ref": "TopicArn"}]
    # The region that is active puts nothing under this role.
    assert alarm["TreatMissingData"] == "notBreaching"
    # Longer than the pause between two measurements.
    assert alarm["Period"] * alarm["EvaluationPeriods"] > 3600


def test_the_schedule_starts_the_machine_and_nothing_else() -> None:
    (target,) = IMAGES["Nightly"]["Properties"]["Targets"]
    assert (target["Arn"], target["Input"]) == ({"Ref": "StateMachineArn"}, "{}")
    (may,) = statements(IMAGES["NightlyRole"]["Properties"]["Policies"])
    assert (may["Action"], may["Resource"]) == ("states:StartExecution", {"Ref": "StateMachineArn"})
