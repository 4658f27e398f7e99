from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pilotlight.decide import tell
from pilotlight.model import as_json
from tests.unit.core.samples import DR, HELD, PRIMARY, plan

AT = "2026-11-02T03:04:05+00:00"


def told(mode: str = "ungraceful", fence: str = "", **drain: Any) -> str:
    record = replace(HELD, active_region=DR, mode=mode, fence=fence, reason="a drill")
    result = {
        "database": {"drain": {"outcome": "applied", "received_unapplied": 0, "heartbeat_at": AT} | drain},
        "compute": {"healthy": 2},
    }
    return str(tell.succeeded(record, {"plan": as_json(plan(mode=mode)), "result": result}, PRIMARY)["message"])


def test_a_success_names_what_runs_and_what_is_left_to_do() -> None:
    message = told(fence="NOT confirmed: eu-west-1 answered to nothing (ReadTimeoutError)")
    for part in (f"runs in {DR}", f"It was in {PRIMARY}", "a drill", "2 healthy targets", "dev-orders on", AT):
        assert part in message
    for step in (
        "1. MOVE THE TRAFFIC, nothing here does: point the application's name to dev-alb.example",
        "NOT confirmed",
        "3. eu-central-1 has no",
    ):
        assert step in message


def test_a_fence_that_has_not_reported_is_not_called_closed() -> None:
    assert "not confirmed: eu-west-1 has not answered yet" in told()


@pytest.mark.parametrize(
    ("drain", "said"),
    [
        ({}, "everything the replica had received was applied"),
        (
            {"outcome": "give-up", "received_unapplied": 7, "detail": "duplicate key"},
            "7 received transactions were NOT",
        ),
        ({"outcome": "unmeasured", "received_unapplied": -1}, "an unknown number of received transactions were NOT"),
        ({"heartbeat_at": ""}, "last heartbeat in it: unknown"),
    ],
)
def test_what_was_lost_is_said_as_far_as_it_is_known(drain: dict[str, Any], said: str) -> None:
    assert said in told(**drain)


def test_after_a_planned_switchover_the_source_is_frozen_and_not_lost() -> None:
    message = told(mode="graceful")
    assert "its old database is frozen" in message
    assert "NOT confirmed" not in message
    assert "every write of eu-west-1 was proven to be in it" in message


@pytest.mark.parametrize(
    ("mode", "target", "said"),
    [
        ("ungraceful", DR, "failed over: eu-central-1 is active"),
        ("graceful", DR, "switched over: eu-central-1 is active"),
        ("graceful", PRIMARY, "failed back: eu-west-1 is active"),
    ],
)
def test_a_switch_is_called_what_it_was(mode: str, target: str, said: str) -> None:
    record = replace(HELD, mode=mode, target=target, active_region=target)
    result = {"database": {"drain": {"outcome": "applied"}}, "compute": {"healthy": 2}}
    assert said in tell.succeeded(record, {"plan": as_json(plan()), "result": result}, PRIMARY)["subject"]


def test_the_standby_that_is_missing_now_is_said_with_the_way_to_one() -> None:
    for message in (told(), told(mode="graceful")):
        assert "3. eu-central-1 has no standby now" in message
        assert "start dev-dr-reprotect" in message


def test_a_failure_says_who_is_active_and_how_to_go_on() -> None:
    assert tell.failed(replace(HELD, mode="graceful"), "dev", "", "")["subject"].startswith("[dev] SWITCHOVER FAILED")
    failed = tell.failed(HELD, "dev", "0 of 2 targets are healthy", "group dev-asg is set to 2")
    assert PRIMARY in failed["subject"]
    for part in ("0 of 2 targets", "group dev-asg is set to 2", "start the failover again"):
        assert part in failed["message"]


def test_a_standby_that_could_not_be_built_is_no_failover_that_failed() -> None:
    failed = tell.failed(replace(HELD, mode="reprotect", active_region=DR), "dev", "the snapshot failed", "")
    assert failed["subject"] == "[dev] RE-PROTECTION FAILED at epoch 3: active is eu-central-1"
    assert "Nothing that serves was touched" in failed["message"]
    assert "start dev-dr-reprotect again" in failed["message"]
