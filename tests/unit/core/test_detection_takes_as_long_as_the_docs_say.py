"""The table in docs/detection.md, computed: looks, windows and alarms are played through for every moment of a loss."""

from __future__ import annotations

import dataclasses
import itertools
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pytest

from pilotlight.decide import decision, detection
from pilotlight.decide.detection import Memory
from tests.template.templates import MAIN, TEMPLATES
from tests.unit.core.conftest import ROOT
from tests.unit.core.looks import REPLICATES, SILENT, at, look
from tests.unit.core.samples import REPLICA

if TYPE_CHECKING:
    from collections.abc import Callable

    from pilotlight.model import Following

GUIDE = (ROOT / "docs" / "detection.md").read_text()
BEAT = 5
# A load balancer has an address in each zone, and each of them is given two seconds: a look at what does not answer
# lasts so long before it is put.
LOOK = 2 * int(MAIN["Parameters"]["AvailabilityZoneCount"]["Default"])
# CloudWatch evaluates alarms with periods below a minute every ten seconds, others every minute.
EVALUATION = 10


@dataclass(frozen=True)
class Choice:
    looks: int
    period: int
    failures: int
    of: int


# The rows of the guide.
ROW = re.compile(
    r"^\| (\d+) \| (\d+) s \| (\d+) of (\d+) \| (\d+) s \| (\d+) s \| (\d+) s \| ([\d.,]+) \| (\d+) s \|", re.MULTILINE
)
ROWS = {
    Choice(*(int(part) for part in found[:4])): (
        *(int(part) for part in found[4:7]),
        float(found[7].replace(",", "")),
        int(found[8]),
    )
    for found in ROW.findall(GUIDE)
}


def is_lost(loss: float, ends: float, moment: float) -> bool:
    return loss <= moment < ends


def silent(memory: Memory, moment: float, loss: float, ends: float) -> tuple[Memory, float]:
    """The way to the primary swallows everything: the receiving thread notices nothing, and beats do not come."""
    last = moment if not is_lost(loss, ends, moment) else loss
    return _judged(memory, moment, dataclasses.replace(REPLICATES, received=f"log:{last // BEAT}"))


def reset(memory: Memory, moment: float, loss: float, ends: float) -> tuple[Memory, float]:
    """Connections are refused: the receiving thread says so."""
    connected = not is_lost(loss, ends, moment)
    received = f"log:{(moment if connected else loss) // BEAT}"
    return _judged(memory, moment, dataclasses.replace(REPLICATES, received=received, source_connected=connected))


def _judged(memory: Memory, moment: float, following: Following) -> tuple[Memory, float]:
    memory = detection.heard(memory, following, at(moment))
    source = detection.source(memory, following, REPLICA, at(moment))
    return memory, float(source.lost is True)


