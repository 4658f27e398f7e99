"""What of the objects has not crossed, what was written on both sides, and what may be copied. Nothing is overwritten.

A replica has the version id of what it is a replica of, so a version that only one bucket lists has never crossed.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from pilotlight.model import GRACEFUL, Backlog, Measure, ObjectVersion, Switched, as_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pilotlight.model import Json

type Side = Literal["active", "returned"]

NEVER: Final = "never crossed"
BOTH: Final = "written on both sides"
PERHAPS: Final = "overwritten, perhaps unseen"
BEHIND: Final = "an update never crossed"
MARKER: Final = "a deletion never crossed"
UNTOLD: Final = "not told to cross"
KINDS: Final = (NEVER, BOTH, PERHAPS, BEHIND, MARKER, UNTOLD)
# The tag that a copy of ours carries: whoever looks again knows it, and where it came from.
COPIED_FROM: Final = "pilotlight:copied-from"
MOST_TAGS: Final = 10
# The largest object that one call copies.
LARGEST_COPY: Final = 5 * 1024**3
# S3's promise with replication time control.
_PROMISED_SECONDS: Final = 900
# A key with more versions than this is looked at in its newest ones.
MOST_VERSIONS: Final = 200


# --- The backlog


def heard(region: str, points: Mapping[str, tuple[str, float]], failed: float, now: str) -> Backlog:
    """Put metrics into figures.

    Parameters
    ----------
    points
        Metric to the moment and the value of its newest data point. Without any there is no figure: S3 publishes
        nothing for a bucket in which nothing happens, so nothing is pending there.
    failed
        Sum of the failed operations of the last hour.
    """
    moments = [moment for moment, _ in points.values()]

    def figure(name: str) -> int:
        return int(points[name][1]) if name in points else 0

    return Backlog(
        region=region,
        measured_at=max(moments, default=now),
        operations=figure("OperationsPendingReplication"),
        bytes=figure("BytesPendingReplication"),
        latency_seconds=figure("ReplicationLatency"),
        failed=int(failed),
        asked_at=now,
        heard_at=now,
        detail="" if points else "S3 had published no figures for a while: nothing was written, or nothing was pending",
    )


def unheard(before: Json, region: str, now: str, detail: str) -> Backlog:
    """Keep the last known figures of a region that does not answer. Figures of the other region say nothing of it."""
    known = backlog_from(before)
    if known is None or known.region != region:
        return Backlog(region=region, asked_at=now, detail=detail)
    return Backlog(**{**as_json(known), "asked_at": now, "detail": detail})


def measures(seen: Backlog, now: str) -> tuple[Measure, ...]:
    """Say what is published in DR: what was heard just now, and how old that is."""
    found: list[Measure] = []
    if seen.measured_at:
        age = (_moment(now) - _moment(seen.measured_at)).total_seconds()
        found.append(Measure("ObjectsSeenAge", max(0.0, age), "Seconds"))
    if seen.heard_at == seen.asked_at == now:
        found += [
            Measure("ObjectsPendingOperations", float(seen.operations), "Count"),
            Measure("ObjectsPendingBytes", float(seen.bytes), "Bytes"),
            Measure("ObjectsReplicationLatency", float(seen.latency_seconds), "Seconds"),
            Measure("ObjectsFailedOperations", float(seen.failed), "Count"),
        ]
    return tuple(found)


def backlog_from(note: Json) -> Backlog | None:
    """Read figures back from a note."""
    fields = Backlog.__dataclass_fields__
    return Backlog(**{name: note[name] for name in fields if name in note}) if note.get("region") else None


def at_the_switch(
    before: Json, seen: Backlog, *, epoch: int, mode: str, taken_at: str, target: str, since: int, failing_since: str
) -> Json:
    """Say what is noted of the backlog when a switch begins. A switch that is started again keeps its first note.

    Parameters
    ----------
    before
        The note of an earlier switch, or of an earlier run of this one.
    seen
        The figures: for an unplanned failover the last ones that DR has, for a planned switch those of the moment.
    since
        Epoch in which the region that is being left became active.
    failing_since
        When DR's probes began to fail; empty where they don't.
    """
    if before.get("target") == target and int(before.get("epoch", 0)) > since:
        return before | {"epoch": epoch}
    at = min(filter(None, (taken_at, failing_since)))
    return as_json(seen) | {"epoch": epoch, "mode": mode, "target": target, "at": at, "lost": bool(failing_since)}


def backlog_told(note: Json) -> str:
    """Say in a sentence what had not crossed when a switch began."""
    seen = backlog_from(note)
    if seen is None:
        return "how many had not crossed is not known"
    if not seen.measured_at:
        return f"how many had not crossed is not known ({seen.detail or 'S3 was never heard'})"
    age = int((_moment(note["at"]) - _moment(seen.measured_at)).total_seconds())
    planned = note.get("mode") == GRACEFUL
    before = "the loss" if note.get("lost") else "the switch"
    when = f"seen {_span(age)} before {before}" if age > 0 else "seen at the switch" if planned else f"seen at {before}"
    failed = f", {seen.failed} operations had failed within the hour" if seen.failed else ""
    return f"{seen.operations} operations, {size(seen.bytes)} had not crossed{failed}, {when}"


def size(count: int) -> str:
    """Put a number of bytes into words."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


