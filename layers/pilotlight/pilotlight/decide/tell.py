"""What people are told: what happened, what is next, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pilotlight.decide.request import GRACEFUL

if TYPE_CHECKING:
    from pilotlight.model import Json, Record

_RESUME = (
    "Nothing is rolled back and traffic was not moved. After the repair start the failover again, with no input: "
    "it goes on from there."
)
_CALLED_OFF = (
    "Nothing irreversible was done: the source stays the active region. After the repair start the switchover again "
    "with the same input. Should the source still be closed to writers, that opens it first."
)


def way_on(record: Record) -> str:
    """Say how to go on after a failure: back is possible until the promotion was asked for."""
    return _CALLED_OFF if record.mode == GRACEFUL and not record.promotion else _RESUME


def already_active(record: Record) -> str:
    """Say that there is nothing to do."""
    return f"{record.active_region} is already active since epoch {record.epoch}: nothing was changed."


def fence_outcome(record: Record) -> str:
    """Say whether the old region is known to be closed."""
    return record.fence or f"not confirmed: {record.source} has not answered yet"


def next_steps(record: Record, payload: Json) -> str:
    """Say what the team does now."""
    door = payload["plan"]["door"]
    if record.mode == GRACEFUL:
        return (
            f"1. Point the application's name at {door} if nothing does that for you. "
            f"2. {record.source} has become a standby: see that it has no instances left; its old database is frozen, "
            "leave it so. "
            f"3. {record.target} has no standby now: plan the way back."
        )
    return (
        f"1. Point the application's name at {door} if nothing does that for you. "
        f"2. {record.source} closed: {fence_outcome(record)}. "
        "When it returns, keep it closed (capacity 0, functions off, no client on its old database): "
        "its database is writable and knows nothing of this failover. "
        f"3. {record.target} has no standby now: plan the way back."
    )


def succeeded(record: Record, payload: Json) -> Json:
    """Word the notification of a failover that worked."""
    plan = payload["plan"]
    up = payload["result"]
    compute, drain = up["compute"], up["database"]["drain"]
    return {
        "kind": "succeeded",
        "subject": f"[{plan['environment']}] failed over: {record.target} is active (epoch {record.epoch})",
        "message": "\n".join(
            (
                f"{plan['environment']} runs in {record.target} now. It was in {record.source}.",
                f"Reason given: {record.reason or 'none'}",
                "",
                f"Database   {plan['database']} is promoted, backups kept {plan['backup_retention_days']} days; "
                + drain_outcome(drain),
                f"           the source's last heartbeat in it: {drain.get('heartbeat_at') or 'unknown'}",
                f"Compute    {compute['healthy']} healthy targets on {plan['image']} ({plan['image_created']})",
                f"Functions  {', '.join(plan['functions']) or 'none'} on",
                f"Verified   a write and a read through {plan['door']}",
                "",
                f"Next: {next_steps(record, payload)}",
            )
        ),
    }


def drain_outcome(drain: Json) -> str:
    """Say what became of the transactions that the replica had received."""
    if drain["outcome"] == "applied":
        return "everything the replica had received was applied before"
    left = drain.get("received_unapplied", -1)
    count = "an unknown number of" if left is None or left < 0 else str(left)
    return f"{count} received transactions were NOT applied ({drain.get('detail') or drain['outcome']})"


def failed(record: Record, environment: str, cause: str, posture: str) -> Json:
    """Word the notification of a failover that did not work."""
    return {
        "kind": "failed",
        "subject": f"[{environment}] FAILOVER FAILED at epoch {record.epoch}: active is still {record.active_region}",
        "message": "\n".join((cause, "", posture, "", way_on(record))),
    }
