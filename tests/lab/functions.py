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


def make_function(
    lab: RunningLab, region: str, name: str, code: str, *, role: str = ROLE, timeout: int = 30, **properties: Any
) -> Any:
    """Create a Python function from its source and return its client."""
    client = lab.client("lambda", region)
    client.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=role,
        Handler="app.handler",
        Timeout=timeout,
        Code={"ZipFile": _archive("app.py", code)},
        **properties,
    )
    lab.wait_until(lambda: client.get_function_configuration(FunctionName=name)["State"] == "Active")
    return client


def make_layer(lab: RunningLab, region: str, name: str, module: str, code: str) -> str:
    """Publish a layer with one Python module and return its version's ARN."""
    archive = _archive(f"python/{module}.py", code)
    published = lab.client("lambda", region).publish_layer_version(LayerName=name, Content={"ZipFile": archive})
    return str(published["LayerVersionArn"])


def _archive(name: str, text: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr(name, text)
    return archive.getvalue()
