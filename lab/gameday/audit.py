"""After the storm: every acknowledged write is looked for in the database that serves now.

The client's log and the database's rows are independent of the product and of what it says about itself.
"""

from __future__ import annotations

import json
import random
import urllib.error
import urllib.request
from dataclasses import dataclass
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
