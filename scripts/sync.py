"""Makes the parameters of both regions equal, from the active region to the other one, and prints what it did.

With DRY_RUN=1 it prints what differs and writes nothing; with LABELS=1 it compares labels of many parameters too.
Usage: scripts/sync.py [ENVIRONMENT] [DR_REGION]      (dev eu-central-1)
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import boto3
from botocore.config import Config

# A call takes up to 15 minutes, and a second one beside it would help nobody.
_PATIENCE = Config(read_timeout=910, retries={"total_max_attempts": 1, "mode": "standard"})
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
    # DR's record is asked: it is the one that is sure to answer on the day when it matters.
    record = boto3.client("ssm", region_name=dr_region).get_parameter(Name=f"/{environment}/pilotlight/active-region")
    active = str(record["Parameter"]["Value"])
    client = boto3.client("lambda", region_name=active, config=_PATIENCE)
    payload: dict[str, Any] = {"action": "reconcile", "wait": True, "dry_run": os.environ.get("DRY_RUN") == "1"}
    if os.environ.get("LABELS") == "1":
        payload["labels"] = True
    failed = False
    while True:
        said = client.invoke(FunctionName=f"{environment}-parameter-sync", Payload=json.dumps(payload).encode())
        answer = json.loads(said["Payload"].read())
        if said.get("FunctionError"):
            print(f"{answer.get('errorType')}: {answer.get('errorMessage')}", file=sys.stderr)
            return 1
        print("\n".join(lines(answer)))
        failed = failed or bool(answer.get("failed"))
        if answer["done"]:
            return 1 if failed else 0
        payload |= {"after": answer["after"], "labels": answer["labels"]}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
