"""IAM: what runs in the lab may do what its role allows, and nothing else.

MiniStack evaluates policies when it is told to: identity policies of a function's role, resource policies, conditions.
So a permission that a template forgot, or grants too narrowly, fails in the lab with the error it fails with on AWS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.emulator import replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.world import Lab


def install(_: Lab) -> None:
    """Let the lab's users in, and judge everybody else by their policies."""
    from ministack import app
    from ministack.core import iam_evaluator

    def authenticate(original: Callable[..., Any]) -> Callable[..., Any]:
        def authenticated(access_key_id: str, account_id: str) -> Any:
            # The lab's user is the account's root, with the account's number as key and whatever secret: nothing here
            # is secret. Roles' sessions are checked as on AWS.
            if iam_evaluator.is_root_access_key(access_key_id):
                return None
            return original(access_key_id, account_id)

        return authenticated

    replace(iam_evaluator, "authenticate", authenticate)

    def origin(original: Callable[[str, bool], None]) -> Callable[[str, bool], None]:
        # The lab speaks HTTP where AWS speaks HTTPS: a policy that insists on TLS is content.
        return lambda address, _secure: original(address, True)

    replace(app, "pin_request_origin", origin)
