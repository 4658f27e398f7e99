"""From ``report.json`` to one self-contained page. Pure: the same report makes the same page, byte for byte.

Whatever comes from outside (names of states, causes, ids) is escaped where it enters the page, and only there.
"""

from __future__ import annotations

import datetime as dt
import math
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Data = Mapping[str, Any]

_TEMPLATE: Final = Path(__file__).with_name("page.html")
_TICKS: Final = (5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
_BRANCHES: Final = {
    "database": "Database",
    "sql": "Database",
    "compute": "Compute",
    "workload": "Business functions",
    "fence": "Closing the lost region",
}
_HELD: Final = (
    '<svg viewBox="0 0 18 18" aria-hidden="true"><circle cx="9" cy="9" r="9" fill="currentColor" opacity=".16"/>'
    '<path d="M5 9.3l2.700 2.700L13 6.500" fill="none" stroke="currentColor" stroke-width="2" '
    'stroke-linecap="round" stroke-linejoin="round"/></svg>'
)
_BROKEN: Final = (
    '<svg viewBox="0 0 18 18" aria-hidden="true"><circle cx="9" cy="9" r="9" fill="currentColor" opacity=".16"/>'
    '<path d="M6 6l6 6M12 6l-6 6" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"/></svg>'
)


class _Span(NamedTuple):
    """The time that a figure shows, in AWS seconds."""

    start: float
    end: float

    def share(self, moment: float) -> float:
        """Where a moment is, in percent of the width."""
        return 100 * (min(max(moment, self.start), self.end) - self.start) / (self.end - self.start)

    def box(self, start: float, end: float) -> str:
        left = self.share(start)
        return f"left:{left:.3f}%;width:{self.share(end) - left:.3f}%"


def render(report: Data) -> str:
    """Make the page.

    Parameters
    ----------
    report
        As ``report.json`` holds it.

    Returns
    -------
    str
        HTML that needs nothing but itself.
    """
    checks: Sequence[Data] = report["checks"]
    broken = sum(not check["held"] for check in checks)
    scale = f"{report['time_scale']:g}"
    verdict = (
        "Everything held"
        if report["held"]
        else (f"{broken} of {len(checks)} did not hold" if checks else "Nothing was judged")
    )
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"Game day {report['environment']}: {verdict.lower()}"),
        date=escape(_date(report["started_at"])),
        verdict=("✓ " if report["held"] else "✗ ") + escape(verdict),
        verdict_class="held" if report["held"] else "broken",
        headline=_unbroken(escape(headline(report)), report["regions"].values()),
        lead=escape(_lead(report)),
        phases="".join(_phase(report, report[name]) for name in report["phases"]),
        checks="".join(_check(check) for check in checks),
        lost=_lost(report["writes"]),
        next="".join(f"<li>{escape(each)}</li>" for each in report["next"]),
        facts="".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in _facts(report)),
        footer=escape(
            f"Times are AWS time: seconds of the lab × {scale}. What AWS takes minutes for (a promotion, an instance's "
            f"start) takes the lab {scale} times less, from a table with sources; a function's real milliseconds count "
            f"× {scale} as well, so what the workflow itself takes looks slower here than on AWS. "
            "Databases, replication, processes, load balancers and clients are real."
        ),
    )


def headline(report: Data) -> str:
    """Say in a sentence how the game day ended.

    Parameters
    ----------
    report
        As ``report.json`` holds it.

    Returns
    -------
    str
        For people who read nothing else.
    """
    primary, dr = report["regions"]["primary"], report["regions"]["dr"]
    first: Data = report[report["phases"][0]] if report["phases"] else {"rto_seconds": None, "status": "not started"}
    if first["rto_seconds"] is None:
        return f"{primary} was lost, and {dr} did not take over: the failover ended {first['status']}."
    lost = report["writes"]["lost"]
    if not report["writes"]["acknowledged"]:
        fate = "but no write was put to the test"
    elif not lost:
        fate = "and no acknowledged write was lost"
    else:
        fate = f"and {_number(lost)} acknowledged {'write was' if lost == 1 else 'writes were'} lost"
    return f"{primary} was lost. {dr} served again after {_duration(first['rto_seconds'])}, {fate}."


