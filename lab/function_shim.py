"""Starts a function's process: its sleeps follow the lab's clock, and its network is what the lab says it is.

This file runs under the functions' Python, before MiniStack's worker and in the same process, and imports nothing but
the standard library. A function's own work takes real time; only ``time.sleep`` lasts AWS seconds.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import runpy
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, SupportsIndex

if TYPE_CHECKING:
    from collections.abc import Callable

HOME: Final = Path(os.environ.get("LAB_HOME", "."))
REGION_HEADER: Final = "X-Lab-Function-Region"
_SLICE: Final = 0.2
"""Real seconds after which a sleep looks at the scale again."""

_real_sleep = time.sleep
_real_connect: Callable[..., Any] = socket.socket.connect
_real_connect_ex: Callable[..., Any] = socket.socket.connect_ex
_real_putrequest: Callable[..., Any] = http.client.HTTPConnection.putrequest


def sleep(seconds: float | SupportsIndex) -> None:
    """Sleep so many AWS seconds, also when the scale changes meanwhile.

    Parameters
    ----------
    seconds
        As for ``time.sleep``.
    """
    left = float(seconds)
    if left < 0:
        raise ValueError("sleep length must be non-negative")
    while left > 0:
        scale = _scale()
        start = time.monotonic()
        _real_sleep(min(left / scale, _SLICE))
        left -= (time.monotonic() - start) * scale


def refused(address: object) -> bool:
    """Say whether this process may open no connection to an address now.

    Parameters
    ----------
    address
        As for ``socket.connect``.

    Returns
    -------
    bool
        False for what is no TCP address.
    """
    if not (isinstance(address, tuple) and len(address) >= 2):
        return False
    try:
        rules = json.loads((HOME / "network" / os.environ.get("AWS_REGION", "")).read_text())
    except (OSError, ValueError):
        return False
    host, port = address[:2]
    if port in rules["never"]:
        return True
    return rules["only"] is not None and not (host in ("127.0.0.1", "::1", "localhost") and port in rules["only"])


def _scale() -> float:
    try:
        return float((HOME / "time-scale").read_text())
    except (OSError, ValueError):
        return 1.0


def _connect(self: socket.socket, address: object) -> Any:
    if refused(address):
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
    return _real_connect(self, address)


def _connect_ex(self: socket.socket, address: object) -> Any:
    return errno.ENETUNREACH if refused(address) else _real_connect_ex(self, address)


def _putrequest(self: http.client.HTTPConnection, *args: Any, **kwargs: Any) -> None:
    _real_putrequest(self, *args, **kwargs)
    # All of AWS is one address here: who asks is what tells whether the network would have let it through.
    self.putheader(REGION_HEADER, os.environ.get("AWS_REGION", ""))


def main() -> None:
    """Run the script that the command line names."""
    script = sys.argv[1]
    sys.argv, sys.path[0] = sys.argv[1:], str(Path(script).parent)
    time.sleep = sleep
    socket.socket.connect = _connect  # type: ignore[assignment, method-assign]
    socket.socket.connect_ex = _connect_ex  # type: ignore[assignment, method-assign]
    http.client.HTTPConnection.putrequest = _putrequest  # type: ignore[method-assign]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
