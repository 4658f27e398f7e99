from __future__ import annotations

import pytest

from pilotlight.decide.closing import summarise

OK, LOST, DENIED = (True, "from 2 to 0"), (False, "ReadTimeoutError"), (False, "AccessDenied")


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        ({"capacity": OK}, "confirmed: capacity from 2 to 0"),
        ({"capacity": LOST, "functions": LOST}, "NOT confirmed: eu-west-1 answered to nothing (ReadTimeoutError)"),
        (
            {"capacity": OK, "functions": LOST, "database": DENIED},
            "in part only: capacity from 2 to 0; NOT functions, database (AccessDenied, ReadTimeoutError)",
        ),
    ],
)
def test_each_part_is_told(outcomes: dict[str, tuple[bool, str]], told: str) -> None:
    assert summarise("eu-west-1", outcomes) == told
