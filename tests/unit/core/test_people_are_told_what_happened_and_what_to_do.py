from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pilotlight.decide import tell
from pilotlight.model import as_json
from tests.unit.core.conftest import ROOT
from tests.unit.core.samples import DR, EXECUTION, HELD, PRIMARY, plan

AT = "2026-11-02T03:04:05+00:00"


def told(mode: str = "ungraceful", fence: str = "", left_behind: str = "", **drain: Any) -> str:
    record = replace(HELD, active_region=DR, mode=mode, fence=fence, reason="a drill")
    result = {
        "database": {"drain": {"outcome": "applied", "received_unapplied": 0, "heartbeat_at": AT} | drain},
        "compute": {"healthy": 2},
    }
    payload = {"plan": as_json(plan(mode=mode)), "result": result, "left_behind": left_behind}
    return str(tell.succeeded(record, payload, PRIMARY)["message"])


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
    assert "Its old database is frozen" in message
    assert "NOT confirmed" not in message
    assert "LEFT" not in message


def test_what_somebody_who_insisted_left_behind_is_said_again_at_the_end() -> None:
    message = told(mode="graceful", left_behind="parameters of eu-west-1 were not carried: /dev/app/x")
    assert f"LEFT       parameters of eu-west-1 were not carried: /dev/app/x: {DR} goes on with what it has" in message
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


MAKE = "make {} ENVIRONMENT=dev DR_REGION=eu-central-1"


def test_the_standby_that_is_missing_now_is_said_with_the_command_that_builds_one() -> None:
    for message in (told(), told(mode="graceful")):
        assert "3. eu-central-1 has no standby now" in message
        assert f"     {MAKE.format('reprotect')}" in message.splitlines()


def test_after_a_return_to_the_primary_the_command_still_names_the_dr_region() -> None:
    record = replace(HELD, mode="graceful", source=DR, target=PRIMARY, active_region=PRIMARY)
    steps = tell.next_steps(record, {"plan": as_json(plan(mode="graceful", source=DR, target=PRIMARY))}, PRIMARY)
    assert "3. eu-west-1 has no standby now" in steps
    assert MAKE.format("reprotect") in steps


def test_a_primary_that_returns_closes_itself_and_only_its_silence_asks_for_a_hand() -> None:
    message = told()
    assert "its sentinel closes it within a minute, and a mail says so" in message
    assert "If none comes, close it by hand (docs/runbooks/after-a-failover.md" in message


@pytest.mark.parametrize("mode", ["ungraceful", "graceful"])
def test_what_happened_comes_first_then_what_to_do_then_the_details(mode: str) -> None:
    first, empty, heading, *rest = told(mode=mode).splitlines()
    assert first == f"dev runs in {DR} now. It was in {PRIMARY}."
    assert (empty, heading) == ("", "Next:")
    assert next(line for line in rest if line).startswith("1. ")
    assert [line for line in rest if line.startswith("Database")]


def test_a_failure_says_who_is_active_and_how_to_go_on() -> None:
    planned = tell.failed(replace(HELD, mode="graceful"), "dev", DR, "", "")
    assert planned["subject"].startswith("[dev] SWITCHOVER FAILED")
    failed = tell.failed(HELD, "dev", DR, "0 of 2 targets are healthy", "group dev-asg is set to 2")
    assert PRIMARY in failed["subject"]
    for part in ("0 of 2 targets", "group dev-asg is set to 2", "start the failover again"):
        assert part in failed["message"]


@pytest.mark.parametrize(
    ("mode", "target", "order", "page"),
    [
        ("ungraceful", DR, "failover", "docs/runbooks/failover.md, 5. After a failure"),
        ("graceful", DR, "switchover", "docs/runbooks/switchover.md, When it fails"),
        ("graceful", PRIMARY, "failback", "docs/runbooks/failback.md, 5. When it stops"),
        ("reprotect", PRIMARY, "reprotect", "docs/runbooks/reprotect.md, 5. After a failure"),
    ],
)
def test_a_failure_ends_what_is_to_be_done_with_a_command_and_a_page_that_exists(
    mode: str, target: str, order: str, page: str
) -> None:
    failed = tell.failed(replace(HELD, mode=mode, target=target), "dev", DR, "the cause", "the posture")
    lines = failed["message"].splitlines()
    assert lines[0] == "the cause"
    (command,) = [line for line in lines if line.startswith(f"  {MAKE.format(order)}")]
    assert lines[lines.index(command) + 1] == f"({page})"
    assert lines[-1] == "the posture"
    path, heading = page.split(", ")
    assert f"\n## {heading}\n" in (ROOT / path).read_text()


