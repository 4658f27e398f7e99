"""When a replica counts as promoted, and what brings it there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pilotlight.decide.request import SAME_AGAIN
from pilotlight.errors import PreconditionFailed

if TYPE_CHECKING:
    from pilotlight.model import Database, Doors, Replication

type Move = Literal["promote", "wait", "done"]

# Statuses that no waiting ends. Every other one passes: the order in which RDS goes through them is not documented,
# so the rest is waited for. https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/accessing-monitoring.html
TERMINAL = (
    "deleting",
    "failed",
    "inaccessible-encryption-credentials",
    "inaccessible-encryption-credentials-recoverable",
    "incompatible-credentials",
    "incompatible-network",
    "incompatible-option-group",
    "incompatible-parameters",
    "incompatible-restore",
    "insufficient-capacity",
    "restore-error",
    "stopped",
    "storage-full",
)

# What a promotion, the switching on of backups and a new name show as pending until they are done. Whatever else is
# pending is queued for somebody's maintenance window, days away: it holds nothing up.
_OURS = ("BackupRetentionPeriod", "DBInstanceIdentifier")


def under_way(database: Database) -> tuple[str, ...]:
    """Say what of the changes that were asked for here is not done yet."""
    return tuple(name for name in database.pending if name in _OURS)


def is_promoted(database: Database) -> bool:
    """Whether the instance is a primary in every way RDS can tell.

    ``available`` alone proves nothing: right after PromoteReadReplica the status still reads ``available`` and the
    instance is still a replica. So no source, no replication entry, and nothing of the promotion's pending either.
    """
    at_ease = database.status == "available" and not under_way(database)
    return at_ease and not database.source and not database.replication


def check(database: Database) -> None:
    """Refuse a database that cannot be promoted by waiting.

    Raises
    ------
    PreconditionFailed
        Its status is one that only a human ends.
    """
    if database.status in TERMINAL:
        raise PreconditionFailed(
            f"database {database.identifier} is '{database.status}' and cannot be promoted. "
            "Repair it in the RDS console (or restore a snapshot under the same name), wait until it is 'available', "
            f"then {SAME_AGAIN}."
        )


def next_move(database: Database | None, identifier: str, waited: int, budget: int) -> Move:
    """Decide the next move towards a promoted database.

    Level-triggered: it looks at what is there, not at what was done before, so it may be asked any number of times.

    Parameters
    ----------
    database
        The instance as RDS describes it, or None if it is gone.
    waited, budget
        Seconds waited so far, and the most there may be.

    Raises
    ------
    PreconditionFailed
        It is missing, broken, or the budget is spent. The message says what was seen and what to do.
    """
    if database is None:
        raise PreconditionFailed(
            f"database {identifier} does not exist: there is nothing to promote. "
            f"Restore it under that name, then {SAME_AGAIN}."
        )
    if is_promoted(database):
        return "done"
    check(database)
    if waited >= budget:
        raise PreconditionFailed(
            f"database {identifier} is not promoted after {waited} s of waiting (budget {budget} s): it is "
            f"{describe(database)}. {_way_out(database)} Then {SAME_AGAIN}: it goes on from there."
        )
    if database.status == "available" and database.source:
        return "promote"
    return "wait"


def is_shut(database: Database | None, doors: Doors | None) -> bool:
    """Whether a database is known to be behind anything but its open door."""
    return database is not None and doors is not None and database.security_groups != (doors.open,)


def is_open(
    database: Database | None, doors: Doors | None, thawed: bool, identifier: str, waited: int, budget: int
) -> bool:
    """Decide whether the application gets into a promoted database, and may write there.

    Parameters
    ----------
    doors
        None where they cannot be told apart: a door that is not known is left as it is, and verifying shows the rest.
    thawed
        Whether its parameter group lets it write now that it is no replica.
    waited, budget
        Seconds waited so far, and the most there may be.

    Raises
    ------
    PreconditionFailed
        It is no primary, and a replica is none of our business to open; or the budget is spent.
    """
    if database is None or database.source:
        raise PreconditionFailed(
            f"database {identifier} is {describe(database) if database else 'missing'}: only one that was promoted is "
            f"opened. Look who changed it, then {SAME_AGAIN}."
        )
    if is_promoted(database) and thawed and not is_shut(database, doors):
        return True
    if waited >= budget:
        raise PreconditionFailed(
            f"database {identifier} is not open to the application after {waited} s of waiting (budget {budget} s): it "
            f"is {describe(database)}, {'thawed' if thawed else 'frozen'}, and "
            f"{'behind another door' if is_shut(database, doors) else 'behind its open door'}. "
            f"Look at its events ({events(database)}), then {SAME_AGAIN}: it goes on from there."
        )
    return False


def describe(database: Database) -> str:
    """Say in words what state the database is in."""
    if is_promoted(database):
        queued = f", with changes to {', '.join(database.pending)} queued" if database.pending else ""
        return f"a primary, available{queued}"
    parts = [f"'{database.status}'"]
    if database.source:
        parts.append(f"still a replica of {database.source}")
    if database.replication:
        parts.append(f"replication {database.replication}")
    if database.pending:
        parts.append(f"with pending changes to {', '.join(database.pending)}")
    return ", ".join(parts)


def _way_out(database: Database) -> str:
    if database.status == "backing-up":
        return "RDS refuses to promote a replica while it is backing up: wait for the backup to end."
    return f"Look at its events ({events(database)}) and wait until it is 'available'."


def events(database: Database) -> str:
    """Word the command that shows what RDS says of an instance."""
    arn = database.arn.split(":")
    return events_of(database.identifier, arn[3] if len(arn) > 3 else "<its region>")


def events_of(identifier: str, region: str) -> str:
    """Word that command for an instance that may not be there."""
    return f"aws rds describe-events --region {region} --source-type db-instance --source-identifier {identifier}"


def drained(replication: Replication, waited: int, budget: int) -> Literal["applied", "wait", "give-up"]:
    """Decide whether to promote now or let the replica go on applying what it has received.

    Promotion throws away what is received but not applied, so it is worth a bounded wait. What the budget does not
    cover is counted and reported, never waited for: coming up matters more than the last transaction of a replica
    whose applier is broken.
    """
    if not replication.is_replica or replication.applied:
        return "applied"
    if waited >= budget or (not replication.applier_running and replication.error):
        return "give-up"
    return "wait"
