"""Where Step Functions refuses a machine or ends an execution, and MiniStack goes on.

What is too long for AWS, has a name too many, or is no boolean where one is asked for has to fail here first.
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from lab.emulator import replace, wrap_resource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.world import Lab

    State = dict[str, Any]
    Context = dict[str, Any]

_MOST_BYTES: Final = 262_144
_MOST_EVENTS: Final = 25_000
_LONGEST_NAME: Final = 80
# https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
_NOT_IN_A_NAME: Final = re.compile(r'[\s<>{}\[\]?*"#%\\^|~`$&,;:/\u0000-\u001f\u007f-\u009f\ufffe\uffff\ud800-\udfff]')
_TOO_LARGE: Final = "States.DataLimitExceeded"
_RUNTIME: Final = "States.Runtime"


def install(_lab: Lab) -> None:
    """Be as strict as Step Functions."""
    from ministack.services import stepfunctions

    replace(stepfunctions, "_validate_definition_jsonata", _refusing)
    replace(stepfunctions, "_start_execution", _started_once)
    replace(stepfunctions, "_error_matches", _but_not_the_end)
    replace(stepfunctions, "_evaluate_jsonata_choice_rule", lambda _: _decide)
    replace(stepfunctions, "_apply_state_assign", lambda _: _assign)
    replace(stepfunctions, "_apply_jsonata_arguments", _of_a_size("The arguments of the state"))
    replace(stepfunctions, "_add_event", _within_limits)

    def checked(original: Callable[..., Any]) -> Callable[..., Any]:
        def create(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
            from ministack.services.cloudformation import provisioners

            # Unlike an update, MiniStack's creation does not go through what CreateStateMachine checks.
            if refusal := stepfunctions._validate_definition_jsonata(provisioners._sfn_definition(props)):
                raise ValueError(f"Invalid State Machine Definition: '{refusal}'")
            return original(logical_id, props, stack_name)

        return create

    wrap_resource("AWS::StepFunctions::StateMachine", "create", checked)


# What is refused before anything begins


def _refusing(original: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
    def refuse(text: Any) -> str | None:
        if refusal := original(text):
            return refusal
        try:
            machine = json.loads(text)
        except (TypeError, ValueError):
            return None
        found = [*_names(machine), *_shadows(machine, frozenset())]
        return f"SCHEMA_VALIDATION_FAILED: {found[0]}" if found else None

    return refuse


def _inside(state: State) -> list[State]:
    branches = state.get("Branches", [])
    return [*branches, *(state[name] for name in ("ItemProcessor", "Iterator") if name in state)]


def _names(machine: State) -> Iterator[str]:
    def below(part: State) -> Iterator[str]:
        for name, state in part.get("States", {}).items():
            yield name
            for branch in _inside(state):
                yield from below(branch)

    for name, times in Counter(below(machine)).items():
        if times > 1:
            yield f"Duplicate state name: {name}"
        if len(name) > _LONGEST_NAME:
            yield f"State name exceeds the limit of {_LONGEST_NAME} characters: {name}"


def _shadows(machine: State, outside: frozenset[str]) -> Iterator[str]:
    """Find variables of a branch that have the name of one outside, wherever that is assigned.

    https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html
    """
    states = machine.get("States", {}).values()
    own = {
        variable
        for state in states
        for holder in (state, *state.get("Catch", []), *state.get("Choices", []))
        for variable in holder.get("Assign", {})
    }
    for variable in sorted(own & outside):
        yield f"Variable {variable} is assigned in an inner scope and in an outer one"
    for state in states:
        for branch in _inside(state):
            yield from _shadows(branch, outside | own)


def _started_once(original: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    from ministack.core.responses import error_response_json, get_account_id, get_region, json_response
    from ministack.services import stepfunctions

    def start(data: dict[str, Any]) -> Any:
        name = data.get("name")
        if name is not None and not 1 <= len(name) <= _LONGEST_NAME:
            message = (
                f"1 validation error detected: Value '{name}' at 'name' failed to satisfy constraint: Member must "
            )
            return error_response_json("ValidationException", f"{message}have length from 1 to {_LONGEST_NAME}", 400)
        if name is not None and _NOT_IN_A_NAME.search(name):
            return error_response_json("InvalidName", f"Invalid Name: '{name}'", 400)
        machine = stepfunctions._resolve_state_machine_arn(data.get("stateMachineArn", ""))
        if name and machine:
            owner = f"{get_region()}:{get_account_id()}"
            arn = f"arn:aws:states:{owner}:execution:{stepfunctions._state_machines[machine]['name']}:{name}"
            known = stepfunctions._executions.get(arn)
            # The same request again gets the same answer for as long as it runs.
            if known and known["status"] == "RUNNING" and known["input"] == data.get("input", "{}"):
                return json_response({"executionArn": arn, "startDate": known["startDate"]})
        return original(data)

    return start


# What ends an execution, or fails a state


def _but_not_the_end(original: Callable[[list[str], str], bool]) -> Callable[[list[str], str], bool]:
    """Leave alone what no Retry and no Catch can mend.

    States.ALL matches neither of the two, and States.Runtime cannot be caught at all.
    https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
    """

    def matches(wanted: list[str], error: str) -> bool:
        if error == _RUNTIME:
            return False
        return error in wanted if error == _TOO_LARGE else original(wanted, error)

    return matches


def _decide(rule: dict[str, Any], given: Any, context: Context) -> bool:
    """Evaluate a Choice's Condition: on AWS nothing but a boolean is one, and MiniStack takes what is truthy."""
    from ministack.services import stepfunctions

    condition = rule.get("Condition")
    found = stepfunctions._apply_jsonata_template(condition, given, context)
    if not isinstance(found, bool):
        raise stepfunctions._ExecutionError(
            "States.QueryEvaluationError",
            f"The JSONata expression '{condition}' specified for the field 'Condition' returned an unexpected result "
            f"type. Expected 'boolean', but was '{stepfunctions._json_type(found)}'.",
        )
    return found


