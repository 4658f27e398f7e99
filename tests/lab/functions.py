"""Small Lambda functions for the tests."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

from tests.lab.running import ACCOUNT

if TYPE_CHECKING:
    from tests.lab.running import RunningLab

ROLE_NAME = "any"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/{ROLE_NAME}"


def make_role(lab: RunningLab) -> None:
    """Create the role of the tests' functions and state machines: every service may take it on, it may do all."""
    services = {"Effect": "Allow", "Principal": {"Service": "*"}, "Action": "sts:AssumeRole"}
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    client = lab.client("iam")
    client.create_role(RoleName=ROLE_NAME, AssumeRolePolicyDocument=_policy(services))
    client.put_role_policy(RoleName=ROLE_NAME, PolicyName="everything", PolicyDocument=_policy(everything))


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def make_function(lab: RunningLab, region: str, name: str, code: str, *, role: str = ROLE, **properties: Any) -> Any:
    """Create a Python function from its source and return its client."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("app.py", code)
    client = lab.client("lambda", region)
    client.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=role,
        Handler="app.handler",
        Timeout=30,
        Code={"ZipFile": archive.getvalue()},
        **properties,
    )
    lab.wait_until(lambda: client.get_function_configuration(FunctionName=name)["State"] == "Active")
    return client