def _span(seconds: int) -> str:
    if seconds < 300:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


# --- Both sides


def switched(
    note: Json, active: str, returned: str, returned_at: str, now: dt.datetime, grace_seconds: int
) -> Switched:
    """Say between which moments something may have been written without crossing.

    What was written when S3's figures were last heard, or before that within its promise, may not have crossed; what is
    older had. Without a note of the switch there is no such moment.

    Parameters
    ----------
    grace_seconds
        How long S3 may take by itself, from the writing or from the region's return.
    """
    overdue = (now - dt.timedelta(seconds=grace_seconds)).isoformat(timespec="seconds")
    if note.get("target") != active:
        return Switched(active, returned, returned_at=returned_at, overdue_before=overdue)
    seen = backlog_from(note)
    latency = max(_PROMISED_SECONDS, seen.latency_seconds if seen else 0)
    known = [moment for moment in (note["at"], seen.measured_at if seen else "") if moment]
    first = min(map(_moment, known)) - dt.timedelta(seconds=latency)
    return Switched(active, returned, note["at"], first.isoformat(timespec="seconds"), returned_at, overdue)


@dataclass(frozen=True, slots=True)
class Key:
    """One key, with the versions that each side lists of it, the newest first."""

    name: str
    active: tuple[ObjectVersion, ...]
    returned: tuple[ObjectVersion, ...]

    @property
    def only_active(self) -> tuple[ObjectVersion, ...]:
        """What never crossed to the side that came back."""
        return _without(self.active, self.returned)

    @property
    def only_returned(self) -> tuple[ObjectVersion, ...]:
        """What never crossed to the active side."""
        return _without(self.returned, self.active)


@dataclass(frozen=True, slots=True)
class Question:
    """What S3 is to be asked of one version: its replication status, on one side."""

    side: Side
    version: ObjectVersion


def questions(key: Key, switch: Switched) -> tuple[Question, ...]:
    """Say which versions of a key have to be looked at; none where all that is recent is on both sides once.

    A listing tells no replication status. On the active side ``REPLICA`` is said of what the other one wrote.
    """
    asked = [Question("returned", one) for one in key.only_returned if not one.marker and _counts(one, switch)]
    asked += [Question("active", one) for one in key.only_active if not one.marker and _recent(one, switch)]
    crossed = {one.version for one in key.active} & {one.version for one in key.returned}
    recent = [one for one in (*key.active, *key.only_returned) if _recent(one, switch)]
    if switch.at and len(recent) > 1:
        asked += [
            Question("active", one) for one in key.active if one.version in crossed and one in recent and not one.marker
        ]
    return tuple(asked[:MOST_VERSIONS])


def copies(key: Key, statuses: Mapping[str, str], switch: Switched) -> tuple[ObjectVersion, ...]:
    """Say which versions of the active side may be copies that an earlier run made of what never crossed."""
    uncrossed = any(statuses.get(one.version) in ("PENDING", "FAILED") for one in key.only_returned)
    mine = [one for one in key.active if uncrossed and _recent(one, switch) and not one.marker]
    return tuple(mine[:MOST_VERSIONS])


