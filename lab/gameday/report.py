"""What stays of a game day: ``report.json`` for machines and, made from nothing else, ``report.html`` for people."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from lab.gameday import page
from lab.gameday.checks import all_held
from lab.gameday.model import SCHEMA, Check, Phase, Writes

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Report:
    """A circle as it becomes known."""

    started_at: str
    time_scale: float
    environment: str
    primary: str
    dr: str
    outage: dict[str, Any] = field(default_factory=dict)
    phases: list[Phase] = field(default_factory=list)
    writes: Writes = field(default_factory=Writes)
    checks: list[Check] = field(default_factory=list)
    load: dict[str, Any] = field(default_factory=dict)
    strays: dict[str, Any] = field(default_factory=dict)
    clock: list[dict[str, float]] = field(default_factory=list)
    next: list[str] = field(default_factory=list)
    machine: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def held(self) -> bool:
        """Whether everything held that had to."""
        return all_held(self.checks)

    def as_json(self) -> dict[str, Any]:
        """Return the report as it is written.

        Returns
        -------
        dict[str, Any]
            Each phase stands under its own name; ``phases`` says in which order they came. ``clock`` tells from
            which AWS second on which other scale held.
        """
        return {
            "schema": SCHEMA,
            "started_at": self.started_at,
            "time_scale": self.time_scale,
            "environment": self.environment,
            "regions": {"primary": self.primary, "dr": self.dr},
            "held": self.held,
            "outage": self.outage,
            "phases": [phase.name for phase in self.phases],
            **{phase.name: phase.as_json() for phase in self.phases},
            "writes": asdict(self.writes),
            "checks": [asdict(check) for check in self.checks],
            "load": self.load,
            "strays": self.strays,
            "clock": self.clock,
            "next": self.next,
            "machine": self.machine,
            "real_seconds": round(self.seconds, 1),
        }


def write(report: dict[str, Any], directory: Path) -> tuple[Path, Path]:
    """Write both forms.

    Parameters
    ----------
    report
        As JSON holds it.
    directory
        Made if it is not there.

    Returns
    -------
    tuple[Path, Path]
        ``report.json`` and ``report.html``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    data, html = directory / "report.json", directory / "report.html"
    text = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    data.write_text(text, encoding="utf-8")
    # From what was written, so that the page can be made again from the file alone.
    html.write_text(page.render(json.loads(text)), encoding="utf-8")
    return data, html
