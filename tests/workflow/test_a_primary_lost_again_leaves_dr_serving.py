"""The primary is lost in the way that makes a client wait longest, and nothing waits for it. On the way back it is lost
again, in one part after another: DR serves on, or is opened again. In this order, on one system."""

from __future__ import annotations

import pytest

from tests.workflow.clients import Clients, orders
from tests.workflow.operator import DR, FAILBACK, PRIMARY, Operator

IN_A_HURRY = 80
# Seconds: freeze-budget-seconds and proof-budget-seconds.
BUDGETS = 240


def test_a_failover_from_the_command_line_waits_for_nothing_of_a_primary_that_hangs(operator: Operator) -> None:
    primary = operator.door(PRIMARY)
    operator.until(lambda: operator.order(primary, "before"), "the primary serves")
    operator.until(lambda: operator.database()["StatusInfos"][0]["Normal"], "the replica replicates")
    operator.lab.clock_passes(20)
    operator.lab.lose(PRIMARY, "hang")

    arn = operator.start_from_the_command_line()
    ended = operator.end_of(arn)
    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.output["database"]["drain"]["outcome"] == "applied"
    assert operator.has_order(operator.door(DR), "before")
    operator.never_waited_for_the_primary(arn)
    operator.until(lambda: operator.record().get("fence", "").startswith("NOT confirmed"), "the fence reports")
    operator.lab.bring_back(PRIMARY)
    operator.lab.set_scale(IN_A_HURRY)


def test_lost_while_it_is_protected(operator: Operator) -> None:
    with Clients(operator, DR) as clients:
        operator.hold("Give the replica time", FAILBACK, "protect-primary")
        arn = operator.start(FAILBACK)
        assert operator.held(arn)
        operator.lab.lose(PRIMARY, "refuse")
        operator.let_go()
        ended = operator.end_of(arn)
        so_far = len(clients.promised)
        operator.until(lambda: len(clients.promised) > so_far + 10, "DR goes on taking writes")
    assert ended.status == "FAILED"
    assert "'Re-protect the primary' did not succeed" in ended.cause
    assert operator.record()["active_region"] == DR
    operator.lab.bring_back(PRIMARY)


def test_lost_in_the_freeze(operator: Operator) -> None:
    lag = operator.set("most-lag-seconds", 3600)
    with Clients(operator, DR) as clients:
        operator.hold("Take the lock", FAILBACK, "switch")
        arn = operator.start(FAILBACK)
        assert operator.held(arn)
        # So slow that what this machine takes does not count as AWS's.
        operator.lab.set_scale(5)
        operator.lab.control("database", "slow-applying", region=PRIMARY, identifier="dev-db", seconds=600)
        operator.hold("Give the replica time", FAILBACK, "switch")
        assert operator.held(arn)
        began = operator.lab.status()["clock"]["aws_now"]
        operator.lab.lose(PRIMARY, "refuse")
        operator.let_go()
        so_far = len(clients.promised)
        operator.until(lambda: len(clients.promised) > so_far, "DR takes writes again", 120)
        assert operator.lab.status()["clock"]["aws_now"] - began < BUDGETS
        operator.lab.set_scale(20)
        ended = operator.end_of(arn)
        operator.until(lambda: len(clients.promised) > so_far + 10, "DR goes on taking writes")
    assert ended.status == "FAILED"
    assert "'Switch over to the primary' did not succeed" in ended.cause
    record = operator.record()
    assert (record["active_region"], record["promotion"]) == (DR, "")
    assert set(clients.promised) - orders(operator, DR) == set()
    operator.set("most-lag-seconds", lag)
    operator.lab.bring_back(PRIMARY)


@pytest.mark.parametrize("again", ["the failback", "a failover with no input"])
def test_lost_after_the_freeze_was_killed(operator: Operator, again: str) -> None:
    """DR is closed, nobody is at work, and the primary is gone before anybody starts: whatever is started opens DR."""
    lag = operator.set("most-lag-seconds", 3600)
    with Clients(operator, DR) as clients:
        operator.kill("Give the replica time", FAILBACK, "switch")
        assert not operator.order(operator.door(DR), "in-the-freeze")
        operator.lab.lose(PRIMARY, "hang")
        so_far = len(clients.promised)
        second = operator.start(FAILBACK) if again == "the failback" else operator.start()
        # One look at the primary, which hangs, in seconds of this machine; and what AWS takes to open.
        operator.until(lambda: len(clients.promised) > so_far, "DR takes writes again", 120)
        if again == "the failback":
            # Then it asks the primary, for as long as it is patient. Nobody has to wait for that.
            switch = operator.child(second, "switch")
            assert operator.reaches(switch, "Plan") == "entered"
            entered = operator.entered(switch)
            assert entered.index("Open the source again") < entered.index("Plan")
            assert operator.stop(second)
        else:
            ended = operator.end_of(second)
            assert (ended.status, ended.output["target"]) == ("SUCCEEDED", DR), ended.cause
        so_far = len(clients.promised)
        operator.until(lambda: len(clients.promised) > so_far + 10, "DR goes on taking writes")
    operator.until(lambda: operator.orders_is_on(DR), "the functions are on again")
    record = operator.record()
    assert (record["active_region"], record["promotion"]) == (DR, "")
    assert set(clients.promised) - orders(operator, DR) == set()
    operator.set("most-lag-seconds", lag)
    operator.lab.bring_back(PRIMARY)


def test_lost_when_it_is_active_it_is_an_incident_like_any_other(operator: Operator) -> None:
    operator.lab.control("database", "slow-applying", region=PRIMARY, identifier="dev-db", seconds=0)
    with Clients(operator, DR) as clients:
        arn = operator.start(FAILBACK)
        switch = operator.child(arn, "switch")
        ended = operator.end_of(switch)
        assert ended.status == "SUCCEEDED", ended.cause
    assert operator.record()["active_region"] == PRIMARY
    # Before anything protects it again: what is in DR is what was left there.
    assert operator.child(arn, "protect-dr")
    assert set(clients.promised) - orders(operator, PRIMARY) == set()
    operator.lab.lose(PRIMARY, "refuse")
    ended = operator.end_of(arn)
    assert ended.status == "FAILED"
    assert "'Re-protect the DR region' did not succeed" in ended.cause
    operator.lab.bring_back(PRIMARY)
    operator.lab.set_scale(IN_A_HURRY)
    again = operator.end_of(operator.start(FAILBACK), 240)
    assert again.status == "SUCCEEDED", again.cause
    assert again.output["switchover"] is None
    assert operator.posture(DR)["database"] == ("available", f"arn:aws:rds:{PRIMARY}:000000000000:db:dev-db")