def judge(key: Key, statuses: Mapping[str, str], switch: Switched) -> tuple[Json, ...]:
    """Say what is to be told of a key.

    Parameters
    ----------
    statuses
        Version to what S3 answered to `questions`: ``PENDING``, ``COMPLETED``, ``FAILED``, ``REPLICA`` or empty; and
        ``copy`` for a copy of ours, ``copied`` for what it is a copy of.
    switch
        Since when things may have been written on both sides.

    Returns
    -------
    tuple
        Lines for the evidence, each with its ``kind``.
    """
    found = [
        _line(MARKER, one, "returned")
        for one in key.only_returned
        if one.marker and one.latest and _recent(one, switch)
    ]
    theirs = [one for one in _written_there(key, statuses) if _recent(one, switch)]
    ours = [
        one
        for one in key.active
        if switch.at
        and one.modified >= switch.at
        and one not in theirs
        and statuses.get(one.version) not in ("REPLICA", "copy")
    ]
    if theirs and ours:
        return (*found, _conflict(key, theirs, ours, switch))
    sides: tuple[tuple[Side, tuple[ObjectVersion, ...], tuple[ObjectVersion, ...]], ...] = (
        ("returned", key.only_returned, key.active),
        ("active", key.only_active, key.returned),
    )
    for side, alone, others in sides:
        found += _uncrossed(Key(key.name, alone, others), side, statuses, switch)
    return tuple(found)


def _written_there(key: Key, statuses: Mapping[str, str]) -> list[ObjectVersion]:
    """List what the returned side wrote: what only it has, and what the active side has as a replica."""
    crossed = [one for one in key.active if statuses.get(one.version) == "REPLICA"]
    # What has crossed, and was removed here since, is nothing that the active side never saw.
    settled = ("copied", "COMPLETED", "REPLICA", "")
    return [one for one in key.only_returned if not one.marker and statuses.get(one.version) not in settled] + crossed


def _conflict(key: Key, theirs: list[ObjectVersion], ours: list[ObjectVersion], switch: Switched) -> Json:
    current = next((one for one in key.active if one.latest), None)
    won: Side = "returned" if current in theirs else "active"
    lost = ours if won == "returned" else theirs
    alone = {one.version for one in key.only_returned}
    # What was written before the switch and has crossed by now may have been there when it was overwritten.
    # And of a deletion that both sides have, nothing tells whose it was.
    unseen = won == "returned" or any(one.version in alone or one.modified >= switch.at for one in theirs)
    sure = unseen and any(not one.marker or one in key.only_active for one in ours)
    newest = max(lost, key=lambda one: one.modified)
    return {
        "kind": BOTH if sure else PERHAPS,
        "key": key.name,
        "won": won,
        "won_version": current.version if current else "",
        "won_modified": current.modified if current else "",
        "won_deleted": bool(current and current.marker),
        "won_is_older": bool(current and current.modified < newest.modified),
        "lost": [
            {
                "side": "active" if won == "returned" else "returned",
                "version": one.version,
                "modified": one.modified,
                "size": one.size,
                "on_the_active_side": one.version not in alone,
                "deleted": one.marker,
            }
            for one in lost
        ],
    }


def _uncrossed(key: Key, side: Side, statuses: Mapping[str, str], switch: Switched) -> list[Json]:
    """Say what of one side never crossed: ``key`` has what is there alone, and all that the other side has."""
    alone, others = key.active, key.returned
    newest = next((one for one in alone if one.latest and not one.marker), None)
    status = statuses.get(newest.version) if newest else None
    if newest is None or status is None:
        return []
    if status == "":
        return [_line(UNTOLD, newest, side)] if side == "returned" and not others else []
    # What is pending is on its way. Of the active side's that is all there is to say; of the other's it is waited for.
    overdue = max(newest.modified, switch.returned_at) < switch.overdue_before
    pending = status == "PENDING" and side == "returned" and (overdue or not others)
    if status != "FAILED" and not pending:
        return []
    older = sum(1 for one in alone if not one.marker) - 1
    return [_line(BEHIND if others else NEVER, newest, side) | {"status": status, "older_versions": older}]


