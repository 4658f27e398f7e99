"""After the storm: every acknowledged write is looked for in the database that serves now.

The client's log and the database's rows are independent of the product and of what it says about itself.
"""

from __future__ import annotations

import bisect
import json
import random
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pymysql

from lab.gameday.model import Writes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from lab.gameday.workload import Write

_AT_ONCE: Final = 500

Error = pymysql.Error
"""What a database that cannot be read raises."""


@dataclass(frozen=True)
class Database:
    """How to reach a region's database: what an application in it would use."""

    host: str
    port: int
    user: str
    password: str
    name: str


def judge(
    writes: Sequence[Write],
    rows: Mapping[str, str],
    loss: float,
    *,
    received_unapplied: int | None,
    unread: Iterable[str] = (),
    read: int = 0,
) -> Writes:
    """Hold the client's log against the rows that are there.

    Parameters
    ----------
    writes
        Every write that ended, as the clients saw it.
    rows
        The rows of the database that serves now: id to note.
    loss
        When the region was lost, in seconds since the Unix epoch.
    received_unapplied
        Writes that the replica had received and not applied when it was promoted, by the workflow's own account; None
        if the workflow could not say.
    unread
        Ids that the application was asked for and did not give back.
    read
        How many ids it was asked for.

    Returns
    -------
    Writes
        What became of the writes. ``lost_out_of_order`` counts lost writes that were acknowledged before a write was
        sent that is there: a replica that stopped receiving loses an end of the stream, never a middle, so each of
        these had reached it.
    """
    acknowledged = [write for write in writes if write.outcome == "acknowledged"]
    lost = [write for write in acknowledged if write.id not in rows]
    # Only writes to the same region share one stream of changes.
    last_sent: dict[str, float] = {}
    for write in acknowledged:
        if write.id in rows:
            last_sent[write.region] = max(write.sent, last_sent.get(write.region, write.sent))
    unanswered = [write for write in writes if write.outcome == "unanswered"]
    return Writes(
        acknowledged=len(acknowledged),
        acknowledged_before=sum(write.ended < loss for write in acknowledged),
        acknowledged_after=sum(write.ended >= loss for write in acknowledged),
        lost=len(lost),
        lost_ids=tuple(write.id for write in lost),
        lost_out_of_order=sum(write.ended < last_sent.get(write.region, float("-inf")) for write in lost),
        received_unapplied=received_unapplied,
        altered=sum(rows[write.id] != write.note for write in acknowledged if write.id in rows),
        read_back=read,
        read_back_failed=len(list(unread)),
        attempts=len(writes),
        unanswered=len(unanswered),
        unanswered_found=sum(write.id in rows for write in unanswered),
    )


def by_phase(writes: Sequence[Write], begins: Sequence[tuple[float, str]]) -> dict[str, list[Write]]:
    """Give each write to the phase in which it ended.

    Parameters
    ----------
    writes
        As the clients saw them.
    begins
        Moments in seconds since the Unix epoch, rising, each with the phase that lasts from then on. What ended before
        the first belongs to the first. A phase may come twice, around another that is a part of it.

    Returns
    -------
    dict[str, list[Write]]
        By phase; every write in one, and every phase is there.
    """
    found: dict[str, list[Write]] = {phase: [] for _, phase in begins}
    moments = [moment for moment, _ in begins[1:]]
    for write in writes:
        found[begins[bisect.bisect_right(moments, write.ended)][1]].append(write)
    return found


def total(parts: Sequence[Writes]) -> Writes:
    """Add up what became of the writes of several phases.

    Parameters
    ----------
    parts
        One for each phase, of writes that are in no other.

    Returns
    -------
    Writes
        Of all of them. What only one phase knows, such as what a replica had not applied, stays as that one has it.
    """

    def counted(name: str) -> int:
        return sum(getattr(part, name) for part in parts)

    first = parts[0] if parts else Writes()
    names = (
        *("acknowledged", "acknowledged_before", "acknowledged_after", "lost", "lost_out_of_order", "altered"),
        *("read_back", "read_back_failed", "attempts", "unanswered", "unanswered_found"),
    )
    return replace(
        first,
        **{name: counted(name) for name in names},
        lost_ids=tuple(order for part in parts for order in part.lost_ids),
    )


def find(database: Database, ids: Sequence[str]) -> dict[str, str]:
    """Look for rows by their ids.

    Parameters
    ----------
    database
        Where.
    ids
        Ids of orders.

    Returns
    -------
    dict[str, str]
        The note of each order that is there, by id.
    """
    found: dict[str, str] = {}
    with connect(database) as connection, connection.cursor() as cursor:
        for some in _chunks(ids):
            marks = ", ".join(["%s"] * len(some))
            cursor.execute(f"SELECT id, note FROM orders WHERE id IN ({marks})", some)
            found.update(cursor.fetchall())
    return found


