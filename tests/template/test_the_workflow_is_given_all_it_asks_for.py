from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from .templates import MAIN, ROOT, functions, many, statements

if TYPE_CHECKING:
    from collections.abc import Iterator

MACHINES = {name: MAIN["Resources"][name]["Properties"] for name in ("Failover", "Reprotect", "ImageMachine")}
every_machine = pytest.mark.parametrize(("name", "machine"), MACHINES.items(), ids=list(MACHINES))


def definition(machine: Any) -> str:
    return (ROOT / str(machine["DefinitionUri"])).read_text()


@every_machine
def test_every_substitution_is_made_and_none_is_left_over(name: str, machine: Any) -> None:
    assert set(re.findall(r"\$\{(\w+)\}", definition(machine))) == set(machine["DefinitionSubstitutions"])


@every_machine
def test_it_may_invoke_the_functions_it_names_and_no_others(name: str, machine: Any) -> None:
    (steps,) = [s for s in statements(machine["Policies"]) if s["Sid"] == "ItsSteps"]
    named = [json.dumps(value) for value in machine["DefinitionSubstitutions"].values()]
    assert sorted(map(json.dumps, steps["Resource"])) == sorted(named)
    assert many(steps["Action"]) == ["lambda:InvokeFunction"]


@every_machine
def test_it_asks_for_nothing_but_its_functions(name: str, machine: Any) -> None:
    found = set(re.findall(r'"Resource": "([^"]+)"', definition(machine)))
    assert found - {"arn:aws:states:::lambda:invoke.waitForTaskToken"} == {"arn:aws:states:::lambda:invoke"}


@every_machine
def test_every_state_is_written_down_with_what_went_in_and_out(name: str, machine: Any) -> None:
    assert machine["Logging"]["Level"] == "ALL"
    assert machine["Logging"]["IncludeExecutionData"] is True
    assert machine["Tracing"] == {"Enabled": True}
    log = MAIN["Resources"][f"{name.removesuffix('Machine')}Log"]["Properties"]
    assert log["LogGroupName"]["Fn::Sub"].startswith("/aws/vendedlogs/")


# States that give up sooner than Lambda ends their function, because of what it does for others: that one reads logs
# for minutes, or may be late with a metric that is published every minute anyway. Both may run beside their own retry.
SOONER = {"SqlFunction", "TrafficFunction"}
LATER = 5


def waiting(machine: Any) -> Iterator[tuple[str, Any, str]]:
    """The states that wait for a function: name, state, and the function's logical id."""
    given = machine["DefinitionSubstitutions"]

    def below(part: Any) -> Iterator[tuple[str, Any, str]]:
        for name, state in part.get("States", {}).items():
            for branch in state.get("Branches", []):
                yield from below(branch)
            arguments = state.get("Arguments", {})
            if "FunctionName" in arguments and arguments.get("InvocationType") != "Event":
                yield name, state, given[arguments["FunctionName"][2:-1]]["Fn::GetAtt"][0]

    yield from below(json.loads(definition(machine)))


@pytest.mark.parametrize("name", [*MACHINES, "Failback"])
def test_a_state_outlives_its_function_and_so_hears_why_it_ended(name: str) -> None:
    """On its own time-out Step Functions gives an empty cause; on the function's, Lambda says what was."""
    found = list(waiting(MAIN["Resources"][name]["Properties"]))
    assert found
    for state, definition, function in found:
        if "waitForTaskToken" in definition["Resource"]:
            continue
        ends = functions()[function]["Timeout"]
        assert definition["TimeoutSeconds"] >= ends + LATER or function in SOONER, state
        # At the same moment it would be chance which of both is told.
        assert definition["TimeoutSeconds"] != ends, state


def test_a_bad_end_is_told_even_when_the_workflow_could_not() -> None:
    rule = MAIN["Resources"]["EndedBadly"]["Properties"]
    # One that failed has told of it, unless an error ended it that no Catch hears of.
    assert set(rule["EventPattern"]["detail"]["status"]) == {"FAILED", "TIMED_OUT", "ABORTED"}
    machines = [{"Ref": name} for name in ("Failover", "Reprotect", "Failback")]
    assert rule["EventPattern"]["detail"]["stateMachineArn"] == machines
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["NotifyFunction", "Arn"]}
    # EventBridge's own patience is a day: a warning that old would be about something else.
    assert target["RetryPolicy"]["MaximumEventAgeInSeconds"] <= 900
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["Undelivered", "Arn"]}}
    (statement,) = MAIN["Resources"]["UndeliveredPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["EndedBadly", "Arn"]}}}


def test_the_event_becomes_what_the_function_understands() -> None:
    transformer = MAIN["Resources"]["EndedBadly"]["Properties"]["Targets"][0]["InputTransformer"]
    message = transformer["InputTemplate"]
    for name in transformer["InputPathsMap"]:
        message = message.replace(f"<{name}>", f"a-{name}")
    sample = json.loads((ROOT / "events" / "notify-ended.json").read_text())
    assert json.loads(message).keys() == sample.keys()
    assert json.loads(message)["action"] == sample["action"]
    # What no Catch hears of is told apart by its error.
    assert transformer["InputPathsMap"]["error"] == "$.detail.error"


def test_who_takes_note_of_a_bad_end_writes_no_whole_item_but_the_question() -> None:
    policies = MAIN["Resources"]["NotifyFunction"]["Properties"]["Policies"]
    table = {"Fn::GetAtt": ["StateTable", "Arn"]}
    (puts,) = [
        found
        for found in statements(policies)
        if found["Resource"] == table and "dynamodb:PutItem" in many(found["Action"])
    ]
    assert puts["Condition"] == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["approval"]}}
