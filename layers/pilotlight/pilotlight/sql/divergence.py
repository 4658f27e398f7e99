"""What an old database holds that the new one never got: counted, and listed row by row."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pymysql

from pilotlight.model import Divergence, Position
from pilotlight.sql import binlog, gtids
from pilotlight.sql.dialect import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import BinaryIO

    from pilotlight.sql.server import Server

LEFT_OUT: Final = frozenset({"information_schema", "mysql", "performance_schema", "pilotlight", "sys"})
"""Schemas whose rows are nobody's: the server's own, RDS's heartbeat in ``mysql``, and ours."""

# The session's own schema is not what a statement is about: ours name theirs.
_ABOUT: Final = re.compile(
    rf"\b(DATABASE|EVENT|SCHEMA|TABLE)\s+(IF\s+(NOT\s+)?EXISTS\s+)?`?({'|'.join(sorted(LEFT_OUT))})\b", re.IGNORECASE
)
_KEEP_HOURS: Final = 72
_LONGEST_DETAIL: Final = 2000
MOST_TABLES: Final = 200
"""Tables that an answer names; the evidence has them all."""
MOST_SIZE: Final = 48 * 1024
"""Bytes that their names and counts may have in it."""
_ACTIONS: Final = {"insert": "inserted", "update": "updated", "delete": "deleted"}


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a list ends, so that a function does: in time, with its disk, and with somebody who reads it."""

    rows: int = 500_000
    size: int = 256 * 1024 * 1024
    seconds: float = 80


@dataclass(slots=True)
class Listing:
    """What a log was found to hold, so far."""

    transactions: int = 0
    lines: int = 0
    rows: int = 0
    statements: int = 0
    tables: dict[str, dict[str, int]] = field(default_factory=dict)
    size: int = 0
    listed: bool = True
    truncated: bool = False
    details: list[str] = field(default_factory=list)


def keep_log(server: Server) -> None:
    """Let RDS keep the binary log for three days.

    Without it RDS removes a log as soon as no replica needs it, and nobody could list any more what a lost region never
    sent. Three days are a long week-end on which a region came back and nobody looked.

    Raises
    ------
    PreconditionFailed, TransientError, FatalError
        The server refused, or did not answer.
    """
    server.rows("CALL mysql.rds_set_configuration('binlog retention hours', %s)", _KEEP_HOURS)


def position(server: Server) -> Position:
    """Look how far a database is.

    What it wrote itself after its promotion is not in ``executed`` on MariaDB: there the numbers go on in the same
    sequence, and would hide what the old one wrote under the same numbers.
    """
    return Position(gtids.canonical(server.value(server.dialect.executed)), server.position)


def compare(
    server: Server,
    executed: str,
    read: Callable[[str], Iterable[binlog.Item]],
    out: BinaryIO,
    limits: Limits = Limits(),
) -> tuple[Divergence, int]:
    """Count and list what a server has and another, which is at ``executed``, has not.

    Parameters
    ----------
    server
        The old database.
    executed
        What the new one had applied, as `position` told there.
    read
        Reads the old database's log from a position on.
    out
        Takes one JSON object a line.
    limits
        Where the list ends.

    Returns
    -------
    tuple
        The comparison, without the place of its evidence, and the number of lines written.
    """
    wanted, executed = server.position, gtids.canonical(executed)
    if not wanted or not executed:
        who = "the new database" if wanted else server.address
        return Divergence(
            UNKNOWN,
            detail=f"{who} told no position, so nothing can be counted: set gtid-mode to ON in its parameter group",
        ), 0
    missing = server.dialect.missing(wanted, executed)
    if not missing:
        return Divergence(0, listed=True), 0
    found = Listing()
    try:
        write(found, read(executed), out, limits)
    except (pymysql.err.Error, ValueError, OSError) as error:
        _broken(found, server.address, error)
    if found.listed and not found.truncated and found.transactions < missing:
        found.truncated = True
        found.details.append(f"the log held {found.transactions} of {missing} transactions")
    # Counted again: what was written meanwhile is missing as well.
    missing = max(missing, server.dialect.missing(server.position, executed))
    tables = most_changed(found.tables)
    return Divergence(
        transactions=missing,
        rows=found.rows,
        statements=found.statements,
        tables=tables,
        more_tables=len(found.tables) - len(tables),
        listed=found.listed,
        truncated=found.truncated,
        detail="; ".join(found.details)[:_LONGEST_DETAIL],
    ), found.lines


def most_changed(tables: Mapping[str, Mapping[str, int]]) -> dict[str, Mapping[str, int]]:
    """Choose the tables with the most changed rows, as many as may go through a state machine.

    Between two states there may be 256 KiB, and whoever exceeds them is caught by nothing. This goes through twice in
    a failback, once for each region.
    """
    found: dict[str, Mapping[str, int]] = {}
    size = 0
    for name, counts in sorted(tables.items(), key=lambda table: (-sum(table[1].values()), table[0])):
        size += len(json.dumps({name: counts}))
        if len(found) == MOST_TABLES or size > MOST_SIZE:
            break
        found[name] = counts
    return found


def write(
    found: Listing,
    items: Iterable[binlog.Item],
    out: BinaryIO,
    limits: Limits = Limits(),
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Write what is read, a line each, until it ends or a limit is reached; count it in ``found``.

    ``found`` is as far as it came, also when reading fails.
    """
    until = clock() + limits.seconds
    gtid, unreadable, nameless = "", 0, False
    for item in items:
        if isinstance(item, binlog.Began):
            gtid = item.gtid
            found.transactions += 1
        elif not isinstance(item, binlog.Searching) and _counts(item):
            _write(found, out, _line(item, gtid))
            if isinstance(item, binlog.Row):
                _count(found, item)
                nameless = nameless or "@1" in (item.after or item.before or {})
            elif isinstance(item, binlog.Statement):
                found.statements += 1
            else:
                unreadable += 1
                found.truncated = True
        if reached := _reached(found, limits, over=clock() >= until):
            found.truncated = True
            found.details.append(f"the list ends at {reached}: read the rest from the old database's log")
            break
    if nameless:
        found.details.append(
            "the log names no columns (binlog_row_metadata was not full): values are listed by place, @1 first, and "
            "large unsigned numbers as negative ones"
        )
    if unreadable:
        found.details.append(f"{unreadable} events could not be decoded and are listed without their rows")


