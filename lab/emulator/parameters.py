"""Parameter Store: the size that a tier allows, and policies in the shape that they are told in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from lab.emulator import replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.world import Lab

_LIMITS: Final = {"Standard": 4096, "Advanced": 8192}


def install(_: Lab) -> None:
    """Refuse values that AWS refuses: 4 KB in the standard tier, 8 KB in the advanced one. MiniStack takes any.

    And tell policies one by one, where MiniStack tells the text that they were written in.
    """
    from ministack.core.responses import error_response_json
    from ministack.services import ssm

    def put(original: Callable[..., Any]) -> Callable[..., Any]:
        def putting(data: dict[str, Any]) -> Any:
            value = str(data.get("Value", ""))
            tier = data.get("Tier") or ssm._default_tier(data, value, ssm._parameters.get(data.get("Name")))
            limit = _LIMITS.get(tier, _LIMITS["Advanced"])
            if len(value.encode()) > limit:
                message = (
                    f"{tier} tier parameters support a maximum parameter value of {limit} characters. "
                    "To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier."
                )
                return error_response_json("ValidationException", message, 400)
            return original(_with_policies(data))

        return putting

    replace(ssm, "_put_parameter", put)


def _with_policies(data: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(data.get("Policies"), str):
        return data
    found = [policy for policy in json.loads(data["Policies"]) if policy]
    told = [
        {"PolicyText": json.dumps(policy), "PolicyType": policy.get("Type", ""), "PolicyStatus": "Pending"}
        for policy in found
    ]
    return {**data, "Policies": told}