def _line(kind: str, one: ObjectVersion, side: Side) -> Json:
    return {
        "kind": kind,
        "key": one.key,
        "side": side,
        "version": one.version,
        "modified": one.modified,
        "size": one.size,
    }


def _without(some: tuple[ObjectVersion, ...], others: tuple[ObjectVersion, ...]) -> tuple[ObjectVersion, ...]:
    known = {one.version for one in others}
    return tuple(one for one in some if one.version not in known)


def _recent(one: ObjectVersion, switch: Switched) -> bool:
    return not switch.uncertain_from or one.modified >= switch.uncertain_from


def _counts(one: ObjectVersion, switch: Switched) -> bool:
    """Whether a version that one side has alone matters: the current one, however old, and whatever is recent."""
    return one.latest or _recent(one, switch)


# --- Copying

type Move = Literal["copy", "wait", "leave"]


def next_move(
    line: Json, status: str, exists: bool, copied: bool, switch: Switched, now: dt.datetime, grace_seconds: int
) -> tuple[Move, str]:
    """Decide what becomes of an object that had not crossed when both sides were compared.

    Parameters
    ----------
    line
        What was listed.
    status
        What S3 says of it by now; ``gone`` if it is no longer there.
    exists
        Whether the other side has anything under that key by now, a delete marker included.
    copied
        Whether what is there is our own copy.
    grace_seconds
        How long S3 may take by itself, from the writing or from the region's return.

    Returns
    -------
    tuple
        The move, and the outcome where that is not to copy.
    """
    settled = (
        (copied, "copied"),
        (status == "gone", "gone"),
        (status == "COMPLETED", "crossed by itself"),
        (exists, "the key is there by now"),
        (int(line["size"]) > LARGEST_COPY, "too large for one call"),
    )
    for so, outcome in settled:
        if so:
            return "leave", outcome
    since = max(_moment(line["modified"]), _moment(switch.returned_at) if switch.returned_at else _EPOCH)
    if status == "PENDING" and (now - since).total_seconds() < grace_seconds:
        return "wait", ""
    return "copy", ""


def tags_of_copy(tags: Mapping[str, str], version: str) -> dict[str, str] | None:
    """Say what tags a copy carries: its own, and where it came from; None where there is no room for that."""
    return {**tags, COPIED_FROM: version} if len(tags) < MOST_TAGS or COPIED_FROM in tags else None


def kinds_of(line: Json) -> tuple[str, ...]:
    """Say under what a line is counted."""
    return (line["kind"], "older won") if line.get("won_is_older") else (line["kind"],)


def counted(counts: Mapping[str, int], kinds: Iterable[str]) -> dict[str, int]:
    """Add kinds or outcomes to counts."""
    more = dict(counts)
    for kind in kinds:
        more[kind] = more.get(kind, 0) + 1
    return more


def told(answer: Mapping[str, Any], again: str) -> str:
    """Say in a few sentences what came out of comparing and copying.

    Parameters
    ----------
    again
        The command that goes on with it.
    """
    counts, outcomes = answer["counts"], answer["outcomes"]
    parts = [f"{answer['keys']} keys compared"]
    if counts.get(BOTH):
        parts.append(f"{counts[BOTH]} written on both sides ({counts.get('older won', 0)} where the older one won)")
    if counts.get(PERHAPS):
        parts.append(f"{counts[PERHAPS]} overwritten by somebody who may not have seen what was there")
    if counts.get(NEVER):
        done = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "none copied yet"
        parts.append(f"{counts[NEVER]} had never crossed: {done}")
    if counts.get(BEHIND):
        parts.append(f"{counts[BEHIND]} updates never crossed and were not copied, since the other side has the key")
    if counts.get(MARKER):
        parts.append(f"{counts[MARKER]} deletions never crossed and were not applied")
    if counts.get(UNTOLD):
        parts.append(f"{counts[UNTOLD]} older than the replication were never told to cross")
    if not any(counts.get(kind) for kind in KINDS):
        parts.append("everything crossed")
    if not answer["done"]:
        parts.append(f"not finished: {again} goes on")
    place = f" The list is {answer['evidence']}." if answer.get("evidence") else ""
    return f"{'; '.join(parts)}.{place}"


_EPOCH: Final = dt.datetime.fromtimestamp(0, dt.UTC)


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)
