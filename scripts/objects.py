"""Compares the objects of both sides and copies what never crossed, and prints how far that is.

Usage: objects.py ENVIRONMENT DR_REGION      (dev eu-central-1)
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from typing import Any

from scripts.console import acts_on, ask, run

# A call takes up to five minutes.
_SECONDS = 310
_PAUSE_SECONDS = 30


def lines(seen: dict[str, Any], returned: dict[str, Any]) -> list[str]:
    """Put what was noted into words."""
    told = []
    if not seen or not seen["measured_at"]:
        told.append(f"nothing is known yet {seen.get('detail', '')}".rstrip())
    else:
        told.append(
            f"{seen['operations']} operations, {seen['bytes']} bytes had not left {seen['region']} "
            f"at {seen['measured_at']}; {seen['latency_seconds']} s behind; {seen['failed']} failed within the hour"
        )
        if seen["heard_at"] != seen["asked_at"]:
            told.append(f"not heard since: asked at {seen['asked_at']}, {seen['detail']}")
    if returned:
        told.append(f"after a return {returned['at']}: {returned['told']}")
    return told


def compare(environment: str, dr_region: str) -> int:
    """Call DR's function until both sides are compared and what never crossed is copied."""
    acts_on(environment, dr_region)
    run = f"by-hand-{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}"
    payload: dict[str, Any] = {"action": "compare", "run": run, "progress": {}}
    while True:
        answer = ask(f"{environment}-dr-objects", dr_region, payload, _SECONDS)
        print(f"{payload['action']:8} {answer['objects']['told']}", flush=True)
        if answer["done"] and payload["action"] == "copy":
            return 0 if answer["objects"]["done"] else 1
        payload |= {"progress": answer["progress"]}
        if answer["done"]:
            payload |= {"action": "copy"}
        elif answer["wait"]:
            print(f"         S3 is still at what was pending: next look in {_PAUSE_SECONDS} s", flush=True)
            time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    sys.exit(run(compare, *(sys.argv[1:] or ["dev", "eu-central-1"])))
