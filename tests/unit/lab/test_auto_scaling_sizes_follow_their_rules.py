from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.scaling import Activity, Backoff, InvalidSizeError, Member, Sizes, emptiest, missing, surplus

small = st.integers(min_value=0, max_value=9)


def member(zone: str = "a", version: int = 1, *, protected: bool = False) -> Member:
    activity = Activity("id", "Launching", "because", "now")
    return Member(f"i-{zone}{version}", zone, {"Version": str(version)}, "t3.micro", activity, protected)


def test_a_minimum_above_the_desired_capacity_raises_it() -> None:
    assert Sizes(0, 4, 0).update(minimum=2) == Sizes(2, 4, 2)


def test_a_maximum_below_the_desired_capacity_lowers_it() -> None:
    assert Sizes(0, 4, 3).update(maximum=1) == Sizes(0, 1, 1)


def test_what_is_not_given_stays() -> None:
    assert Sizes(1, 4, 3).update(maximum=5) == Sizes(1, 5, 3)


@pytest.mark.parametrize("change", [{"minimum": 5}, {"desired": 5}, {"minimum": 2, "desired": 1}])
def test_sizes_that_contradict_each_other_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(InvalidSizeError):
        Sizes(0, 4, 1).update(**change)


@pytest.mark.parametrize(("desired", "says"), [(5, "above max value 4"), (0, "below min value 1")])
def test_a_desired_capacity_outside_of_the_bounds_is_refused(desired: int, says: str) -> None:
    with pytest.raises(InvalidSizeError, match=says):
        Sizes(1, 4, 1).set_desired(desired)


@given(small, small, small, st.none() | small, st.none() | small, st.none() | small)
def test_accepted_sizes_are_always_consistent(
    low: int, high: int, desired: int, new_low: int | None, new_high: int | None, new_desired: int | None
) -> None:
    before = Sizes(low, low + high, min(max(desired, low), low + high))
    try:
        after = before.update(minimum=new_low, maximum=new_high, desired=new_desired)
    except InvalidSizeError:
        return
    assert after.minimum <= after.desired <= after.maximum


def test_an_instance_that_terminates_does_not_count() -> None:
    members = [member(), member()]
    members[0].lifecycle = "Terminating"
    assert missing(members, desired=2) == 1
    assert surplus(members, desired=1) == []


def test_the_fullest_zone_gives_up_its_oldest_version_first() -> None:
    members = [member("a", 1), member("b", 2), member("b", 1), member("c", 1)]
    assert surplus(members, desired=3) == [members[2]]


def test_a_protected_instance_is_not_given_up() -> None:
    members = [member(protected=True), member(protected=True)]
    assert surplus(members, desired=0) == []


def test_the_emptiest_zone_is_launched_in() -> None:
    places = [("subnet-a", "a"), ("subnet-b", "b"), ("subnet-c", "c")]
    assert emptiest(places, [member("a"), member("c")]) == ("subnet-b", "b")


def test_a_failing_launch_is_tried_again_after_longer_and_longer_pauses() -> None:
    backoff = Backoff()
    pauses = []
    for _ in range(8):
        backoff.failed(now=1000)
        pauses.append(backoff.until - 1000)
    assert pauses[0] < pauses[1] < pauses[2]
    assert max(pauses) == 600
    backoff.succeeded()
    assert backoff.until == 0
