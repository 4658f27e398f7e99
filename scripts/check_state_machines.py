"""Checks state machines: ``check_state_machines.py FILE...``; one line a finding, and exit status 1 when there is one.

The language itself is checked by cfn-lint, which knows AWS's schema of it, and every JSONata expression is parsed. On
top of that come the rules of this project, which no schema knows:

- a machine ends: it has a TimeoutSeconds, and so has every task;
- a task is retried on errors that are named, each attempt budget is finite, and whatever else happens is caught;
- every state is reachable, every Next leads to a state, and a Choice knows what to do when nothing matches.

And what AWS refuses only when a machine is created: a name that two states have, and a variable of a branch that has
the name of one outside (https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html).

And what fails only on the day: an expression that reads a failure's Cause is evaluated with all that a Cause can be,
because an expression that fails within a Catch ends the execution, and no other Catch sees it.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfnlint.api import lint
from cfnlint.config import ManualArgs
from jsonata import Jsonata
from jsonata.jexception import JException

if TYPE_CHECKING:
    from collections.abc import Iterator

Machine = dict[str, Any]
State = dict[str, Any]

_SUBSTITUTION = re.compile(r"\$\{[A-Za-z0-9]+\}")
# A task of a JSONata machine may compute its time-out, which cfn-lint's schema does not know yet
# (https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.aws_stepfunctions.Timeout.html).
_TIMEOUT = re.compile(r'"TimeoutSeconds": "\{%[^"]*%\}"')
_EXPRESSION = re.compile(r"^\{%(.*)%\}$", re.DOTALL)
_CATCH_ALL = ("States.ALL", "States.TaskFailed")
_LONGEST_NAME = 80

_WHY = '{"errorMessage": "not today", "errorType": "PreconditionFailed", "stackTrace": ["a line"]}'
_LONGEST_CAUSE = 32_768
# What Step Functions gives as the Cause of a failed task. The second is its text where Lambda names no error, as of a
# function that was ended by its time-out: it quotes JSON and is none. Of a state's own time-out it gives an empty one.
_CAUSES = {
    "a function's exception": _WHY,
    "the text of Lambda.Unknown": (
        "The cause could not be determined because Lambda did not return an error type. Returned payload: "
        '{"errorMessage":"2025-03-25T14:59:02.758Z 0a1b Task timed out after 902.11 seconds"}'
    ),
    "an empty Cause": "",
    "no Cause": None,
    "JSON that is cut off": _WHY[:60],
    # Cut off where a brace happens to stand.
    "JSON that is cut off at a brace": '{"errorMessage": "' + "{}" * (_LONGEST_CAUSE // 2),
    "a sentence": "Task timed out",
    "a child's story": json.dumps({"ExecutionArn": "arn", "Status": "FAILED", "Cause": _WHY}),
}


def findings(text: str) -> list[str]:
    """Check one state machine.

    Parameters
    ----------
    text
        The definition, as it is in its file: with the placeholders that SAM substitutes.

    Returns
    -------
    list[str]
        One line a finding; empty when all is well.
    """
    try:
        machine: Machine = json.loads(text)
    except ValueError as error:
        return [f"is not JSON: {error}"]
    found = [*_language(text), *_expressions(machine, "machine")]
    if machine.get("QueryLanguage") != "JSONata":
        found.append("machine: QueryLanguage is JSONata here")
    if "TimeoutSeconds" not in machine:
        found.append("machine: has no TimeoutSeconds: it might never end")
    found += [*_shadows(machine, frozenset()), *_names(machine)]
    for scope, states in _scopes(machine):
        found += _reachability(scope, states)
        for name, state in states["States"].items():
            found += [f"{name}: {finding}" for finding in _state(state)]
    return found


def _language(text: str) -> list[str]:
    """Let cfn-lint check the definition against AWS's schema, inside a template made for it."""
    template = {
        "Resources": {
            "Machine": {
                "Type": "AWS::StepFunctions::StateMachine",
                "Properties": {
                    "RoleArn": "arn:aws:iam::123456789012:role/states",
                    "Definition": json.loads(
                        _TIMEOUT.sub('"TimeoutSeconds": 60', _SUBSTITUTION.sub("substituted", text))
                    ),
                },
            }
        }
    }
    return [f"{match.rule.id} {match.message}" for match in lint(json.dumps(template), config=ManualArgs())]


def _expressions(node: object, where: str) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _expressions(value, str(name))
    elif isinstance(node, list):
        for value in node:
            yield from _expressions(value, where)
    elif isinstance(node, str) and (match := _EXPRESSION.match(node)):
        try:
            Jsonata(match[1])
        except JException as error:
            yield f"{where}: {node} is not JSONata: {error}"
        else:
            if "$parse(" in match[1]:
                yield from (f"{where}: {node} {finding}" for finding in _reads_any_cause(match[1]))
            elif ".Cause" in match[1] and "&" in match[1]:
                yield f"{where}: {node} puts a raw Cause into a text: a function's is JSON with its whole stack"


