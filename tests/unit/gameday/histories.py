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

    def child(self, name: str, arn: str, start: float, end: float | None, output: str = "{}") -> None:
        """A step that starts an execution and waits for it; without an end it is under way."""
        self.enter(start, "Task", name)
        details = {"resourceType": "states", "resource": "startExecution.sync:2"}
        self._add(start, "TaskScheduled", under="taskScheduledEventDetails", **details, parameters="{}")
        submitted = json.dumps({"ExecutionArn": arn, "StartDate": start})
        self._add(start, "TaskSubmitted", under="taskSubmittedEventDetails", **details, output=submitted)
        if end is not None:
            self._add(end, "TaskSucceeded", under="taskSucceededEventDetails", **details, output=output)
            self.leave(end, "Task", name)

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


def execution_arn(machine: str, name: str) -> str:
    return f"arn:aws:states:eu-central-1:000000000000:execution:dev-dr-{machine}:{name}"


PROTECT_PRIMARY = execution_arn("reprotect", "home-primary")
SWITCH = execution_arn("failover", "home-switch")
PROTECT_DR = execution_arn("reprotect", "home-dr")


def reprotect(start: float) -> list[dict[str, Any]]:
    """A re-protection: 30 s to close, 150 s of snapshot, 100 s of retiring, 1300 s of a new replica."""
    history = History()
    main = Path(history)
    main.begin(start)
    main.task("Take the lock", "dev-dr-control", start, start + 3)
    main.task("Plan the protection", "dev-dr-standby", start + 3, start + 6)
    main.task("Close the standby's region", "dev-dr-standby", start + 6, start + 10)
    poll(main, "Look at the old database", "dev-dr-standby", start + 10, start + 38, 5, "Give it time to come to rest")
    main.task("List what never crossed", "dev-dr-standby", start + 38, start + 45)
    poll(main, "Take the final snapshot", "dev-dr-standby", start + 45, start + 190, 10, "Give the snapshot time")
    poll(main, "Retire the old database", "dev-dr-standby", start + 190, start + 290, 10, "Give the renaming time")
    poll(main, "Build the replica", "dev-dr-standby", start + 290, start + 1590, 30, "Give the replica time")
    poll(main, "Wait until it replicates", "dev-dr-standby", start + 1590, start + 1620, 5, "Give replication time")
    main.task("Record the protection", "dev-dr-control", start + 1630, start + 1633)
    main.succeed(start + 1635)
    return history.events


def switchover(start: float, *, ends: bool = True) -> list[dict[str, Any]]:
    """A planned switch: ready, frozen, proven, promoted, recorded."""
    history = History()
    main = Path(history)
    main.begin(start)
    main.task("Take the lock", "dev-dr-control", start, start + 3)
    main.task("Plan", "dev-dr-control", start + 3, start + 6)
    main.task("Check that both sides are ready", "dev-dr-source", start + 6, start + 10)
    main.task("Mark the last write", "dev-dr-source", start + 10, start + 12)
    main.task("Close the source to writers", "dev-dr-source", start + 12, start + 16)
    poll(main, "Look at the source", "dev-dr-source", start + 16, start + 50, 5, "Give the source time")
    main.task("Prove that nothing is missing", "dev-sql", start + 52, start + 55)
    main.enter(start + 55, "Task", "Look at the source once more")
    main.call(start + 55, "dev-dr-source")
    position = json.dumps({"done": True, "position": "0-1-4711"})
    main._add(
        start + 57,
        "TaskStateExited",
        under="stateExitedEventDetails",
        name="Look at the source once more",
        output=position,
    )
    main.fork(start + 57, "Bring this region up")
    database, compute = main.branch(), main.branch()
    poll(compute, "Raise the capacity", "dev-dr-compute", start + 57, start + 150, 5, "Give the instances time")
    poll(database, "Promote the database", "dev-dr-database", start + 57, start + 240, 5, "Give the promotion time")
    main.join(start + 241, "Bring this region up", database)
    main.task("Verify by a write and a read", "dev-dr-verify", start + 241, start + 244)
    if not ends:
        main.enter(start + 244, "Task", "Record this region as active")
        return history.events
    main.task("Record this region as active", "dev-dr-control", start + 244, start + 246)
    main.task("Stand the source down", "dev-dr-source", start + 246, start + 250)
    main.task("Release the lock", "dev-dr-control", start + 250, start + 251)
    main.succeed(start + 253)
    return history.events


def failback(start: float) -> list[dict[str, Any]]:
    """The parent of three: the primary is protected already, the switch, DR's new replica."""
    history = History()
    main = Path(history)
    main.begin(start)
    main.task("Check what is asked", "dev-dr-failback", start, start + 2)
    main.child("Re-protect the primary", PROTECT_PRIMARY, start + 2, start + 12)
    main.child("Switch over to the primary", SWITCH, start + 12, start + 268)
    main.child("Re-protect the DR region", PROTECT_DR, start + 268, start + 1906)
    main.task("Say what is next", "dev-dr-failback", start + 1906, start + 1908)
    main.succeed(start + 1910)
    return history.events


def already_protected(start: float) -> list[dict[str, Any]]:
    history = History()
    main = Path(history)
    main.begin(start)
    main.task("Take the lock", "dev-dr-control", start, start + 8)
    main.succeed(start + 9)
    return history.events


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
