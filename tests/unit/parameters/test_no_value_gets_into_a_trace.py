"""AWS may quote a value in its refusal, and X-Ray keeps in full what a call that is traced was told."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.unit.core.conftest import ROOT

# As Lambda loads it: tracing is only on there, and once a process is patched it stays so.
LOOK = """
import sys
sys.path.insert(0, sys.argv[1])
import app
import botocore.client
print(type(botocore.client.BaseClient._make_api_call).__name__ != "function")
"""


@pytest.mark.parametrize(("function", "traced"), [("parameter_sync", "False"), ("image", "True")])
def test_the_calls_of_what_carries_values_are_not_traced(function: str, traced: str) -> None:
    on = {"LAMBDA_TASK_ROOT": "/var/task", "PYTHONPATH": str(ROOT / "layers/pilotlight"), "AWS_REGION": "eu-west-1"}
    inherited = {name: value for name, value in os.environ.items() if name != "POWERTOOLS_TRACE_DISABLED"}
    told = subprocess.run(
        [sys.executable, "-c", LOOK, str(ROOT / "functions" / function)],
        env=inherited | on, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert told.stdout.split()[-1] == traced
