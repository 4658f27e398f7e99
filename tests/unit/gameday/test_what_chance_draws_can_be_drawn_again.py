from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lab.gameday.draw import MODES, draw, seeds

SEEDS = st.integers(0, 2**31)


@given(SEEDS)
def test_the_same_seed_draws_the_same_circle(seed: int) -> None:
    assert draw(seed) == draw(seed)


@given(SEEDS, st.integers(1, 20))
def test_any_circle_of_a_series_can_be_repeated_alone(seed: int, circles: int) -> None:
    drawn = list(seeds(seed, circles))
    assert len(drawn) == circles
    assert drawn[0] == seed
    assert all(next(seeds(each, 1)) == each for each in drawn)
    assert list(seeds(seed, circles + 3))[:circles] == drawn


@given(SEEDS)
def test_what_is_drawn_can_be_held(seed: int) -> None:
    drawn = draw(seed)
    assert drawn.mode in MODES
    assert drawn.writers > 0
    assert 0 <= drawn.held < 1
    assert drawn.mode in drawn.sentence()


def test_everything_that_can_be_drawn_is_drawn_now_and_then() -> None:
    drawn = [draw(seed) for seed in range(60)]
    assert {each.mode for each in drawn} == set(MODES)
    assert {bool(each.held) for each in drawn} == {bool(each.strays) for each in drawn} == {True, False}
    assert {each.behind for each in drawn} == {0, 1, 2, 3}
