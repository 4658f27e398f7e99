"""Lambda's processes, forked from one that has their layers loaded: see ``lab/function_forks.py``."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lab.children import children

if TYPE_CHECKING:
    from lab.world import Lab

_FORKS: Final = Path(__file__).parents[1] / "function_forks.py"


def install(lab: Lab) -> None:
    """Let MiniStack's execution environments be forked where they have layers.

    Parameters
    ----------
    lab
        At its end no process of it is left.
    """
    from ministack.core import lambda_runtime

    processes = _Processes()
    lambda_runtime.subprocess = processes
    lab.on_close(processes.close)


class _Processes:
    """The module ``subprocess`` as MiniStack's Lambda sees it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._servers: dict[str, _Server] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)

    def Popen(self, command: list[str], **options: Any) -> Any:
        """Start a process, forked if it has layers."""
        python, script = command
        layers = options["env"].get("_LAMBDA_LAYERS_DIRS")
        if not layers or not script.endswith(".py"):
            return subprocess.Popen(command, **options)
        with self._lock:
            server = self._servers.get(layers)
            if server is None or not server.lives:
                server = self._servers[layers] = _Server(python, layers.split(os.pathsep))
            return server.start(script, options["cwd"], options["env"])

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            for server in self._servers.values():
                server.close()


class _Server:
    """One process that forks."""

    def __init__(self, python: str, layers: list[str]) -> None:
        self._orders, theirs = socket.socketpair()
        with theirs:
            self._process = children.start(
                [python, str(_FORKS), str(theirs.fileno()), *layers], pass_fds=[theirs.fileno()]
            )
        self._answers = self._orders.makefile("r")
        self._answers.readline()

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def start(self, script: str, directory: str, environment: dict[str, str]) -> _Forked:
        order = Path(script).with_suffix(".json")
        order.write_text(json.dumps({"script": script, "directory": directory, "environment": environment}))
        ours, theirs = zip(*(_pipe(to_child=number == 0) for number in range(3)), strict=True)
        life, held = os.pipe()
        try:
            socket.send_fds(self._orders, [str(order).encode()], [*theirs, held])
            pid = self._answers.readline()
        finally:
            for end in (*theirs, held):
                os.close(end)
        if not pid:
            raise RuntimeError("the process that forks the functions has ended")
        return _Forked(int(pid), ours, life)

    def close(self) -> None:
        self._orders.close()
        children.end(self._process)


class _Forked:
    """What MiniStack uses of a ``subprocess.Popen``, of a process that is not our own child."""

    def __init__(self, pid: int, streams: tuple[int, ...], life: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin = open(streams[0], "w", buffering=1)  # noqa: PTH123, SIM115  # a descriptor, and it stays open
        self.stdout = open(streams[1], errors="replace")  # noqa: PTH123, SIM115
        self.stderr = open(streams[2], errors="replace")  # noqa: PTH123, SIM115
        os.set_blocking(life, False)
        self._life = life
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """Say whether it has ended: nobody holds the other end of its life line then."""
        with self._lock:
            if self.returncode is None:
                try:
                    os.read(self._life, 1)
                except BlockingIOError:
                    return None
                os.close(self._life)
                self.returncode = 1
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (ended := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("a function", timeout or 0)
            time.sleep(0.01)
        return ended

    def terminate(self) -> None:
        """Ask it to end."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _pipe(*, to_child: bool) -> tuple[int, int]:
    """Make a pipe: our end, and the child's."""
    reads, writes = os.pipe()
    return (writes, reads) if to_child else (reads, writes)
