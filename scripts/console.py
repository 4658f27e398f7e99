"""What the scripts share: clients that never hang, executions followed to their end, one line for what AWS refuses."""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import boto3
from botocore import exceptions
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INTERRUPTED = 130
"""The status of a script whose watching was ended by Ctrl-C."""

BRIEFLY = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2, "mode": "standard"})
PATIENT = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"})
_MAKING = threading.Lock()
_NO_NEWS = ("Choice", "Pass", "Succeed", "Fail")
_NOBODY = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.ProfileNotFound,
    exceptions.TokenRetrievalError,
    exceptions.NoAuthTokenError,
    exceptions.SSOError,
    exceptions.LoginError,
)
_NOBODY_SAYS_AWS = (
    "ExpiredToken",
    "ExpiredTokenException",
    "RequestExpired",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidAccessKeyId",
    "AuthFailure",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
)


class StoppedError(Exception):
    """It cannot go on; the message says what was changed, and the way out. ``kind`` is a function's error, if any."""

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


def client(service: str, region: str, config: Config = BRIEFLY) -> Any:
    """Make a client that gives up in seconds, or as late as its configuration says."""
    # Asking side by side is safe, making clients is not: they share a session.
    with _MAKING:
        return boto3.client(service, region_name=region, config=config)  # type: ignore[call-overload]  # any service


def acts_on(environment: str, region: str) -> None:
    """Say first what is acted on: `make` has defaults, and a shell may name another environment than is meant."""
    print(f"{environment} in {region}", flush=True)


def order(name: str, environment: str, dr: str, primary: str = "") -> str:
    """Word a command as it is typed. Without the names, `make` acts on its defaults."""
    regions = f"PRIMARY_REGION={primary} DR_REGION={dr}" if primary else f"DR_REGION={dr}"
    return f"make {name} ENVIRONMENT={environment} {regions}"


def ask(function: str, region: str, payload: dict[str, Any], seconds: int) -> Any:
    """Call a function once, and wait for its answer.

    Raises
    ------
    StoppedError
        It raised; the message is its own.
    """
    # A second call beside one that takes its time would help nobody.
    patience = Config(connect_timeout=3, read_timeout=seconds, retries={"total_max_attempts": 1, "mode": "standard"})
    said = client("lambda", region, patience).invoke(FunctionName=function, Payload=json.dumps(payload).encode())
    answer = json.loads(said["Payload"].read() or b"null")
    if "FunctionError" in said:
        told = answer or {}
        kind = str(told.get("errorType", "error"))
        raise StoppedError(f"{kind}: {told.get('errorMessage') or 'it gave no reason'}", kind)
    return answer


def is_nobody(error: Exception) -> bool:
    """Whether AWS does not know who is at the keyboard: then nothing else is worth trying."""
    if isinstance(error, ClientError):
        return error.response.get("Error", {}).get("Code") in _NOBODY_SAYS_AWS
    return isinstance(error, _NOBODY)


def active_region(environment: str, *regions: str) -> str:
    """Read which region is active: the first of the regions that says so counts, and DR's record is the one that does.

    Raises
    ------
    StoppedError
        None of them says.
    """
    reasons = []
    for region in regions:
        name = f"/{environment}/pilotlight/active-region"
        try:
            return str(client("ssm", region).get_parameter(Name=name)["Parameter"]["Value"])
        except (ClientError, BotoCoreError) as error:
            if is_nobody(error):
                raise
            reasons.append(f"{region}: {' '.join(str(error).split())}")
    raise StoppedError(f"which region is active cannot be read, and nothing was started: {'; '.join(reasons)}")


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


def run(main: Callable[..., int], *arguments: Any) -> int:
    """Run a script; return its status, 1 with one line where it stopped or AWS refused."""
    try:
        return main(*arguments)
    except StoppedError as error:
        told = str(error)
    except (BotoCoreError, ClientError) as error:
        told = " ".join(str(error).split())
        if is_nobody(error):
            told = f"AWS does not know who you are ({told}): sign in, or choose a profile (AWS_PROFILE), and try again"
        else:
            told = f"AWS: {told}. What was printed before was done; look at the status before you try again"
    print(told, file=sys.stderr)
    return 1
