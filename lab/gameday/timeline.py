"""From an execution's history to the steps that an operator saw.

Works on the events of any Standard state machine, as GetExecutionHistory returns them: events form a tree by their
``previousEventId``, and that alone says which branch an event belongs to.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lab.gameday.model import Step, Timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Event = Mapping[str, Any]
    Scope = tuple[str, ...]

MAIN: Final = "main"
_FORKS: Final = ("ParallelStateStarted",)
_JOINS: Final = (
    "ParallelStateSucceeded",
    "ParallelStateFailed",
    "ParallelStateAborted",
    "MapIterationSucceeded",
    "MapIterationFailed",
    "MapIterationAborted",
)
_CALLS: Final = ("LambdaFunctionScheduled", "TaskScheduled", "ActivityScheduled")
_QUIET: Final = ("Choice", "Pass", "Succeed")
"""States that decide or reshape: they take no time and would only hide the steps that do."""


@dataclass
class _Visit:
    """One time that a state was entered."""

    name: str
    kind: str
    scope: Scope
    start: float
    end: float
    open: bool = True
    calls: int = 0
    functions: list[str] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    critical: bool = False


def build(events: Iterable[Event], seconds: Callable[[Any], float], *, now: float | None = None) -> Timeline:
    """Turn an execution's history into its timeline.

    Parameters
    ----------
    events
        As GetExecutionHistory returns them, all pages, in any order.
    seconds
        Turns an event's timestamp into AWS seconds since the moment that counts.
    now
        AWS seconds of this moment, for an execution that is under way; without it, the last event's.

    Returns
    -------
    Timeline
        Steps in the order in which they began.
    """
    history = sorted(events, key=lambda event: event["id"])
    if not history:
        return Timeline(status="RUNNING", start=0.0, end=0.0)
    status, cause = _outcome(history[-1])
    start = seconds(history[0]["timestamp"])
    end = seconds(history[-1]["timestamp"])
    if status == "RUNNING" and now is not None:
        end = max(end, now)
    visits = _visits(history, seconds, end)
    _mark_critical(visits, ())
    names = _branch_names(visits)
    critical = [visit for visit in visits if visit.critical]
    waits = [visit for visit in critical if visit.kind == "Wait"]
    return Timeline(
        status=status,
        start=start,
        end=end,
        steps=tuple(_steps(visits, names)),
        waits=len(waits),
        wait_seconds=sum(visit.end - visit.start for visit in waits),
        calls=sum(visit.calls for visit in critical),
        functions=_names(visit.functions for visit in critical),
        sent=_names(visit.sent for visit in critical),
        cause=cause,
    )


def _outcome(last: Event) -> tuple[str, str]:
    outcomes = {
        "ExecutionSucceeded": "SUCCEEDED",
        "ExecutionFailed": "FAILED",
        "ExecutionTimedOut": "TIMED_OUT",
        "ExecutionAborted": "ABORTED",
    }
    status = outcomes.get(last["type"], "RUNNING")
    details = _details(last)
    return status, ": ".join(str(details[key]) for key in ("error", "cause") if details.get(key))


def _details(event: Event) -> Mapping[str, Any]:
    # Each type of event keeps its details under a key of its own; there is never more than one.
    for key, value in event.items():
        if key.endswith("EventDetails") and isinstance(value, dict):
            return value
    return {}


def _visits(history: Sequence[Event], seconds: Callable[[Any], float], end: float) -> list[_Visit]:
    visits: list[_Visit] = []
    scopes: dict[int, Scope] = {0: ()}
    types: dict[int, str] = {}
    visit_of: dict[int, _Visit] = {}
    for event in history:
        number, kind = event["id"], str(event["type"])
        # AWS gives every event but the first its predecessor.
        before = event.get("previousEventId", number - 1)
        scopes[number] = _scope(event, before, scopes, types)
        types[number] = kind
        moment = seconds(event["timestamp"])
        visit = visit_of.get(before)
        if kind.endswith("StateEntered"):
            visit = _Visit(_details(event)["name"], kind.removesuffix("StateEntered"), scopes[number], moment, end)
            visits.append(visit)
        elif kind.endswith("StateExited"):
            visit = _close(visits, str(_details(event)["name"]), scopes[number], moment)
        elif visit is not None:
            _observe(visit, event, moment)
        if visit is not None:
            visit_of[number] = visit
    return visits


def _scope(event: Event, before: int, scopes: Mapping[int, Scope], types: Mapping[int, str]) -> Scope:
    """Return the branches that an event is inside of, from the outermost in."""
    scope, kind = scopes.get(before, ()), str(event["type"])
    if kind.startswith("Execution"):
        return ()
    if kind == "MapIterationStarted":
        details = _details(event)
        return (*scope, f"{details.get('name', 'item')} {details.get('index', 0)}")
    if kind in _JOINS and types.get(before) not in _FORKS:
        return scope[:-1]
    if types.get(before) in _FORKS and kind.endswith("StateEntered"):
        return (*scope, str(_details(event)["name"]))
    return scope


def _close(visits: Sequence[_Visit], name: str, scope: Scope, moment: float) -> _Visit | None:
    named = [visit for visit in visits if visit.open and visit.name == name]
    # A caught failure of branches leaves by way of the branch that failed: the name still says which state it was.
    visit = next((visit for visit in reversed(named) if visit.scope == scope), named[-1] if named else None)
    if visit is not None:
        visit.end, visit.open = moment, False
        if visit.kind in ("Parallel", "Map"):
            _abandon(visits, visit, moment)
    return visit


def _abandon(visits: Sequence[_Visit], container: _Visit, moment: float) -> None:
    """Close what a failed branch's siblings had open: AWS stops them without an exit of their own."""
    for visit in visits:
        inside = len(visit.scope) > len(container.scope) and visit.scope[: len(container.scope)] == container.scope
        if visit.open and inside and visit.start >= container.start:
            visit.end, visit.open = moment, False


