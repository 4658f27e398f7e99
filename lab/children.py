"""Processes that never outlive the lab, not even when the lab itself is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

# It holds the reading end of a pipe of ours: the end of our life, however it comes, is the end of that file. A signal
# at the parent's death would be shorter, but Linux sends it when the starting *thread* ends, and macOS knows none.
_WATCHDOG: Final = """
import os, signal, sys
alive = set()
for line in sys.stdin:
    (alive.add if line[0] == "+" else alive.discard)(int(line[1:]))
for pid in alive:
    try:
        os.killpg(pid, signal.SIGKILL)
    except OSError:
        pass
"""


class Children:
    """Starts processes, each in a process group of its own, and sees to it that none is left over."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchdog: subprocess.Popen[str] | None = None

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process that dies with us.

        Parameters
        ----------
        command
            Its arguments; the first is the program.
        options
            As for ``subprocess.Popen``. Its standard input is empty unless given.

        Returns
        -------
        subprocess.Popen[bytes]
            Started in a session of its own: Ctrl-C in a terminal then reaches the lab alone, which ends it in order.
        """
        options.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(command, start_new_session=True, **options)
        self._tell(f"+{process.pid}")
        return process

    def end(self, process: subprocess.Popen[bytes], *, grace: float = 0.0) -> None:
        """End a process and what it started, and wait until it is gone.

        Parameters
        ----------
        process
            One that ``start`` returned; it may have ended already.
        grace
            Real seconds that it has to end by itself after SIGTERM; 0 kills it at once.
        """
        if grace and process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        # Only now: while it was not waited for, its number could not be given to another process.
        self._tell(f"-{process.pid}")

    def _tell(self, line: str) -> None:
        with self._lock:
            if self._watchdog is None:
                self._watchdog = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _WATCHDOG],
                    stdin=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                )
            assert self._watchdog.stdin is not None
            self._watchdog.stdin.write(f"{line}\n")
            self._watchdog.stdin.flush()


children: Final = Children()
"""The processes of this lab: one watchdog is enough for all of them."""
