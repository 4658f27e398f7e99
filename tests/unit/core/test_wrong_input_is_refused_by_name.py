from __future__ import annotations

from typing import Any

import pytest

from pilotlight.decide import request
from pilotlight.errors import PreconditionFailed
from pilotlight.model import Request


@pytest.mark.parametrize("payload", [None, {}])
def test_no_input_is_a_failover_of_a_lost_region(payload: Any) -> None:
    assert request.check(payload) == Request(mode="ungraceful", reason="", force=False)


def test_all_fields_are_taken() -> None:
    asked = {"mode": "ungraceful", "reason": "drill", "force": True}
    assert request.check(asked) == Request("ungraceful", "drill", True)


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        ({"modus": "ungraceful"}, "'modus'"),
        ({"mode": "fast"}, "'mode' is 'fast'"),
        ({"mode": None}, "'mode' is None"),
        ({"reason": 7}, "'reason'"),
        ({"reason": "x" * 501}, "'reason'"),
        ({"force": "false"}, "'force' is 'false'"),
        ({"force": 1}, "'force' is 1"),
        ([], "not an object"),
        ("ungraceful", "not an object"),
    ],
)
def test_anything_else_is_refused_by_the_name_of_the_field(payload: Any, named: str) -> None:
    with pytest.raises(PreconditionFailed, match="Nothing was changed") as refused:
        request.check(payload)
    assert named in str(refused.value)


def test_a_planned_switchover_is_asked_for_by_its_mode() -> None:
    assert request.check({"mode": "graceful"}).mode == request.GRACEFUL
