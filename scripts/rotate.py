"""Gives the application's account in the database a new password. Safe to run twice, and to kill anywhere.

The secret first, where it is at home; then, when its copies have it, the database of the active region, from inside the
network. So whoever still has the old password goes on until the database has the new one, and reads that then. A run
that was killed between the two is finished by the next: it begins with what the secret says.
With ALIGN=1 it does only that: it sets the password that the active region's secret has. No password is ever printed.
Usage: rotate.py [ENVIRONMENT] [DR_REGION]      (dev eu-central-1)
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from scripts.console import PATIENT, StoppedError, active_region, acts_on, ask, client, run

# The function inside the network may start cold.
_SECONDS = 130
_COPY_SECONDS = 120
_TRIES = 6


def _client(service: str, region: str) -> Any:
    return client(service, region, PATIENT)


def current(name: str, region: str) -> tuple[str, str]:
    """Name the version of a secret that is current in a region, and the secret's home."""
    answer = _client("secretsmanager", region).describe_secret(SecretId=name)
    stages = answer.get("VersionIdsToStages", {})
    version = next((one for one, names in stages.items() if "AWSCURRENT" in names), "")
    return version, str(answer.get("PrimaryRegion") or region)


def set_password(environment: str, region: str, version: str) -> None:
    """Let the region's own function set the password of a version in the region's database."""
    ssm = _client("ssm", region)
    host, port = (
        ssm.get_parameter(Name=f"/{environment}/pilotlight/database-{part}")["Parameter"]["Value"]
        for part in ("endpoint", "port")
    )
    order = {"action": "prepare", "version": version, "database": {"host": host, "port": int(port)}}
    said = StoppedError("no reason")
    for number in range(_TRIES):
        if number:
            time.sleep(2)
        try:
            ask(f"{environment}-sql", region, order, _SECONDS)
        except StoppedError as error:
            said = error
        else:
            return
        if said.kind != "TransientError":
            break
    raise StoppedError(
        f"the database of {region} has not got the password of its secret: {said}. The application goes on with the "
        "old one as long as it does not read the secret. Mend that, then run this again"
    )


def write(name: str, home: str) -> str:
    """Write a new password into the secret, and return the version."""
    client = _client("secretsmanager", home)
    value = json.loads(client.get_secret_value(SecretId=name)["SecretString"])
    value["password"] = client.get_random_password(PasswordLength=40, ExcludePunctuation=True)["RandomPassword"]
    # Asked again with the same token, it writes no second version.
    answer = client.put_secret_value(
        SecretId=name, SecretString=json.dumps(value), ClientRequestToken=str(uuid.uuid4())
    )
    return str(answer["VersionId"])


def has(name: str, region: str, version: str) -> bool | None:
    """Say whether a version is current in a region; None where that does not answer."""
    try:
        return current(name, region)[0] == version
    except (ClientError, BotoCoreError) as error:
        if isinstance(error, ClientError) and error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
            raise
        return None


def arrive(name: str, region: str, version: str) -> bool:
    """Wait until a version is current in a region; say whether it is."""
    until = time.monotonic() + _COPY_SECONDS
    while (there := has(name, region, version)) is False and time.monotonic() < until:
        time.sleep(1)
    return bool(there)


def rotate(environment: str, dr_region: str) -> None:
    """Rotate, and print what was done."""
    acts_on(environment, dr_region)
    name = f"{environment}/application"
    active = active_region(environment, dr_region)
    version, home = current(name, active)
    set_password(environment, active, version)
    print(f"the database of {active} has the password of its secret (version {version})")
    if os.environ.get("ALIGN") == "1":
        return
    copies = {one["Region"] for one in _copies(name, home)}
    new = write(name, home)
    print(f"a new one is written in {home} (version {new})")
    for region in sorted(copies | {active}):
        if arrive(name, region, new):
            print(f"  and is in {region}")
        elif region == active:
            raise StoppedError(
                f"the new password is in {home} and has not reached {active}, whose secret and database are as they "
                "were. When it has, run this again"
            )
        else:
            print(f"  and is not in {region} yet: it gets there when that region answers", file=sys.stderr)
    set_password(environment, active, new)
    print(f"the database of {active} has it; the application reads it when it next connects")


def _copies(name: str, home: str) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = (
            _client("secretsmanager", home).describe_secret(SecretId=name).get("ReplicationStatus", [])
        )
    except (ClientError, BotoCoreError) as error:
        if isinstance(error, ClientError) and error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
            raise
        raise StoppedError(
            f"the secret {name} is at home in {home}, which does not answer, and a copy cannot be written: there is no "
            "new password, and nothing was changed. Wait for that region, or make the copy a secret of its own: "
            "docs/secrets.md, 'When the home of the secrets is lost'"
        ) from None
    return found


def main(environment: str = "dev", dr_region: str = "eu-central-1") -> int:
    """Rotate; 0 when that is done."""
    rotate(environment, dr_region)
    return 0


if __name__ == "__main__":
    sys.exit(run(main, *sys.argv[1:]))