def _unbroken(html: str, names: Iterable[str]) -> str:
    """Keep a region's name on one line: its hyphens are no place to break it."""
    for name in names:
        html = html.replace(escape(name), f"<span>{escape(name)}</span>")
    return html


def _lead(report: Data) -> str:
    outage = report["outage"]
    how = {
        "refuse": "its APIs refused every request",
        "hang": "its APIs hung without an answer",
        "reset": "its APIs cut every connection",
    }.get(outage.get("mode", ""), "its APIs did not answer")
    return (
        f"Under load, the whole region was taken away: its database was killed, its instances were gone, {how}. "
        "One command without input did the rest."
    )


def _date(stamp: str) -> str:
    moment = dt.datetime.fromisoformat(stamp)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


# A phase: its figures, then what happened on one axis of time


def _phase(report: Data, phase: Data) -> str:
    return (
        f'<dl class="tiles">{"".join(_tiles(report, phase))}</dl>'
        f"<section><h2>{escape(phase['title'])}</h2>"
        f'<p class="soft">AWS time since {escape(phase["zero_name"])}. '
        "What the end had to wait for is drawn strong.</p>"
        f"{_keys(report)}{_chart(report, phase)}</section>"
    )


def _tiles(report: Data, phase: Data) -> Iterable[str]:
    writes = phase["writes"]
    scale = f"{report['time_scale']:g}"
    rto = phase["rto_seconds"]
    yield _tile(
        "Recovery time",
        _big(rto) if rto is not None else "never",
        "good" if rto is not None else "bad",
        f"AWS time (lab seconds × {scale}), from the loss to the first acknowledged write in {report['regions']['dr']}",
    )
    lost = writes["lost"]
    note = "looked for row by row"
    if writes["unapplied_at_loss"]:
        note += f"; {_number(writes['unapplied_at_loss'])} were in the replica, not yet applied, at the loss"
    if writes["received_unapplied"] is not None:
        note += f"; {_number(writes['received_unapplied'])} unapplied at the promotion"
    yield _tile("Acknowledged writes lost", _number(lost), "bad" if lost else "good", note)
    yield _tile(
        "Writes acknowledged",
        _number(writes["acknowledged"]),
        "",
        f"{_number(writes['acknowledged_before'])} before the loss, {_number(writes['acknowledged_after'])} after; "
        f"{_number(writes['unanswered'])} attempts without an answer are not counted",
    )
    work = phase["work_seconds"]
    yield _tile(
        "The workflow's own share",
        _big(work) if work is not None else "–",
        "",
        f"the critical path without its waits for AWS; the lab's overhead counts ×\u00a0{scale}",
    )


def _tile(name: str, figure: str, tone: str, note: str) -> str:
    return (
        f'<div class="tile"><dt>{escape(name)}</dt><dd><div class="figure {tone}">{figure}</div>'
        f'<div class="note">{escape(note)}</div></dd></div>'
    )


def _big(seconds: float) -> str:
    whole = round(seconds)
    if whole < 100:
        return f"{whole}<small> s</small>"
    return f"{whole // 60}<small> min</small> {whole % 60:02}<small> s</small>"


def _keys(report: Data) -> str:
    primary, dr = (escape(report["regions"][role]) for role in ("primary", "dr"))
    colours = (
        ("var(--primary)", f"acknowledged by {primary}"),
        ("var(--dr)", f"acknowledged by {dr}; a step on the critical path"),
        ("var(--quiet)", "a step beside it"),
        ("var(--down)", "no service"),
    )
    keys = "".join(f'<span><i style="background:{colour}"></i>{text}</span>' for colour, text in colours)
    return f'<div class="keys">{keys}</div>'


def _chart(report: Data, phase: Data) -> str:
    moments = {each["name"]: float(each["at"]) for each in phase["milestones"]}
    span = _span(report, phase, moments)
    return (
        f'<div class="chart">{_marks(moments, span)}{_writes(report, moments, span)}'
        f"{_outage(moments, span)}{_rows(phase['steps'], span)}{_axis(span)}</div>"
    )


