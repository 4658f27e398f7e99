"""What a failback is asked for, where it begins, how long the service is down, and what people are told of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pilotlight.decide import tell, traffic
from pilotlight.decide.ending import UNCAUGHT
from pilotlight.decide.request import triggered
from pilotlight.decide.restore import freeze_estimate
from pilotlight.errors import PreconditionFailed
from pilotlight.model import GRACEFUL, SNAPSHOT

if TYPE_CHECKING:
    from pilotlight.model import Database, Json, Record

type Start = Literal["already-back", "protect-primary", "reopen", "switch", "protect-dr"]

_EXAMPLE = '{"method": "replica" or "snapshot", "force": false, "reason": "why"}'
_LONGEST_REASON = 500
_METHODS = ("replica", SNAPSHOT)
# A name has 80 characters; what tells the children apart comes after their parent's.
_LONGEST_PARENT = 58


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asks of a failback, already checked. ``automatic`` where an alarm has started it."""

    method: str = "replica"
    force: bool = False
    reason: str = ""
    automatic: bool = False


def check(payload: object) -> Wish:
    """Read the input of an execution.

    Raises
    ------
    PreconditionFailed
        It is neither nothing nor an object of known fields. The message names the field; nothing has been changed.
    """
    if payload is None:
        return Wish()
    if not isinstance(payload, Mapping):
        raise _refused(f"the input is {type(payload).__name__}, not an object")
    unknown = sorted(set(payload) - {"method", "force", "reason", "trigger"})
    if unknown:
        raise _refused(f"unknown field {', '.join(map(repr, unknown))}")
    if "trigger" in payload:
        return Wish(reason=triggered(payload, _refused), automatic=True)
    method, force, reason = payload.get("method", "replica"), payload.get("force", False), payload.get("reason", "")
    if method not in _METHODS:
        raise _refused(f"'method' is {method!r}, not 'replica' or 'snapshot'")
    # bool("false") is True: a string is refused, not interpreted.
    if not isinstance(force, bool):
        raise _refused(f"'force' is {force!r}, not true or false")
    if not isinstance(reason, str) or len(reason) > _LONGEST_REASON:
        raise _refused(f"'reason' must be text of at most {_LONGEST_REASON} characters")
    return Wish(str(method), force, reason)


def start(
    record: Record, holder_running: bool, primary: str, dr: str, database: Database | None, *, closed: bool
) -> Start:
    """Decide where a failback begins: at its start, or where an earlier one stopped.

    Parameters
    ----------
    record
        What DR's state table says now.
    holder_running
        Whether the execution named in ``record.holder`` is still running.
    primary, dr
        The two regions.
    database
        DR's database.
    closed
        Whether that is behind its closed door.

    Raises
    ------
    PreconditionFailed
        Something else is running, or has to be finished first.
    """
    if record.lock == "held" and holder_running:
        raise PreconditionFailed(
            f"another execution is running and holds the lock: {record.holder} (since {record.taken_at}, "
            f"epoch {record.epoch}), or it has just ended: try again in a minute. Nothing was changed. Wait until it "
            "has ended, then start again. Watch it: "
            f"aws stepfunctions describe-execution --region {dr} --execution-arn {record.holder}"
        )
    unfinished = record.unfinished
    if record.active_region == dr:
        if unfinished and record.promotion and record.target == primary:
            # Past the point of no return the primary's database is nobody's replica: the switch has to be finished.
            return "switch"
        # A DR that was left closed is opened first, which is what a switch does that is started again. One that was
        # killed may have closed it in part, behind an open door. A switch that failed by itself has opened it.
        killed = unfinished and bool(record.frozen) and not record.promotion
        return "reopen" if closed or killed else "protect-primary"
    if unfinished and record.target == dr and record.promotion:
        raise PreconditionFailed(
            f"a failover to {dr} is not finished: it passed its point of no return at {record.promotion}, and "
            f"{record.active_region} is still recorded as active. Nothing was changed. Start the failover again, with "
            "no input, and the failback after it."
        )
    if unfinished and record.target == primary:
        return "switch"
    return "already-back" if database is not None and _replicates(database, primary) else "protect-dr"


