"""What must hold of the head of both workflows: nothing that an alarm starts changes anything before it is decided."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonata import Jsonata

from tests.unit.core.conftest import ROOT
from tests.unit.core.deciding import BEGINS, DECIDES, ENDS, HEAD, REFUSED, TELLS_OF_A_REFUSAL

MACHINES: dict[str, dict[str, Any]] = {
    name: json.loads((ROOT / f"statemachine/{name}.asl.json").read_text()) for name in DECIDES
}
both = pytest.mark.parametrize(("what", "machine"), MACHINES.items(), ids=list(MACHINES))


def targets(state: dict[str, Any]) -> set[str]:
    found = {state[key] for key in ("Next", "Default") if key in state}
    found |= {choice["Next"] for choice in state.get("Choices", [])}
    return found | {catch["Next"] for catch in state.get("Catch", [])}


def head(what: str) -> dict[str, dict[str, Any]]:
    return {name: state for name, state in MACHINES[what]["States"].items() if name in HEAD}


@both
def test_a_person_who_starts_it_is_not_asked_for_reasons(what: str, machine: dict[str, Any]) -> None:
    first = machine["States"][machine["StartAt"]]
    assert first["Default"] == BEGINS[what]
    (choice,) = first["Choices"]
    assert choice["Condition"] == "{% $exists($states.context.Execution.Input.trigger) %}"
    assert choice["Next"] == DECIDES[what]


@both
def test_only_a_decision_leads_from_an_alarm_to_the_lock(what: str, machine: dict[str, Any]) -> None:
    states = machine["States"]
    ways = {name for name, state in head(what).items() if BEGINS[what] in targets(state)} - {machine["StartAt"]}
    assert ways == {"Tell the team that it begins", "What was answered?"}
    (to_begin,) = [c for c in states["What was decided?"]["Choices"] if c["Next"] == "Tell the team that it begins"]
    (to_go_on,) = [c for c in states["What was answered?"]["Choices"] if c["Next"] == BEGINS[what]]
    assert to_begin["Condition"] == to_go_on["Condition"] == "{% $decision.outcome = 'go' %}"
    # An answer, given or not, is held against what is so by then.
    assert targets(states["No answer in time"]) == {"Take note of the answer"}
    assert states["Ask the team"]["Next"] == "Take note of the answer"
    assert states["Take note of the answer"]["Arguments"]["Payload"]["action"] == "confirm"


@both
def test_deciding_asks_one_function_and_tells_by_another_and_nothing_else(what: str, machine: dict[str, Any]) -> None:
    called = {state["Arguments"]["FunctionName"] for state in head(what).values() if state["Type"] == "Task"}
    assert called == {"${DecisionFunctionArn}", "${NotifyFunctionArn}"}
    for name, state in head(what).items():
        if state.get("Arguments", {}).get("FunctionName") == "${DecisionFunctionArn}" and name != "Ask the team":
            assert state["Arguments"]["Payload"]["what"] == what


@both
def test_a_question_ends_by_itself_and_its_default_is_the_teams(what: str, machine: dict[str, Any]) -> None:
    ask = machine["States"]["Ask the team"]
    assert ask["Resource"].endswith(".waitForTaskToken")
    assert ask["TimeoutSeconds"] == "{% $decision.answer_seconds %}"
    assert ask["Catch"][0] == {"ErrorEquals": ["States.Timeout"], "Next": "No answer in time"}
    # A time-out is the end of the question, and never a reason to ask again.
    assert "States.Timeout" not in ask["Retry"][0]["ErrorEquals"]
    assert machine["States"]["No answer in time"]["Assign"]["answer"]["answer"] == "{% $decision.no_answer %}"


@both
def test_what_cannot_be_decided_is_told_and_changes_nothing(what: str, machine: dict[str, Any]) -> None:
    for name, state in head(what).items():
        if state.get("Arguments", {}).get("FunctionName") == "${DecisionFunctionArn}":
            assert state["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name
            assert state["Catch"][-1]["Next"] == "Tell the team that nothing was decided", name
    assert targets(machine["States"]["Tell the team that nothing was decided"]) == {"Nothing could be decided"}


@both
def test_a_refusal_after_the_decision_is_told_where_nobody_is_there_to_read_it(
    what: str, machine: dict[str, Any]
) -> None:
    """People were told that it begins: they wait for it, and the alarm does not ring again."""
    states = machine["States"]
    assert [catch["Next"] for catch in states[BEGINS[what]]["Catch"]] == ["Was it an alarm?"]
    (alarm,) = states["Was it an alarm?"]["Choices"]
    assert alarm == {
        "Condition": "{% $exists($states.context.Execution.Input.trigger) %}",
        "Next": TELLS_OF_A_REFUSAL,
    }
    assert states["Was it an alarm?"]["Default"] == REFUSED[what]
    # Whatever becomes of the telling, the execution ends with its cause.
    assert targets(states[TELLS_OF_A_REFUSAL]) == {REFUSED[what]}


@both
@pytest.mark.parametrize("cause", ['{"errorMessage": "poll-seconds is \'15m\'", "stackTrace": []}', "throttled"])
def test_a_refusal_is_told_with_its_cause_and_the_command(what: str, machine: dict[str, Any], cause: str) -> None:
    told = machine["States"][TELLS_OF_A_REFUSAL]["Arguments"]["Payload"]["notification"]
    name = f"prod-dr-{what}"
    execution = f"arn:aws:states:eu-central-1:123456789012:execution:{name}:one"
    expression = Jsonata(told["message"].removeprefix("{%").removesuffix("%}"))
    expression.assign("error", {"Error": "PreconditionFailed", "Cause": cause})
    expression.assign("states", {"context": {"StateMachine": {"Name": name}, "Execution": {"Id": execution}}})
    expression.register_lambda("parse", json.loads)
    message = expression.evaluate({})
    head, *rest = message.splitlines()
    said = json.loads(cause)["errorMessage"] if cause.startswith("{") else cause
    assert head == f"The {what} that an alarm began was refused: {said}"
    assert "Nothing was changed" in message
    assert f"  make {what} ENVIRONMENT=prod DR_REGION=eu-central-1" in rest
    assert rest[-1] == f"(docs/runbooks/{what}.md, {REFUSED[what]})"


@both
def test_the_reasons_are_in_the_output_however_it_ends(what: str, machine: dict[str, Any]) -> None:
    ends = {"failover": ["This region is active"], "failback": ["The primary is active again"]}[what]
    for name in (ENDS[what], *ends):
        assert machine["States"][name]["Output"]["decision"] == "{% $decision %}"


def test_both_decide_in_the_same_words() -> None:
    def shape(what: str) -> str:
        own = {"Tell the team that nothing was decided"}
        text = json.dumps({name: state for name, state in head(what).items() if name not in own})
        for words in (DECIDES, ENDS, BEGINS):
            text = text.replace(words[what], "…")
        return text.replace(f'"{what}"', '"…"').replace(f'"no-{what}"', '"…"')

    assert shape("failover") == shape("failback")