def _span(report: Data, phase: Data, moments: Mapping[str, float]) -> _Span:
    last = max([*moments.values(), *(step["end"] for step in phase["steps"]), 1.0])
    margin = max(20.0, 0.16 * last)
    buckets = report["load"].get("buckets") or [{"at": 0.0}]
    width = report["load"].get("bucket_seconds", 0.0)
    # A steady hour before the loss would only press together what matters.
    return _Span(max(-margin, buckets[0]["at"]), min(last + margin, max(last, buckets[-1]["at"] + width) + 1))


def _marks(moments: Mapping[str, float], span: _Span) -> str:
    names = {"lost": "region lost", "started": "failover started", "restored": "served again"}
    marks = [
        f'<b class="{name}{" left" if name == "lost" or span.share(moments[name]) > 80 else ""}" '
        f'style="left:{span.share(moments[name]):.3f}%"><span>{text} {_clock(moments[name])}</span></b>'
        for name, text in names.items()
        if name in moments
    ]
    return f'<div class="marks" aria-hidden="true">{"".join(marks)}</div>'


def _writes(report: Data, moments: Mapping[str, float], span: _Span) -> str:
    width = report["load"].get("bucket_seconds") or 1.0
    buckets = [each for each in report["load"].get("buckets", ()) if span.start <= each["at"] < span.end]
    totals = [sum(each["acknowledged"].values()) for each in buckets]
    peak = max(totals, default=0) or 1
    shapes = [_no_service(moments, span)]
    for each, total in zip(buckets, totals, strict=True):
        left, wide = span.share(each["at"]) * 10, (span.share(each["at"] + width) - span.share(each["at"])) * 10
        base = 100.0
        for region, count in each["acknowledged"].items():
            tall = 88 * count / peak
            base -= tall
            kind = "primary" if region == report["regions"]["primary"] else "dr"
            if count:
                shapes.append(_rect(f"bar-{kind}", left, base, max(wide - 0.8, 0.6), tall))
        if each["failed"] and not total:
            shapes.append(_rect("bar-failed", left, 97, max(wide - 0.8, 0.6), 3))
    gap = ""
    end = moments.get("restored", span.end)
    if "lost" in moments:
        middle = (span.share(moments["lost"]) + span.share(end)) / 2
        how_long = f"no service for {_duration(end - moments['lost'])}" if "restored" in moments else "no service"
        gap = f'<div class="gap" style="left:{middle:.3f}%">{how_long}<small>clients keep trying</small></div>'
    return (
        '<div class="row writes"><div class="name">Writes acknowledged<br>'
        f"<em>per AWS second, at most {peak / width:.1f}</em></div>"
        '<div class="track">'
        '<svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" '
        f'aria-label="Writes acknowledged per AWS second over time">{"".join(shapes)}</svg>'
        f'{gap}</div><div class="took"></div></div>'
    )


def _no_service(moments: Mapping[str, float], span: _Span) -> str:
    if "lost" not in moments:
        return ""
    left, right = span.share(moments["lost"]) * 10, span.share(moments.get("restored", span.end)) * 10
    return _rect("no-service", left, 0, right - left, 100)


