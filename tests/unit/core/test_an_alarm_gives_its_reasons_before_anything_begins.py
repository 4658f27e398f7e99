"""What must hold of the head of both workflows: nothing that an alarm starts changes anything before it is decided."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from jsonata import Jsonata

from pilotlight.decide import decision
from tests.template.templates import MAIN
from tests.unit.core.conftest import ROOT
from tests.unit.core.deciding import BEGINS, DECIDES, ENDS, HEAD, REFUSED, TELLS_OF_A_REFUSAL

MACHINES: dict[str, dict[str, Any]] = {
    name: json.loads((ROOT / f"statemachine/{name}.asl.json").read_text()) for name in DECIDES
}
both = pytest.mark.parametrize(("what", "machine"), MACHINES.items(), ids=list(MACHINES))


# What Step Functions may give as a Cause, to what people read of it.
UNKNOWN = (
    "The cause could not be determined because Lambda did not return an error type. "
    'Returned payload: {"errorMessage":"2025-03-25T14:59:02.758Z Task timed out after 902.11 seconds"}'
)
CAUSES = {
    '{"errorMessage": "poll-seconds is \'15m\'", "stackTrace": []}': "poll-seconds is '15m'",
    "throttled": "throttled",
    UNKNOWN: UNKNOWN,
    "": "States.Timeout without a word: see the execution's history",
}


def notification_of(state: str, what: str, machine: dict[str, Any], cause: str, **given: Any) -> dict[str, str]:
    """Evaluate what a state sends that tells of an error, as Step Functions does; with ``to``, whose incident it is."""
    payload = machine["States"][state]["Arguments"]["Payload"]
    name = f"prod-dr-{what}"
    execution = f"arn:aws:states:eu-central-1:123456789012:execution:{name}:one"
    trigger = {"alarm": f"prod-dr-wakes-{what}", "at": "noon"}
    known = {
        "error": {"Error": "States.Timeout", "Cause": cause},
        "decision": {"incident": "the incident"},
        "states": {
            "context": {"StateMachine": {"Name": name}, "Execution": {"Id": execution, "Input": {"trigger": trigger}}}
        },
        **given,
    }

    def evaluated(text: str) -> str:
        if not text.startswith("{%"):
            return text
        expression = Jsonata(text.removeprefix("{%").removesuffix("%}"))
        for variable, value in known.items():
            expression.assign(variable, value)
        expression.register_lambda("parse", json.loads)
        return str(expression.evaluate({}))

    told = {key: evaluated(text) for key, text in payload["notification"].items()}
    return told | {"to": evaluated(payload["execution"])}


def message_of(state: str, what: str, machine: dict[str, Any], cause: str, **given: Any) -> str:
    return notification_of(state, what, machine, cause, **given)["message"]


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
    # Whoever has said yes hears that it begins, too.
    assert ways == {"Tell the team that it begins"}
    (to_begin,) = [c for c in states["What was decided?"]["Choices"] if c["Next"] == "Tell the team that it begins"]
    assert to_begin["Condition"] == "{% $decision.outcome = 'go' %}"
    assert {name for name, state in head(what).items() if "Tell the team that it begins" in targets(state)} == {
        "What was decided?"
    }
    # An answer, given or not, is held against what is so by then.
    assert targets(states["No answer in time"]) == {"Take note of the answer"}
    assert states["Ask the team"]["Next"] == "Take note of the answer"
    assert states["Take note of the answer"]["Arguments"]["Payload"]["action"] == "confirm"
    assert states["Take note of the answer"]["Next"] == "What was decided?"


@both
def test_a_no_that_may_pass_is_looked_at_again_and_the_time_is_counted(what: str, machine: dict[str, Any]) -> None:
    states, wait = machine["States"], "Wait before looking again"
    ways = {
        name: choice["Condition"]
        for name, state in head(what).items()
        for choice in state.get("Choices", [])
        if choice["Next"] == wait
    }
    assert ways == {
        "What was decided?": "{% $decision.outcome = 'wait' %}",
        "Is it looked at again?": "{% $decision.again_seconds > 0 %}",
    }
    assert targets(states["Tell the team why not"]) == {"Is it looked at again?"}
    assert states["Is it looked at again?"]["Default"] == ENDS[what]
    assert states[wait]["Seconds"] == "{% $decision.again_seconds %}"
    assert states[wait]["Next"] == DECIDES[what]
    # Counted is the time since it began, by the clock: looks that hang are in it, and answers that came at once.
    for name in (DECIDES[what], "Take note of the answer"):
        payload = states[name]["Arguments"]["Payload"]
        assert payload["before"] == "{% $decision %}"
        elapsed = Jsonata(payload["waited"].removeprefix("{%").removesuffix("%}"))
        began = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1000)
        elapsed.assign("states", {"context": {"Execution": {"StartTime": began.isoformat().replace("+00:00", "Z")}}})
        found = elapsed.evaluate({})
        # Whole seconds: that is what the function reads.
        assert found == int(found)
        assert 1000 <= found < 1600


def test_looking_again_leaves_time_for_the_question_and_for_the_switch() -> None:
    longest_question = MAIN["Parameters"]["ApprovalTimeoutSeconds"]["MaxValue"]
    before = decision.MOST_LOOKING_SECONDS + longest_question
    assert MACHINES["failover"]["TimeoutSeconds"] - before >= 3600
    states = MACHINES["failback"]["States"]
    children = sum(state["TimeoutSeconds"] for state in states.values() if "sync" in state.get("Resource", ""))
    # A switch that only had to open what was left closed is followed by another one.
    children += states["Switch over to the primary"]["TimeoutSeconds"]
    assert MACHINES["failback"]["TimeoutSeconds"] - before > children
    # An execution's history ends at 25 000 events, and a look with its wait takes nine.
    assert 9 * decision.MOST_LOOKING_SECONDS / decision.LISTEN_AGAIN_SECONDS < 25_000


def test_an_automatic_failback_asks_once_more_before_it_freezes_anything() -> None:
    states = MACHINES["failback"]["States"]
    assert states["Re-protect the primary"]["Next"] == "Bring the image home"
    assert states["Bring the image home"]["Next"] == "Did an alarm start it?"
    (by_alarm,) = states["Did an alarm start it?"]["Choices"]
    assert by_alarm["Condition"] == "{% $exists($states.context.Execution.Input.trigger) %}"
    # A person who starts it needs nobody to decide.
    assert states["Did an alarm start it?"]["Default"] == "Switch over to the primary"
    look = states[by_alarm["Next"]]
    assert (look["Arguments"]["Payload"]["action"], look["Next"]) == ("still", "Is automation still on?")
    (on,) = states["Is automation still on?"]["Choices"]
    assert (on["Condition"], on["Next"]) == ("{% $states.input.outcome = 'go' %}", "Switch over to the primary")
    assert states["Is automation still on?"]["Default"] == "Tell the team why not"
    # Why it began stays in its output.
    assert look["Assign"] == {
        "decision": "{% $states.result.Payload.outcome = 'go' ? $decision : $states.result.Payload %}"
    }
    assert {catch["Next"] for catch in look["Catch"]} == {"Say what stopped it"}
    # Once it has passed, or only has to open what was left closed, it is not asked: that has to be finished.
    assert "See whether automation is still on" not in targets(states["Where does it begin?"])


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
    assert targets(machine["States"]["Tell the team that nothing was decided"]) == {"Is it tried again?"}


def seconds_ago(expression: str, seconds: float) -> Any:
    began = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)
    found = Jsonata(expression.removeprefix("{%").removesuffix("%}"))
    found.assign("states", {"context": {"Execution": {"StartTime": began.isoformat().replace("+00:00", "Z")}}})
    return found.evaluate({})


@both
def test_what_cannot_be_decided_is_tried_again_for_as_long_as_a_no_is(what: str, machine: dict[str, Any]) -> None:
    """The alarm rings once, and on the day DR's own APIs throttle; or a setting is put right a minute later."""
    states = machine["States"]
    for name in (DECIDES[what], "Ask the team", "Take note of the answer"):
        assigned = states[name]["Catch"][-1]["Assign"]
        assert assigned["error"] == "{% $states.errorOutput %}"
        again = "note" if name == "Take note of the answer" else "decide"
        most = decision.MOST_LOOKING_SECONDS
        assert [seconds_ago(assigned["undecided"], most + more) for more in (-5, 5)] == [again, "last"], name
    fork = states["Is it tried again?"]
    assert [(choice["Condition"], choice["Next"]) for choice in fork["Choices"]] == [
        ("{% $undecided = 'last' %}", "Nothing could be decided"),
        ("{% $undecided = 'note' %}", "Wait before noting the answer again"),
    ]
    assert fork["Default"] == "Wait before deciding again"
    # Who has answered is not asked again, and a no stays a no.
    for wait, goes_on in (
        ("Wait before deciding again", DECIDES[what]),
        ("Wait before noting the answer again", "Take note of the answer"),
    ):
        assert (states[wait]["Seconds"], states[wait]["Next"]) == (decision.LOOK_AGAIN_SECONDS, goes_on)


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
@pytest.mark.parametrize(("cause", "said"), CAUSES.items())
def test_a_refusal_is_told_with_its_cause_and_the_command(
    what: str, machine: dict[str, Any], cause: str, said: str
) -> None:
    head, *rest = message_of(TELLS_OF_A_REFUSAL, what, machine, cause).splitlines()
    message = "\n".join(rest)
    assert head == f"The {what} that an alarm began was refused: {said}"
    assert "Nothing was changed" in message
    for order in ("status", what):
        assert f"  make {order} ENVIRONMENT=prod DR_REGION=eu-central-1" in rest
    assert rest[-1] == f"(docs/runbooks/{what}.md, {REFUSED[what]})"


