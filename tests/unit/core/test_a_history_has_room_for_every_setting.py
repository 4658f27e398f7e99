"""However budgets are set within their ceilings, no execution's history fills up and none outlives its machine."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from typing import Any

import pytest

from pilotlight.config import MOST
from pilotlight.decide import decision, failover, pace
from pilotlight.model import Budgets
from tests.unit.core import samples
from tests.unit.core.conftest import ROOT
from tests.unit.core.samples import BUDGETS, DOOR, EMPTY_GROUP, HELD, IMAGE, REPLICA, SETTINGS

EVENTS = 25_000
WAYS = (("ungraceful", "replica"), ("graceful", "replica"), ("graceful", "snapshot"))
DEFAULTS = Budgets(
    poll=5,
    drain=60,
    promotion=1800,
    compute=900,
    workload=300,
    verify=120,
    freeze=120,
    proof=120,
    protection=21600,
    snapshot=14400,
)
NAMES = ("drain", "promotion", "compute", "workload", "verify", "freeze", "proof", "snapshot")


def machine(name: str) -> Any:
    return json.loads((ROOT / f"statemachine/{name}.asl.json").read_text())


def extremes() -> list[Budgets]:
    """Every corner of what is allowed, at the least and the most poll."""
    ends = [(0 if name == "drain" else 1, MOST[f"{name}-budget-seconds"]) for name in NAMES]
    return [
        replace(DEFAULTS, poll=poll, **dict(zip(NAMES, corner, strict=True)))
        for poll in (1, MOST["poll-seconds"])
        for corner in itertools.product(*ends)
    ]


@pytest.mark.parametrize(("mode", "method"), WAYS)
def test_no_allowed_setting_fills_a_switchs_history(mode: str, method: str) -> None:
    for budgets in (DEFAULTS, replace(DEFAULTS, poll=1), *extremes()):
        poll = pace.polling(budgets, mode, method)
        assert poll >= budgets.poll
        assert pace.events_of_a_switch(budgets, mode, method, poll) <= pace.MOST_EVENTS < EVENTS


def test_what_is_set_holds_where_there_is_room_for_it() -> None:
    assert [pace.polling(DEFAULTS, *way) for way in WAYS[:2]] == [5, 5]
    # Hours in the freeze are looked at a little less often.
    assert pace.polling(DEFAULTS, *WAYS[2]) <= 10
    # Nobody waits for minutes between two looks.
    assert max(pace.polling(budgets, *way) for budgets in extremes() for way in WAYS) <= 120


def test_a_look_every_second_would_be_too_much() -> None:
    assert pace.events_of_a_switch(replace(DEFAULTS, poll=1), "ungraceful", "replica", 1) > EVENTS
    assert pace.polling(replace(DEFAULTS, poll=1), "ungraceful", "replica") > 1


def test_the_arithmetic_is_that_of_the_state_machine() -> None:
    text = (ROOT / "statemachine/failover.asl.json").read_text()
    # Looked at every second, and otherwise as the plan says.
    waits = sorted(re.findall(r'"Seconds": ("[^"]+"|\d+)', text))
    assert waits == sorted(
        [
            *["1"] * 3,
            "5",
            "10",
            *["60"] * 2,
            '"{% $decision.again_seconds %}"',
            *['"{% $plan.slow_poll_seconds %}"'] * 3,
            *['"{% $plan.poll_seconds %}"'] * 5,
        ]
    )
    longest = decision.MOST_LOOKING_SECONDS / decision.LISTEN_AGAIN_SECONDS * pace.EVENTS_A_LOOK
    assert longest <= pace._DECIDING
    # As often as it is tried where nothing can be decided, each attempt leaves three events.
    states = machine("failover")["States"]
    (retry,) = states["Decide whether to fail over"]["Retry"]
    (again,) = states["Tell the team that nothing was decided"]["Retry"]
    attempts = retry["MaxAttempts"] + 1 + again["MaxAttempts"] + 1
    assert 3 * attempts + 2 * 2 + 2 + 2 <= pace.EVENTS_UNDECIDED
    most = decision.MOST_LOOKING_SECONDS / states["Wait before deciding again"]["Seconds"] * pace.EVENTS_UNDECIDED
    assert most <= pace._DECIDING


def test_a_source_whose_functions_do_not_come_on_leaves_room_for_the_switch() -> None:
    """It is opened at most twice, and once in place of bringing the target up."""
    states = machine("failover")["States"]
    (_, over) = states["Are the source's functions on again?"]["Choices"]
    looks = int(re.search(r"\d+", over["Condition"])[0]) / states["Give the source's functions time"]["Seconds"] + 1  # type: ignore[index]
    assert 2 * looks * pace.EVENTS_A_LOOK < (EVENTS - pace.MOST_EVENTS) / 2


def test_a_plan_waits_as_the_arithmetic_says() -> None:
    budgets = replace(DEFAULTS, poll=1)
    settings = replace(SETTINGS, budgets=budgets)
    for mode in ("ungraceful", "graceful"):
        record = replace(HELD, mode=mode)
        planned = failover.plan(record, "dev", settings, REPLICA, IMAGE, EMPTY_GROUP, DOOR, (), samples.NAMES)
        assert planned.poll_seconds == pace.polling(budgets, mode, "replica") > 1
        # Hours are looked at no more often than minutes, and never so often that a history fills up.
        assert planned.slow_poll_seconds == pace.rarely(budgets, planned.poll_seconds) >= planned.poll_seconds
        assert budgets.snapshot / planned.slow_poll_seconds <= pace.SNAPSHOT_LOOKS


def most(name: str) -> int:
    return MOST[f"{name}-budget-seconds"]


def brought_up() -> int:
    """The longest that bringing a region up may take once nothing more is read in the source."""
    return max(2 * most("promotion"), most("compute"), most("workload")) + most("verify")


def test_a_frozen_source_is_opened_before_its_switch_runs_out_of_time() -> None:
    assert most("freeze") + most("snapshot") + most("proof") <= machine("failover")["TimeoutSeconds"] - 3600


def test_what_an_answer_begins_is_over_before_its_switch_runs_out_of_time() -> None:
    ends = machine("failover")["TimeoutSeconds"]
    # It may have looked on for hours before it asked.
    looking = decision.MOST_LOOKING_SECONDS + MOST["approval-timeout-seconds"]
    assert looking + most("drain") + brought_up() <= ends
    assert most("freeze") + most("proof") + brought_up() <= ends


def test_a_snapshot_a_replica_and_the_objects_fit_into_a_reprotection() -> None:
    assert 2 * most("protection") + MOST["objects-budget-seconds"] <= machine("reprotect")["TimeoutSeconds"]
    slow = pace.slowly(replace(BUDGETS, protection=most("protection"), freeze=most("freeze"), poll=1))
    assert most("protection") / slow <= pace.MOST_LOOKS
