"""Since when something is so: what the note ``watch`` says can be read off the looks themselves, whatever their row."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from pilotlight.decide import detection
from pilotlight.model import Answer, Watch, as_json
from tests.unit.core.looks import BROKEN, FOLLOWS, LOST, SILENT, UNKNOWN, WELL, look
from tests.unit.core.samples import DR, PRIMARY

ANSWERS = st.sampled_from([WELL, BROKEN, SILENT])
LOOKS = st.lists(
    st.builds(
        lambda region, shallow, deep, witnesses, source: {
            "region": region,
            "shallow": shallow,
            "deep": deep,
            "witnesses": () if shallow == WELL else witnesses,
            "source": source,
        },
        st.sampled_from([PRIMARY, PRIMARY, PRIMARY, DR]),
        ANSWERS,
        st.one_of(st.none(), ANSWERS),
        st.sampled_from([(), (WELL,), (SILENT,), (SILENT, SILENT), (SILENT, Answer(500, 3))]),
        st.sampled_from([FOLLOWS, LOST, UNKNOWN]),
    ),
    min_size=1,
    max_size=30,
)


def carried(looks: list[detection.Round]) -> Watch:
    watch: Watch | None = None
    for one in looks:
        # As it comes back from the note.
        watch = detection.watched(detection.watch_from(json.loads(json.dumps(as_json(watch)))) if watch else None, one)
    assert watch
    return watch


def since(looks: list[detection.Round], so: list[bool]) -> str:
    """When the row of looks that ends with the last one and of which all were so began; empty if the last was not."""
    began = ""
    for one, was in zip(reversed(looks), reversed(so), strict=True):
        if not was or one.region != looks[-1].region:
            break
        began = one.at
    return began


@given(LOOKS)
def test_every_since_is_the_first_of_an_unbroken_row(changes: list[dict[str, object]]) -> None:
    looks = [look(15 * number, **change) for number, change in enumerate(changes)]
    watch = carried(looks)
    unseen = [detection.blind(one) for one in looks]
    failed = [not detection.answers(one.shallow) for one in looks]
    assert watch.failing_since == since(looks, [f and not u for f, u in zip(failed, unseen, strict=True)])
    assert watch.blind_since == since(looks, unseen)
    assert watch.source_lost_since == since(looks, [one.source.lost is True for one in looks])
    deep = [one.deep is not None and not detection.answers(one.deep) for one in looks]
    assert watch.deep_failing_since == since(looks, [d and not u for d, u in zip(deep, unseen, strict=True)])


@given(LOOKS)
def test_a_primary_that_answered_is_neither_failing_nor_unseen(changes: list[dict[str, object]]) -> None:
    looks = [look(15 * number, **change) for number, change in enumerate(changes)]
    watch = carried(looks)
    assert watch.region == looks[-1].region
    assert watch.at == looks[-1].at
    assert not (watch.failing_since and watch.blind_since)
    if detection.answers(looks[-1].shallow):
        assert watch.ok_at == watch.at
        assert not watch.failing_since


@given(LOOKS)
def test_counts_and_moments_tell_the_same(changes: list[dict[str, object]]) -> None:
    looks = [look(15 * number, **{**change, "region": PRIMARY}) for number, change in enumerate(changes)]
    memory = detection.Memory()
    for one in looks:
        memory = detection.counted(detection.memory_from(json.loads(json.dumps(as_json(memory)))), one)
    watch = carried(looks)
    assert bool(memory.failing_rounds) == bool(watch.failing_since)
    assert bool(memory.lost_rounds) == bool(watch.source_lost_since)


def test_a_note_of_a_later_version_is_read_all_the_same() -> None:
    assert detection.watch_from({"region": PRIMARY, "at": "2026", "invented": 1}) == Watch(PRIMARY, "2026")
    assert detection.memory_from({"received": "u:1", "invented": 1}).received == "u:1"
    assert detection.watch_from({}) is None