def _replicates(database: Database, source_region: str) -> bool:
    return database.status == "available" and f":{source_region}:" in database.source and database.replicates


def child_name(parent: str, part: str) -> str:
    """Name a child execution after its parent, so that one finds the other; two parents never give the same name."""
    if len(parent) > _LONGEST_PARENT:
        digest = hashlib.sha256(parent.encode()).hexdigest()[:8]
        parent = f"{parent[: _LONGEST_PARENT - 9]}-{digest}"
    return f"{parent}-{part}"


def plan(
    wish: Wish, begins: Start, execution: str, environment: str, primary: str, dr: str, allocated_gib: int
) -> Json:
    """Say what will be done: which children are started, under which names and with which input.

    Parameters
    ----------
    wish
        The checked input.
    begins
        Where to begin.
    execution
        ARN of the parent.
    environment
        Its name, for the notification.
    allocated_gib
        Storage of the active database.
    """
    parent, estimate = execution.rsplit(":", 1)[-1], freeze_estimate(wish.method, allocated_gib)
    why = {"reason": wish.reason} if wish.reason else {}
    return {
        "start": begins,
        "environment": environment,
        "method": wish.method,
        "primary": primary,
        "dr": dr,
        "freeze_estimate": estimate,
        "protect_primary": {
            "name": child_name(parent, "protect-primary"),
            # By snapshot the old database only has to go out of the way: the new one is made within the freeze.
            "input": {"region": primary, "rebuild": wish.method != SNAPSHOT} | why,
        },
        # What DR has published alone: a release that was made while there was no region to copy it to.
        "image": {"name": child_name(parent, "image"), "input": {"only_if_newer": True}},
        "switch": {
            "name": child_name(parent, "switch"),
            "input": {"mode": GRACEFUL, "target": primary, "method": wish.method, "force": wish.force}
            | ({"automatic": True} if wish.automatic else {})
            | why,
        },
        "protect_dr": {
            "name": child_name(parent, "protect-dr"),
            "input": {"region": dr, "rebuild": True} | why,
        },
        "next": _ALREADY.format(primary=primary, dr=dr) if begins == "already-back" else "",
        "notification": {
            "kind": "failback-announced",
            "subject": f"[{environment}] failback by snapshot begins: the service will be down",
            "message": (
                f"The service goes back to {primary} by a snapshot. When the old database there is out of the way, "
                f"{dr} is frozen, for {estimate}. A failure within it opens {dr} again.\n\n"
                f"Reason given: {wish.reason or 'none'}"
            ),
        },
    }


_ALREADY = "{primary} is active and {dr} replicates from it: there was nothing to do, and nothing was changed."


def succeeded(planned: Json, children: Json) -> Json:
    """Word the end of a failback that worked: what is next, and the notification.

    Parameters
    ----------
    planned
        What `plan` said.
    children
        The outputs of the three children; None where one had nothing to do.
    """
    primary, dr = planned["primary"], planned["dr"]
    kept = [
        f"{child['retired']} in {child['region']}"
        for child in (children.get("primary"), children.get("dr"))
        if child and child.get("retired")
    ]
    switched = children.get("switchover") or {}
    parts = [
        traffic.next_step(switched["plan"], primary, switched.get("traffic"))
        if "plan" in switched
        else f"See that the application's name leads to {primary}'s load balancer"
    ]
    if kept:
        parts.append(
            f"Kept and paid for until you remove them ({tell.make('retired', planned['environment'], dr, primary)}): "
            f"{', '.join(kept)}. Look first at what they hold that the others never got"
        )
    following = " ".join(f"{number}. {part}." for number, part in enumerate(parts, 1))
    return {
        "next": following,
        "notification": {
            "kind": "failback-succeeded",
            "subject": f"[{planned['environment']}] failed back: {primary} is active, {dr} protects it",
            "message": f"The service runs in {primary} again, and {dr} is its standby.\n\nNext: {following}",
        },
    }


