"""The whole demonstration in one command: a lab, both regions deployed, a game day held, and nothing left behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final

from lab.children import children
from lab.gameday.driver import PROJECT
from lab.running import deploy, running

if TYPE_CHECKING:
    from lab.running import Settings

INTERRUPTED: Final = 130
_TO_CONCLUDE: Final = 20.0


def hold(settings: Settings) -> int:
    """Start a lab, deploy both regions as a team would, and hold a game day on it.

    ``LAB_OUTAGE`` says how the lost region's APIs behave: hang (if it is not set), refuse or reset.
    ``LAB_REPLICA_BEHIND`` says how many real seconds the replica is kept behind, as a busy one is.

    Parameters
    ----------
    settings
        The lab's port and time scale.

    Returns
    -------
    int
        0 if everything held.

    Raises
    ------
    DeployError, SettingError
        When the lab could not be started or deployed.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with running(settings) as lab:
        deploy(lab, settings, stop)
        if stop.is_set():
            return INTERRUPTED
        # A process of its own: the clients must not wait for their turn in the process that answers them.
        command = [sys.executable, "-m", "lab.gameday", "--endpoint", lab.endpoint, "--scale", str(settings.scale)]
        if mode := os.environ.get("LAB_OUTAGE"):
            command += ["--mode", mode]
        if behind := os.environ.get("LAB_REPLICA_BEHIND"):
            command += ["--behind", behind]
        gameday = children.start(command, cwd=PROJECT)
        while gameday.poll() is None and not stop.wait(0.2):
            pass
        children.end(gameday, grace=_TO_CONCLUDE)
        return INTERRUPTED if stop.is_set() else gameday.returncode