def all_ids(database: Database) -> set[str]:
    """Read the ids of all orders.

    Parameters
    ----------
    database
        Where.

    Returns
    -------
    set[str]
        Whoever placed them.
    """
    with connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM orders")
        return {row[0] for row in cursor.fetchall()}


def position(database: Database) -> str:
    """Ask the server for the last transaction that it has written, as a GTID set.

    Parameters
    ----------
    database
        Where.

    Returns
    -------
    str
        Without blanks, its parts sorted.
    """
    with connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@version")
        (name,) = cursor.fetchone()
        variable = "gtid_binlog_pos" if "maria" in str(name).lower() else "gtid_executed"
        cursor.execute(f"SELECT @@global.{variable}")
        (value,) = cursor.fetchone()
    return canonical(str(value or ""))


def canonical(gtids: str) -> str:
    """Write a GTID set in one way, however a server or a report lays it out.

    Parameters
    ----------
    gtids
        Parts with commas between them.

    Returns
    -------
    str
        Comparable by ``==``.
    """
    return ",".join(sorted("".join(part.split()) for part in gtids.split(",") if part.strip()))


def listed_orders(lines: str, table: str) -> tuple[str, ...]:
    """Read the orders out of the list of what never crossed.

    Parameters
    ----------
    lines
        JSON lines: one change of a row each, with ``table``, ``action``, ``before`` and ``after``.
    table
        The orders' table, with its schema.

    Returns
    -------
    tuple[str, ...]
        The ids, each once, in the list's order.
    """
    ids: dict[str, None] = {}
    for line in filter(str.strip, lines.splitlines()):
        change = json.loads(line)
        if change.get("table") == table:
            row = change.get("after") or change.get("before") or {}
            # A log that names no columns tells them by their places.
            ids[str(row.get("id", row.get("@1", "")))] = None
    return tuple(ids)


def is_read_only(database: Database) -> bool:
    """Ask the server itself whether it takes writes.

    Parameters
    ----------
    database
        Where.

    Returns
    -------
    bool
        True for a replica, or for a database that is frozen.
    """
    with connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@global.read_only")
        (value,) = cursor.fetchone()
    return bool(value)


def version(database: Database) -> str:
    """Ask the server what it is.

    Parameters
    ----------
    database
        Where.

    Returns
    -------
    str
        As the server says it.
    """
    with connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@version")
        (value,) = cursor.fetchone()
    return str(value)


def connect(database: Database) -> pymysql.Connection[Any]:
    """Connect as the application does, encrypted.

    Parameters
    ----------
    database
        Where and as whom.

    Returns
    -------
    pymysql.Connection
        With short time-outs: a database that hangs is an answer too.
    """
    return pymysql.connect(
        host=database.host,
        port=database.port,
        user=database.user,
        password=database.password,
        database=database.name,
        connect_timeout=5,
        read_timeout=30,
        autocommit=True,
        # Encrypted without naming an authority: this reads a lab's database, whose certificate is its own.
        ssl={"check_hostname": False},
    )


def sample(writes: Sequence[Write], loss: float, size: int, seed: int = 1) -> list[Write]:
    """Choose writes to read back through the application: those next to the gap, and some from anywhere.

    Parameters
    ----------
    writes
        Acknowledged writes, in the order in which they ended.
    loss
        When the region was lost.
    size
        How many at most.
    seed
        The same seed chooses the same.

    Returns
    -------
    list[Write]
        Without doubles.
    """
    before = [write for write in writes if write.ended < loss]
    after = [write for write in writes if write.ended >= loss]
    chosen = {write.id: write for write in (*before[-(size // 3) :], *after[: size // 3])} if size >= 3 else {}
    rest = [write for write in writes if write.id not in chosen]
    chosen |= {write.id: write for write in random.Random(seed).sample(rest, min(len(rest), size - len(chosen)))}
    return list(chosen.values())


def read_back(url: str, ids: Sequence[str], timeout: float = 5.0) -> list[str]:
    """Read orders through the application's load balancer.

    Parameters
    ----------
    url
        The load balancer's.
    ids
        Ids of orders.
    timeout
        Real seconds to wait for each.

    Returns
    -------
    list[str]
        The ids that did not come back.
    """
    return [order for order in ids if not _reads(f"{url}/orders/{order}", order, timeout)]


def _reads(url: str, order: str, timeout: float) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            return bool(json.load(response)["id"] == order)
    except (OSError, urllib.error.URLError, ValueError, KeyError, TypeError):
        return False


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _AT_ONCE):
        yield ids[start : start + _AT_ONCE]
