"""Goes back to the primary region: starts the failback, follows its parts, and says how it ended and what is next.

usage: failback.py ENVIRONMENT DR_REGION [replica|snapshot]      (dev eu-central-1 replica)

By snapshot the service is down for long, so the estimate is shown first and the environment's name has to be typed;
where nobody can type, it is given as CONFIRM. Only the DR region is asked. Ctrl-C ends the watching, not the failback.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from scripts.console import PATIENT, StoppedError, acts_on, ask, client, run

if TYPE_CHECKING:
    from collections.abc import Iterator

INTERRUPTED = 130
_SECONDS = 60
_NO_NEWS = ("Choice", "Pass", "Succeed", "Fail")


def confirm(asked: str, what: str) -> None:
    """Insist on a word, typed or given as CONFIRM.

    Parameters
    ----------
    asked
        The word.
    what
        What it is for.

    Raises
    ------
    SystemExit
        It was not given exactly.
    """
    given = os.environ.get("CONFIRM", "")
    if not given:
        if not sys.stdin.isatty():
            raise SystemExit(f"nobody can type here: give CONFIRM={asked} for {what}. Nothing was done.")
        given = input(f"Type {asked} for {what}: ")
    if given != asked:
        raise SystemExit(f"'{given}' is not '{asked}': nothing was done.")


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


def steps(history: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Read from a history what an operator wants to see: steps that began, and children that were started.

    Yields
    ------
    tuple[str, str]
        ``("step", name)`` or ``("child", ARN)``, in order.
    """
    for event in history:
        if entered := event.get("stateEnteredEventDetails"):
            if not event["type"].startswith(_NO_NEWS):
                yield "step", entered["name"]
        elif submitted := event.get("taskSubmittedEventDetails"):
            yield "child", json.loads(submitted["output"])["ExecutionArn"]


class Watch:
    """Prints each step of an execution and its children once, as it begins.

    Parameters
    ----------
    client
        Step Functions in the DR region.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._told: set[tuple[str, str]] = set()

    def look(self, arn: str, depth: int = 0) -> None:
        """Print what has begun since the last look."""
        pages = self._client.get_paginator("get_execution_history").paginate(
            executionArn=arn, includeExecutionData=True
        )
        for kind, what in steps([event for page in pages for event in page["events"]]):
            if kind == "child":
                self.look(what, depth + 1)
            elif (arn, what) not in self._told:
                self._told.add((arn, what))
                print(f"  {dt.datetime.now(dt.UTC):%H:%M:%S}  {'    ' * depth}{what}", flush=True)


def follow(client: Any, arn: str, pause: float) -> dict[str, Any]:
    """Watch an execution to its end and return how it ended."""
    watch = Watch(client)
    while True:
        seen: dict[str, Any] = client.describe_execution(executionArn=arn)
        watch.look(arn)
        if seen["status"] != "RUNNING":
            return seen
        time.sleep(pause)


def start_and_follow(client: Any, region: str, machine: str, given: dict[str, Any]) -> dict[str, Any] | None:
    """Start a state machine and follow it to its end.

    Parameters
    ----------
    machine
        Its ARN.
    given
        Its input; empty for none.

    Returns
    -------
    dict or None
        The execution as it ended. None when the watching was ended, which does not end the execution.
    """
    arn = client.start_execution(
        stateMachineArn=machine,
        name=f"manual-{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}",
        **({"input": json.dumps(given)} if given else {}),
    )["executionArn"]
    print(f"started {arn}")
    try:
        return follow(client, arn, float(os.environ.get("POLL_SECONDS", "5")))
    except (KeyboardInterrupt, ClientError, BotoCoreError) as error:
        print(f"\nIt goes on: aws stepfunctions describe-execution --region {region} --execution-arn {arn}")
        if not isinstance(error, KeyboardInterrupt):
            raise
        return None


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
    defaults = ["dev", "eu-central-1", "replica"]
    environment, region, method = [*arguments, *defaults[len(arguments) :]]
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
    given = {} if method == "replica" else {"method": method}
    machine = f"arn:aws:states:{region}:{account}:stateMachine:{environment}-dr-failback"
    ended = start_and_follow(client("stepfunctions", region, PATIENT), region, machine, given)
    return INTERRUPTED if ended is None else conclude(ended)


if __name__ == "__main__":
    sys.exit(run(main, sys.argv[1:]))