def plain(value: Any) -> Any:
    """Turn a column's value into what JSON can say, without losing any of it.

    Numbers with a decimal point, dates and times are texts; bytes are ``{"base64": …}``.
    """
    match value:
        # JSON has no word for infinity.
        case float() if value - value == 0:
            found: Any = value
        case None | bool() | int() | str():
            found = value
        case bytes() | bytearray():
            found = {"base64": base64.b64encode(value).decode()}
        case dt.date() | dt.time():
            found = value.isoformat()
        case dict():
            found = {_key(name): plain(inner) for name, inner in value.items()}
        case set() | frozenset():
            found = sorted(str(inner) for inner in value)
        case list() | tuple():
            found = [plain(inner) for inner in value]
        case _:
            found = str(value)
    return found


def _counts(item: binlog.Row | binlog.Statement | binlog.Unreadable) -> bool:
    if item.schema.lower() in LEFT_OUT:
        return False
    return not (isinstance(item, binlog.Statement) and _ABOUT.search(item.text))


def _key(name: Any) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def _action(row: binlog.Row) -> str:
    if row.before is None:
        return "insert"
    return "update" if row.after is not None else "delete"


def _line(item: binlog.Row | binlog.Statement | binlog.Unreadable, gtid: str) -> Mapping[str, Any]:
    if isinstance(item, binlog.Row):
        return {
            "table": f"{item.schema}.{item.table}",
            "action": _action(item),
            "before": plain(item.before),
            "after": plain(item.after),
            "gtid": gtid,
            "at": item.at,
        }
    if isinstance(item, binlog.Statement):
        return {"schema": item.schema, "action": "statement", "statement": item.text, "gtid": gtid, "at": item.at}
    return {
        "table": f"{item.schema}.{item.table}".strip("."),
        "action": "unreadable",
        "why": item.why,
        "gtid": gtid,
        "at": item.at,
    }


def _write(found: Listing, out: BinaryIO, line: Mapping[str, Any]) -> None:
    written = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode(errors="replace") + b"\n"
    out.write(written)
    found.lines += 1
    found.size += len(written)


def _count(found: Listing, row: binlog.Row) -> None:
    found.rows += 1
    counts = found.tables.setdefault(f"{row.schema}.{row.table}", dict.fromkeys(_ACTIONS.values(), 0))
    counts[_ACTIONS[_action(row)]] += 1


def _reached(found: Listing, limits: Limits, *, over: bool) -> str:
    if found.rows >= limits.rows:
        return f"{found.rows} rows"
    if found.size >= limits.size:
        return f"{found.size} bytes"
    return f"{limits.seconds:g} seconds" if over else ""


def _broken(found: Listing, address: str, error: Exception) -> None:
    """Say what could not be read: nothing, or all after some point."""
    if found.transactions:
        found.truncated = True
        found.details.append(f"the list ends where reading the log of {address} failed: {error}")
    else:
        found.listed = False
        found.details.append(f"the log of {address} cannot be read, so nothing is listed: {error}")