def test_a_standby_that_could_not_be_built_is_no_failover_that_failed() -> None:
    failed = tell.failed(replace(HELD, mode="reprotect", active_region=DR), "dev", DR, "the snapshot failed", "")
    assert failed["subject"] == "[dev] RE-PROTECTION FAILED at epoch 3: active is eu-central-1"
    assert "Nothing that serves was touched" in failed["message"]
    assert "start dev-dr-reprotect again" in failed["message"]


CLOSED = f"PreconditionFailed: {tell.STILL_CLOSED} (RDS is busy): open it as the runbook says."
STOPPED = f"{tell.KILLED} ABORTED ({EXECUTION})"
BY_HAND = "docs/runbooks/switchover.md, Open the source by hand"


@pytest.mark.parametrize("changes", [{"source": PRIMARY, "target": DR}, {"source": "us-gov-west-1", "target": PRIMARY}])
@pytest.mark.parametrize(
    ("cause", "promotion", "down", "page"),
    [
        (CLOSED, "", "THE SERVICE IS DOWN", BY_HAND),
        (STOPPED, "", "THE SERVICE MAY BE DOWN", BY_HAND),
        # On, and not back: nothing may open it.
        ("FatalError: no", AT, "THE SERVICE IS DOWN", ""),
        (CLOSED, AT, "THE SERVICE IS DOWN", ""),
        (STOPPED, AT, "THE SERVICE IS DOWN", ""),
    ],
)
def test_a_planned_switch_that_left_nobody_serving_says_so_first(
    changes: dict[str, Any], cause: str, promotion: str, down: str, page: str
) -> None:
    source = changes["source"]
    record = replace(HELD, lock="failed", mode="graceful", active_region=source, promotion=promotion, **changes)
    failed = tell.failed(record, "production12", DR, cause, "")
    assert failed["subject"].startswith(f"[production12] {down}: switchover ")
    assert source in failed["subject"]
    assert len(failed["subject"]) < 100
    assert down in failed["message"]
    assert "stays the active region" not in failed["message"]
    lines = failed["message"].splitlines()
    assert [line for line in lines if line.startswith(("  make switchover", "  make failback"))]
    assert (f"({BY_HAND})" in lines) is (page == BY_HAND)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        # It was opened again; it had not been begun; it was over; and an unplanned one closes nothing that serves.
        ({}, "PreconditionFailed: after 100 s the replica still lacks 3 transactions"),
        ({"mode": "ungraceful"}, STOPPED),
        ({"mode": "reprotect"}, STOPPED),
        ({"active_region": DR}, STOPPED),
        ({"active_region": DR, "promotion": AT}, "FatalError: no"),
    ],
)
def test_nobody_is_woken_by_a_service_that_is_down_where_it_is_not(changes: dict[str, Any], cause: str) -> None:
    record = replace(HELD, **{"lock": "failed", "mode": "graceful"} | changes)
    failed = tell.failed(record, "dev", DR, cause, "")
    assert "FAILED" in failed["subject"]
    assert "DOWN" not in failed["subject"] + failed["message"]


def test_the_words_that_are_looked_for_are_those_of_the_state_machine_and_of_the_runbook() -> None:
    assert f"'{tell.STILL_CLOSED} (' & " in (ROOT / "statemachine/failover.asl.json").read_text()
    path, heading = BY_HAND.split(", ")
    assert f"# {heading}\n" in (ROOT / path).read_text()


REPROTECTION = f"arn:aws:states:{DR}:123456789012:execution:dev-dr-reprotect:one"


def test_who_gave_way_to_a_failover_is_no_failover_that_failed() -> None:
    at_work = replace(HELD, taken_at=AT)
    told = tell.gave_way(REPROTECTION, at_work, "dev", DR, "FatalError: this step belongs to epoch 2")
    assert told["subject"] == "[dev] dr-reprotect gave way to dr-failover, which is at work"
    assert told["message"].startswith(
        f"{REPROTECTION} gave way to {EXECUTION}, which is at work since {AT}: nothing to do. See how it stands:\n"
        f"  {MAKE.format('status')}\n"
    )
    assert "this step belongs to epoch 2" in told["message"]
    assert told["kind"] != tell.failed(at_work, "dev", DR, "", "")["kind"]


def test_who_was_overtaken_says_what_became_of_the_other() -> None:
    others: tuple[tuple[Any, str], ...] = (
        ("failed", "has failed by now"),
        ("free", "is done. eu-west-1 is recorded as active"),
    )
    for lock, said in others:
        told = tell.gave_way(REPROTECTION, replace(HELD, lock=lock), "dev", DR, "")
        assert said in told["message"]
        assert "at work" not in told["subject"] + told["message"]
    own = tell.gave_way(EXECUTION, replace(HELD, lock="free"), "dev", DR, "")
    assert "failed after its lock was released: eu-west-1 is recorded as active" in own["message"]
