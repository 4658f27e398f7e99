"""Hold a game day on a lab that is up: ``python -m lab.gameday --endpoint http://localhost:4600``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from lab.gameday import page
from lab.gameday.circle import Options
from lab.gameday.cloud import Control
from lab.gameday.draw import MODES, Draw
from lab.gameday.driver import OUTPUT, Plan, run


def main() -> int:
    """Read the command line and hold the game day, or make the page of an earlier one again.

    Returns
    -------
    int
        The process's exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m lab.gameday", description=__doc__)
    parser.add_argument("--endpoint", default="http://localhost:4600", help="the lab's address")
    parser.add_argument("--scale", type=float, help="AWS seconds in a real second (default: ask the lab)")
    parser.add_argument("--cycles", type=_cycles, help="hold so many circles, drawn by chance and told in short")
    parser.add_argument("--seed", type=int, help="draw the same circles again; needs --cycles")
    parser.add_argument("--mode", choices=MODES, default=Draw.mode, help="how the APIs are lost")
    parser.add_argument(
        "--behind",
        type=int,
        default=Draw.behind,
        help="real seconds that the replica is kept behind, as a busy one is; 0 for none",
    )
    parser.add_argument(
        "--held",
        type=float,
        default=Draw.held,
        help="real seconds before the loss in which nothing crosses, so that writes are lost; 0 for none",
    )
    parser.add_argument("--by-hand", action="store_true", help="start the failover by command, not by the alarm")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where the report goes")
    parser.add_argument("--page", type=Path, metavar="REPORT_JSON", help="only make the page of this report, on stdout")
    given = parser.parse_args()
    # Who ends the lab ends its game day in order, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if given.page:
        sys.stdout.write(page.render(json.loads(given.page.read_text(encoding="utf-8"))))
        return 0
    scale = given.scale or float(Control(given.endpoint).status()["clock"]["scale"])
    drawn = Draw(mode=given.mode, behind=given.behind, held=given.held)
    return run(
        given.endpoint, scale, Plan(drawn, given.cycles, given.seed, given.output, Options(by_hand=given.by_hand))
    )


def _cycles(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of circles: 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
