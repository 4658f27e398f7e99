from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from tests.lab.compute import Stage
from tests.lab.running import PRIMARY, RunningLab

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_lab_that_is_killed_leaves_no_instance(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Killed, it cannot remove its home: that must not stay in the machine's own temporary directory.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    lab = RunningLab("--no-deploy", log=tmp_path / "output", scale=50, ready_within=180)
    request.addfinalizer(lambda: lab.stop(signal.SIGKILL))
    stage = Stage(lab, PRIMARY)
    stage.make_group(MinSize=2, MaxSize=2)
    lab.wait_until(lambda: len(stage.in_service()) == 2, 60, "two instances")
    pids = [each["pid"] for each in stage.instances().values()]
    lab.stop(signal.SIGKILL)
    deadline = time.monotonic() + 15
    while any(_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "an instance outlived the lab"
        time.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
