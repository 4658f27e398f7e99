"""The history of an execution as AWS writes it: also inside branches, with each event's predecessor and its call.

MiniStack runs the branches of a Parallel state without a word in the history, and shares one set of variables between
them. On AWS a branch's events name the event before them, which is all that tells branches apart, and what a branch
assigns is its own. Where one of them fails, AWS stops the others; MiniStack lets them run to their ends first.
"""

from __future__ import annotations

import copy
import json
import threading
from contextvars import ContextVar, copy_context
from functools import wraps
from typing import TYPE_CHECKING, Any

from lab.emulator import replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.world import Lab

    Event = dict[str, Any]

# Where this thread is in an execution: the execution's ARN and its last event here. Branches run in copies of the
# context of the thread that starts them, so each continues from the event that forked it.
_place: ContextVar[tuple[str, Event] | None] = ContextVar("_place", default=None)
# The last events of the branches that have ended, for the fork that waits for them.
_ends: ContextVar[list[tuple[str, Event]] | None] = ContextVar("_ends", default=None)
# What a task's arguments were evaluated to, just before the task is scheduled.
_arguments: ContextVar[Any] = ContextVar("_arguments", default=None)
# The forks that this thread works below, outermost first.
_forks: ContextVar[tuple[_Fork, ...]] = ContextVar("_forks", default=())
_lock = threading.Lock()


class _Fork:
    """Branches side by side: how they end."""

    def __init__(self, execution: str, branches: int) -> None:
        self.execution = execution
        self.results: list[Any] = [None] * branches
        self.error: Exception | None = None
        self._left = branches
        self._changed = threading.Condition()

    @property
    def failed(self) -> bool:
        """Whether a branch has failed: the others are abandoned from then on."""
        return self.error is not None

    def end(self, number: int, result: Any = None, error: Exception | None = None) -> None:
        """Note the end of a branch. The first error is the fork's."""
        with self._changed:
            self.results[number] = result
            self.error = self.error or error
            self._left -= 1
            self._changed.notify_all()

    def wait(self) -> None:
        """Wait until all have ended, or one has failed."""
        with self._changed:
            self._changed.wait_for(lambda: self.failed or not self._left)


def install(_lab: Lab) -> None:
    """Complete the history.

    Must come before what holds the events of a lost region back: a lock is taken here that nobody may hold while he
    waits.
    """
    from ministack.services import stepfunctions

    replace(stepfunctions, "_add_event", _linked)
    replace(stepfunctions, "_run_parallel_branches", lambda _: _side_by_side)
    replace(stepfunctions, "_run_parallel_branches", _forked)
    replace(stepfunctions, "_run_sub_machine", lambda _: _run_branch)
    for evaluate in ("_apply_jsonata_arguments", "_apply_parameters"):
        replace(stepfunctions, evaluate, _remembered)
    replace(stepfunctions, "_apply_output_path", _with_the_output_of_succeed)


def execution_here() -> str:
    """Return the ARN of the execution that the calling thread works for.

    Returns
    -------
    str
        Empty outside of any.
    """
    place = _place.get()
    return place[0] if place else ""


def is_abandoned() -> bool:
    """Say whether the calling thread works for a branch whose sibling has failed.

    Returns
    -------
    bool
        True when nothing more may come of what it does.
    """
    return any(fork.failed for fork in _forks_of(execution_here()))


def _forks_of(execution: str) -> list[_Fork]:
    # An execution that another one starts inherits where that one was.
    return [fork for fork in _forks.get() if fork.execution == execution]


def _stop_if_over(execution: dict[str, Any]) -> None:
    """End the thread of a branch that goes on for nothing: threads end quietly on this one exception."""
    forks = _forks_of(execution["executionArn"])
    if forks and (execution["status"] != "RUNNING" or any(fork.failed for fork in forks)):
        raise SystemExit


def _linked(original: Callable[..., Event]) -> Callable[..., Event]:
    @wraps(original)
    def add(execution: dict[str, Any], event_type: str, details: Event | None = None) -> Event:
        _stop_if_over(execution)
        place = _place.get()
        arn = execution["executionArn"]
        if event_type == "TaskScheduled" and details:
            task = _as_aws_names_it(details["taskScheduledEventDetails"])
            details = {"taskScheduledEventDetails": {**task, "parameters": json.dumps(_arguments.get(), default=str)}}
        # An event's id is its place in the list: two branches must not get the same.
        with _lock:
            event = original(execution, event_type, details)
        event["previousEventId"] = place[1]["id"] if place and place[0] == arn else 0
        _place.set((arn, event))
        return event

    return add


def _as_aws_names_it(task: Event) -> Event:
    """Split `arn:aws:states:::lambda:invoke` into the service and what is asked of it."""
    resource = str(task.get("resource", ""))
    service, _, action = resource.removeprefix("arn:aws:states:::").partition(":")
    if not resource.startswith("arn:aws:states:::") or not action:
        return task
    if service == "aws-sdk":
        service, _, action = action.partition(":")
        service = f"aws-sdk:{service}"
    return {**task, "resourceType": service, "resource": action}


