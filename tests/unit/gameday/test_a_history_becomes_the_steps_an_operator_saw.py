from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from lab.gameday import timeline
from tests.unit.gameday.histories import History, Path, failover, poll, since_loss

if TYPE_CHECKING:
    from lab.gameday.model import Step


def steps(events: list[dict[str, Any]]) -> dict[str, Step]:
    return {step.name: step for step in timeline.build(events, since_loss).steps}


def test_each_branch_is_named_after_the_function_that_it_calls() -> None:
    seen = steps(failover())
    assert seen["Take the lock"].branch == "main"
    assert seen["Promote the database"].branch == "database"
    assert seen["Raise the capacity"].branch == "compute"
    assert seen["Switch the functions on"].branch == "workload"
    assert seen["Release the lock"].branch == "main"


def test_looking_and_waiting_and_looking_again_is_one_step() -> None:
    promotion = steps(failover())["Promote the database"]
    assert (promotion.start, promotion.end) == (26, 210)
    assert promotion.visits == 27
    assert promotion.wait_seconds == 26 * 5
    assert promotion.retries == 0


def test_only_the_branch_that_ended_last_is_on_the_critical_path() -> None:
    seen = steps(failover())
    assert seen["Promote the database"].critical
    assert not seen["Raise the capacity"].critical
    assert not seen["Switch the functions on"].critical
    assert seen["Verify by a write and a read"].critical


def test_waits_and_calls_are_counted_on_the_critical_path() -> None:
    path = timeline.build(failover(), since_loss)
    assert path.status == "SUCCEEDED"
    assert (path.start, path.end) == (14, 220)
    assert path.waits == 26
    assert path.wait_seconds == 130
    assert path.work_seconds == 206 - 130
    assert path.calls == 3 + 1 + 27 + 4


def test_what_is_sent_off_is_told_from_what_is_waited_for() -> None:
    path = timeline.build(failover(), since_loss)
    assert path.sent == ("dev-dr-fence", "dev-dr-notify")
    assert "dev-dr-fence" not in path.functions
    assert "dev-dr-compute" not in path.functions, "its branch ended before the database's"


def test_pages_may_come_in_any_order() -> None:
    events = failover()
    shuffled = random.Random(7).sample(events, len(events))
    assert timeline.build(shuffled, since_loss) == timeline.build(events, since_loss)


def test_an_execution_under_way_shows_what_it_is_at() -> None:
    path = timeline.build(failover(ends=False), since_loss, now=140)
    waiting = next(step for step in path.steps if step.name == "Give the promotion time")
    assert path.status == "RUNNING"
    assert waiting.open
    assert waiting.end == 140


def test_a_retry_is_counted_and_its_error_kept() -> None:
    path = Path(History())
    path.begin(0)
    path.enter(0, "Task", "Plan")
    path.call(0, "dev-dr-control")
    path.call_fails(2, "TransientError")
    path.call(4, "dev-dr-control")
    path.leave(5, "Task", "Plan")
    path.succeed(5)
    (step,) = timeline.build(path.history.events, since_loss).steps
    assert step.retries == 1
    assert step.errors == ("TransientError",)
    assert not step.open


def test_a_failed_execution_says_why_and_where() -> None:
    path = Path(History())
    path.begin(0)
    path.enter(0, "Task", "Plan")
    path.call(0, "dev-dr-control")
    path.call_fails(2, "PreconditionFailed")
    path.fail(2, "PreconditionFailed", "no image in eu-central-1")
    seen = timeline.build(path.history.events, since_loss)
    assert seen.status == "FAILED"
    assert seen.cause == "PreconditionFailed: no image in eu-central-1"
    assert seen.steps[0].errors == ("PreconditionFailed",)
    assert seen.steps[0].open


def test_branches_that_a_failure_cut_off_end_with_their_fork() -> None:
    main = Path(History())
    main.begin(0)
    main.fork(1, "Bring this region up")
    one, two = main.branch(), main.branch()
    two.enter(1, "Wait", "Give it time")
    one.enter(1, "Task", "Promote")
    one.call(1, "dev-dr-database")
    one.call_fails(3, "FatalError")
    main.last = one.last
    main._add(3, "ParallelStateFailed")
    main.leave(3, "Parallel", "Bring this region up")
    main.task("Record the failure", "dev-dr-control", 3, 5)
    main.fail(5, "FatalError", "")
    seen = {step.name: step for step in timeline.build(main.history.events, since_loss).steps}
    assert not seen["Give it time"].open
    assert seen["Give it time"].end == 3
    assert seen["Record the failure"].branch == "main"
    assert seen["Record the failure"].critical


def test_a_fork_within_a_fork_is_followed() -> None:
    main = Path(History())
    main.begin(0)
    main.fork(0, "Outer")
    left, right = main.branch(), main.branch()
    right.task("Right", "dev-dr-workload", 0, 3)
    left.fork(1, "Inner")
    a, b = left.branch(), left.branch()
    poll(a, "A", "dev-dr-compute", 1, 20, 5, "Wait for A")
    b.task("B", "dev-dr-database", 1, 40)
    left.join(40, "Inner", b)
    main.join(40, "Outer", left)
    main.task("After", "dev-dr-control", 40, 41)
    main.succeed(41)
    seen = {step.name: step for step in timeline.build(main.history.events, since_loss).steps}
    assert {name for name, step in seen.items() if step.critical} == {"Outer", "Inner", "B", "After"}
    assert seen["A"].branch == "compute"
    assert seen["After"].branch == "main"


def test_nothing_yet_is_no_timeline() -> None:
    assert timeline.build([], since_loss).steps == ()