def failed(planned: Json, at: str, error: Json, record: Record) -> Json:
    """Word the end of a failback that stopped: what a child said, how things stand, how to go on.

    Parameters
    ----------
    planned
        What `plan` said.
    at
        The state that failed.
    error
        What Step Functions caught: of a child that failed, its description is the cause.
    record
        Who is active now.
    """
    name, cause, killed = _of_the_child(error)
    standing, subject = _standing(planned, record, cause, killed=killed)
    if _elsewhere(planned, record):
        way = "Let that end first, and see how the regions stand:"
        command = tell.make("status", planned["environment"], planned["dr"])
    else:
        way = "After the repair start the failback again with the same input: it goes on where it stopped."
        command = _command(planned)
    message = f"'{at}' did not succeed: {cause} {standing} {way}"
    return {
        "error": name,
        "cause": message,
        "notification": {
            "kind": "failback-failed",
            "subject": f"[{planned['environment']}] {subject}",
            "message": f"{message}\n  {command}\n(docs/runbooks/failback.md, 5. When it stops)",
        },
    }


def _command(planned: Json) -> str:
    method = f" METHOD={SNAPSHOT}" if planned["method"] == SNAPSHOT else ""
    return tell.make("failback", planned["environment"], planned["dr"]) + method


def _of_the_child(error: Json) -> tuple[str, str, bool]:
    """Take out of what was caught: its name, the story, and whether Step Functions ended a child that told none."""
    name, cause = str(error.get("Error", "FatalError")), str(error.get("Cause", ""))
    try:
        told = json.loads(cause)
        # A step of its own, and no child: a function's exception comes with its whole stack.
        cause = str(told.get("errorMessage", cause))
        arn, status = str(told["ExecutionArn"]), str(told["Status"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return name, f"{name}: {cause or 'without a reason; look at the history of the execution'}.", False
    story = str(told.get("Cause") or f"it ended {status} without a word.")
    own = str(told.get("Error") or name)
    return own, f"{story} (The execution {arn} {status}.)", status != "FAILED" or own in UNCAUGHT


def _elsewhere(planned: Json, record: Record) -> bool:
    """Whether the lock is held by an execution that is none of its children: one gave way, or came too late."""
    switch = planned["switch"]["name"]
    own = {planned["protect_primary"]["name"], switch, f"{switch}-again", planned["protect_dr"]["name"]}
    return record.lock == "held" and record.holder.rsplit(":", 1)[-1] not in own


def _standing(planned: Json, record: Record, cause: str, *, killed: bool) -> tuple[str, str]:
    """Say how the regions stand, in a sentence and in a subject."""
    primary, dr = planned["primary"], planned["dr"]
    stopped = f"FAILBACK STOPPED: {record.active_region} is active"
    if _elsewhere(planned, record):
        # Its source may be lost, whatever is recorded until it is over.
        return (
            f"As it stands: {record.holder} holds the lock since {record.taken_at or 'a moment ago'} and is at work; "
            f"until it is over {record.active_region} is recorded as active, and may not serve.",
            "FAILBACK STOPPED: another execution is at work",
        )
    if record.active_region == primary:
        return f"As it stands: {primary} is active and serves; {dr} may not protect it yet.", stopped
    down = tell.outage(record, closed=tell.STILL_CLOSED in cause, killed=killed) if record.source == dr else ""
    subject = {
        "is": f"THE SERVICE IS DOWN: failback stopped in its switch, {dr} is closed",
        "may be": f"THE SERVICE MAY BE DOWN: failback stopped in its switch, look at {dr}",
        "": stopped,
    }[down]
    if record.promotion and record.target == primary and record.lock != "free":
        return (
            f"As it stands: the switch passed its point of no return at {record.promotion}, so there is no way back to "
            f"{dr}, only on.",
            subject,
        )
    if down:
        return (
            f"As it stands: {dr} {'is' if down == 'is' else 'may be'} closed to writers, and {primary} does not serve. "
            f"Nothing is lost. The next start opens {dr} before anything else; to open it and stay there: "
            "docs/runbooks/switchover.md, Open the source by hand.",
            subject,
        )
    return (
        f"As it stands: {dr} is the active region, and nothing irreversible was done to it. Should it be closed to "
        "writers, the next start opens it first.",
        subject,
    )


def _refused(why: str) -> PreconditionFailed:
    return PreconditionFailed(f"{why}. Nothing was changed. Start with no input, or with {_EXAMPLE}.")
