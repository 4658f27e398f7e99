"""What people are told: what happened, what to do and by which command, and then the details.

Mails are read on a phone at night, so lines are short and a command stands on a line of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pilotlight.decide import images, traffic
from pilotlight.model import GRACEFUL, REPROTECT

if TYPE_CHECKING:
    from pilotlight.model import Json, Record

STILL_CLOSED: Final = "THE SOURCE IS STILL CLOSED"
"""How the cause of a planned switch begins that could not open its source again: the state machine words it so."""
KILLED: Final = "the execution ended"
"""How the cause of an execution begins that Step Functions ended: it could take nothing back."""

_RESUME = (
    "Nothing is rolled back and {traffic}. After the repair start the failover again, with no input: "
    "it goes on from there."
)
_RESUME_PLANNED = (
    "The point of no return is passed: {source} stays closed, and nothing is lost. After the repair start the "
    "switchover again with the same input: it goes on from there."
)
_DOWN = (
    "THE SERVICE IS DOWN: {source} is closed to writers, and {target} does not serve. Nothing is lost. Open {source} "
    "now, as the page says. Or, when what keeps it closed is mended, start the switchover again with the same input, "
    "which opens {source} before anything else:"
)
_MAY_BE_DOWN = (
    "THE SERVICE MAY BE DOWN: {source} may be closed to writers, and {target} does not serve. Nothing is lost. Look "
    "now. If {source} is closed, open it as the page says, or start the switchover again with the same input, which "
    "opens {source} before anything else:"
)
_CALLED_OFF = (
    "Nothing irreversible was done: {source} stays the active region. After the repair start the switchover again "
    "with the same input. Should {source} still be closed to writers, that opens it first."
)
_REPROTECT = (
    "Nothing that serves was touched: {active} stays the active region, without a standby. After the repair start "
    "{environment}-dr-reprotect again: it goes on from there."
)


def outage(record: Record, *, closed: bool, killed: bool) -> Literal["", "may be", "is"]:
    """Say whether a planned switch that did not end well left nobody serving: source closed, target not active yet.

    Parameters
    ----------
    closed
        Whether the source is known not to have been opened again.
    killed
        Whether Step Functions ended it, which opens nothing.
    """
    unfinished = record.mode == GRACEFUL and record.lock != "free" and record.active_region == record.source
    if unfinished and (closed or record.promotion):
        return "is"
    return "may be" if unfinished and killed else ""


def _outage(record: Record, cause: str) -> Literal["", "may be", "is"]:
    return outage(record, closed=STILL_CLOSED in cause, killed=cause.startswith(KILLED))


def way_on(record: Record, environment: str, cause: str = "") -> str:
    """Say how to go on after a failure: back is possible until the point of no return is passed."""
    if record.mode == REPROTECT:
        return _REPROTECT.format(active=record.active_region, environment=environment)
    if record.mode != GRACEFUL:
        # Traffic follows the record, and nothing else.
        recorded = record.target and record.active_region == record.target
        return _RESUME.format(traffic=f"traffic follows to {record.target}" if recorded else "traffic was not moved")
    down = _outage(record, cause)
    if record.promotion:
        words = f"THE SERVICE IS DOWN until that is done. {_RESUME_PLANNED}" if down else _RESUME_PLANNED
    else:
        words = {"is": _DOWN, "may be": _MAY_BE_DOWN, "": _CALLED_OFF}[down]
    return words.format(source=record.source, target=record.target)


def make(order: str, environment: str, dr: str, primary: str = "") -> str:
    """Word a command as it is typed. Without the names, `make` acts on its defaults.

    Parameters
    ----------
    primary
        For an order that acts on both regions.
    """
    regions = f"PRIMARY_REGION={primary} DR_REGION={dr}" if primary else f"DR_REGION={dr}"
    return f"make {order} ENVIRONMENT={environment} {regions}"


def again(record: Record, environment: str, dr: str, cause: str = "") -> tuple[str, str]:
    """Say by which command to go on after a failure, and which page of the runbook says more."""
    if record.mode == REPROTECT:
        return make("reprotect", environment, dr), "docs/runbooks/reprotect.md, 5. After a failure"
    if record.mode != GRACEFUL:
        return make("failover", environment, dr), "docs/runbooks/failover.md, 5. After a failure"
    if record.target != dr:
        # A failback goes on with the switch where one is not finished.
        method = " (and METHOD=snapshot, if it was by snapshot)"
        command, page = make("failback", environment, dr) + method, "docs/runbooks/failback.md, 5. When it stops"
    else:
        command, page = make("switchover", environment, dr), "docs/runbooks/switchover.md, When it fails"
    # Past the point of no return nothing opens it.
    by_hand = _outage(record, cause) and not record.promotion
    return command, "docs/runbooks/switchover.md, Open the source by hand" if by_hand else page


def already_active(record: Record) -> str:
    """Say that there is nothing to do."""
    return f"{record.active_region} is already active since epoch {record.since or record.epoch}: nothing was changed."


def fence_outcome(record: Record) -> str:
    """Say whether the old region is known to be closed."""
    return record.fence or f"not confirmed: {record.source} has not answered yet"


def next_steps(record: Record, payload: Json, primary: str) -> str:
    """Say what the team does now, a step a line."""
    plan = payload["plan"]
    source, target = record.source, record.target
    dr = source if target == primary else target
    moves = traffic.next_step(plan, target, payload.get("traffic"))
    protect = f"     {make('reprotect', plan['environment'], dr)}\n     (docs/runbooks/reprotect.md)"
    if record.mode == GRACEFUL:
        return "\n".join(
            (
                f"1. {moves}.",
                f"2. {source} has become a standby: see that it has no instances left. Its old database is frozen, "
                "leave it so.",
                f"3. {target} has no standby now. This builds one in {source}:",
                protect,
            )
        )
    return "\n".join(
        (
            f"1. {moves}.",
            f"2. {source} closed: {fence_outcome(record)}. When {source} returns it is writable and knows nothing of "
            "this failover: its sentinel closes it within a minute, and a mail says so. If none comes, close it by "
            "hand (docs/runbooks/after-a-failover.md, Close the primary).",
            f"3. {target} has no standby now. When {source} is back, this closes it and builds one there:",
            protect,
        )
    )


def done(record: Record, primary: str) -> str:
    """Name what was done: a planned switch that returns to the primary is a failback."""
    if record.mode != GRACEFUL:
        return "failed over"
    return "failed back" if record.target == primary else "switched over"


def succeeded(record: Record, payload: Json, primary: str, objects: Json | None = None) -> Json:
    """Word the notification of a switch that worked.

    Parameters
    ----------
    objects
        What was noted of the objects that had not crossed; its ``told`` is a sentence.
    """
    plan = payload["plan"]
    up = payload["result"]
    compute, drain = up["compute"], up["database"]["drain"]
    planned, left = record.mode == GRACEFUL, payload.get("left_behind")
    database = (
        (f"every write of {record.source} was proven to be in it before",)
        if planned
        else (
            drain_outcome(drain),
            f"the source's last heartbeat in it: {drain.get('heartbeat_at') or 'unknown'}",
        )
    )
    return {
        "kind": "succeeded",
        "subject": f"[{plan['environment']}] {done(record, primary)}: {record.target} is active (epoch {record.epoch})",
        "message": "\n".join(
            (
                f"{plan['environment']} runs in {record.target} now. It was in {record.source}.",
                "",
                "Next:",
                next_steps(record, payload, primary),
                "",
                "What was done:",
                f"Reason     {record.reason or 'none given'}",
                f"Database   {plan['database']} is promoted, backups kept {plan['backup_retention_days']} days; "
                + "\n           ".join(database),
                f"Compute    {compute['healthy']} healthy targets on {image_of(plan)}",
                f"Functions  {', '.join(plan['functions']) or 'none'} on",
                f"Verified   a write and a read through {plan['door']}",
                f"Objects    {(objects or {}).get('told') or 'how many had not crossed is not known'}",
                *([f"LEFT       {left}: {record.target} goes on with what it has"] if left else []),
                f"Traffic    {traffic.outcome(plan, payload.get('traffic'))}",
            )
        ),
    }


def image_of(plan: Json) -> str:
    """Say what a region was started from, and how old that was when the switch was planned."""
    known = images.told(plan["image"], plan.get("image_version", ""), plan.get("image_age_hours", -1.0))
    return f"{known}, taken {plan['image_created']}"


def drain_outcome(drain: Json) -> str:
    """Say what became of the transactions that the replica had received."""
    if drain["outcome"] == "applied":
        return "everything the replica had received was applied before"
    left = drain.get("received_unapplied", -1)
    count = "an unknown number of" if left is None or left < 0 else str(left)
    return f"{count} received transactions were NOT applied ({drain.get('detail') or drain['outcome']})"


def failed(record: Record, environment: str, dr: str, cause: str, posture: str) -> Json:
    """Word the notification of a switch, or of the building of a standby, that did not work."""
    what = {GRACEFUL: "SWITCHOVER", REPROTECT: "RE-PROTECTION"}.get(record.mode, "FAILOVER")
    state = "" if record.mode == REPROTECT else "still "
    command, page = again(record, environment, dr, cause)
    subject = {
        "is": f"THE SERVICE IS DOWN: switchover failed at epoch {record.epoch}, {record.source} closed",
        "may be": f"THE SERVICE MAY BE DOWN: switchover ended at epoch {record.epoch}, look at {record.source}",
        "": f"{what} FAILED at epoch {record.epoch}: active is {state}{record.active_region}",
    }[_outage(record, cause)]
    return {
        "kind": "failed",
        "subject": f"[{environment}] {subject}",
        "message": "\n".join(
            (
                cause,
                "",
                way_on(record, environment, cause),
                f"  {command}",
                f"({page})",
                *(("", posture) if posture else ()),
            )
        ),
    }


def gave_way(execution: str, record: Record, environment: str, dr: str, cause: str) -> Json:
    """Word the end of an execution whose lock is somebody else's by now: what is at work matters, not what it left.

    Parameters
    ----------
    execution
        Its ARN.
    record
        As it is now, after whoever came later.
    """
    name, holder = _name(execution), _name(record.holder)
    another = record.holder != execution
    if record.lock == "held" and another:
        subject = f"{name} gave way to {holder}, which is at work"
        stands = (
            f"gave way to {record.holder}, which is at work since {record.taken_at or 'a moment ago'}: nothing to do."
        )
    elif another and record.holder:
        subject = f"{name} gave way to {holder}"
        how = "is done" if record.lock == "free" else "has failed by now and told of it"
        stands = f"gave way to {record.holder}, which {how}. {record.active_region} is recorded as active."
    else:
        subject = f"{name} was over when it failed"
        stands = f"failed after its lock was released: {record.active_region} is recorded as active."
    return {
        "kind": "gave-way",
        "subject": f"[{environment}] {subject}"[:99],
        "message": "\n".join(
            (
                f"{execution} {stands} See how it stands:",
                f"  {make('status', environment, dr)}",
                "",
                f"It ended by: {cause}",
            )
        ),
    }


def _name(execution: str) -> str:
    """Name a workflow by its execution's ARN, as people see it: its machine, without the environment."""
    parts = execution.split(":")
    return parts[6].split("-", 1)[-1] if len(parts) > 7 else execution
