"""Makes the parameters of both regions equal, from the active region to the other one, and prints what it did.

With DRY_RUN=1 it prints what differs and writes nothing; with LABELS=1 it compares labels of many parameters too.
Usage: sync.py [ENVIRONMENT] [DR_REGION]      (dev eu-central-1)
"""

from __future__ import annotations

import os
import sys
from typing import Any

from scripts.console import active_region, acts_on, ask, run

# A call takes up to 15 minutes.
_SECONDS = 910
_COUNTS = ("created", "updated", "replaced", "deleted", "tagged", "labelled", "failed")


def lines(answer: dict[str, Any]) -> list[str]:
    """Put an answer of the function into words. It has names and never values."""
    if answer["outcome"] == "standing by":
        return [f"nothing was carried: {answer['detail']}"]
    counts = ", ".join(f"{answer[count]} {count}" for count in _COUNTS)
    return [
        *(f"{one['do']:8} {one['name']}  ({', '.join(one['differs'])})" for one in answer["differences"]),
        *(f"FAILED   {one['name']}: {one['reason']}" for one in answer["failures"]),
        f"{answer['outcome']} {answer['source']} with {answer['target']}: {answer['compared']} parameters; {counts}; "
        f"{answer['left']} stay in their region, {answer['kept']} kept that no sync made",
    ]


def main(environment: str = "dev", dr_region: str = "eu-central-1") -> int:
    """Call the active region's function until it is done."""
    acts_on(environment, dr_region)
    # DR's record is asked: it is the one that is sure to answer on the day when it matters.
    active = active_region(environment, dr_region)
    payload: dict[str, Any] = {"action": "reconcile", "wait": True, "dry_run": os.environ.get("DRY_RUN") == "1"}
    if os.environ.get("LABELS") == "1":
        payload["labels"] = True
    failed = False
    while True:
        answer = ask(f"{environment}-parameter-sync", active, payload, _SECONDS)
        print("\n".join(lines(answer)))
        failed = failed or bool(answer.get("failed"))
        if answer["done"]:
            return 1 if failed else 0
        payload |= {"after": answer["after"], "labels": answer["labels"]}


if __name__ == "__main__":
    sys.exit(run(main, *sys.argv[1:]))