@both
@pytest.mark.parametrize(("cause", "said"), CAUSES.items())
def test_what_could_not_be_decided_is_told_with_its_cause(
    what: str, machine: dict[str, Any], cause: str, said: str
) -> None:
    for undecided, goes_on in (
        ("decide", "tried again every minute, until three hours"),
        ("last", "nothing starts by itself any more"),
    ):
        told = notification_of("Tell the team that nothing was decided", what, machine, cause, undecided=undecided)
        head, _, rest = told["message"].partition("\n\n")
        assert head == f"An alarm woke the {what}, and it could not be decided whether to begin: {said}"
        assert rest.startswith("Nothing was changed. ")
        assert goes_on in rest
        lines = rest.splitlines()
        assert lines[-2] == f"  make {what} ENVIRONMENT=prod DR_REGION=eu-central-1"
        path, heading = lines[-1].strip("()").split(", ")
        assert f"# {heading}\n" in (ROOT / path).read_text()
        assert told["to"] == f"prod-dr-wakes-{what}-noon"


@both
def test_a_reason_is_told_once_and_the_last_word_once_more(what: str, machine: dict[str, Any]) -> None:
    def kind(cause: str, name: str = "PreconditionFailed", undecided: str = "decide") -> str:
        error = {"Error": name, "Cause": cause}
        state = "Tell the team that nothing was decided"
        return notification_of(state, what, machine, "", error=error, undecided=undecided)["kind"]

    def wrong(parameter: str, request: int) -> str:
        return json.dumps({"errorMessage": f"{parameter} is wrong", "requestId": f"{request}"})

    # One that is not put right in a minute; another one; and what is worded anew each time.
    assert kind(wrong("failover-mode", 1)) == kind(wrong("failover-mode", 2)) != kind(wrong("approval-default", 3))
    assert kind("a", "TransientError") == kind("b", "TransientError") != kind("a", "States.Timeout")
    assert kind("a", "TransientError", "last") != kind("a", "TransientError")


@both
def test_mails_of_the_workflow_are_found_by_the_environment(what: str, machine: dict[str, Any]) -> None:
    for state, said in (
        ("Tell the team that nothing was decided", f"[prod] {what} UNDECIDED: it is tried again"),
        (TELLS_OF_A_REFUSAL, f"[prod] {what} REFUSED: a person has to start it"),
    ):
        assert notification_of(state, what, machine, "", undecided="decide")["subject"] == said


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
