from __future__ import annotations

from typing import Any

from lab.gameday import timeline
from lab.gameday.watch import Told
from tests.unit.gameday.histories import failover, since_loss


def told(events: list[dict[str, Any]], every: int) -> list[tuple[str, str]]:
    said: list[tuple[str, str]] = []
    teller = Told(lambda mark, text, _tone, _at: said.append((mark, text)))
    for seen in [*range(1, len(events), every), len(events)]:
        path = timeline.build(events[:seen], since_loss)
        teller.update(path, ended=path.status != "RUNNING")
        teller.tell()
    return said


def test_however_often_one_looks_each_step_begins_and_ends_once() -> None:
    # In the order in which they happened, as GetExecutionHistory gives them.
    events = sorted(failover(), key=lambda event: event["timestamp"])
    renumbered = {event["id"]: number for number, event in enumerate(events, 1)}
    events = [
        event | {"id": renumbered[event["id"]], "previousEventId": renumbered.get(event["previousEventId"], 0)}
        for event in events
    ]
    said = told(events, every=3)
    begun = [text for mark, text in said if mark == "▸"]
    ended = [text.partition(":")[0] for mark, text in said if mark == "✓"]
    assert len(begun) == len(set(begun)) == 12
    assert sorted(begun) == sorted(ended)
    assert ("✓", "Promote the database: 184 s, looked 27 times") in said


def test_a_step_that_waits_to_look_again_has_not_ended() -> None:
    said = told(failover(ends=False), every=1)
    assert ("▸", "Promote the database") in said
    assert not any(mark == "✓" and text.startswith("Promote") for mark, text in said)
