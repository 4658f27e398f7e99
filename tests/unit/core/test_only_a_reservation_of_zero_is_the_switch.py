from __future__ import annotations

from dataclasses import replace

import pytest

from pilotlight.decide import workload
from pilotlight.decide.workload import UNRESERVED, Change
from pilotlight.errors import PreconditionFailed
from pilotlight.model import Function, Trigger
from tests.unit.core.samples import OFF, ON


def test_a_function_that_is_off_gets_its_concurrency_and_triggers_back() -> None:
    assert workload.to_active(OFF) == Change("dev-orders", UNRESERVED, triggers_on=("mapping",))


def test_a_function_may_say_the_reservation_it_needs() -> None:
    assert workload.to_active(replace(OFF, active_concurrency=50)).concurrency == 50


def test_a_reservation_of_the_teams_own_is_left_alone() -> None:
    assert not workload.to_active(replace(ON, reserved_concurrency=20)).anything


def test_a_live_function_is_not_touched() -> None:
    assert not workload.to_active(ON).anything


def test_a_trigger_in_transition_is_waited_for_and_not_pushed() -> None:
    enabling = replace(ON, triggers=(Trigger("mapping", "Enabling"),))
    assert not workload.to_active(enabling).anything
    assert not workload.is_active((enabling,), "eu-central-1", 0, 300)


def test_silencing_and_waking_are_each_others_inverse() -> None:
    assert workload.to_standby(ON) == Change("dev-orders", 0, triggers_off=("mapping",))
    assert not workload.to_standby(OFF).anything


def test_all_functions_live_is_all_triggers_enabled() -> None:
    assert workload.is_active((ON, Function("no-trigger", None)), "eu-central-1", 0, 300)
    assert workload.is_active((), "eu-central-1", 0, 300)
    assert not workload.is_active((ON, OFF), "eu-central-1", 0, 300)
    assert not workload.is_active((replace(ON, reserved_concurrency=0),), "eu-central-1", 0, 300)


def test_what_stays_off_is_named() -> None:
    with pytest.raises(PreconditionFailed, match=r"dev-orders \(concurrency 0; triggers mapping Disabled\)") as refused:
        workload.is_active((ON, OFF), "eu-central-1", 300, 300)
    assert "update-event-source-mapping --region eu-central-1 " in str(refused.value)


@pytest.mark.parametrize("state", ["Disabling", "Disabled", "Updating"])
def test_a_trigger_that_is_on_its_way_to_disabled_is_not_on(state: str) -> None:
    late = replace(ON, name="late", triggers=(Trigger("one", "Enabling"), Trigger("two", state)))
    assert workload.not_on((ON, late, OFF)) == (
        f"late (concurrency on; triggers one Enabling, two {state}); "
        "dev-orders (concurrency 0; triggers mapping Disabled)"
    )
    assert workload.not_on((ON, replace(late, triggers=(Trigger("one", "Enabling"),)))) == ""


def test_of_many_that_are_off_as_many_are_named_as_a_state_machine_carries() -> None:
    assert workload.not_on(tuple(replace(OFF, name=f"f{number}") for number in range(25))).endswith("and 5 more")
