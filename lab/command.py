"""What ``python -m lab`` can be asked to do."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Final, NamedTuple

from lab.world import OUTAGE_MODES, REGIONS, Lab

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEFAULT_PORT: Final = 4600
DEFAULT_SCALE: Final = 10.0

FAST_FORWARD: Final = 200.0
"""The scale while the lab is set up: a database that takes ten minutes to make takes three seconds."""


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments
        The command line without the program's name; the process's own by default.

    Returns
    -------
    int
        The exit status.
    """
    options = _parser().parse_args(arguments)
    try:
        settings = Settings.from_environment()
        match options.command:
            case "serve":
                return _serve(settings, deploy=not options.no_deploy, verbose=options.verbose)
            case "demo":
                from lab.gameday.demo import hold

                return hold(settings)
            case "lose":
                return _order(settings, f"regions/{options.region}/outage", {"mode": options.mode})
            case _:
                return _order(settings, f"regions/{options.region}/return", {})
    except SettingError as error:
        return _failed(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description="Two AWS regions on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="start the lab and stay in the foreground")
    serve.add_argument("--no-deploy", action="store_true", help="two empty regions: deploy nothing")
    serve.add_argument("--verbose", action="store_true", help="show what the emulated services log")
    commands.add_parser("demo", help="lose the primary region under load, fail over, and account for every write")
    lose = commands.add_parser("lose", help="lose a region of the running lab")
    lose.add_argument("region", choices=REGIONS)
    lose.add_argument("--mode", choices=OUTAGE_MODES, default="refuse", help="what its callers see")
    back = commands.add_parser("return", help="bring a lost region of the running lab back")
    back.add_argument("region", choices=REGIONS)
    return parser


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
        yield lab
    finally:
        lab.close()
        logging.shutdown()


def _serve(settings: Settings, *, deploy: bool, verbose: bool) -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with running(settings, verbose=verbose) as lab:
        if deploy:
            from lab.deploy import DeployError, deploy_both_regions

            try:
                deploy_both_regions(lab, stop)
            except DeployError as error:
                return _failed(str(error))
        lab.clock.set_scale(settings.scale)
        lab.ready = True
        if not stop.is_set():
            _say_ready(lab)
            stop.wait()
    return 0


def _say_ready(lab: Lab) -> None:
    exports = {
        "AWS_ENDPOINT_URL": lab.endpoint,
        "AWS_ACCESS_KEY_ID": lab.account,
        "AWS_SECRET_ACCESS_KEY": "lab",
        "AWS_DEFAULT_REGION": REGIONS[1],
        "AWS_REGION": REGIONS[1],
    }
    print(f"lab ready  {lab.endpoint}")
    print(f"regions {' (primary) and '.join(REGIONS)} (DR), {lab.clock.scale:g} AWS seconds in a second")
    print(f"what the services log is in {lab.home / 'lab.log'}")
    print("In another terminal:\n")
    for name, value in exports.items():
        print(f"export {name}={value}")
    print("unset AWS_PROFILE AWS_SESSION_TOKEN\n", flush=True)


def _log_to(lab: Lab, *, verbose: bool) -> None:
    """Send every log line to a file in the lab's home: a terminal is for what a person wants to know."""
    handlers: list[logging.Handler] = [logging.FileHandler(lab.home / "lab.log")]
    if verbose:
        handlers.append(logging.StreamHandler())
    logging.basicConfig(
        level=logging.INFO, handlers=handlers, force=True, format="%(asctime)s %(levelname)s [%(name)s] %(message)s"
    )


def _order(settings: Settings, path: str, order: dict[str, str]) -> int:
    request = urllib.request.Request(
        f"http://127.0.0.1:{settings.port}/_lab/{path}", json.dumps(order).encode(), method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:
            print(json.dumps(json.load(answer), indent=2))
    except urllib.error.HTTPError as error:
        return _failed(error.read().decode())
    except OSError:
        return _failed(
            f"no lab answers on port {settings.port}: start one with `make lab`, or set LAB_PORT to its port"
        )
    return 0


def _failed(message: str) -> int:
    print(f"lab: {message}", flush=True)
    return 1
