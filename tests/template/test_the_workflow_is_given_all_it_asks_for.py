from __future__ import annotations

import json
import re

from .templates import MAIN, ROOT, many, statements

MACHINE = MAIN["Resources"]["Failover"]["Properties"]
DEFINITION = (ROOT / MACHINE["DefinitionUri"]).read_text()


def test_every_substitution_is_made_and_none_is_left_over() -> None:
    assert set(re.findall(r"\$\{(\w+)\}", DEFINITION)) == set(MACHINE["DefinitionSubstitutions"])


def test_it_may_invoke_the_functions_it_names_and_no_others() -> None:
    (steps,) = [s for s in statements(MACHINE["Policies"]) if s["Sid"] == "ItsSteps"]
    named = [json.dumps(value) for value in MACHINE["DefinitionSubstitutions"].values()]
    assert sorted(map(json.dumps, steps["Resource"])) == sorted(named)
    assert many(steps["Action"]) == ["lambda:InvokeFunction"]


def test_it_asks_for_nothing_but_its_functions() -> None:
    assert set(re.findall(r'"Resource": "([^"]+)"', DEFINITION)) == {"arn:aws:states:::lambda:invoke"}


def test_every_state_is_written_down_with_what_went_in_and_out() -> None:
    assert MACHINE["Logging"]["Level"] == "ALL"
    assert MACHINE["Logging"]["IncludeExecutionData"] is True
    assert MACHINE["Tracing"] == {"Enabled": True}
    assert MAIN["Resources"]["FailoverLog"]["Properties"]["LogGroupName"]["Fn::Sub"].startswith("/aws/vendedlogs/")


def test_a_bad_end_is_told_even_when_the_workflow_could_not() -> None:
    rule = MAIN["Resources"]["FailoverEndedBadly"]["Properties"]
    assert set(rule["EventPattern"]["detail"]["status"]) == {"FAILED", "TIMED_OUT", "ABORTED"}
    assert rule["EventPattern"]["detail"]["stateMachineArn"] == [{"Ref": "Failover"}]
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["NotifyFunction", "Arn"]}
    # EventBridge's own patience is a day: a warning that old would be about something else.
    assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 900
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["Undelivered", "Arn"]}}


def test_the_event_becomes_what_the_function_understands() -> None:
    transformer = MAIN["Resources"]["FailoverEndedBadly"]["Properties"]["Targets"][0]["InputTransformer"]
    message = transformer["InputTemplate"]
    for name in transformer["InputPathsMap"]:
        message = message.replace(f"<{name}>", f"a-{name}")
    sample = json.loads((ROOT / "events" / "notify-ended.json").read_text())
    assert json.loads(message).keys() == sample.keys()
    assert json.loads(message)["action"] == sample["action"]
