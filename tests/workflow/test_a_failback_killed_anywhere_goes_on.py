"""A failback is stopped in one state after another, in each of its parts, while clients write. Whoever starts next goes
on where it stopped; the end is the same, and no promised write is lost. In this order, on one system."""

from __future__ import annotations

from typing import Final

import pytest

from tests.workflow.clients import Clients, orders
from tests.workflow.mail import Mailbox
from tests.workflow.operator import DR, FAILBACK, PRIMARY, Operator

IN_A_HURRY: Final = 80
BEFORE_THE_FREEZE: Final = (
    ("", "Check what is asked"),
    ("protect-primary", "Take the lock"),
    ("protect-primary", "Plan the protection"),
    ("protect-primary", "Close the standby's region"),
    ("protect-primary", "Give the snapshot time"),
    ("protect-primary", "Give the new name time"),
    ("protect-primary", "Give the replica time"),
    ("protect-primary", "Build the replica"),
    ("protect-primary", "See whether it follows"),
    ("switch", "Take the lock"),
    ("switch", "Check that both sides are ready"),
)
IN_THE_FREEZE: Final = (
    ("switch", "Mark the last write"),
    ("switch", "Close the source to writers"),
    ("switch", "Look at the source"),
    ("switch", "Prove that nothing is missing"),
    ("switch", "Give the replica time"),
)
PAST_IT: Final = (
    ("switch", "Bring this region up"),
    ("switch", "Give the promotion time"),
    ("switch", "Verify by a write and a read"),
    ("switch", "Record this region as active"),
)
AFTER_THE_SWITCH: Final = (
    ("protect-dr", "Plan the protection"),
    ("protect-dr", "Give the snapshot time"),
    ("protect-dr", "Give the new name time"),
    ("protect-dr", "Give the replica time"),
)
promised: list[str] = []


def test_dr_has_taken_over_and_the_primary_is_back(operator: Operator) -> None:
    operator.lab.lose(PRIMARY, "refuse")
    ended = operator.fail_over()
    assert ended.status == "SUCCEEDED", ended.cause
    operator.lab.bring_back(PRIMARY)


def test_who_stops_a_failback_leaves_a_word_and_the_way_on(operator: Operator) -> None:
    mail = Mailbox(operator, DR, "dev-dr-notifications")
    arn = operator.start(FAILBACK)
    assert operator.reaches(arn, "Re-protect the primary") == "entered"
    assert operator.stop(arn)
    told = mail.next("FAILBACK ENDED ABORTED")
    assert f"{arn} ended ABORTED, in 'Re-protect the primary', and could tell nobody." in told
    assert f"make failback ENVIRONMENT=dev DR_REGION={DR}" in told


@pytest.mark.parametrize(("part", "state"), BEFORE_THE_FREEZE)
def test_before_the_freeze_dr_serves_all_the_time(operator: Operator, part: str, state: str) -> None:
    operator.lab.set_scale(20 if part == "switch" else IN_A_HURRY)
    with Clients(operator, DR) as clients:
        operator.kill(state, FAILBACK, part)
        so_far = len(clients.promised)
        operator.until(lambda: len(clients.promised) > so_far + 5, "DR goes on taking writes")
    promised.extend(clients.promised)
    assert operator.record()["active_region"] == DR


def test_a_replica_that_is_behind_holds_the_freeze(operator: Operator) -> None:
    operator.set("most-lag-seconds", 3600)
    operator.lab.control("database", "slow-applying", region=PRIMARY, identifier="dev-db", seconds=60)


@pytest.mark.parametrize(("part", "state"), IN_THE_FREEZE)
def test_in_the_freeze_the_next_start_opens_dr_again(operator: Operator, part: str, state: str) -> None:
    with Clients(operator, DR) as clients:
        operator.kill(state, FAILBACK, part)
        # So slow that what this machine takes does not count as AWS's.
        operator.lab.set_scale(5)
        so_far, began = len(clients.promised), operator.lab.status()["clock"]["aws_now"]
        arn = operator.start(FAILBACK)
        operator.until(lambda: len(clients.promised) > so_far, "DR takes writes again", 120)
        # As long as the budgets of a freeze and its proof.
        assert operator.lab.status()["clock"]["aws_now"] - began < 240
        assert operator.stop(arn)
        operator.lab.set_scale(20)
    promised.extend(clients.promised)
    record = operator.record()
    assert (record["active_region"], record.get("promotion", "")) == (DR, "")


def test_a_replica_that_has_caught_up_lets_it_go_on(operator: Operator) -> None:
    operator.lab.control("database", "slow-applying", region=PRIMARY, identifier="dev-db", seconds=0)


@pytest.mark.parametrize(("part", "state"), PAST_IT)
def test_past_the_point_of_no_return_the_switch_goes_on(operator: Operator, part: str, state: str) -> None:
    with Clients(operator, DR) as clients:
        operator.kill(state, FAILBACK, part)
    promised.extend(clients.promised)
    record = operator.record()
    assert record["promotion"] or record["active_region"] == PRIMARY


@pytest.mark.parametrize(("part", "state"), AFTER_THE_SWITCH)
def test_after_the_switch_the_primary_serves_all_the_time(operator: Operator, part: str, state: str) -> None:
    operator.kill(state, FAILBACK, part)
    operator.lab.set_scale(IN_A_HURRY)
    with Clients(operator, PRIMARY) as clients:
        operator.until(lambda: len(clients.promised) > 5, "the primary takes writes")
    promised.extend(clients.promised)
    assert operator.record()["active_region"] == PRIMARY


def test_the_last_start_ends_as_if_nothing_had_been(operator: Operator) -> None:
    ended = operator.end_of(operator.start(FAILBACK), 240)
    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.output["dr"]["outcome"] == "protected"
    record, seen, standby = operator.record(), operator.posture(PRIMARY), operator.posture(DR)
    assert (record["active_region"], record["lock"]) == (PRIMARY, "free")
    assert seen["database"] == ("available", "")
    assert (seen["sizes"], seen["orders"], seen["active"]) == ((2, 2, 4), True, PRIMARY)
    assert standby["database"] == ("available", f"arn:aws:rds:{PRIMARY}:000000000000:db:dev-db")
    assert (standby["sizes"][:2], standby["orders"], standby["active"]) == ((0, 0), False, PRIMARY)
    assert len(promised) > 100
    assert set(promised) - orders(operator, PRIMARY) == set()
    for region in (PRIMARY, DR):
        found = operator.lab.client("rds", region).describe_db_instances()["DBInstances"]
        assert len(found) == 2, [one["DBInstanceIdentifier"] for one in found]
