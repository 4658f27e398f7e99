from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lab.gameday.circle import PARTS, Circle, Options
from lab.gameday.cloud import NotThereError
from lab.gameday.draw import Draw
from lab.gameday.report import Report
from lab.gameday.series import Held
from lab.gameday.terminal import Terminal
from tests.unit.gameday.clouds import Cloud
from tests.unit.gameday.gamedays import DR, PRIMARY, SCALE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DRAW = Draw(steady=0.2, writers=2, pause=0.01, behind=0, held=0.05, away=1.0, strays=1)
OPTIONS = Options(
    steady_writes=20,
    restored_seconds=0.2,
    home_seconds=0.2,
    restore_limit=3,
    closing_limit=3,
    detection_limit=0.5,
    by_hand=True,
)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    made = Cloud()
    made.install(monkeypatch)
    yield made
    made.close()


def held(cloud: Cloud, directory: Path, earlier: dict[str, str] | None = None, options: Options = OPTIONS) -> Report:
    report = Report("2026-11-22T12:00:00+00:00", SCALE, "dev", PRIMARY, DR)
    rest = {} if earlier is None else earlier
    terminal = Terminal(io.StringIO(), {})
    try:
        Circle("http://nowhere", SCALE, options, DRAW, terminal, report, directory, rest).hold()
    finally:
        assert cloud.paces[-1:] in ([], [SCALE]), "the next circle begins at the pace that is asked for"
    return report


def broken(report: Report) -> set[str]:
    return {check.name for check in report.checks if not check.held}


def test_a_whole_circle_accounts_for_every_order(cloud: Cloud, tmp_path: Path) -> None:
    earlier: dict[str, str] = {}
    report = held(cloud, tmp_path, earlier)
    assert [phase.name for phase in report.phases] == ["failover", "reprotect", "switchover", "failback"]
    failover, reprotect, *_ = report.phases
    assert report.writes.lost == failover.writes.lost > 0
    assert reprotect.stray is not None
    assert reprotect.moment("closed") is not None
    assert "eu-west-1 closes itself when it comes back" not in broken(report)
    assert reprotect.divergence is not None
    assert set(reprotect.divergence.evidence_ids or ()) >= {
        *failover.writes.lost_ids,
        *reprotect.stray.acknowledged_ids,
    }
    assert report.writes.acknowledged == sum(phase.writes.acknowledged for phase in report.phases)
    assert "The report names exactly what never crossed" not in broken(report)
    assert cloud.orders == ["hold-receiving"]
    assert cloud.paces == [60.0, SCALE, 60.0, SCALE]
    assert len(earlier) >= report.writes.acknowledged - report.writes.lost


def test_an_alarm_begins_it_and_the_clients_go_by_the_name(cloud: Cloud, tmp_path: Path) -> None:
    cloud.name = "app.example"
    report = held(cloud, tmp_path, options=replace(OPTIONS, by_hand=False))
    failover = report.phases[0]
    assert failover.trigger == "dev-dr-primary-lost"
    assert list(failover.breakdown) == list(PARTS)
    assert sum(failover.as_json()["breakdown"].values()) == pytest.approx(failover.as_json()["rto_seconds"])
    assert failover.moment("traffic") is not None
    assert report.phases[-1].moment("restored") is not None
    assert report.phases[-1].moment("traffic") is not None


def test_a_person_begins_it_where_no_alarm_does(cloud: Cloud, tmp_path: Path) -> None:
    cloud.rings = False
    report = held(cloud, tmp_path, options=replace(OPTIONS, by_hand=False))
    assert report.phases[0].trigger == "manual"
    assert "A failover begins by itself" in broken(report)


def test_a_region_that_stays_open_is_named(cloud: Cloud, tmp_path: Path) -> None:
    cloud.closes = False
    report = held(cloud, tmp_path, options=replace(OPTIONS, closing_limit=0.3))
    assert "eu-west-1 closes itself when it comes back" in broken(report)


def test_orders_of_an_earlier_circle_are_looked_for_again(cloud: Cloud, tmp_path: Path) -> None:
    report = held(cloud, tmp_path, {"long-ago": "gone"})
    assert "The orders of earlier circles are still there" in broken(report)


@pytest.mark.parametrize(
    ("machine", "phases", "check"),
    [
        ("failover", ["failover"], "The failover succeeded"),
        ("reprotect", ["failover", "reprotect"], "Re-protection succeeded"),
        ("failback", ["failover", "reprotect", "failback"], "Failback succeeded"),
    ],
)
def test_a_command_that_fails_ends_the_circle_and_is_named(
    cloud: Cloud, tmp_path: Path, machine: str, phases: list[str], check: str
) -> None:
    cloud.ends[machine] = "FAILED"
    report = held(cloud, tmp_path)
    assert [phase.name for phase in report.phases] == phases
    assert check in broken(report)
    assert not Held(1, 1, DRAW, report).held
    assert not Held(1, 1, DRAW, report).can_go_on
    assert report.writes.acknowledged > 0


@pytest.mark.parametrize("machine", ["reprotect", "failback"])
def test_what_took_place_before_it_broke_off_is_judged(cloud: Cloud, tmp_path: Path, machine: str) -> None:
    cloud.breaks = machine
    report = Report("2026-11-22T12:00:00+00:00", SCALE, "dev", PRIMARY, DR)
    circle = Circle("http://nowhere", SCALE, OPTIONS, DRAW, Terminal(io.StringIO(), {}), report, tmp_path, {})
    with pytest.raises(NotThereError):
        circle.hold()
    assert report.checks
    assert report.phases[0].name == "failover"
    assert report.writes.acknowledged > 0


def test_what_broke_off_before_a_failover_has_nothing_to_judge(cloud: Cloud, tmp_path: Path) -> None:
    cloud.breaks = "failover"
    with pytest.raises(NotThereError):
        held(cloud, tmp_path)
