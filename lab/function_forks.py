"""Starts functions' processes in no time: has loaded what their layers bring, and forks for each one.

A cold start on AWS takes about a second of its minute. Here a minute of AWS time is a few real seconds, and loading the
SDK anew for every function would take most of them. This file runs under the functions' Python, like
``function_shim.py``, and imports nothing but the standard library until it is told what to load.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from pathlib import Path
from typing import Final

_LOADED_BEFORE: Final = ("boto3", "botocore.handlers", "aws_lambda_powertools", "pymysql")
"""What layers commonly bring and what reads nothing of its surroundings while it is loaded. What a layer does not bring
is left out."""

_STREAMS: Final = 3
_KEPT: Final = ("PYTHONPATH", "LAB_HOME")


def main() -> None:
    """Load, then answer each order with the process that was started for it, until the lab closes its end."""
    orders = socket.socket(fileno=int(sys.argv[1]))
    sys.path[:0] = [str(Path(layer) / "python") for layer in sys.argv[2:]]
    for name in _LOADED_BEFORE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # Nobody here waits for the children: the lab sees by their life line that they ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    orders.sendall(b"\n")
    while True:
        order, streams, _, _ = socket.recv_fds(orders, 4096, _STREAMS + 1)
        if not order:
            return
        child = os.fork()
        if not child:
            orders.close()
            _become(Path(order.decode()), streams)
        for stream in streams:
            os.close(stream)
        orders.sendall(f"{child}\n".encode())


def _become(order: Path, streams: list[int]) -> None:
    """Be the process that the order describes. The last of the streams is held open for as long as it lives."""
    wanted = json.loads(order.read_text())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in enumerate(streams[:_STREAMS]):
        os.dup2(stream, number)
        os.close(stream)
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    os.environ.clear()
    os.environ.update({**wanted["environment"], **kept})
    os.chdir(wanted["directory"])
    sys.argv, sys.path[0] = [wanted["script"]], str(Path(wanted["script"]).parent)
    status = 1
    try:
        runpy.run_path(wanted["script"], run_name="__main__")
        status = 0
    except BaseException:  # noqa: BLE001  # a process of its own ends here, whatever ended it
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
