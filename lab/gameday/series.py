"""From circles to one report: each in short, and what they add up to. Pure."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from lab.gameday import audit
from lab.gameday.checks import all_held
from lab.gameday.numbers import tenth

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.gameday.draw import Draw
    from lab.gameday.report import Report

    Data = dict[str, Any]

PHASES: Final = ("failover", "reprotect", "switchover", "failback")
TITLES: Final = {
    "failover": "Failover",
    "reprotect": "Re-protection",
    "switchover": "Switchover home",
    "failback": "Failback",
    "steady": "Steady again",
}
_TIMES: Final = ("rto_seconds", "freeze_seconds", "seconds", "work_seconds")


@dataclass(frozen=True)
class Held:
    """One circle that was held, and how. ``problem`` says why it could not be held to its end."""

    number: int
    seed: int | None
    draw: Draw
    report: Report
    problem: str = ""

    @property
    def whole(self) -> bool:
        """Whether all phases took place."""
        return {phase.name for phase in self.report.phases} >= set(PHASES)

    @property
    def held(self) -> bool:
        """Whether everything held that had to."""
        return self.whole and not self.problem and all_held(self.report.checks)

    @property
    def can_go_on(self) -> bool:
        """Whether both regions are in their places again, so that another circle can begin."""
        return self.whole and all_held([check for check in self.report.checks if check.phase == "steady"])

    def summary(self) -> Data:
        """Return the circle in short.

        Returns
        -------
        dict[str, Any]
            As ``circles`` of the report has it.
        """
        found = {phase.name: phase for phase in self.report.phases}
        failover, reprotect, back = (found.get(name) for name in ("failover", "reprotect", "failback"))
        divergence = reprotect.divergence if reprotect else None
        return {
            "number": self.number,
            "seed": self.seed,
            "drawn": self.draw.as_json(),
            "held": self.held,
            "problem": self.problem,
            "rto_seconds": _tenth(failover.rto_seconds if failover else None),
            "freeze_seconds": _tenth(back.freeze_seconds if back else None),
            "reprotect_seconds": _tenth(reprotect.seconds if reprotect else None),
            "failback_seconds": _tenth(back.seconds if back else None),
            "acknowledged": self.report.writes.acknowledged,
            "lost": {phase.name: phase.writes.lost for phase in self.report.phases},
            "stray": reprotect.stray.acknowledged if reprotect and reprotect.stray else None,
            "divergence": None if divergence is None else divergence.reported,
            "divergence_orders": None if divergence is None else divergence.orders,
            "failed_checks": [asdict(check) for check in self.report.checks if not check.held],
            "checks": len(self.report.checks),
            "real_seconds": round(self.report.seconds, 1),
        }


def combined(circles: Sequence[Held], wanted: int, seed: int | None = None) -> Data:
    """Put the report of a game day together.

    Parameters
    ----------
    circles
        Those that were held, at least one.
    wanted
        How many should have been.
    seed
        The series', if it is one.

    Returns
    -------
    dict[str, Any]
        The report of the circle that is worth looking at most, which ``shown`` names; the writes of all circles added
        up, in each phase and in total; of each time the worst, and under ``…_median`` the middle one.
    """
    shown = _shown(circles)
    data = shown.report.as_json()
    data["held"] = len(circles) == wanted and all(each.held for each in circles)
    data["seed"], data["cycles"], data["shown"] = seed, wanted, shown.number
    data["circles"] = [each.summary() for each in circles]
    data["real_seconds"] = round(sum(each.report.seconds for each in circles), 1)
    for name in PHASES:
        phases = [phase for each in circles for phase in each.report.phases if phase.name == name]
        if not phases:
            continue
        if name not in data:
            data[name] = phases[0].as_json()
            data["phases"] = [each for each in PHASES if each in data]
        data[name]["writes"] = asdict(audit.total([phase.writes for phase in phases]))
        for time in _TIMES:
            values = [value for phase in phases if (value := getattr(phase, time)) is not None]
            data[name][time] = _tenth(max(values, default=None))
            data[name][f"{time}_median"] = _tenth(statistics.median(values) if values else None)
        if name == "reprotect":
            data[name]["stray"] = sum(phase.stray.acknowledged for phase in phases if phase.stray)
    data["writes"] = asdict(audit.total([each.report.writes for each in circles]))
    if len(circles) > 1:
        data["checks"] = _checks(circles)
    return data


def _shown(circles: Sequence[Held]) -> Held:
    """Choose one that did not hold, or else the one that took longest to recover."""
    failed = [each for each in circles if not each.held]

    def recovery(each: Held) -> float:
        return max((phase.rto_seconds or 0.0 for phase in each.report.phases), default=0.0)

    return failed[0] if failed else max(circles, key=recovery)


def _checks(circles: Sequence[Held]) -> list[Data]:
    """Put together what had to hold in each circle: what did not, is told with its circle."""
    found: dict[tuple[str, str], list[tuple[int, bool, str]]] = {}
    for each in circles:
        for check in each.report.checks:
            found.setdefault((check.phase, check.name), []).append((each.number, check.held, check.detail))
    order = (*PHASES, "steady")
    return [
        {
            "name": name,
            "held": all(held for _, held, _ in results),
            "detail": "; ".join(f"circle {number}: {detail}" for number, held, detail in results if not held)
            or f"in {len(results)} of {len(results)} circles; {results[-1][2]}",
            "phase": phase,
        }
        for (phase, name), results in sorted(found.items(), key=lambda item: order.index(item[0][0]))
    ]


def _tenth(seconds: float | None) -> float | None:
    return None if seconds is None else tenth(seconds)
