"""What a planned switchover needs before, during and after its freeze. Nothing irreversible comes before the proof."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pilotlight.decide import promotion
from pilotlight.decide.request import WITH_FORCE
from pilotlight.errors import PreconditionFailed

if TYPE_CHECKING:
    from pilotlight.model import Database, Doors, Quiet, Record


def require_ready(
    source: Database | None, replica: Database | None, lag: int | None, most_lag: int, *, insists: bool = False
) -> None:
    """Insist that both sides can go through a switchover.

    Parameters
    ----------
    source, replica
        The databases of the region that is left and of the one that takes over.
    lag
        Seconds that the replica is behind by its last heartbeat; None if there is none.
    most_lag
        Seconds above which the freeze would take too long.
    insists
        Somebody starts all the same, and takes a longer freeze. The proof and its budget stay.

    Raises
    ------
    PreconditionFailed
        One side is not ready; nothing has been changed.
    """
    nothing = "Nothing was changed."
    if source is None or not promotion.is_promoted(source):
        seen = promotion.describe(source) if source else "missing"
        raise PreconditionFailed(
            f"the source's database is {seen}, not an available primary. {nothing} Wait until it is. If it is the "
            "primary region that is left, and it is lost, start with no input."
        )
    if replica is None or not replica.source or replica.status != "available":
        seen = promotion.describe(replica) if replica else "missing"
        raise PreconditionFailed(
            f"the replica is {seen}. {nothing} Wait until it is an available replica, then start again."
        )
    if not replica.replicates:
        raise PreconditionFailed(
            f"the replica does not replicate ({replica.replication or 'no state'}). {nothing} Repair the replication, "
            "then start again."
        )
    if not insists and (lag is None or lag > most_lag):
        behind = "has no heartbeat of the source" if lag is None else f"is {lag} s behind (at most {most_lag} s)"
        raise PreconditionFailed(
            f"the replica {behind}. {nothing} Wait until it has caught up, then start again: "
            f"the freeze lasts as long as the rest takes to cross. Or {WITH_FORCE}: if that takes longer than the "
            "proof's budget, the source is opened again."
        )


def is_quiet(seen: Quiet, before: str, waited: int, budget: int) -> bool:
    """Decide whether the source has come to rest: read-only, and at the same last write in two looks.

    A client that connects again is no reason to wait: what it finds is read-only, and each look ends it.

    Parameters
    ----------
    before
        The position of the look before; empty at the first.

    Raises
    ------
    PreconditionFailed
        The budget is spent. The source is opened again.
    """
    if seen.read_only and seen.position and seen.position == before:
        return True
    if waited >= budget:
        raise PreconditionFailed(
            f"the source is not quiet after {waited} s (budget {budget} s): "
            f"read-only {'yes' if seen.read_only else 'no'}, {seen.connections} connections left, "
            f"at {seen.position or 'an unknown position'}. Stop what goes on writing, or raise freeze-budget-seconds, "
            "then start again."
        )
    return False


def is_still(seen: Quiet, proven: str, waited: int, budget: int) -> bool:
    """Decide whether the source has written nothing since the position that the replica was proven to have.

    A position that moved is proven anew, and not taken for a breach: RDS itself writes ``mysql.rds_heartbeat2`` every
    few minutes, past ``read_only`` and into the binary log.

    Raises
    ------
    PreconditionFailed
        It is no longer read-only, or it goes on moving until the budget is spent. The source is opened again.
    """
    if not seen.read_only:
        raise PreconditionFailed(
            "the source is writable again in the middle of the switchover: somebody changed read_only in its parameter "
            "group, or a deployment did. See who, then start again."
        )
    if seen.position and seen.position == proven:
        return True
    if waited >= budget:
        raise PreconditionFailed(
            f"the source goes on writing after it was frozen, for {waited} s (budget {budget} s): it is at "
            f"{seen.position or 'an unknown position'}, and the replica was proven to have {proven}. "
            "Somebody passes through read_only: find the account (one with CONNECTION_ADMIN or SUPER), "
            "then start again."
        )
    return False


def is_closed(database: Database, doors: Doors) -> bool:
    """Whether a database is behind its closed door alone, as a switch leaves what serves nobody."""
    return database.security_groups == (doors.closed,)


def require_may_open(
    record: Record,
    source: str,
    replica: Database | None,
    *,
    answers: bool = True,
    restored: bool = False,
    overtaken: bool = False,
) -> None:
    """Insist that opening the source makes no second writer.

    Invariant: a source is opened only while it is the recorded active region, the point of no return was never passed,
    and the replica is still one as far as its region answers. RDS alone would not do: right after PromoteReadReplica it
    still shows a replica. The record alone does: every promotion is noted in it before it is asked for. The look is a
    second net, for what was done by hand; a source that serves nobody must not wait for a region that is lost.

    Parameters
    ----------
    replica
        The other region's database, or None if there is none or its region does not answer.
    answers
        Whether the other region answers.
    restored
        The switch is by snapshot, so the other database is no replica: there is none yet, or one that was restored and
        is behind its closed door, where nobody can write.
    overtaken
        Another execution holds the lock, and runs: what it is about to do is not in the record yet.

    Raises
    ------
    PreconditionFailed
        The other side is, or may be, a primary by now.
    """
    if overtaken:
        raise PreconditionFailed(
            f"{source} stays as it is: another execution is running and holds the lock: {record.holder} (since "
            f"{record.taken_at}, epoch {record.epoch}). It opens what has to be open. Wait until it has ended."
        )
    may = record.active_region == source and not record.promotion
    if may and (not answers or restored or (replica is not None and replica.source)):
        return
    asked = f", the point of no return was passed at {record.promotion}" if record.promotion else ""
    other = (promotion.describe(replica) if replica else "missing") if answers else "out of sight"
    raise PreconditionFailed(
        f"{source} stays closed: {record.active_region} is recorded as active{asked}, and the other database is "
        f"{other}. Opening it could make two writers."
    )
