"""What must hold of the state machine as text: every wait ends, every failure is recorded and told."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonata import Jsonata

from pilotlight.config import MOST
from pilotlight.decide import parameters
from tests.template.templates import functions
from tests.unit.core.deciding import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
MACHINE: dict[str, Any] = json.loads((ROOT / "statemachine" / "failover.asl.json").read_text())
FAMILIES = {"TransientError", "PreconditionFailed", "FatalError"}

# Recorded as active the region serves: these are tried, and told of where they fail.
DONE_WITHOUT_IT = ("Move the traffic", "Stand the source down", "Let the heart beat here")

type State = dict[str, Any]


def states(machine: dict[str, Any]) -> Iterator[tuple[str, State]]:
    for name, state in machine["States"].items():
        yield name, state
        for branch in state.get("Branches", []):
            yield from states(branch)


TASKS = [(name, state) for name, state in states(MACHINE) if state["Type"] == "Task"]
WAITING = [(name, state) for name, state in TASKS if state["Arguments"].get("InvocationType") != "Event"]


def branches() -> list[dict[str, Any]]:
    return [branch for _, state in states(MACHINE) for branch in state.get("Branches", [])]


def targets(state: State) -> set[str]:
    found = {state[key] for key in ("Next", "Default") if key in state}
    found |= {choice["Next"] for choice in state.get("Choices", [])}
    return found | {catch["Next"] for catch in state.get("Catch", [])}


def test_names_are_told_once() -> None:
    names = [name for name, _ in states(MACHINE)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("machine", [MACHINE, *branches()], ids=lambda machine: machine["StartAt"])
def test_every_arrow_leads_somewhere_and_every_state_is_reached(machine: dict[str, Any]) -> None:
    reached, left = {machine["StartAt"]}, [machine["StartAt"]]
    while left:
        new = targets(machine["States"][left.pop()]) - reached
        reached |= new
        left += new
    assert reached == set(machine["States"])


def test_the_machine_ends_in_time() -> None:
    # Bringing a snapshot over takes hours, and so do looking on and asking.
    assert MACHINE["TimeoutSeconds"] <= 8 * 3600
    assert MACHINE["QueryLanguage"] == "JSONata"


@pytest.mark.parametrize(("name", "state"), TASKS, ids=[name for name, _ in TASKS])
def test_every_task_has_a_time_out_named_retries_and_a_catch(name: str, state: State) -> None:
    # How long a question waits is the team's to say. What carries all parameters does so before anything is closed.
    most = 905 if name == "Bring the parameters over" else 65
    assert name == "Ask the team" or 0 < state["TimeoutSeconds"] <= most, name
    retried = {error for retry in state["Retry"] for error in retry["ErrorEquals"]}
    assert "TransientError" in retried, name
    assert not retried & {"States.ALL", "PreconditionFailed", "FatalError"}, name
    assert [catch["ErrorEquals"] for catch in state["Catch"]][-1] == ["States.ALL"], name


@pytest.mark.parametrize(("name", "state"), WAITING, ids=[name for name, _ in WAITING])
def test_every_step_carries_its_execution_and_all_but_the_first_their_epoch(name: str, state: State) -> None:
    payload = state["Arguments"]["Payload"]
    assert payload["execution"] == "{% $states.context.Execution.Id %}"
    assert ("epoch" in payload) == (name not in {"Take the lock", *HEAD})


PLANNED = "{% $mode = 'graceful' %}"
GOES_ON = "{% $mode = 'graceful' and $passed %}"
INTERRUPTED = "{% $mode = 'graceful' and $interrupted %}"
SPEAKS_TO_THE_SOURCE = ("${FenceFunctionArn}", "${SourceFunctionArn}", "${ParameterSyncFunctionArn}")


def on_the_way(mode: str) -> set[str]:
    """Name the states of the main machine that a failover of a mode can pass before it fails."""
    reached, left = {MACHINE["StartAt"]}, [MACHINE["StartAt"]]
    while left:
        state = MACHINE["States"][left.pop()]
        new = {state[key] for key in ("Next", "Default") if key in state}
        for choice in state.get("Choices", []):
            if choice["Condition"] == PLANNED:
                new = {choice["Next"]} if mode == "graceful" else {state["Default"]}
            elif choice["Condition"] != GOES_ON and (mode == "graceful" or choice["Condition"] != INTERRUPTED):
                new.add(choice["Next"])
        left += new - reached
        reached |= new
    return reached


def test_nothing_waits_for_a_lost_primary() -> None:
    speaks = [
        name
        for name in on_the_way("ungraceful")
        if MACHINE["States"][name].get("Arguments", {}).get("FunctionName") in SPEAKS_TO_THE_SOURCE
    ]
    assert speaks == ["Close the primary if it answers"]
    fence = MACHINE["States"]["Close the primary if it answers"]
    assert fence["Arguments"]["InvocationType"] == "Event"
    # Whatever becomes of sending it off, the way goes on.
    assert targets(fence) == {"Note what has not crossed"}
    note = MACHINE["States"]["Note what has not crossed"]
    assert note["Arguments"]["InvocationType"] == "Event"
    assert targets(note) == {"Bring this region up"}
    for name, state in states(MACHINE):
        if "source" in state.get("Arguments", {}).get("Payload", {}):
            assert state["Arguments"]["FunctionName"] in SPEAKS_TO_THE_SOURCE, name


def test_a_planned_switchover_promotes_only_after_the_proof() -> None:
    main = MACHINE["States"]
    # Or after an earlier execution of the same switch had come that far: only then the record has the note.
    assert {name for name in on_the_way("graceful") if "Bring this region up" in targets(main[name])} == {
        "Note what has not crossed",
        "Is it planned?",
    }
    assert {name for name in on_the_way("graceful") if "Note what has not crossed" in targets(main[name])} == {
        "Pass the point of no return",
    }
    assert [c["Condition"] for c in main["Is it planned?"]["Choices"] if c["Next"] == "Bring this region up"] == [
        GOES_ON
    ]
    assert {name for name in on_the_way("graceful") if "Pass the point of no return" in targets(main[name])} == {
        "Is it where it was?"
    }
    assert {name for name in on_the_way("graceful") if "Is it where it was?" in targets(main[name])} == {
        "Look at the source once more"
    }
    assert {name for name in on_the_way("graceful") if "Look at the source once more" in targets(main[name])} == {
        "Is everything across?"
    }


def test_a_freeze_that_leads_nowhere_is_taken_back() -> None:
    main = MACHINE["States"]
    frozen = (
        "Mark the last write",
        "Close the source to writers",
        "Look at the source",
        "Prove that nothing is missing",
        "Look at the source once more",
        "Pass the point of no return",
    )
    for name in frozen:
        assert [catch["Next"] for catch in main[name]["Catch"]] == ["Open the source again"], name
    for name in ("The proof did not come", "The source was left closed", "The source does not stay open"):
        assert main[name]["Next"] == "Open the source again"
    assert targets(main["Open the source again"]) == {"Are the source's functions on again?", "Record the failure"}
    assert targets(main["Let the source's heart beat"]) == {"Does the switchover go on?"}
    # Once the promotion may have begun, nothing opens the source any more.
    assert "Open the source again" not in targets(main["Bring this region up"])


def test_a_source_that_was_left_closed_is_opened_once_and_the_switchover_goes_on_once() -> None:
    main = MACHINE["States"]
    assert [(c["Condition"], c["Next"]) for c in main["Is the source open?"]["Choices"]] == [
        ("{% $sourceDatabase.closed and $reopened %}", "The source does not stay open"),
        ("{% $sourceDatabase.closed %}", "The source was left closed"),
    ]
    # Set to true in one state, set back in the one that is passed on the way round, and never to true again.
    found = main["The source was left closed"]["Assign"]
    assert (found["reopened"], found["goesOn"]) == (True, True)
    assert main["Take the lock"]["Assign"]["reopened"] is False
    assert main["Take the lock"]["Assign"]["goesOn"] is False
    setters = [name for name, state in main.items() if state.get("Assign", {}).get("goesOn") is True]
    assert setters == ["The source was left closed"]
    (choice,) = main["Does the switchover go on?"]["Choices"]
    assert (choice["Condition"], choice["Next"]) == ("{% $goesOn %}", "Let the replica hear the heart")
    assert main["Does the switchover go on?"]["Default"] == "Record the failure"
    assert main["Let the replica hear the heart"]["Assign"]["goesOn"] is False
    assert not [name for name, state in main.items() if state.get("Assign", {}).get("reopened") is False][1:]


def test_a_source_is_open_when_its_functions_are_on_and_what_stays_off_is_told() -> None:
    main = MACHINE["States"]
    choice = main["Are the source's functions on again?"]
    assert [(c["Condition"], c["Next"]) for c in choice["Choices"]] == [
        ("{% $states.input.done %}", "Let the source's heart beat"),
        ("{% $opening >= 300 %}", "Some functions stay off"),
    ]
    assert choice["Default"] == "Give the source's functions time"
    assert main["Give the source's functions time"]["Next"] == "Open the source again"
    # It serves, so its heart beats; but nothing closes it again before somebody has looked.
    told = main["Some functions stay off"]
    assert (told["Next"], told["Assign"]["goesOn"]) == ("Let the source's heart beat", False)
    expression = Jsonata(told["Assign"]["error"]["Cause"].removeprefix("{%").removesuffix("%}"))
    expression.assign("states", {"input": {"left": "dev-orders (concurrency on; triggers x Disabling)"}})
    expression.assign("opening", 300)
    expression.assign("error", {"Error": "PreconditionFailed", "Cause": "the proof did not come"})
    cause = expression.evaluate({})
    assert "after 300 s of waiting: dev-orders (concurrency on; triggers x Disabling)" in cause
    assert cause.endswith("the proof did not come")
    # Counted from the lock on, and anew where it is opened a second time.
    for name in ("Take the lock", "Let the replica hear the heart"):
        assert main[name]["Assign"]["opening"] == 0


def test_what_an_earlier_run_may_have_left_closed_is_opened_before_the_other_region_is_asked() -> None:
    """That one may be lost by now: a plan needs it, opening does not."""
    main = MACHINE["States"]
    (*_, second) = main["Is there anything to do?"]["Choices"]
    assert (second["Condition"], second["Next"]) == (INTERRUPTED, "The source was left closed")
    assert main["The source was left closed"]["Next"] == "Open the source again"
    assert main["Is there anything to do?"]["Default"] == "Plan"
    # Nothing is planned yet, so nothing may be asked of a plan; and then it is planned.
    assert main["Take the lock"]["Assign"]["plan"] is None
    assert main["Open the source again"]["Arguments"]["Payload"]["method"] == "{% $method %}"
    assert main["Open the source again"]["Assign"] == {"sourceDatabase": "{% $states.result.Payload.database %}"}
    assert main["Let the replica hear the heart"]["Next"] == "Plan"


def test_an_alarm_that_is_delivered_twice_begins_once_and_nobody_is_told_to_start_it() -> None:
    choices = {c["Condition"]: c["Next"] for c in MACHINE["States"]["Is there anything to do?"]["Choices"]}
    assert choices["{% $states.input.outcome = 'a-switch-runs' %}"] == "No failover"


def test_a_late_step_of_a_run_that_was_killed_does_not_keep_the_source_closed() -> None:
    """A function that was at work on the freeze may end after the source was opened: it is opened when all is over."""
    main = MACHINE["States"]
    for name in (
        "Plan", "Look how far the replica is", "Check that both sides are ready", "Bring the parameters over",
    ):  # fmt: skip
        assert [catch["Next"] for catch in main[name]["Catch"]] == ["Was the source just opened?"]
    last = main["Was the source just opened?"]
    assert [(c["Condition"], c["Next"]) for c in last["Choices"]] == [("{% $reopened %}", "Open the source again")]
    assert last["Default"] == "Record the failure"
    # Once round, so it ends there.
    assert main["Let the replica hear the heart"]["Assign"]["goesOn"] is False


def test_parameters_are_over_before_anything_is_closed() -> None:
    main = MACHINE["States"]
    assert main["Is the source open?"]["Default"] == "Bring the parameters over"
    assert targets(main["Are the parameters over?"]) == {"Mark the last write", "Bring the parameters over"}
    (over,) = main["Are the parameters over?"]["Choices"]
    assert (over["Condition"], over["Next"]) == ("{% $brought.done %}", "Mark the last write")
    bring = main["Bring the parameters over"]
    assert "Bring the parameters over" not in on_the_way("ungraceful")
    # It goes on where the last call stopped, and is counted by the clock from where this switch began with it.
    assert main["Is the source open?"]["Assign"] == {
        "brought": {"after": "", "labels": None, "left": ""},
        "bringingSince": "{% $now() %}",
    }
    waited = Jsonata(bring["Arguments"]["Payload"]["waited"].removeprefix("{%").removesuffix("%}"))
    waited.assign("bringingSince", (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=300)).isoformat()[:23] + "Z")
    assert 300 <= waited.evaluate({}) < 900
    # A call that hangs is tried once more, and the machine has the time.
    (retry,) = bring["Retry"]
    assert retry["MaxAttempts"] == 1
    assert bring["TimeoutSeconds"] > parameters.BRING_SECONDS
    longest = parameters.BRING_BUDGET + 2 * bring["TimeoutSeconds"]
    assert MACHINE["TimeoutSeconds"] - sum(
        MOST[f"{name}-budget-seconds"] for name in ("freeze", "snapshot", "proof")
    ) > (longest)


CONNECT_AND_READ = 3 + 15


def longest(state: State) -> float:
    """Seconds until a state has given up whose every attempt hangs in one call to the other region."""
    (retry,) = state["Retry"]
    pauses = [
        min(retry["IntervalSeconds"] * retry["BackoffRate"] ** number, retry["MaxDelaySeconds"])
        for number in range(retry["MaxAttempts"])
    ]
    assert state["TimeoutSeconds"] > CONNECT_AND_READ
    return float(CONNECT_AND_READ * (retry["MaxAttempts"] + 1) + sum(pauses))


def test_a_region_that_hangs_in_the_freeze_keeps_the_source_closed_no_longer_than_the_budgets() -> None:
    from pilotlight.aws import clients

    config = clients.patient("rds", "eu-west-1").meta.config
    assert config.connect_timeout + config.read_timeout == CONNECT_AND_READ
    assert config.retries["total_max_attempts"] == 1
    main = MACHINE["States"]
    freeze, proof = 120, 120
    # The target hangs, and the source is this region: the look into the target is the one call of the freeze that
    # leaves it. Coming to rest may have taken its whole budget before. Opening asks the target once more.
    assert longest(main["Prove that nothing is missing"]) + CONNECT_AND_READ < proof
    # Even where the function itself hangs, until Lambda ends it, just before the state's own time-out.
    look = main["Prove that nothing is missing"]
    hangs = functions()["DatabaseFunction"]["Timeout"]
    assert hangs * (look["Retry"][0]["MaxAttempts"] + 1) + 3 + CONNECT_AND_READ < proof
    # The source hangs: nothing can open it, and that is told within both budgets.
    opening = longest(main["Open the source again"])
    for name in ("Close the source to writers", "Look at the source", "Look at the source once more"):
        assert longest(main[name]) + opening < freeze + proof, name
    # One that answers, but slowly, is bounded by the clock.
    (_, over) = main["Is everything across?"]["Choices"]
    for method, most in (("replica", freeze + proof), ("snapshot", freeze + 3600 + proof)):
        for closed_for, is_over in ((most - 10, False), (most + 1, True)):
            condition = Jsonata(over["Condition"].removeprefix("{%").removesuffix("%}"))
            closed = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=closed_for)
            condition.assign("closedAt", closed.isoformat().replace("+00:00", "Z"))
            condition.assign("plan", {"budgets": {"freeze": freeze, "proof": proof, "snapshot": 3600}})
            condition.assign("method", method)
            condition.assign("waited", 0)
            assert condition.evaluate({}) is is_over, (method, closed_for)


def test_telling_is_never_on_the_way() -> None:
    for name, state in TASKS:
        if state["Arguments"]["FunctionName"] == "${NotifyFunctionArn}":
            assert state["Arguments"]["InvocationType"] == "Event", name
            assert len(targets(state)) == 1, name


def test_every_wait_follows_a_look() -> None:
    for machine in (MACHINE, *branches()):
        waits = {name for name, state in machine["States"].items() if state["Type"] == "Wait"}
        assert machine["StartAt"] not in waits
        for name, state in machine["States"].items():
            if targets(state) & waits:
                assert state["Type"] == "Choice", f"{name} waits before it looks"
        for name in waits:
            back = machine["States"][machine["States"][name]["Next"]]
            assert back["Type"] == "Task", f"{name} is not followed by a look"
            counted = machine["States"][name].get("Assign", {})
            # Deciding again is counted by the clock, since the execution began.
            by_clock = "Execution.StartTime" in back["Arguments"]["Payload"].get("waited", "")
            assert by_clock or {"waited", "spent", "opening"} & set(counted), f"{name} is not counted against a budget"


def test_every_failure_after_the_lock_is_recorded_and_told() -> None:
    main = MACHINE["States"]
    for name, state in main.items():
        if (
            state["Type"] in ("Task", "Parallel")
            and name not in {"Take the lock", *HEAD}
            and state.get("Arguments", {}).get("InvocationType") != "Event"
        ):
            caught = {catch["Next"] for catch in state["Catch"]}
            told = {"Record the failure", "The failure could not be recorded", "Open the source again"}
            told.add("Does the switchover go on?")  # which records it, or goes on
            told.add("Was the source just opened?")  # which opens it once more, or records it
            # What is left to do when the region is active already is done by hand if it must be.
            assert caught <= told or name in DONE_WITHOUT_IT, name
    assert main["Record the failure"]["Next"] == "Tell the team that it failed"
    assert targets(main["Tell the team that it failed"]) == {"Failover failed"}


def test_every_failed_end_says_why() -> None:
    for name, state in states(MACHINE):
        if state["Type"] == "Fail":
            assert state["Error"], name
            assert state["Cause"], name


def test_traffic_and_the_record_come_after_a_write_and_a_read() -> None:
    main = MACHINE["States"]
    before = {name for name, state in main.items() if "Record this region as active" in targets(state)}
    assert before == {"Does it serve?"}
    assert "Record this region as active" not in {
        target for name, state in main.items() if name != "Does it serve?" for target in targets(state)
    }


def test_database_compute_and_functions_come_up_side_by_side() -> None:
    functions = [
        {state["Arguments"]["FunctionName"] for state in branch["States"].values() if state["Type"] == "Task"}
        for branch in MACHINE["States"]["Bring this region up"]["Branches"]
    ]
    assert functions == [
        {"${SqlFunctionArn}", "${DatabaseFunctionArn}"},
        {"${ComputeFunctionArn}"},
        {"${WorkloadFunctionArn}"},
    ]
    drain, *_ = MACHINE["States"]["Bring this region up"]["Branches"]
    first_promotion = {name for name, state in drain["States"].items() if "Promote the database" in targets(state)}
    assert first_promotion == {
        "Apply what was received",
        "Go on to the promotion",
        "Give the promotion time",
        "Everything was proven",
    }
    proven = drain["States"]["Was everything proven?"]
    assert [(c["Condition"], c["Next"]) for c in proven["Choices"]] == [(PLANNED, "Everything was proven")]
    assert proven["Default"] == "Apply what was received"


def test_a_promoted_database_is_opened_before_it_counts_as_up() -> None:
    database, *_ = MACHINE["States"]["Bring this region up"]["Branches"]
    found = database["States"]
    assert {name for name, state in found.items() if "The database is promoted" in targets(state)} == {
        "Is the database open?"
    }
    assert {name for name, state in found.items() if "Open the database" in targets(state)} == {
        "See whether it is open",
        "Give the database time",
    }
    assert {name for name, state in found.items() if "See whether it is open" in targets(state)} == {
        "Is the database promoted?"
    }


def test_what_was_done_is_called_by_its_name() -> None:
    output = MACHINE["States"]["This region is active"]["Output"]
    assert output["outcome"] == "{% $mode = 'graceful' ? 'switched-over' : 'failed-over' %}"
