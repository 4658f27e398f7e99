"""Looks that tests start from, each sound: a test changes the one thing that it is about."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

from pilotlight.decide.detection import Round, Source
from pilotlight.model import Answer, Following
from tests.unit.core.samples import PRIMARY

START = dt.datetime(2026, 11, 22, 10, 0, 0, tzinfo=dt.UTC)
WELL = Answer(200, 12)
BROKEN = Answer(503, 9, "no targets")
SILENT = Answer(0, 2000, "TimeoutError: timed out")
FOLLOWS = Source(
    lost=False, detail="the replica receives, 0 s behind", lag_seconds=0, heartbeat_at="2026-11-22T09:59:58"
)
LOST = Source(lost=True, detail="the replica is not connected to its source", lag_seconds=-1)
UNKNOWN = Source(lost=None, detail="the replica cannot be asked")
REPLICATES = Following(is_replica=True, source_connected=True, received="log.1:4 u:1-9", lag_seconds=0)


def at(seconds: float) -> str:
    return (START + dt.timedelta(seconds=seconds)).isoformat()


def look(seconds: float = 0, **changes: Any) -> Round:
    return dataclasses.replace(
        Round(region=PRIMARY, at=at(seconds), shallow=WELL, source=FOLLOWS, deep=WELL), **changes
    )
