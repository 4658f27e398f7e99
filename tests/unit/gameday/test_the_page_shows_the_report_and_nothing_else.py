from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from lab.gameday import page
from lab.gameday.report import write
from tests.unit.gameday.gamedays import broken_standing, circle, report, series

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Balanced(HTMLParser):
    """Collects the tags that are open, and fails on one that is closed without being so."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def rendered(**given: object) -> str:
    return page.render(json.loads(json.dumps(report(**given).as_json())))  # type: ignore[arg-type]


def test_the_page_needs_nothing_but_itself() -> None:
    html = rendered()
    assert not re.search(r"(?:src|href)\s*=|url\(|@import|<script", html)


def test_every_tag_is_closed() -> None:
    for html in (rendered(), rendered(lost=("a1",), standing=broken_standing())):
        parser = Balanced()
        parser.feed(html)
        assert parser.open == []


def test_what_comes_from_outside_cannot_become_markup() -> None:
    evil = "<script>alert('x')</script>\"&"
    data = report().as_json()
    data["failover"]["steps"][0]["name"] = evil
    data["failover"]["title"] = data["failover"]["execution_arn"] = data["failover"]["zero_name"] = evil
    data["failover"]["steps"][-1]["branch"] = evil
    data["checks"][0] = {"name": evil, "held": False, "detail": evil}
    data["writes"]["lost_ids"] = [evil]
    data["next"] = [evil]
    data["machine"] = {"system": evil, evil: evil}
    data["environment"] = data["regions"]["primary"] = data["regions"]["dr"] = evil
    html = page.render(data)
    assert "<script" not in html
    assert "alert(&#x27;x&#x27;)" in html
    parser = Balanced()
    parser.feed(html)
    assert "script" not in parser.names
    assert parser.open == []


def test_the_headline_says_how_it_ended() -> None:
    assert page.headline(report().as_json()) == (
        "eu-west-1 was lost. eu-central-1 served again after 3 min 44 s, and no acknowledged write was lost."
    )
    assert page.headline(report(lost=("a1",)).as_json()).endswith("and 1 acknowledged write was lost.")


def test_a_failover_that_failed_is_no_success_story() -> None:
    data = report().as_json()
    data["failover"] |= {"status": "FAILED", "rto_seconds": None, "milestones": [{"name": "lost", "at": 0.0}]}
    data["held"] = False
    data["checks"][0]["held"] = False
    html = page.render(data)
    assert "did not take over: the failover ended FAILED" in page.headline(data)
    assert "1 of 10 did not hold" in html
    assert "served again" not in html


def test_an_empty_report_still_has_a_page() -> None:
    data = report().as_json()
    data |= {"phases": [], "checks": [], "held": False, "load": {}, "outage": {}}
    assert "Nothing was judged" in page.render(data)


def test_lab_time_is_said_to_be_lab_time() -> None:
    assert "lab seconds ×\u00a010" in rendered()


def test_the_page_is_made_from_the_file_alone(tmp_path: Path) -> None:
    data, html = write(report().as_json(), tmp_path)
    assert page.render(json.loads(data.read_text("utf-8"))) == html.read_text("utf-8")


def test_a_step_that_took_no_time_before_a_fork_is_shown_before_it() -> None:
    data = json.loads(json.dumps(report().as_json()))
    steps = data["failover"]["steps"]
    fork = next(step for step in steps if step["kind"] == "Parallel")
    before = next(step for step in steps if step["name"] == "Close the primary if it answers")
    before["start"] = before["end"] = fork["start"]
    html = page.render(data)
    branch = next(step for step in steps if step["branch"] != "main")["name"]
    last = next(step for step in steps if step["name"] == "Verify by a write and a read")["name"]
    assert html.index(before["name"]) < html.index(branch) < html.index(last)


def of(data: object) -> str:
    return page.render(json.loads(json.dumps(data)))


def test_a_circle_and_a_series_are_whole_pages() -> None:
    for html in (of(circle().as_json()), of(series(3)), of(series(3, broken=2))):
        parser = Balanced()
        parser.feed(html)
        assert parser.open == []
        assert not re.search(r"(?:src|href)\s*=|url\(|@import|<script", html)
        assert "NaN" not in html
        assert "inf" not in re.findall(r'style="[^"]*"', html)


def test_a_circle_shows_every_phase_and_what_never_crossed() -> None:
    html = of(circle().as_json())
    for title in ("The whole circle", "Failover to", "Re-protect", "Failback to", "Switch over to", "5 orders never"):
        assert f">{title}" in html
    assert "dev-db-retired-1" in html
    assert "× 60" in html


def test_the_headline_tells_of_the_way_home() -> None:
    told = page.headline(circle().as_json())
    assert (
        "All came home with 3 min 58 s of downtime, and 2 acknowledged writes were lost, each of them listed." in told
    )
    stopped = circle().as_json()
    stopped["failback"] |= {"freeze_seconds": None, "status": "FAILED"}
    assert "did not come home" in page.headline(stopped)


def test_a_series_shows_each_circle_and_why_one_did_not_hold() -> None:
    html = of(series(4, broken=3))
    assert html.count('class="circle"') == 4
    assert "its list lacks 1 orders" in html
    assert "1 of 4 circles did not hold" in html
    assert page.headline(series(4)).startswith("4 of 4 circles held")


def test_a_circle_that_ends_early_still_has_a_page() -> None:
    data = circle().as_json()
    for gone in (["switchover", "failback"], ["reprotect"]):
        data["phases"] = [name for name in data["phases"] if name not in gone]
        for name in gone:
            del data[name]
        parser = Balanced()
        parser.feed(of(data))
        assert parser.open == []


def test_the_figure_of_a_series_tells_its_own_circles_times() -> None:
    data = series(3)
    data["failover"]["rto_seconds"] = 999.0
    html = of(data)
    assert "16<small> min</small> 39<small> s</small>" in html, "the worst is told"
    assert "no service for 3 min 44 s" in html, "the circle that is drawn took less"