def _reads_any_cause(expression: str) -> Iterator[str]:
    """Evaluate an expression with every Cause there is: it gives a text of each, and says something."""
    for what, cause in _CAUSES.items():
        caught = {"Error": "States.Timeout"} if cause is None else {"Error": "States.Timeout", "Cause": cause}
        read = Jsonata(expression)
        # Step Functions' own function: https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
        read.register_lambda("parse", json.loads)
        execution = {"Id": "arn:aws:states:eu-central-1:123456789012:execution:prod-dr-failover:one", "Input": {}}
        context = {"Execution": execution, "StateMachine": {"Name": "prod-dr-failover"}}
        states = {"input": {}, "errorOutput": caught, "context": context}
        try:
            told = read.evaluate(None, {"error": caught, "untold": {"Error": "States.Timeout"}, "states": states})
        except Exception as error:  # noqa: BLE001  # whatever it is, on AWS it ends the execution
            yield f"fails on {what}: {error}"
            continue
        if not isinstance(told, str) or not told:
            yield f"gives {told!r} for {what}, and no text"


def _scopes(machine: Machine, name: str = "machine") -> Iterator[tuple[str, Machine]]:
    """Give the machine and every branch in it: a Next never leaves its own scope."""
    yield name, machine
    for inner, state in machine.get("States", {}).items():
        for number, branch in enumerate(_branches(state), 1):
            yield from _scopes(branch, f"{inner}, branch {number}")


def _branches(state: State) -> list[Machine]:
    return [*state.get("Branches", []), *filter(None, [state.get("ItemProcessor")])]


def _shadows(machine: Machine, outside: frozenset[str]) -> Iterator[str]:
    assigned = {
        variable
        for state in machine.get("States", {}).values()
        for holder in (state, *state.get("Catch", []), *state.get("Choices", []))
        for variable in holder.get("Assign", {})
    }
    for variable in sorted(assigned & outside):
        yield f"${variable} is assigned in a branch and outside of it: AWS refuses that"
    for state in machine.get("States", {}).values():
        for branch in _branches(state):
            yield from _shadows(branch, outside | assigned)


def _names(machine: Machine) -> Iterator[str]:
    names = Counter(name for _, states in _scopes(machine) for name in states.get("States", {}))
    for name, times in names.items():
        if times > 1:
            yield f"{name}: {times} states have this name"
        if len(name) > _LONGEST_NAME:
            yield f"{name}: has {len(name)} characters, and AWS takes {_LONGEST_NAME}"


def _targets(state: State) -> Iterator[str]:
    for holder in (state, *state.get("Catch", []), *state.get("Choices", [])):
        if "Next" in holder:
            yield holder["Next"]
    if "Default" in state:
        yield state["Default"]


def _reachability(scope: str, machine: Machine) -> Iterator[str]:
    states: dict[str, State] = machine["States"]
    reached, ahead = set(), [machine["StartAt"]]
    while ahead:
        name = ahead.pop()
        if name in reached:
            continue
        reached.add(name)
        if name not in states:
            yield f"{scope}: there is no state {name!r} to go to"
        else:
            ahead += _targets(states[name])
    for name in states.keys() - reached:
        yield f"{scope}: no state leads to {name!r}"


def _state(state: State) -> Iterator[str]:
    if state["Type"] == "Choice" and "Default" not in state:
        yield "a Choice without a Default fails on what it does not expect"
    if state["Type"] != "Task":
        return
    if "TimeoutSeconds" not in state:
        yield "a task without TimeoutSeconds may run for a year"
    if not any("States.ALL" in catcher["ErrorEquals"] for catcher in state.get("Catch", [])):
        yield "a task catches States.ALL"
    if not state.get("Retry"):
        yield "a task is retried on named errors"
    for retrier in state.get("Retry", []):
        if any(error in _CATCH_ALL for error in retrier["ErrorEquals"]):
            yield "a retry on every error hides the ones that no retry can mend"
        if "MaxAttempts" not in retrier:
            yield "a retry says how often"


def main(paths: list[str]) -> int:
    """Check files and print what is wrong.

    Parameters
    ----------
    paths
        The files.

    Returns
    -------
    int
        0 when all is well.
    """
    lines = [f"{path}: {finding}" for path in paths for finding in findings(Path(path).read_text())]
    print("\n".join(lines) if lines else f"{len(paths)} state machine(s) checked")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
