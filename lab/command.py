"""What ``python -m lab`` can be asked to do."""

from __future__ import annotations

import argparse
import json
import signal
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from lab.deploy import DeployError
from lab.running import SettingError, Settings, running
from lab.running import deploy as deploy_both_regions
from lab.world import OUTAGE_MODES, REGIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.world import Lab


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
            case "gameday":
                from lab.gameday.demo import hold

                return hold(settings, options.cycles, options.seed)
            case "lose":
                return _order(settings, f"regions/{options.region}/outage", {"mode": options.mode})
            case _:
                return _order(settings, f"regions/{options.region}/return", {})
    except (DeployError, SettingError) as error:
        return _failed(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description="Two AWS regions on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="start the lab and stay in the foreground")
    serve.add_argument("--no-deploy", action="store_true", help="two empty regions: deploy nothing")
    serve.add_argument("--verbose", action="store_true", help="show what the emulated services log")
    commands.add_parser("demo", help="lose the primary region under load, fail over and back, account for every write")
    gameday = commands.add_parser("gameday", help="hold circles that are drawn by chance, one after another")
    gameday.add_argument("--cycles", type=_number_of_circles, default=3, help="how many")
    gameday.add_argument("--seed", type=int, help="draw the same circles again")
    lose = commands.add_parser("lose", help="lose a region of the running lab")
    lose.add_argument("region", choices=REGIONS)
    lose.add_argument("--mode", choices=OUTAGE_MODES, default="refuse", help="what its callers see")
    back = commands.add_parser("return", help="bring a lost region of the running lab back")
    back.add_argument("region", choices=REGIONS)
    return parser


def _number_of_circles(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of circles: 1 or more")
    return int(text)


def _serve(settings: Settings, *, deploy: bool, verbose: bool) -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with running(settings, verbose=verbose) as lab:
        if deploy:
            deploy_both_regions(lab, settings, stop)
        else:
            lab.clock.set_scale(settings.scale)
            lab.ready = True
        if not stop.is_set():
            _say_ready(lab)
            # Not for ever at once: where another thread hears the signal, only one that wakes up handles it.
            while not stop.wait(1):
                pass
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