def _assign(state: State, given: Any, context: Context | None, result: Any = None, error_output: Any = None) -> None:
    """Assign variables all at once: an expression sees what they were before the state.

    MiniStack assigns one after the other, so that the second expression sees what the first has set.
    """
    from ministack.services import stepfunctions

    assign = state.get("Assign")
    if context is None or not isinstance(assign, dict):
        return
    if stepfunctions._state_query_language(state, context) != "JSONata":
        return
    values = {
        name: stepfunctions._apply_jsonata_template(template, given, context, result=result, error_output=error_output)
        for name, template in assign.items()
    }
    _check_size(values, "What is assigned")
    context.setdefault("variables", {}).update(values)


def _of_a_size(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
        def evaluate(*given: Any) -> Any:
            found = original(*given)
            _check_size(found, what)
            return found

        return evaluate

    return wrap


def _within_limits(original: Callable[..., Any]) -> Callable[..., Any]:
    """Let an execution have so many events, and its results and outputs so many bytes."""
    from ministack.services import stepfunctions

    def add(execution: dict[str, Any], kind: str, details: dict[str, Any] | None = None) -> Any:
        # The last one says how it ended.
        if len(execution["events"]) >= _MOST_EVENTS - 1 and not kind.startswith("Execution"):
            message = f"The execution reached the maximum number of history events ({_MOST_EVENTS})."
            raise stepfunctions._ExecutionError(_RUNTIME, message)
        if kind == "TaskSucceeded" or kind.endswith("StateExited"):
            told: dict[str, Any] = next(iter((details or {}).values()), {})
            text = told.get("output", "") or ""
            # As it is in the event, escaped and spaced, it is longer than what AWS counts.
            if len(text) > _MOST_BYTES:
                task = kind == "TaskSucceeded"
                _check_size(json.loads(text), "A task's result" if task else f"The output of '{told.get('name')}'")
        return original(execution, kind, details)

    return add


def _check_size(value: Any, what: str) -> None:
    from ministack.services import stepfunctions

    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode(errors="replace"))
    if size > _MOST_BYTES:
        message = f"{what} has a size exceeding the maximum number of bytes service limit: {size}, not {_MOST_BYTES}"
        raise stepfunctions._ExecutionError(_TOO_LARGE, message)
