"""Whether somebody still has to hear of an execution that ended badly, and in which words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pilotlight.decide import tell
from pilotlight.model import GRACEFUL, SNAPSHOT

if TYPE_CHECKING:
    from pilotlight.model import End, Json, Record

UNCAUGHT: Final = frozenset({"States.DataLimitExceeded", "States.QueryEvaluationError", "States.Runtime"})
"""Errors that end a workflow where it is: no Catch hears of them, or they come where there can be none."""

REFUSED: Final = frozenset({"Refused", "Failback refused"})
"""Fail states of whoever asked, and reads the answer where the question was typed: unless an alarm did."""

_LONGEST_CAUSE: Final = 500


def machine_of(execution: str) -> str:
    """Say which of the workflows an execution is of: ``failover``, ``reprotect``, ``failback``, ``image``."""
    return execution.split(":")[6].rsplit("-", 1)[-1]


def is_unheard(status: str, machine: str, end: End) -> bool:
    """Decide whether nobody was told, by all that is known: in doubt, two messages are better than none.

    A workflow that fails by a Fail state of its own has told of it in the state before, unless that step failed too.
    One that was stopped was stopped by somebody who knows; but what an alarm began is everybody's, and so is a
    failback, which may have stopped half way, and an image, which a schedule began.

    Parameters
    ----------
    status
        ``FAILED``, ``TIMED_OUT`` or ``ABORTED``.
    machine
        As `machine_of` says.
    end
        How it ended.
    """
    if status == "TIMED_OUT":
        return True
    if status == "ABORTED":
        return machine in ("failback", "image") or end.by_alarm is not False
    if end.own is None:
        return not end.error or end.error in UNCAUGHT
    if end.own:
        return end.wordless and (end.state not in REFUSED or end.by_alarm is not False)
    return True


def ended(status: str, end: End) -> str:
    """Say how an execution ended, and where."""
    by = f" by {end.error}" if end.error else ""
    return f"{status}{by}{f', in {end.state!r}' if end.state else ''}"


def unheard(execution: str, status: str, end: End, seen: Record, environment: str, regions: tuple[str, str]) -> Json:
    """Word the end of an execution that told nobody and does not hold the lock.

    Parameters
    ----------
    execution
        Its ARN.
    seen
        The record.
    regions
        The primary's and DR's, in this order.
    """
    machine = machine_of(execution)
    what = {"reprotect": "RE-PROTECTION", "failback": "FAILBACK"}.get(machine, "FAILOVER")
    lines, order, page = {"reprotect": _reprotect, "failback": _failback}.get(machine, _switch)(
        execution, status, end, seen, regions
    )
    command, _, option = order.partition(" ")
    # Whoever reads it looks first whether somebody else is at work.
    if seen.lock == "held" and seen.holder != execution:
        status = tell.make("status", environment, regions[1])
        lines = [*lines, f"Another execution holds the lock: {seen.holder}. Let it end first:", f"  {status}"]
    cause = [end.cause[:_LONGEST_CAUSE]] if end.cause and status == "FAILED" else []
    return {
        "kind": "ended-unheard",
        "subject": f"[{environment}] {what} ENDED {status}: active is {seen.active_region}",
        "message": "\n".join(
            (
                f"{execution} ended {ended(status, end)}, and could tell nobody.",
                *cause,
                "",
                *lines,
                f"  {tell.make(command, environment, regions[1])}{f' {option}' if option else ''}",
                f"({page})",
            )
        ),
    }


def _is_over(execution: str, seen: Record) -> bool:
    return seen.holder == execution and seen.lock == "free"


def _switch(
    execution: str, status: str, end: End, seen: Record, regions: tuple[str, str]
) -> tuple[list[str], str, str]:
    if _is_over(execution, seen):
        told = f"The switch itself was done: {seen.active_region} is active. What was left was to tell you. Look:"
        return [told], "status", "docs/runbooks/failover.md, 4. After success"
    asked = end.asked or {}
    if end.by_alarm:
        lines = [
            "An alarm had begun it, and it does not hold the lock: it was deciding or asking, and changed nothing, or "
            "another execution took over. What it asked can be answered no more.",
            f"Nothing starts by itself until the alarm rings anew. Look at {regions[0]}. If it is lost, fail over:",
        ]
        return lines, "failover", "docs/runbooks/failover.md, 1. Decide"
    lines = ["It does not hold the lock (any more): nothing that it left goes on by itself. Start it again:"]
    if asked.get("mode") != GRACEFUL:
        return lines, "failover", "docs/runbooks/failover.md, 5. After a failure"
    if asked.get("target", regions[1]) == regions[1]:
        return lines, "switchover", "docs/runbooks/switchover.md, When it fails"
    return lines, _back(asked), "docs/runbooks/failback.md, 5. When it stops"


def _reprotect(
    execution: str, status: str, end: End, seen: Record, regions: tuple[str, str]
) -> tuple[list[str], str, str]:
    if _is_over(execution, seen):
        lines = [
            f"The protection itself was recorded before: {seen.target} stands by for {seen.active_region}. What was "
            "left is to compare the objects of both regions and to copy what never crossed. That goes on with:"
        ]
        return lines, "objects", "docs/runbooks/objects.md"
    lines = [
        f"It does not hold the lock (any more): {seen.active_region} serves, and may have no standby. Start it again, "
        "it goes on from there:"
    ]
    return lines, "reprotect", "docs/runbooks/reprotect.md, 5. After a failure"


def _failback(
    execution: str, status: str, end: End, seen: Record, regions: tuple[str, str]
) -> tuple[list[str], str, str]:
    environment = execution.split(":")[-2].removesuffix("-dr-failback")
    lines = [
        "What it was waiting for was stopped with it, and tells for itself."
        if status == "ABORTED"
        else "What it was waiting for (a re-protection, or the switch) may still run. See, and let it end first:\n"
        f"  {tell.make('status', environment, regions[1])}",
        "Then start it again with the same input, it goes on where it stopped:",
    ]
    if end.by_alarm:
        lines = [
            "An alarm had begun it. If it was still deciding or asking, nothing was changed, and what it asked can be "
            "answered no more.",
            lines[0],
            "Nothing starts by itself until the alarm rings anew. When you want to go back, start it with no input, it "
            "goes on where it stopped:",
        ]
    return lines, _back(end.asked or {}), "docs/runbooks/failback.md, 5. When it stops"


def _back(asked: Json) -> str:
    return f"failback METHOD={SNAPSHOT}" if asked.get("method") == SNAPSHOT else "failback"
