"""What a region's sentinel closes, and why. It looks at its own region and at the record, and at nothing else.

Invariant: it never opens anything. There is no move here that starts an instance, lets a function run, lets a writer in
or names its own region as the active one.

Invariant: a region that is recorded as active is closed only while a switch to the other one has noted that there is no
way back: the note comes before that region can take a write, and it is what opening the source again is refused by. A
switch that has not noted it, failed or not, leaves the active region alone: somebody has to serve.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pilotlight.decide import protection, switchover
from pilotlight.decide.workload import to_standby
from pilotlight.model import GRACEFUL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pilotlight.decide.workload import Change
    from pilotlight.model import Database, Doors, Function, Group, Json, Record

# Nobody writes into these, and RDS changes nothing on them. One that is created has no past; it may become a replica.
_OUT_OF_USE = ("creating", "deleting", "failed", "stopped")
# Who opens again, every minute, what the sentinel closes is told of once an hour.
_TOLD_AGAIN = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a region has to be closed.

    ``successor`` is the region that serves instead, and ``since`` the epoch of the switch that made it so.
    ``worked_on`` says that whoever holds the lock works on this region's database, and must not be disturbed.
    """

    outcome: Literal["active", "brought up", "closed"]
    why: str
    successor: str = ""
    since: int = 0
    worked_on: bool = False

    @property
    def closed(self) -> bool:
        """Whether the region has to be closed."""
        return self.outcome == "closed"


def judge(record: Record, region: str) -> Verdict:
    """Decide whether a region has to be closed.

    Parameters
    ----------
    record
        As it was read now.
    region
        The sentinel's own.
    """
    if record.active_region == region:
        if record.unfinished and record.promotion and record.target not in ("", region):
            return Verdict(
                "closed",
                f"the switch to {record.target} (epoch {record.epoch}) has passed its point of no return at "
                f"{record.promotion}: {record.target} takes writes from then on, and {region} must not",
                successor=record.target,
                since=record.epoch,
            )
        return Verdict("active", f"{region} is recorded as active since epoch {record.since}")
    # A planned switch brings nothing up before it has noted that there is no way back.
    if record.unfinished and record.target == region and (record.mode != GRACEFUL or record.promotion):
        state = "is bringing it up" if record.lock == "held" else "did not end, and may go on at any time"
        return Verdict("brought up", f"{region} is left as it is: the switch to it (epoch {record.epoch}) {state}")
    return Verdict(
        "closed",
        f"{record.active_region} is recorded as active since epoch {record.since}, and no switch brings {region} up",
        successor=record.active_region,
        since=record.since,
        worked_on=record.lock == "held" and record.target == region,
    )


def runs(group: Group | None) -> bool:
    """Whether a group starts instances, or may."""
    return not protection.is_idle(group)


def silenced(functions: Iterable[Function]) -> tuple[Change, ...]:
    """Decide what silences a region's workload functions; nothing for those that are silent."""
    return tuple(change for change in map(to_standby, functions) if change.anything)


def may_write(found: Database | None) -> bool:
    """Whether a region's database is one that writes by itself. A replica is closed by nature."""
    return found is not None and not found.source and not found.replication and found.status.lower() not in _OUT_OF_USE


@dataclass(frozen=True, slots=True)
class Shutting:
    """What closes a database: no way in, read-only, and the end of connections that were there before."""

    door: bool = False
    freeze: bool = False
    quiet: bool = False

    @property
    def anything(self) -> bool:
        """Whether there is anything to do."""
        return self.door or self.freeze or self.quiet


def shutting(found: Database, doors: Doors | None, verdict: Verdict, *, frozen: bool) -> Shutting:
    """Decide what closes a database that `may_write`.

    Connections outlive a change of the door, and new ones come until it is changed: so they are ended every time, for
    as long as the database stands there. Not where somebody who holds the lock works on it: a re-protection reads its
    log through a connection of the same account, and ends the others itself.

    Parameters
    ----------
    doors
        None where they cannot be told apart.
    frozen
        Whether its parameter group makes it read-only.
    """
    ajar = doors is not None and not switchover.is_closed(found, doors)
    if verdict.worked_on:
        return Shutting(door=ajar, freeze=ajar and not frozen)
    return Shutting(door=ajar, freeze=not frozen, quiet=found.status == "available")


# --- What is told


def noted(seen: Json, region: str, verdict: Verdict, epoch: int, did: Mapping[str, str], now: dt.datetime) -> Json:
    """Say what the note of a region reads once it was closed further.

    Parameters
    ----------
    seen
        The note as it is. What it says of an earlier switch is dropped.
    did
        Part to what was done to it now.
    """
    goes_on = (seen.get("successor"), seen.get("since")) == (verdict.successor, verdict.since)
    at = now.isoformat(timespec="seconds")
    return {
        "region": region,
        "successor": verdict.successor,
        "since": verdict.since,
        "epoch": epoch,
        "at": at if did or not goes_on else seen["at"],
        "why": verdict.why,
        "closed": {
            **(seen["closed"] if goes_on else {}),
            **{part: {"did": what, "at": at} for part, what in did.items()},
        },
        "told": seen["told"] if goes_on else {},
    }


def untold(note: Json, now: dt.datetime) -> dict[str, str]:
    """Say which parts of a note people have not been told of: part to when it was closed.

    A part that is closed again within the hour is no news.
    """
    found = {}
    for part, closing in note.get("closed", {}).items():
        told, at = note["told"].get(part, ""), closing["at"]
        if at != told and (not told or now - dt.datetime.fromisoformat(told) >= _TOLD_AGAIN):
            found[part] = at
    return found


def notification(environment: str, note: Json, parts: Mapping[str, str]) -> Json:
    """Word the notification of what was closed."""
    region, successor = note["region"], note["successor"]
    lines = [f"{part:<10} {note['closed'][part]['did']} ({at})" for part, at in sorted(parts.items())]
    return {
        "subject": f"[{environment}] {region} CLOSED by its sentinel: {successor} serves (epoch {note['epoch']})",
        "message": "\n".join(
            (
                f"{region} was open and had to be closed: {note['why']}.",
                "",
                *lines,
                "",
                "Nothing was deleted, and nothing is opened again by itself. What was committed there before is in its "
                f"database, and the re-protection lists it. Next: start {environment}-dr-reprotect, which makes "
                f"{region} a standby. Whatever opens it again, it is closed again within a minute: find out what does. "
                "docs/sentinel.md says more.",
            )
        ),
    }