def _rect(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"/>'


def _outage(moments: Mapping[str, float], span: _Span) -> str:
    if "lost" not in moments:
        return ""
    end = moments.get("restored", span.end)
    rows = [_row("No service", "", [("down", moments["lost"], end)], span, kind="total")]
    if "started" in moments:
        rows.append(_row("Decided, and started by hand", "", [("hand", moments["lost"], moments["started"])], span))
    return "".join(rows)


def _rows(steps: Sequence[Data], span: _Span) -> str:
    html = []
    for branch, group in _groups(steps):
        if branch:
            html.append(f'<div class="branch">{escape(_BRANCHES.get(branch, branch))}</div>')
        for step in group:
            look = "failed" if step["errors"] and step["open"] else "critical" if step["critical"] else "beside"
            looked = f"{step['visits']} looks" if step["visits"] > 1 else ""
            retried = f"{step['retries']} retries" if step["retries"] else ""
            note = ", ".join(filter(None, (looked, retried)))
            kind = "inside" if branch else ""
            html.append(_row(step["name"], note, [(look, step["start"], step["end"])], span, kind=kind))
    return "".join(html)


def _groups(steps: Sequence[Data]) -> list[tuple[str, list[Data]]]:
    """Order steps as people read them: what came before a fork, then each branch, then what came after."""
    groups: list[tuple[str, list[Data]]] = []
    forks = [step for step in steps if step["kind"] in ("Parallel", "Map") and step["branch"] == "main"]
    plain = [step for step in steps if step["kind"] not in ("Parallel", "Map")]
    edges = [-math.inf, *(fork["start"] for fork in forks), math.inf]
    for start, end in zip(edges, edges[1:], strict=False):
        section = [step for step in plain if _after(step, start) and not _after(step, end)]
        branches = dict.fromkeys(step["branch"] for step in section if step["branch"] != "main")
        groups.extend((branch, [step for step in section if step["branch"] == branch]) for branch in branches)
        if main := [step for step in section if step["branch"] == "main"]:
            groups.append(("" if start == -math.inf else "then", main))
    return groups


def _after(step: Data, fork: float) -> bool:
    """Say whether a step comes after a fork: one that took no time may have begun and ended in its very moment."""
    over = step["branch"] == "main" and step["end"] <= fork
    return bool(step["start"] >= fork and not over)


def _row(name: str, note: str, bars: Iterable[tuple[str, float, float]], span: _Span, *, kind: str = "") -> str:
    drawn, took = "", ""
    for look, start, end in bars:
        title = f"{name}: {_clock(start)} to {_clock(end)}"
        drawn += f'<i class="{look}" style="{span.box(start, end)}" title="{escape(title)}"></i>'
        took = _short(end - start)
    small = f" <em>{escape(note)}</em>" if note else ""
    return (
        f'<div class="row {kind}"><div class="name"><div>{escape(name)}{small}</div></div>'
        f'<div class="track">{drawn}</div><div class="took">{took}</div></div>'
    )


def _axis(span: _Span) -> str:
    length = span.end - span.start
    step = next((tick for tick in _TICKS if length / tick <= 9), _TICKS[-1])
    first = math.ceil(span.start / step)
    ticks = [number * step for number in range(first, math.floor(span.end / step) + 1)]
    return (
        '<div class="axis">'
        + "".join(f'<span style="left:{span.share(tick):.3f}%">{_clock(tick)}</span>' for tick in ticks)
        + "</div>"
    )


# What held, what was lost, where it was


def _check(check: Data) -> str:
    held = bool(check["held"])
    return (
        f'<div class="mark {"held" if held else "broken"}" title="{"held" if held else "did not hold"}">'
        f"{_HELD if held else _BROKEN}</div>"
        f'<div class="name">{escape(check["name"])}</div><div class="detail">{escape(check["detail"])}</div>'
    )


def _lost(writes: Data) -> str:
    ids = writes["lost_ids"]
    if not ids:
        return ""
    listed = " ".join(f"<code>{escape(each)}</code>" for each in ids)
    return f"<details><summary>The {len(ids)} lost writes by id</summary><p>{listed}</p></details>"


def _facts(report: Data) -> Iterable[tuple[str, str]]:
    machine = report["machine"]
    yield "Regions", f"{escape(report['regions']['primary'])} → {escape(report['regions']['dr'])}"
    yield "Environment", escape(report["environment"])
    yield "Time scale", f"{report['time_scale']:g} AWS seconds in one real second"
    for name in report["phases"]:
        if arn := report[name]["execution_arn"]:
            yield "Execution", f"<code>{escape(arn)}</code>"
    yield "Game day", f"{_duration(report['real_seconds'])} of real time"
    yield (
        "Machine",
        escape(", ".join(filter(None, (machine.get("system"), f"{machine.get('processors', '?')} processors")))),
    )
    for name, value in machine.items():
        if name not in ("system", "processors"):
            yield escape(name.capitalize()), escape(value)


# How numbers are written


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}".replace(",", "\u202f")


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def _short(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 9.95 else _duration(seconds)


def _clock(seconds: float) -> str:
    whole = round(abs(seconds))
    sign = "−" if seconds < 0 and whole else ""
    return f"{sign}{whole // 60}:{whole % 60:02}"
