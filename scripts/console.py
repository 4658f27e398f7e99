"""What the scripts have in common: clients that never hang, and one line for whatever AWS refuses."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import boto3
from botocore import exceptions
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

_BRIEFLY = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2, "mode": "standard"})
PATIENT = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"})
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


def client(service: str, region: str, config: Config = _BRIEFLY) -> Any:
    """Make a client that gives up in seconds, or as late as its configuration says."""
    return boto3.client(service, region_name=region, config=config)  # type: ignore[call-overload]  # any service


def acts_on(environment: str, region: str) -> None:
    """Say first what is acted on: `make` has defaults, and a shell may name another environment than is meant."""
    print(f"{environment} in {region}", flush=True)


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
            told = f"AWS: {told}. What was printed before was done; look with make status before you try again"
    print(told, file=sys.stderr)
    return 1
