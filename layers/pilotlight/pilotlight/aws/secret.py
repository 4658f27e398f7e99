"""The database's credentials, and how their copies in the other region are."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from pilotlight.aws import clients, faults
from pilotlight.errors import PreconditionFailed, TransientError
from pilotlight.model import SecretFacts


@dataclass(frozen=True, slots=True)
class Credentials:
    """User and password; the password stays out of every representation."""

    username: str
    password: str = field(repr=False)
    version: str = ""


def credentials(secret_id: str, version: str = "", client: Any = None) -> Credentials:
    """Read this region's own copy of the secret.

    Parameters
    ----------
    version
        Which version; empty for the current one.

    Raises
    ------
    PreconditionFailed
        The secret is not the JSON object it should be.
    TransientError
        The version has not reached this region yet.
    """
    wanted = {"VersionId": version} if version else {}
    try:
        answer = (client or clients.near("secretsmanager")).get_secret_value(SecretId=secret_id, **wanted)
    except ClientError as error:
        if version and faults.code(error) == "ResourceNotFoundException":
            raise TransientError(f"version {version} of secret {secret_id} is not in this region yet") from None
        raise
    try:
        value = json.loads(answer["SecretString"])
        return Credentials(value["username"], value["password"], str(answer.get("VersionId", "")))
    except (KeyError, TypeError, ValueError):
        raise PreconditionFailed(
            f"secret {secret_id} does not hold an object with 'username' and 'password': put one, then start again"
        ) from None


def facts(secret_id: str, client: Any) -> SecretFacts:
    """Describe a secret in a region, without its value."""
    answer = client.describe_secret(SecretId=secret_id)
    stages = answer.get("VersionIdsToStages", {})
    current = next((version for version, names in stages.items() if "AWSCURRENT" in names), "")
    # The secret that is copied names its own region.
    home = str(answer.get("PrimaryRegion", ""))
    return SecretFacts(
        version=current,
        # Under none that is named it is under the region's AWS-managed key.
        key=str(answer.get("KmsKeyId", "")),
        home="" if home == client.meta.region_name else home,
        copies={one["Region"]: str(one.get("Status", "")) for one in answer.get("ReplicationStatus", [])},
    )