def detected(
    choice: Choice, kind: Callable[..., tuple[Memory, float]], loss: float, ends: float, phase: float
) -> float:
    """Seconds from the loss to the composite alarm, infinite if none comes. ``phase`` shifts looks against windows."""
    failed: dict[int, list[float]] = {}
    lost: dict[int, list[float]] = {}
    memory = Memory()
    end = min(ends, loss + 600) + 3 * choice.period
    for number in range(int((end + 60) * choice.looks / 60)):
        moment = phase + number * 60 / choice.looks
        memory, source = kind(memory, moment, loss, ends)
        measures = (
            {m.name: m.value for m in detection.measures(look(moment, shallow=SILENT))}
            if is_lost(loss, ends, moment)
            else {"ProbeFailed": 0.0}
        )
        put = moment + (LOOK if is_lost(loss, ends, moment) else 0)
        failed.setdefault(int(put // choice.period), []).append(measures["ProbeFailed"])
        lost.setdefault(int(put // choice.period), []).append(source)

    def breaching(values: list[float]) -> bool:
        return bool(values) and sum(values) / len(values) >= 0.5

    for window in range(int(loss // choice.period), int(end // choice.period) + 1):
        row = [breaching(failed.get(w, [])) for w in range(window - choice.of + 1, window + 1)]
        if sum(row) >= choice.failures and breaching(lost.get(window, [])):
            return (window + 1) * choice.period + EVALUATION - loss
    return float("inf")


def moments(choice: Choice) -> list[tuple[float, float]]:
    """When a loss may begin, and how looks may lie in windows. A few minutes after the beginning, when all is well."""
    pause = 60 / choice.looks
    return [(240 + loss, phase) for loss in range(0, 60, 2) for phase in (n * pause / 4 for n in range(4))]


@cache
def worst(choice: Choice, kind: Callable[..., tuple[Memory, float]]) -> float:
    return max(detected(choice, kind, loss, float("inf"), phase) for loss, phase in moments(choice))


def following(kind: Callable[..., tuple[Memory, float]], moment: float, loss: float) -> Following:
    """Say what the replica's server tells at a moment, of a loss that lasts."""
    gone = moment >= loss
    received = f"log:{(loss if gone else moment) // BEAT}"
    return dataclasses.replace(REPLICATES, received=received, source_connected=not (gone and kind is reset))


def estimated(choice: Choice, kind: Callable[..., tuple[Memory, float]], loss: float, phase: float) -> int:
    """Seconds of writes that count as lost, of a region that goes at once, when both signs have been there for long."""
    memory, seen = Memory(), None
    for number in range(int((loss + 180) * choice.looks / 60)):
        moment = phase + number * 60 / choice.looks
        # A look is noted when it is over.
        noted = moment + (LOOK if moment >= loss else 0)
        memory = detection.heard(memory, following(kind, moment, loss), at(noted))
        source = detection.source(memory, following(kind, moment, loss), REPLICA, at(noted))
        shallow = {"shallow": SILENT} if moment >= loss else {}
        seen = detection.watched(seen, look(noted, source=source, **shallow))
    beat = loss // BEAT * BEAT
    return decision.loss_seconds(seen, decision.Replica(True, is_replica=True, heartbeat_at=at(beat)))


@cache
def estimates(choice: Choice) -> list[tuple[int, int]]:
    """Seconds that are written after the last beat, and seconds that count as lost, however looks and beats lie."""
    return [
        (loss % BEAT, estimated(choice, kind, loss, phase))
        for kind in (reset, silent)
        for loss in range(120, 120 + BEAT)
        for phase in range(60 // choice.looks)
    ]


@cache
def shortest(choice: Choice) -> int:
    """The shortest interruption of both ways at once that can be taken for a loss."""
    for seconds in range(5, 600, 5):
        if any(detected(choice, reset, loss, loss + seconds, phase) < 1000 for loss, phase in moments(choice)):
            return seconds
    raise AssertionError("nothing is taken for a loss")


def alarms_a_month(choice: Choice, fails: float = 0.001) -> float:
    """How often ``probe-failed`` alone goes off when one look in a thousand fails by chance."""
    looks = choice.looks * choice.period // 60
    enough = -(-looks // 2)
    chance = sum(
        fails ** sum(row) * (1 - fails) ** (looks - sum(row))
        for row in itertools.product((0, 1), repeat=looks)
        if sum(row) >= enough
    )
    starts = sum(
        chance ** sum(row) * (1 - chance) ** (choice.of + 1 - sum(row))
        for row in itertools.product((0, 1), repeat=choice.of + 1)
        if sum(row[1:]) >= choice.failures > sum(row[:-1])
    )
    return starts * 30 * 24 * 3600 / choice.period


def test_the_table_has_the_default() -> None:
    default = {name: MAIN["Parameters"][name].get("Default") for name in MAIN["Parameters"]}
    assert (
        Choice(
            default["ProbesPerMinute"],
            default["ProbePeriodSeconds"],
            default["ProbeFailuresToAlarm"],
            default["ProbeFailuresOf"],
        )
        in ROWS
    )
    assert len(ROWS) >= 6


def test_the_alarms_are_the_ones_that_are_played_through() -> None:
    alarms = {
        name: TEMPLATES["detection"]["Resources"][name]["Properties"] for name in ("ProbeFailed", "ReplicaLostSource")
    }
    for alarm in alarms.values():
        assert (alarm["Statistic"], alarm["Threshold"]) == ("Average", 0.5)
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        assert alarm["Period"] == {"Ref": "ProbePeriodSeconds"}
    assert alarms["ReplicaLostSource"]["EvaluationPeriods"] == 1


@pytest.mark.parametrize("choice", ROWS, ids=str)
def test_a_loss_is_seen_as_soon_as_the_guide_says(choice: Choice) -> None:
    refused, silence, harmless, alone, _ = ROWS[choice]
    assert round(worst(choice, reset)) == refused
    assert round(worst(choice, silent)) == silence
    assert shortest(choice) == harmless
    assert round(alarms_a_month(choice), 2 if alone < 10 else 0) == alone


def test_with_the_defaults_a_loss_is_seen_within_ninety_seconds() -> None:
    default = next(iter(ROWS))
    assert default == Choice(4, 30, 2, 3)
    assert worst(default, reset) <= 90
    assert worst(default, silent) <= 90


@pytest.mark.parametrize("choice", ROWS, ids=str)
def test_no_more_counts_as_lost_than_the_guide_says_and_never_less_than_is(choice: Choice) -> None:
    *_, most = ROWS[choice]
    assert max(counts for _, counts in estimates(choice)) == most
    assert all(counts >= lost for lost, counts in estimates(choice))


def test_with_the_default_limit_a_region_that_goes_at_once_is_asked_about_by_nobody_who_looks_twice_a_minute() -> None:
    limit = MAIN["Parameters"]["MaxDataLossSeconds"]["Default"]
    over = {choice for choice in ROWS if ROWS[choice][-1] > limit}
    assert {choice.looks for choice in over} == {1}
    assert "With one look a minute set `MaxDataLossSeconds` to 75" in GUIDE
    assert max(ROWS[choice][-1] for choice in over) <= 75
