"""Publishes an image of the running application: starts the image machine of the active region and follows it.

usage: image.py ENVIRONMENT PRIMARY_REGION DR_REGION      (dev eu-west-1 eu-central-1)

FRESH=1 goes on with nothing that an earlier run left half done: for a release onto running instances without a version.
Ctrl-C ends the watching, not the run. Ends 0 when the image is published in both regions, 2 when it is in one alone,
3 when another run is under way, 1 when it failed.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from scripts.console import INTERRUPTED, PATIENT, active_region, acts_on, client, run, start_and_follow


def conclude(ended: dict[str, Any]) -> int:
    """Print how a run ended, and return the exit status."""
    if ended["status"] != "SUCCEEDED":
        print(f"{ended['status']}  {ended.get('error', '')}\n{ended.get('cause') or 'It told no cause.'}")
        return 1
    output = json.loads(ended["output"])
    outcome = output["outcome"]
    if outcome in ("standing-by", "running"):
        print(f"Nothing was made in {output['region']}: {output['detail']}.")
        return 3 if outcome == "running" else 1
    for region, image in output["published"].items():
        print(f"{output['pair']}: {image} in {region}")
    print(
        f"made of {output['instance']}, {'version ' + output['version'] if output['version'] else 'no version known'}"
    )
    for check in output["checked"]:
        print(f"  ✓ {check}")
    removed = output["removed"]
    if removed["images"] or removed["snapshots"]:
        print(f"removed: {', '.join([*removed['images'], *removed['snapshots']])}")
    for problem in removed["problems"]:
        print(f"not removed: {problem}")
    if outcome == "published-alone":
        print(f"NOT copied to {output['other']}: {output['detail']}. The next run tries again.")
        return 2
    return 0


def main(arguments: list[str]) -> int:
    """Start, follow, conclude.

    Returns
    -------
    int
        0 when the image is published in both regions.
    """
    defaults = ["dev", "eu-west-1", "eu-central-1"]
    environment, primary, dr = [*arguments, *defaults[len(arguments) :]]
    region = active_region(environment, dr, primary)
    acts_on(environment, region)
    account = client("sts", region).get_caller_identity()["Account"]
    given = {"fresh": True} if os.environ.get("FRESH") else {}
    machine = f"arn:aws:states:{region}:{account}:stateMachine:{environment}-image"
    ended = start_and_follow(client("stepfunctions", region, PATIENT), region, machine, given)
    return INTERRUPTED if ended is None else conclude(ended)


if __name__ == "__main__":
    sys.exit(run(main, sys.argv[1:]))
