"""EventBridge rules: whether they are on."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from pilotlight.aws import faults


def switch(name: str, client: Any, *, on: bool) -> bool:
    """Enable or disable a rule unless it is so already; say whether anything was changed."""
    enabled = client.describe_rule(Name=name)["State"] != "DISABLED"
    if enabled == on:
        return False
    if on:
        client.enable_rule(Name=name)
    else:
        client.disable_rule(Name=name)
    return True


def is_on(name: str, client: Any) -> bool:
    """Say whether a rule is there and enabled."""
    try:
        return bool(client.describe_rule(Name=name)["State"] != "DISABLED")
    except ClientError as error:
        if faults.code(error) == "ResourceNotFoundException":
            return False
        raise
