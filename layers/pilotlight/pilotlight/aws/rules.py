"""EventBridge rules: whether they are on."""

from __future__ import annotations

from typing import Any


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
