from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from lab.gameday import audit
from tests.unit.gameday.gamedays import DR, LOST_AT, write

if TYPE_CHECKING:
    from lab.gameday.workload import Outcome, Write


def rows(*writes: Write) -> dict[str, str]:
    return {each.id: each.note for each in writes}


def test_an_acknowledged_write_without_a_row_is_lost_and_named() -> None:
    kept, gone = write("kept", -5), write("gone", -0.2)
    judged = audit.judge([kept, gone], rows(kept), LOST_AT, received_unapplied=0)
    assert (judged.acknowledged, judged.lost, judged.lost_ids) == (2, 1, ("gone",))
    assert judged.lost_out_of_order == 0


def test_a_write_without_an_answer_is_never_counted_as_acknowledged() -> None:
    found, not_found = write("found", -1, "unanswered"), write("not-found", -1, "unanswered")
    judged = audit.judge([found, not_found], rows(found), LOST_AT, received_unapplied=0)
    assert (judged.acknowledged, judged.lost) == (0, 0)
    assert (judged.unanswered, judged.unanswered_found) == (2, 1)


def test_a_refused_write_is_neither_lost_nor_unanswered() -> None:
    judged = audit.judge([write("refused", 3, "refused")], {}, LOST_AT, received_unapplied=0)
    assert (judged.acknowledged, judged.lost, judged.unanswered, judged.attempts) == (0, 0, 0, 1)


def test_a_hole_before_a_write_that_arrived_had_reached_the_replica() -> None:
    hole, later = write("hole", -30), write("later", -10)
    judged = audit.judge([hole, later], rows(later), LOST_AT, received_unapplied=0)
    assert judged.lost_out_of_order == 1


def test_writes_side_by_side_have_no_order() -> None:
    # Acknowledged after the other was sent: either may have been committed first.
    one, other = write("one", -10), write("other", -10)
    judged = audit.judge([one, other], rows(other), LOST_AT, received_unapplied=0)
    assert (judged.lost, judged.lost_out_of_order) == (1, 0)


def test_a_loss_in_one_region_is_no_hole_in_the_others_stream() -> None:
    gone, later = write("gone", -0.2), write("later", 200, region=DR)
    judged = audit.judge([gone, later], rows(later), LOST_AT, received_unapplied=0)
    assert (judged.lost, judged.lost_out_of_order) == (1, 0)


def test_a_row_that_holds_something_else_is_altered() -> None:
    kept = write("kept", -5)
    judged = audit.judge([kept], {"kept": "something else"}, LOST_AT, received_unapplied=0)
    assert (judged.lost, judged.altered) == (0, 1)


def test_the_loss_divides_before_from_after() -> None:
    before, after = write("before", -5), write("after", 200, region=DR)
    judged = audit.judge([before, after], rows(before, after), LOST_AT, received_unapplied=0)
    assert (judged.acknowledged_before, judged.acknowledged_after) == (1, 1)


OUTCOMES = st.sampled_from(["acknowledged", "refused", "unanswered"])


@given(st.lists(st.tuples(st.floats(-100, 300), OUTCOMES, st.booleans())))
def test_every_acknowledged_write_is_there_or_lost(seen: list[tuple[float, Outcome, bool]]) -> None:
    writes = [write(f"w{number}", at, outcome) for number, (at, outcome, _) in enumerate(seen)]
    there = rows(*(each for each, (_, _, stored) in zip(writes, seen, strict=True) if stored))
    judged = audit.judge(writes, there, LOST_AT, received_unapplied=0)
    acknowledged = {each.id for each in writes if each.outcome == "acknowledged"}
    assert judged.acknowledged == len(acknowledged) == judged.acknowledged_before + judged.acknowledged_after
    assert set(judged.lost_ids) == acknowledged - there.keys()
    assert judged.lost_out_of_order <= judged.lost


def test_the_sample_has_both_edges_of_the_gap() -> None:
    writes = [write(f"before-{number}", number - 100) for number in range(90)]
    writes += [write(f"after-{number}", 200 + number, region=DR) for number in range(90)]
    chosen = [each.id for each in audit.sample(writes, LOST_AT, 30)]
    assert len(chosen) == len(set(chosen)) == 30
    assert {"before-89", "after-0"} <= set(chosen)


def test_a_small_log_is_read_back_whole() -> None:
    writes = [write(f"w{number}", -number - 1) for number in range(5)]
    assert len(audit.sample(writes, LOST_AT, 30)) == 5
