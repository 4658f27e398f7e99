"""Goes back to the primary region: starts the failback, follows its parts, and says how it ended and what is next.

usage: failback.py ENVIRONMENT DR_REGION [replica|snapshot [1]]      (dev eu-central-1 replica; 1 insists)

By snapshot the service is down for long, so the estimate is shown first and the environment's name has to be typed;
where nobody can type, it is given as CONFIRM. Only the DR region is asked. Ctrl-C ends the watching, not the failback.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from scripts.console import INTERRUPTED, PATIENT, StoppedError, acts_on, ask, client, confirm, run, start_and_follow

_SECONDS = 60


def preview(environment: str, region: str, account: str, method: str) -> dict[str, Any]:
    """Ask the failback's own function what would be done. It changes nothing.

    Raises
    ------
    StoppedError
        It refuses, with its reason.
    """
    name = f"{environment}-dr-failback"
    payload = {
        "action": "plan",
        "execution": f"arn:aws:states:{region}:{account}:execution:{name}:preview",
        "input": {"method": method},
    }
    try:
        told: dict[str, Any] = ask(name, region, payload, _SECONDS)
    except StoppedError as error:
        raise StoppedError(f"refused: {error}") from None
    return told


def conclude(ended: dict[str, Any]) -> int:
    """Print how a failback ended and what is next, and return the exit status."""
    if ended["status"] != "SUCCEEDED":
        print(f"{ended['status']}  {ended.get('error', '')}\n{ended.get('cause') or 'It told no cause.'}")
        if ended["status"] != "FAILED":
            print("Start again with the same command: it goes on where it stopped.")
        return 1
    output = json.loads(ended["output"])
    print(f"{output['outcome']}\n{output['next']}")
    for part in ("primary", "dr"):
        divergence = (output.get(part) or {}).get("divergence") or {}
        if divergence.get("rows") or divergence.get("statements"):
            statements = divergence.get("statements")
            also = f"and {statements} statements " if statements else ""
            print(
                f"{output[part]['retired']} in {output[part]['region']} holds {divergence['rows']} row changes "
                f"{also}that the others never got: {divergence.get('evidence') or 'not listed'}"
            )
    return 0


def main(arguments: list[str]) -> int:
    """Start, follow, conclude.

    Returns
    -------
    int
        0 when the primary is active and protected.
    """
    defaults = ["dev", "eu-central-1", "replica", ""]
    environment, region, method, force = [*arguments, *defaults[len(arguments) :]]
    if method not in ("replica", "snapshot"):
        print(f"METHOD is {method!r}, not replica or snapshot")
        return 2
    acts_on(environment, region)
    account = client("sts", region).get_caller_identity()["Account"]
    if method == "snapshot":
        print(
            f"By snapshot the service is down for {preview(environment, region, account, method)['freeze_estimate']}."
        )
        confirm(environment, f"a failback of {environment} with that downtime")
    given = ({} if method == "replica" else {"method": method}) | ({"force": True} if force else {})
    machine = f"arn:aws:states:{region}:{account}:stateMachine:{environment}-dr-failback"
    ended = start_and_follow(client("stepfunctions", region, PATIENT), region, machine, given)
    return INTERRUPTED if ended is None else conclude(ended)


if __name__ == "__main__":
    sys.exit(run(main, sys.argv[1:]))
