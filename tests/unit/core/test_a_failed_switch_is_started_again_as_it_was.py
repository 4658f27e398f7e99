"""Causes that unplanned and planned switches share never name one of the two: a failback that is gone on with as a
failover leaves the region that serves by then."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
SHARED = [
    *(ROOT / "layers/pilotlight/pilotlight/decide").glob("*.py"),
    *(ROOT / "functions").glob("*/app.py"),
    *(ROOT / "statemachine").glob("*.json"),
]
# A string that goes on in the next line.
JOINT = re.compile(r"""(["'])\s+f?\1""")
AGAIN = re.compile(r"start the failover again(, with no input)?", re.IGNORECASE)


FORCE_ALONE = re.compile(r"start (?:again )?with \{+\"force\": true")


def test_force_alone_is_advised_to_who_fails_over_and_nobody_else() -> None:
    """Alone, it is an unplanned failover: of a region that is well, where a planned switch was asked for."""
    said = {path.name for path in SHARED if FORCE_ALONE.search(JOINT.sub("", path.read_text()))}
    assert said == {"failover.py"}


def test_only_who_knows_that_it_was_a_failover_says_so() -> None:
    said = [(path.name, found) for path in SHARED for found in AGAIN.finditer(JOINT.sub("", path.read_text()))]
    assert {name for name, found in said if found[1]} == {"tell.py", "failback.py"}
    assert [name for name, found in said if not found[1]] == []
