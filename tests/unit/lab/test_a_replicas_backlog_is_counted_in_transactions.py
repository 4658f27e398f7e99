from __future__ import annotations

import pytest

from lab.mariadb import Replication


def _standing(received: str, applied: str) -> Replication:
    return Replication(receiving="Yes", applying=True, error="", received=received, applied=applied, lag_seconds=0)


@pytest.mark.parametrize(
    ("received", "applied", "unapplied"),
    [
        ("0-1-64016", "0-1-5", 64011),
        ("0-1-10", "0-1-10", 0),
        ("", "", 0),
        # Nothing received since the replica was seeded.
        ("", "0-1-10", 0),
        # Nothing applied yet.
        ("0-1-3", "", 3),
        # Promoted once: the last transaction bears another server's number, the sequence goes on.
        ("0-2-12", "0-1-10", 2),
        ("0-1-10,1-7-5", "0-1-8,1-7-1", 6),
        # Written to past replication: ahead of its source.
        ("0-1-8", "0-2-10", 0),
    ],
)
def test_a_replicas_backlog_is_counted_in_transactions(received: str, applied: str, unapplied: int) -> None:
    assert _standing(received, applied).unapplied == unapplied


def test_a_replica_is_healthy_only_while_both_its_threads_work() -> None:
    good = {"receiving": "Yes", "applying": True, "error": "", "received": "", "applied": "", "lag_seconds": 0}
    assert Replication(**good).healthy  # type: ignore[arg-type]
    for fault in ({"receiving": "Connecting"}, {"applying": False}, {"error": "Duplicate entry"}):
        assert not Replication(**{**good, **fault}).healthy  # type: ignore[arg-type]
