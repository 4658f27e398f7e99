"""However it ends, the lab leaves no process, no port and no file; and it says by name what it cannot use."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.lab.functions import make_function, make_layer, make_role
from tests.lab.running import DR, PRIMARY, ROOT, RunningLab

if TYPE_CHECKING:
    from collections.abc import Iterator


def _processes(home: str) -> list[str]:
    """Find the processes that have to do with one lab: its home is in their command line or environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                described = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if home.encode() in described:
                found.append(entry.name)
    return found


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let the lab make its home in a directory of this test."""
    directory = tmp_path / "scratch"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    yield directory
    assert list(directory.iterdir()) == []


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes where Linux lists them")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_a_signal_with_a_database_running_and_a_caller_hanging(
    scratch: Path, tmp_path: Path, number: signal.Signals
) -> None:
    lab = RunningLab("--no-deploy", log=tmp_path / "output", scale=200, ready_within=180)
    make_role(lab)
    layer = make_layer(lab, DR, "layer", "brought", "")
    make_function(lab, DR, "forked", "def handler(event, context):\n    return 1\n", Layers=[layer])
    assert lab.client("lambda", DR).invoke(FunctionName="forked")["Payload"].read() == b"1"
    lab.client("rds", DR).create_db_instance(
        DBInstanceIdentifier="left",
        Engine="mysql",
        DBInstanceClass="db.t4g.micro",
        AllocatedStorage=20,
        MasterUsername="somebody",
        MasterUserPassword="something-long",
    )
    lab.client("rds", DR).get_waiter("db_instance_available").wait(WaiterConfig={"Delay": 1})
    lab.set_apis(PRIMARY, "hang")
    hanging = threading.Thread(target=_call_and_forget, args=(lab,), daemon=True)
    hanging.start()
    assert _processes(str(scratch))

    assert lab.stop(number) == 0

    hanging.join(timeout=10)
    assert not hanging.is_alive()
    assert _processes(str(scratch)) == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", lab.port)) != 0


def _call_and_forget(lab: RunningLab) -> None:
    with contextlib.suppress(BotoCoreError, ClientError):
        lab.client("sqs", PRIMARY).list_queues()


def _serve(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / ".venv-lab/bin/python", "-m", "lab", "serve", "--no-deploy"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("LAB_PORT", "http"), ("LAB_PORT", "80"), ("LAB_TIME_SCALE", "fast"), ("LAB_TIME_SCALE", "0")],
)
def test_a_setting_that_makes_no_sense_is_named(name: str, value: str) -> None:
    ended = _serve(**{name: value})
    assert ended.returncode == 1
    assert name in ended.stdout
    assert value in ended.stdout


def test_a_port_that_is_taken_is_named_and_leaves_nothing(scratch: Path) -> None:
    assert scratch.exists()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = _serve(LAB_PORT=str(taken.getsockname()[1]))
    assert ended.returncode == 1
    assert "LAB_PORT" in ended.stdout
