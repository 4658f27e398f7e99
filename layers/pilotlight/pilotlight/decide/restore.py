"""A database that is brought over by a snapshot, within the freeze: when it may begin, each move, how long it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pilotlight.decide import promotion
from pilotlight.errors import PreconditionFailed
from pilotlight.model import SNAPSHOT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pilotlight.model import Database, DatabaseSnapshot, Json

_UNDONE = "Nothing was deleted: what there is of snapshots stays. Then start again."
# Assumptions, not measurements: what RDS takes for each part, in minutes, and how many GiB it does in one more.
_TAKING = (5, 20)
_COPYING = (10, 5)
_RESTORING = (20, 100)


def freeze_minutes(allocated_gib: int) -> int:
    """Estimate how long a switch by snapshot keeps the service down, in minutes, from the storage's size."""
    return sum(base + allocated_gib // a_minute for base, a_minute in (_TAKING, _COPYING, _RESTORING))


def freeze_estimate(method: str, allocated_gib: int) -> str:
    """Say how long a planned switch keeps the service down."""
    if method == SNAPSHOT:
        return (
            f"about {freeze_minutes(allocated_gib)} minutes for {allocated_gib} GiB (an estimate, never measured on "
            "your database): snapshot, copy and restore all happen while nothing is written"
        )
    return "minutes: the freeze and the proof take seconds, the promotion of the replica most of the rest (an estimate)"


def require_ready(source: Database | None, other: Database | None, target: str, gib: int, budget: int) -> None:
    """Insist that a database can be brought over by a snapshot.

    Parameters
    ----------
    source
        The database that is left.
    other
        What stands under its name in the target; it has to be out of the way.
    gib
        Storage of the source.
    budget
        Seconds that the freeze may take.

    Raises
    ------
    PreconditionFailed
        One side is not ready; nothing has been changed.
    """
    nothing = "Nothing was changed."
    if source is None or not promotion.is_promoted(source):
        seen = promotion.describe(source) if source else "missing"
        raise PreconditionFailed(
            f"the source's database is {seen}, not an available primary. {nothing} Wait until it is, then start again."
        )
    if other is not None and other.source == source.arn and other.replication == "replicating":
        raise PreconditionFailed(
            f"database {other.identifier} in {target} is a replica that follows, so there is no need for a snapshot. "
            f"{nothing} Start again with the method 'replica'."
        )
    if other is not None:
        raise PreconditionFailed(
            f"database {other.identifier} stands in {target} ({promotion.describe(other)}), and by snapshot it is made "
            f"anew. {nothing} Start the failback, which gets it out of the way and keeps it, or the re-protection with "
            '{"rebuild": false}; then start again.'
        )
    if freeze_minutes(gib) * 60 > budget:
        raise PreconditionFailed(
            f"bringing {gib} GiB over is estimated to take {freeze_minutes(gib)} minutes, and snapshot-budget-seconds "
            f"is {budget}. {nothing} Raise it, or start again with the method 'replica'."
        )


def next_snapshot_move(
    found: DatabaseSnapshot | None, name: str, waited: int, budget: int
) -> Literal["ask", "wait", "done"]:
    """Decide the next move towards a snapshot, or towards its copy.

    Raises
    ------
    PreconditionFailed
        It failed, or the budget is spent.
    """
    if found is not None and found.status == "available":
        return "done"
    if found is not None and found.status not in ("creating", "pending", "copying"):
        raise PreconditionFailed(f"snapshot {name} is '{found.status}'. See its events for why. {_UNDONE}")
    _require_time(f"snapshot {name} is {found.status if found else 'missing'}", waited, budget)
    return "wait" if found else "ask"


def next_restore_move(
    found: Database | None, differing: Mapping[str, object], identifier: str, waited: int, budget: int
) -> Literal["restore", "wait", "settle", "done"]:
    """Decide the next move towards a database that is there, and is what the old one was.

    Parameters
    ----------
    found
        What stands under the name.
    differing
        What has to be changed once it is available.

    Raises
    ------
    PreconditionFailed
        It is broken, or the budget is spent.
    """
    if found is not None and promotion.is_promoted(found) and not differing:
        return "done"
    if found is not None and found.status in promotion.TERMINAL:
        raise PreconditionFailed(
            f"the restored database {identifier} is '{found.status}', and no waiting ends that. Repair or rename it in "
            f"the RDS console. {_UNDONE}"
        )
    _require_time(f"database {identifier} is {promotion.describe(found) if found else 'missing'}", waited, budget)
    if found is None:
        return "restore"
    return "settle" if promotion.is_promoted(found) else "wait"


def _require_time(seen: str, waited: int, budget: int) -> None:
    if waited >= budget:
        raise PreconditionFailed(
            f"the database was not brought over within {waited} s (snapshot-budget-seconds {budget}): {seen}. "
            f"Raise the budget. {_UNDONE}"
        )


def model(identifiers: Collection[str], first: str, prefix: str) -> str:
    """Name the retired database that the restored one shall be like; empty if there is none.

    Parameters
    ----------
    identifiers
        The retired ones.
    first
        The one that served until the active region became active. What was retired after it may be a restore that was
        called off before it had all its settings.
    prefix
        What their names begin with, before the epoch.
    """
    if first in identifiers:
        return first
    numbers = [int(name.removeprefix(prefix)) for name in identifiers if name.removeprefix(prefix).isdecimal()]
    return f"{prefix}{max(numbers)}" if numbers else ""


def differing(wanted: Mapping[str, object], seen: Mapping[str, object]) -> Json:
    """Say what of an instance's settings is not as wanted."""
    return {name: value for name, value in wanted.items() if seen.get(name) != value}


def proven(proof: Json, left: Json | None) -> Json:
    """Judge what a restored database lacks of its source, by the transactions' names and by what they hold.

    RDS writes a heartbeat of its own into a source every few minutes, past ``read_only`` and into the binary log.
    Within hours there are many, and a snapshot that was taken before has none of them: what they hold is nobody's data.

    Parameters
    ----------
    proof
        What the restored database answers.
    left
        What the source's log holds beyond it; None where nothing is missing.

    Returns
    -------
    dict
        The proof; ``proven`` also when all that is missing is the server's own: no row, and no change of a schema.
    """
    if proof["proven"] or left is None or not proof["marker"]:
        return proof
    whole = bool(left["listed"]) and not left["truncated"]
    # An older function of the other region counts no statements.
    statements = int(left.get("statements", 0))
    if whole and left["rows"] == 0 and statements == 0:
        return proof | {"proven": True, "detail": f"{proof['missing']} transactions of the server's own are missing"}
    changes = f"{statements} statements (a schema was changed) and " if statements else ""
    return proof | {"detail": left["detail"] or f"{changes}{left['rows']} rows are missing"}
