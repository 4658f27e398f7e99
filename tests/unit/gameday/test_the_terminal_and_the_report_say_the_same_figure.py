"""The terminal has the raw value and the report its tenth. Whoever compares them wants to find one number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.gameday import terminal
from lab.gameday.model import Phase
from lab.gameday.numbers import big, clock, duration, shares, short, tenth, whole

SECONDS = st.floats(min_value=-100_000, max_value=100_000, allow_nan=False)


@pytest.mark.parametrize(
    ("raw", "expected"), [(302.53, 303), (302.5, 303), (302.46, 303), (302.44, 302), (303.5, 304), (-2.5, -3), (0, 0)]
)
def test_half_a_second_counts_as_a_second(raw: float, expected: int) -> None:
    assert whole(raw) == whole(tenth(raw)) == expected


@given(SECONDS)
def test_a_value_and_its_tenth_are_written_alike(raw: float) -> None:
    held = tenth(raw)
    assert tenth(held) == held
    assert abs(held - raw) < 0.051
    for write in (duration, short, big, clock, terminal.clock):
        assert write(raw) == write(held)


@given(SECONDS)
def test_both_clocks_tell_the_second_that_is_told_in_words(raw: float) -> None:
    minutes, seconds = divmod(whole(abs(raw)), 60)
    assert clock(raw).lstrip("−") == f"{minutes}:{seconds:02}"
    hours, minutes = divmod(minutes, 60)
    said = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    assert terminal.clock(raw).lstrip("+-") == said


@given(st.lists(st.floats(min_value=0, max_value=10_000), min_size=1, max_size=5))
def test_the_parts_of_a_recovery_add_up_wherever_they_are_told(raw: list[float]) -> None:
    parts = {f"part {number}": seconds for number, seconds in enumerate(raw)}
    phase = Phase("failover", "Failover", "the loss", "SUCCEEDED", breakdown=parts, rto_seconds=sum(raw))
    data = phase.as_json()
    assert sum(shares(parts, sum(raw)).values()) == whole(sum(raw)) == whole(data["rto_seconds"])
    assert sum(shares(data["breakdown"], data["rto_seconds"]).values()) == whole(data["rto_seconds"])


def test_nothing_is_no_less_than_nothing() -> None:
    assert str(tenth(-0.01)) == "0.0"
