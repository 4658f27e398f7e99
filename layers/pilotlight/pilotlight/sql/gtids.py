"""Positions: sets of GTIDs as MySQL writes them, and the newest GTID of each domain as MariaDB does."""

from __future__ import annotations


def canonical(position: str) -> str:
    """Write a position on one line: MySQL breaks long sets."""
    return "".join(position.split())


def missing_domains(wanted: str, executed: str) -> int:
    """Count what is wanted beyond what was executed: ``domain-server-sequence`` lists, newest of each domain."""
    done = dict(map(_domain, filter(None, executed.split(","))))
    newest = dict(map(_domain, filter(None, wanted.split(","))))
    return sum(max(0, sequence - done.get(domain, 0)) for domain, sequence in newest.items())


def missing_intervals(wanted: str, executed: str) -> int:
    """Count what is wanted beyond what was executed: ``uuid:1-5:7,uuid:…`` sets."""
    done = _intervals(executed)
    return sum(
        (last - first + 1)
        - sum(max(0, min(last, upper) - max(first, lower) + 1) for lower, upper in done.get(source, ()))
        for source, intervals in _intervals(wanted).items()
        for first, last in intervals
    )


def _domain(gtid: str) -> tuple[str, int]:
    domain, _, sequence = gtid.split("-")
    return domain, int(sequence)


def _intervals(gtids: str) -> dict[str, list[tuple[int, int]]]:
    sets: dict[str, list[tuple[int, int]]] = {}
    for part in filter(None, gtids.split(",")):
        source, *ranges = part.split(":")
        tag = ""
        for piece in ranges:
            if not piece[0].isdigit():
                # MySQL 8.3+ may tag GTIDs: uuid:tag:1-5.
                tag = piece
                continue
            first, _, last = piece.partition("-")
            sets.setdefault(f"{source.lower()}:{tag}", []).append((int(first), int(last or first)))
    return sets
