"""Small Lambda functions for the tests."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

from tests.lab.running import ACCOUNT

if TYPE_CHECKING:
    from tests.lab.running import RunningLab

ROLE = f"arn:aws:iam::{ACCOUNT}:role/any"


def make_function(lab: RunningLab, region: str, name: str, code: str, **properties: Any) -> Any:
    """Create a Python function from its source and return its client."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("app.py", code)
    client = lab.client("lambda", region)
    client.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=ROLE,
        Handler="app.handler",
        Timeout=30,
        Code={"ZipFile": archive.getvalue()},
        **properties,
    )
    lab.wait_until(lambda: client.get_function_configuration(FunctionName=name)["State"] == "Active")
    return client