def _remembered(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def evaluate(*given: Any) -> Any:
        arguments = original(*given)
        _arguments.set(arguments)
        return arguments

    return evaluate


def _with_the_output_of_succeed(original: Callable[..., Any]) -> Callable[..., Any]:
    """Give a Succeed state the JSONata `Output` that AWS gives it and MiniStack leaves aside."""

    @wraps(original)
    def output(state: dict[str, Any], data: Any, ctx: dict[str, Any] | None = None) -> Any:
        from ministack.services import stepfunctions

        if state.get("Type") == "Succeed" and stepfunctions._state_query_language(state, ctx) == "JSONata":
            return stepfunctions._apply_jsonata_output(state, data, ctx, default=data)
        return original(state, data, ctx)

    return output


def _forked(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def run(state: dict[str, Any], given: Any, execution: dict[str, Any], ctx: dict[str, Any]) -> Any:
        from ministack.services import stepfunctions

        stepfunctions._add_event(execution, "ParallelStateStarted")
        ended: list[tuple[str, Event]] = []
        token = _ends.set(ended)
        outcome = "ParallelStateFailed"
        jsonata = stepfunctions._state_query_language(state, ctx) == "JSONata"
        try:
            if jsonata:
                given = stepfunctions._apply_jsonata_arguments(state, given, ctx)
            result, after = original(state, given, execution, ctx)
            outcome = "ParallelStateSucceeded"
        finally:
            _ends.reset(token)
            if ended:
                _place.set(max(ended, key=lambda place: place[1]["id"]))
            if execution["status"] == "RUNNING":
                stepfunctions._add_event(execution, outcome)
        if not jsonata:
            return result, after
        # MiniStack leaves the JSONata fields of a Parallel state aside.
        output = stepfunctions._apply_jsonata_output(state, given, ctx, result=result, default=result)
        stepfunctions._apply_state_assign(state, given, ctx, result=result)
        return output, after

    return run


def _side_by_side(state: dict[str, Any], given: Any, execution: dict[str, Any], ctx: dict[str, Any]) -> Any:
    """Run the branches of a Parallel state, until all have ended or one has failed."""
    from ministack.services import stepfunctions

    given = stepfunctions._apply_parameters(state, stepfunctions._apply_input_path(state, given, ctx), ctx)
    branches = state["Branches"]
    fork = _Fork(execution["executionArn"], len(branches))

    def run(number: int, branch: dict[str, Any]) -> None:
        _forks.set((*_forks.get(), fork))
        result, error = None, None
        try:
            result = stepfunctions._run_sub_machine(branch["States"], branch["StartAt"], given, execution, ctx)
        except stepfunctions._ExecutionError as failed:
            error = failed
        except Exception as failed:  # noqa: BLE001  # a defect of the emulator must not leave its fork waiting
            error = stepfunctions._ExecutionError("States.BranchFailed", str(failed))
        finally:
            fork.end(number, result, error)

    for number, branch in enumerate(branches):
        context = copy_context()
        threading.Thread(target=context.run, args=(run, number, branch), daemon=True).start()
    fork.wait()
    if fork.error is not None:
        raise fork.error
    # Stopped, or out of time, while its branches ran: there is nothing to go on with.
    if execution["status"] != "RUNNING":
        raise SystemExit
    result = stepfunctions._apply_result_path(state, given, stepfunctions._apply_result_selector(state, fork.results))
    return stepfunctions._apply_output_path(state, result, ctx), stepfunctions._next_or_end(state)


def _run_branch(
    states: dict[str, Any], start: str, given: Any, execution: dict[str, Any], outer: dict[str, Any]
) -> Any:
    """Run the states of a branch of a Parallel state, or of one item of a Map."""
    from ministack.services import stepfunctions

    ended = _ends.get()
    # A branch sees the variables from before the fork and changes none but its own.
    ctx = {**outer, "variables": dict(outer.get("variables", {}))}
    current = copy.deepcopy(given)
    name: str | None = start
    try:
        while name:
            state = states.get(name)
            if state is None:
                raise stepfunctions._ExecutionError("States.Runtime", f"State '{name}' not found")
            current, name = _run_state(name, state, current, execution, ctx)
        return current
    finally:
        place = _place.get()
        if ended is not None and place is not None:
            ended.append(place)


def _run_state(
    name: str, state: dict[str, Any], given: Any, execution: dict[str, Any], ctx: dict[str, Any]
) -> tuple[Any, str | None]:
    from ministack.services import stepfunctions

    kind = state.get("Type")
    ctx["State"] = {"Name": name, "EnteredTime": stepfunctions.now_iso(), "RetryCount": 0}
    stepfunctions._add_event(
        execution, f"{kind}StateEntered", {"stateEnteredEventDetails": {"name": name, "input": json.dumps(given)}}
    )
    after: str | None
    match kind:
        case "Fail":
            raise stepfunctions._ExecutionError(*stepfunctions._fail_state_error(state, given, ctx))
        case "Succeed":
            output = stepfunctions._apply_input_path(state, given, ctx)
            output, after = stepfunctions._apply_output_path(state, output, ctx), None
        case "Task" | "Parallel" | "Map":
            output, after = getattr(stepfunctions, f"_execute_{kind.lower()}")(state, given, execution, ctx)
        case "Pass" | "Choice" | "Wait":
            output, after = getattr(stepfunctions, f"_execute_{kind.lower()}")(state, given, ctx)
        case _:
            raise stepfunctions._ExecutionError("States.Runtime", f"Unknown state type: {kind}")
    stepfunctions._add_event(
        execution, f"{kind}StateExited", {"stateExitedEventDetails": {"name": name, "output": json.dumps(output)}}
    )
    return output, after
