"""Every script, where there are no credentials or they are over: one line, and no trace of Python's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import NoCredentialsError

from scripts import approval, automation, console, failback, image, objects, retired, rotate, status, sync
from tests.unit.scripts.answers import DR, HANGS, PRIMARY, Cloud, invoked, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
SCRIPTS: dict[str, Callable[[], int]] = {
    "status": lambda: console.run(status.main, "dev", DR),
    "approve": lambda: console.run(approval.main, "dev", DR, "approve", "why"),
    "automation": lambda: console.run(automation.main, "dev", DR, "on"),
    "failback": lambda: console.run(failback.main, ["dev", DR]),
    "image": lambda: console.run(image.main, ["dev", PRIMARY, DR]),
    "sync": lambda: console.run(sync.main, "dev", DR),
    "objects": lambda: console.run(objects.compare, "dev", DR),
    "rotate": lambda: console.run(rotate.main, "dev", DR),
    "retired": lambda: console.run(retired.main, ["list", "dev", PRIMARY, DR]),
    "retire-purge": lambda: console.run(retired.main, ["purge", "dev", "dev-db-retired-3", PRIMARY, DR]),
}
CHANGES = sorted(SCRIPTS.keys() - {"status", "retired", "image"})


def knows_nobody(error: Exception) -> Any:
    """Make clients that refuse whatever they are asked."""

    class Client:
        def __getattr__(self, _: str) -> Any:
            def refuse(*_: Any, **__: Any) -> Any:
                raise error

            return refuse

    return lambda *_, **__: Client()


@pytest.mark.parametrize("error", [NoCredentialsError(), refusal("ExpiredToken"), refusal("InvalidClientTokenId", 403)])
@pytest.mark.parametrize("script", SCRIPTS)
def test_one_line_and_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], script: str, error: Exception
) -> None:
    monkeypatch.setattr("boto3.client", knows_nobody(error))
    assert SCRIPTS[script]() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "AWS does not know who you are" in line
    assert "sign in" in line


@pytest.mark.parametrize("script", CHANGES)
def test_what_changes_something_says_first_on_what_it_acts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], script: str
) -> None:
    monkeypatch.setattr("boto3.client", knows_nobody(NoCredentialsError()))
    SCRIPTS[script]()
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("dev in ")
    assert DR in first


@pytest.mark.parametrize("script", ["failover", "reprotect"])
def test_so_does_what_is_no_python(tmp_path: Path, script: str) -> None:
    aws = tmp_path / "aws"
    aws.write_text("#!/bin/sh\necho Unable to locate credentials >&2\nexit 253\n")
    aws.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [ROOT / "scripts" / script, "dev", DR], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 253
    assert done.stdout == "dev in eu-central-1\n"
    assert done.stderr == "Unable to locate credentials\n"


def test_anything_else_that_aws_refuses_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("boto3.client", Cloud({"invoke": HANGS}).client)
    assert SCRIPTS["sync"]() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("AWS: Read timeout")
    assert "look at the status before you try again" in line
    monkeypatch.setattr("boto3.client", Cloud({"get_parameter": HANGS}).client)
    assert SCRIPTS["sync"]() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("which region is active cannot be read, and nothing was started: eu-central-1: Read timeout")


@pytest.mark.parametrize("script", ["sync", "objects"])
def test_a_function_that_raises_is_told_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], script: str
) -> None:
    error = {"errorType": "PreconditionFailed", "errorMessage": "parameter x is 'y'"}
    monkeypatch.setattr("boto3.client", Cloud({"invoke": invoked(error, "Unhandled")}).client)
    assert SCRIPTS[script]() == 1
    assert capsys.readouterr().err == "PreconditionFailed: parameter x is 'y'\n"
