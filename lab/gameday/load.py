"""From the clients' log to how many writes a second were acknowledged, where and when."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.gameday.workload import Write


def series(writes: Sequence[Write], at: Callable[[float], float], bucket: float = 5.0) -> dict[str, Any]:
    """Count writes by the time in which they ended.

    Parameters
    ----------
    writes
        As the clients saw them.
    at
        Turns a moment into AWS seconds since the moment that counts.
    bucket
        AWS seconds that are counted together.

    Returns
    -------
    dict[str, Any]
        ``bucket_seconds``, ``regions``, and ``buckets``: each with ``at`` (its begin), ``acknowledged`` by region and
        ``failed``. Without a hole: a bucket in which nothing happened is there, with zeros.
    """
    regions = list(dict.fromkeys(write.region for write in writes))
    numbers = [math.floor(at(write.ended) / bucket) for write in writes]
    buckets: dict[int, dict[str, Any]] = {
        number: {"at": number * bucket, "acknowledged": dict.fromkeys(regions, 0), "failed": 0}
        for number in range(min(numbers, default=0), max(numbers, default=-1) + 1)
    }
    for number, write in zip(numbers, writes, strict=True):
        if write.outcome == "acknowledged":
            buckets[number]["acknowledged"][write.region] += 1
        else:
            buckets[number]["failed"] += 1
    return {"bucket_seconds": bucket, "regions": regions, "buckets": list(buckets.values())}