def _observe(visit: _Visit, event: Event, moment: float) -> None:
    kind, details = str(event["type"]), _details(event)
    if kind in _CALLS:
        visit.calls += 1
        name, waited_for = _function(details)
        if name:
            (visit.functions if waited_for else visit.sent).append(name)
    elif kind.endswith(("Failed", "TimedOut")) and not kind.startswith("Execution"):
        visit.errors.append(str(details.get("error") or kind))
    elif kind.endswith("StateAborted"):
        visit.end, visit.open = moment, False


def _function(details: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the Lambda function that a task calls (if it calls one), and whether it waits for the answer."""
    resource = str(details.get("resource", ""))
    parameters = _json(details.get("parameters", ""))
    arn = resource if ":function:" in resource else str(parameters.get("FunctionName", ""))
    name = arn.partition(":function:")[2] or arn
    return name.partition(":")[0], parameters.get("InvocationType") != "Event"


def _json(text: object) -> Mapping[str, Any]:
    try:
        parsed = json.loads(str(text))
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _mark_critical(
    visits: Sequence[_Visit], scope: Scope, since: float = float("-inf"), until: float = float("inf")
) -> None:
    """Mark what the end of ``scope`` had to wait for, and inside each fork only the branch that ended last."""
    for visit in visits:
        if visit.scope != scope or not since <= visit.start <= until:
            continue
        visit.critical = True
        inside = [
            each
            for each in visits
            if len(each.scope) == len(scope) + 1
            and each.scope[:-1] == scope
            and visit.start <= each.start <= visit.end
            and visit.kind in ("Parallel", "Map")
        ]
        if inside:
            last = max(inside, key=lambda each: (each.open, each.end))
            _mark_critical(visits, last.scope, visit.start, visit.end)


def _names(lists: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(sorted({name for each in lists for name in each}))


def _branch_names(visits: Sequence[_Visit]) -> dict[Scope, str]:
    """Name each branch after the function it calls most, or after its first state where it calls none."""
    called: dict[Scope, Counter[str]] = {(): Counter()}
    for visit in visits:
        counter = called.setdefault(visit.scope, Counter())
        counter.update(name.rpartition("-")[2] for name in visit.functions)
    names: dict[Scope, str] = {}
    for scope, counter in called.items():
        own = scope[-1] if scope else MAIN
        names[scope] = counter.most_common(1)[0][0] if scope and counter else own
    # Two branches that call the same function most are told apart by their first states.
    often = Counter(names.values())
    return {scope: name if often[name] == 1 or not scope else scope[-1] for scope, name in names.items()}


def _steps(visits: Sequence[_Visit], names: Mapping[Scope, str]) -> list[Step]:
    scopes = dict.fromkeys(visit.scope for visit in visits)
    steps = [
        _step(group, names[scope])
        for scope in scopes
        for group in _loops([visit for visit in visits if visit.scope == scope])
        if any(visit.kind not in _QUIET for visit in group)
    ]
    return sorted(steps, key=lambda step: step.start)


def _loops(visits: Sequence[_Visit]) -> list[list[_Visit]]:
    """Group one branch's visits so that everything between two visits to the same state is one group."""
    last = {visit.name: index for index, visit in enumerate(visits)}
    groups: list[list[_Visit]] = []
    reach = -1
    for index, visit in enumerate(visits):
        if index > reach:
            groups.append([])
        groups[-1].append(visit)
        reach = max(reach, last[visit.name])
    return groups


def _step(group: Sequence[_Visit], branch: str) -> Step:
    # The step is named after the work, not after the waiting for it.
    lead = next((visit for visit in group if visit.kind == "Task"), None)
    lead = lead or next(visit for visit in group if visit.kind not in _QUIET)
    calls = sum(visit.calls for visit in group)
    tasks = sum(visit.kind == "Task" for visit in group)
    return Step(
        name=lead.name,
        branch=branch,
        start=group[0].start,
        end=max(visit.end for visit in group),
        kind=lead.kind,
        critical=any(visit.critical for visit in group),
        visits=sum(visit.name == lead.name for visit in group),
        calls=calls,
        retries=max(0, calls - tasks),
        wait_seconds=sum(visit.end - visit.start for visit in group if visit.kind == "Wait"),
        functions=_names(visit.functions for visit in group),
        sent=_names(visit.sent for visit in group),
        errors=tuple(error for visit in group for error in visit.errors),
        open=any(visit.open for visit in group),
    )
