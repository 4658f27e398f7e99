"""The database's credentials."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from pilotlight.aws import clients
from pilotlight.errors import PreconditionFailed


@dataclass(frozen=True, slots=True)
class Credentials:
    """User and password; the password stays out of every representation."""

    username: str
    password: str = field(repr=False)


def credentials(secret_id: str, client: Any = None) -> Credentials:
    """Read this region's own copy of the secret.

    Raises
    ------
    PreconditionFailed
        The secret is not the JSON object it should be.
    """
    answer = (client or clients.near("secretsmanager")).get_secret_value(SecretId=secret_id)
    try:
        value = json.loads(answer["SecretString"])
        return Credentials(value["username"], value["password"])
    except (KeyError, TypeError, ValueError):
        raise PreconditionFailed(
            f"secret {secret_id} does not hold an object with 'username' and 'password': put one, then start again"
        ) from None
