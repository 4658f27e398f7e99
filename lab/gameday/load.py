"""From the clients' log to how many writes a second were acknowledged, where and when."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.gameday.model import LabTime
    from lab.gameday.workload import Write


def series(writes: Sequence[Write], time: LabTime, bucket: float = 0.5) -> dict[str, Any]:
    """Count writes by the time in which they ended.

    Clients live in real time: counted in equal parts of it, the same clients draw the same height however fast the
    lab's clock runs.

    Parameters
    ----------
    writes
        As the clients saw them.
    time
        Turns a moment into AWS seconds since the moment that counts.
    bucket
        Real seconds that are counted together.

    Returns
    -------
    dict[str, Any]
        ``bucket_seconds`` (AWS seconds, at the pace that holds first) and ``bucket_real_seconds``, ``regions``, and
        ``buckets``: each with ``at`` and ``until`` (AWS seconds), ``acknowledged`` by region and ``failed``. Without a
        hole: a bucket in which nothing happened is there, with zeros.
    """
    regions = list(dict.fromkeys(write.region for write in writes))
    numbers = [math.floor((write.ended - time.zero) / bucket) for write in writes]
    buckets: dict[int, dict[str, Any]] = {
        number: {
            "at": round(time.at(time.zero + number * bucket), 1),
            "until": round(time.at(time.zero + (number + 1) * bucket), 1),
            "acknowledged": dict.fromkeys(regions, 0),
            "failed": 0,
        }
        for number in range(min(numbers, default=0), max(numbers, default=-1) + 1)
    }
    for number, write in zip(numbers, writes, strict=True):
        if write.outcome == "acknowledged":
            buckets[number]["acknowledged"][write.region] += 1
        else:
            buckets[number]["failed"] += 1
    return {
        "bucket_seconds": bucket * time.scale,
        "bucket_real_seconds": bucket,
        "regions": regions,
        "buckets": list(buckets.values()),
    }
