"""The whole demonstration in one command: a lab, both regions deployed, a game day held, and nothing left behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final

from lab.children import children
from lab.gameday.watch import PROJECT
from lab.running import deploy, running

if TYPE_CHECKING:
    from lab.running import Settings

INTERRUPTED: Final = 130
_TO_CONCLUDE: Final = 20.0
_VARIABLES: Final = {"LAB_OUTAGE": "--mode", "LAB_REPLICA_BEHIND": "--behind", "LAB_REPLICA_HELD": "--held"}


def hold(settings: Settings, cycles: int | None = None, seed: int | None = None) -> int:
    """Start a lab, deploy both regions as a team would, and hold a game day on it.

    ``LAB_OUTAGE`` says how the lost region's APIs behave: hang (if it is not set), refuse or reset.
    ``LAB_REPLICA_BEHIND`` says how many real seconds the replica is kept behind, as a busy one is, and
    ``LAB_REPLICA_HELD`` for how many before the loss it receives nothing. A series draws all of these. With
    ``LAB_TRIGGER=manual`` the failover is started by command instead of by the alarm.

    Parameters
    ----------
    settings
        The lab's port and time scale.
    cycles
        How many circles, drawn by chance; without it one, told in full.
    seed
        Draws the same circles again.

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
        if cycles is not None:
            command += ["--cycles", str(cycles)]
        if seed is not None:
            command += ["--seed", str(seed)]
        if os.environ.get("LAB_TRIGGER") == "manual":
            command.append("--by-hand")
        for variable, option in _VARIABLES.items():
            if value := os.environ.get(variable):
                command += [option, value]
        gameday = children.start(command, cwd=PROJECT)
        while gameday.poll() is None and not stop.wait(0.2):
            pass
        children.end(gameday, grace=_TO_CONCLUDE)
        return INTERRUPTED if stop.is_set() else gameday.returncode
