"""Histories as AWS writes them, made from a few words."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

LOSS = dt.datetime(2026, 11, 22, 12, 0, 0, tzinfo=dt.UTC)


def since_loss(stamp: dt.datetime) -> float:
    return (stamp - LOSS).total_seconds()


class History:
    """Writes events; ``path`` continues from the last event of the path it was forked from."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def add(self, at: float, kind: str, before: int, **details: Any) -> int:
        event = {
            "id": len(self.events) + 1,
            "previousEventId": before,
            "timestamp": LOSS + dt.timedelta(seconds=at),
            "type": kind,
        }
        if details:
            event[details.pop("under")] = details
        self.events.append(event)
        return len(self.events)


class Path:
    """One line of events: an execution's main line, or a branch of it."""

    def __init__(self, history: History, last: int = 0) -> None:
        self.history = history
        self.last = last

    def _add(self, at: float, kind: str, **details: Any) -> None:
        self.last = self.history.add(at, kind, self.last, **details)

    def begin(self, at: float) -> None:
        self._add(at, "ExecutionStarted", under="executionStartedEventDetails", input="{}")

    def succeed(self, at: float) -> None:
        self._add(at, "ExecutionSucceeded", under="executionSucceededEventDetails", output="{}")

    def fail(self, at: float, error: str, cause: str) -> None:
        self._add(at, "ExecutionFailed", under="executionFailedEventDetails", error=error, cause=cause)

    def enter(self, at: float, kind: str, name: str) -> None:
        self._add(at, f"{kind}StateEntered", under="stateEnteredEventDetails", name=name, input="{}")

    def leave(self, at: float, kind: str, name: str) -> None:
        self._add(at, f"{kind}StateExited", under="stateExitedEventDetails", name=name, output="{}")

    def call(self, at: float, function: str, *, sent_off: bool = False) -> None:
        arguments = {"FunctionName": f"arn:aws:lambda:eu-central-1:111122223333:function:{function}"}
        if sent_off:
            arguments["InvocationType"] = "Event"
        self._add(
            at,
            "TaskScheduled",
            under="taskScheduledEventDetails",
            resourceType="lambda",
            resource="invoke",
            region="eu-central-1",
            parameters=json.dumps(arguments),
        )

    def call_fails(self, at: float, error: str) -> None:
        self._add(at, "TaskFailed", under="taskFailedEventDetails", error=error, resource="invoke")

    def task(self, name: str, function: str, start: float, end: float, *, sent_off: bool = False) -> None:
        self.enter(start, "Task", name)
        self.call(start, function, sent_off=sent_off)
        self._add(end, "TaskSucceeded", under="taskSucceededEventDetails", resource="invoke")
        self.leave(end, "Task", name)

    def wait(self, name: str, start: float, end: float) -> None:
        self.enter(start, "Wait", name)
        self.leave(end, "Wait", name)

    def choice(self, name: str, at: float) -> None:
        self.enter(at, "Choice", name)
        self.leave(at, "Choice", name)

    def fork(self, at: float, name: str) -> None:
        self.enter(at, "Parallel", name)
        self._add(at, "ParallelStateStarted")

    def branch(self) -> Path:
        return Path(self.history, self.last)

    def join(self, at: float, name: str, last: Path) -> None:
        self.last = last.last
        self._add(at, "ParallelStateSucceeded")
        self.leave(at, "Parallel", name)


def poll(path: Path, name: str, function: str, start: float, end: float, every: float, waiting: str) -> None:
    """Look, wait, look again until ``end``."""
    at = start
    while True:
        path.task(name, function, at, at + 2)
        path.choice(f"{name}?", at + 2)
        if at + 2 >= end:
            return
        path.wait(waiting, at + 2, at + 2 + every)
        at += 2 + every


def failover(*, ends: bool = True) -> list[dict[str, Any]]:
    """A failover that started 14 s after the loss: 183 s of promotion beside 100 s of compute and 20 s of functions."""
    history = History()
    main = Path(history)
    main.begin(14)
    main.task("Take the lock", "dev-dr-control", 14, 17)
    main.choice("Is there anything to do?", 17)
    main.task("Plan", "dev-dr-control", 17, 21)
    main.task("Close the primary if it answers", "dev-dr-fence", 21, 22, sent_off=True)
    main.fork(22, "Bring this region up")
    database, compute, workload = main.branch(), main.branch(), main.branch()
    database.task("Apply what was received", "dev-sql", 22, 26)
    compute.task("Pin the image", "dev-dr-compute", 22, 25)
    poll(workload, "Switch the functions on", "dev-dr-workload", 22, 42, 5, "Give the triggers time")
    poll(compute, "Raise the capacity", "dev-dr-compute", 25, 125, 5, "Give the instances time")
    if not ends:
        database.task("Promote the database", "dev-dr-database", 26, 29)
        database.enter(29, "Wait", "Give the promotion time")
        return history.events
    poll(database, "Promote the database", "dev-dr-database", 26, 209, 5, "Give the promotion time")
    main.join(210, "Bring this region up", database)
    main.task("Verify by a write and a read", "dev-dr-verify", 210, 214)
    main.task("Record this region as active", "dev-dr-control", 214, 217)
    main.task("Release the lock", "dev-dr-control", 217, 219)
    main.task("Tell the team", "dev-dr-notify", 219, 220, sent_off=True)
    main.succeed(220)
    return history.events
