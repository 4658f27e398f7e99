"""A lab that runs: its settings from the environment, its start and its end."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING, Final, NamedTuple

from lab.world import Lab

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from lab.dns import DnsServer

DEFAULT_PORT: Final = 4600
DEFAULT_SCALE: Final = 10.0

DNS_OFFSET: Final = 12
"""The lab's DNS server answers on UDP, on LAB_PORT plus this."""

FAST_FORWARD: Final = 600.0
"""The scale while the lab is set up: a database that takes ten minutes to make takes one second."""


class SettingError(Exception):
    """A setting of the environment cannot be used; the message names it."""


class Settings(NamedTuple):
    """What the environment says about the lab."""

    port: int
    scale: float

    @classmethod
    def from_environment(cls) -> Settings:
        """Read ``LAB_PORT`` and ``LAB_TIME_SCALE``.

        Returns
        -------
        Settings
            With defaults where the environment says nothing.

        Raises
        ------
        SettingError
            Naming the variable, what it holds and what it may hold.
        """
        port, scale = os.environ.get("LAB_PORT", ""), os.environ.get("LAB_TIME_SCALE", "")
        try:
            number = int(port or DEFAULT_PORT)
        except ValueError:
            number = 0
        # The lab's load balancers listen a little above the endpoint.
        if not 1024 <= number <= 65000:
            raise SettingError(f"LAB_PORT is a port from 1024 to 65000, not {port!r}")
        try:
            factor = float(scale or DEFAULT_SCALE)
        except ValueError:
            factor = 0.0
        if not 0.1 <= factor <= 1000:
            raise SettingError(
                f"LAB_TIME_SCALE is how many AWS seconds pass in one real second, from 0.1 to 1000, not {scale!r}"
            )
        return cls(number, factor)


@contextlib.contextmanager
def running(settings: Settings, *, verbose: bool = False) -> Iterator[Lab]:
    """Run a lab: two empty regions, on a fast clock, until the block ends.

    Parameters
    ----------
    settings
        Its port; the scale is left to the caller to set once the set-up is done.
    verbose
        Show what the emulated services log, instead of only writing it to the lab's log file.

    Yields
    ------
    Lab
        Answering on its port.

    Raises
    ------
    SettingError
        When the port is taken.
    """
    lab = Lab(settings.port, max(FAST_FORWARD, settings.scale))
    try:
        _log_to(lab, verbose=verbose)
        # Late, since they import MiniStack, which reads its environment once.
        from lab import emulator
        from lab.server import Server

        server = Server(lab, emulator.install(lab))
        try:
            server.start()
        except OSError as error:
            message = f"port {settings.port} of this machine cannot be used ({error.strerror}): set LAB_PORT to another"
            raise SettingError(message) from error
        lab.on_close(server.stop)
        lab.on_close(_name_server(lab).close)
        yield lab
    finally:
        lab.close()
        logging.shutdown()


def _name_server(lab: Lab) -> DnsServer:
    from lab.dns import DnsServer

    port = lab.port + DNS_OFFSET
    try:
        return DnsServer(port, lambda name: lab.resolve(name))
    except OSError as error:
        message = f"UDP port {port} of this machine cannot be used ({error.strerror}): set LAB_PORT to another"
        raise SettingError(message) from error


def deploy(lab: Lab, settings: Settings, stop: threading.Event) -> None:
    """Deploy both regions on the fast clock, then let time pass as the settings say.

    Parameters
    ----------
    lab
        Empty and running.
    settings
        Its time scale from now on.
    stop
        Set when the user wants to end it.

    Raises
    ------
    DeployError
        When a step of the deployment failed.
    """
    # Late: only who deploys needs what deploys.
    from lab.deploy import deploy_both_regions

    deploy_both_regions(lab, stop)
    lab.clock.set_scale(settings.scale)
    lab.ready = True


def _log_to(lab: Lab, *, verbose: bool) -> None:
    """Send every log line to a file in the lab's home: a terminal is for what a person wants to know."""
    handlers: list[logging.Handler] = [logging.FileHandler(lab.home / "lab.log")]
    if verbose:
        handlers.append(logging.StreamHandler())
    logging.basicConfig(
        level=logging.INFO, handlers=handlers, force=True, format="%(asctime)s %(levelname)s [%(name)s] %(message)s"
    )
