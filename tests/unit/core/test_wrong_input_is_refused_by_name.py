from __future__ import annotations

from typing import Any

import pytest

from pilotlight.decide import request
from pilotlight.errors import PreconditionFailed
from pilotlight.model import GRACEFUL, REPLICA, Request
from tests.unit.core.samples import DR, PRIMARY


@pytest.mark.parametrize("payload", [None, {}])
def test_no_input_is_a_failover_of_a_lost_region(payload: Any) -> None:
    assert request.check(payload, PRIMARY, DR) == Request(mode="ungraceful", reason="", force=False, target=DR)


def test_all_fields_are_taken() -> None:
    asked = {"mode": "ungraceful", "reason": "drill", "force": True}
    assert request.check(asked, PRIMARY, DR) == Request("ungraceful", "drill", True, DR)
    asked = {"mode": "graceful", "target": PRIMARY, "method": "snapshot"}
    assert request.check(asked, PRIMARY, DR) == Request("graceful", target=PRIMARY, method="snapshot")


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
        ({"mode": "graceful", "automatic": "yes"}, "'automatic' is 'yes'"),
        ({"automatic": True}, "'automatic' needs 'mode' to be 'graceful'"),
        ({"mode": "graceful", "target": "us-east-1"}, "'target' is 'us-east-1', neither 'eu-west-1' nor"),
        ({"mode": "graceful", "target": None}, "'target' is None"),
        ({"target": PRIMARY}, "'target' needs 'mode' to be 'graceful'"),
        ({"target": DR}, "'target' needs 'mode' to be 'graceful'"),
        ({"mode": "graceful", "method": "tape"}, "'method' is 'tape'"),
        ({"method": "replica"}, "'method' needs 'mode' to be 'graceful'"),
        ([], "not an object"),
        ("ungraceful", "not an object"),
    ],
)
def test_anything_else_is_refused_by_the_name_of_the_field(payload: Any, named: str) -> None:
    with pytest.raises(PreconditionFailed, match="Nothing was changed") as refused:
        request.check(payload, PRIMARY, DR)
    assert named in str(refused.value)


def test_a_planned_switchover_is_asked_for_by_its_mode() -> None:
    asked = request.check({"mode": "graceful"}, PRIMARY, DR)
    assert (asked.mode, asked.target, asked.method) == (GRACEFUL, DR, REPLICA)
