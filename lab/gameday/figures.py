"""The drawings of the page: the circle as a whole, then each phase on an axis of its own. Pure.

Whatever comes from outside is escaped where it enters a drawing.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lab.gameday.numbers import clock, duration, short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Data = Mapping[str, Any]
    Moments = Mapping[str, float]

_TICKS: Final = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200)
_BRANCHES: Final = {
    "database": "Database",
    "sql": "Database",
    "compute": "Compute",
    "workload": "Business functions",
    "fence": "Closing the lost region",
}
_MARKS: Final = {
    "failover": {"lost": "region lost", "started": "failover started", "restored": "served again"},
    "reprotect": {"closed": "old region closed"},
    "switchover": {"frozen": "frozen", "restored": "served again"},
    "failback": {"frozen": "frozen", "restored": "served again"},
}
_NARROW: Final = 30
"""Percent of the width: what is narrower has no room for a sentence."""
_MARGINS: Final = {"failover": 0.16, "switchover": 0.12}


class Span(NamedTuple):
    """The time that a figure shows, in AWS seconds, and how it is laid out: by itself, or pressed together."""

    start: float
    end: float
    pressed: Callable[[float], float] = float

    def share(self, moment: float) -> float:
        """Where a moment is, in percent of the width."""
        start, end = self.pressed(self.start), self.pressed(self.end)
        return 100 * (self.pressed(min(max(moment, self.start), self.end)) - start) / (end - start)

    def box(self, start: float, end: float) -> str:
        """Style of a box from one moment to another."""
        left = self.share(start)
        return f"left:{left:.3f}%;width:{self.share(end) - left:.3f}%"


def moments_of(phase: Data | None, *, since_loss: bool = False) -> dict[str, float]:
    """Return a phase's milestones by name.

    Parameters
    ----------
    phase
        As the report holds it; None for none.
    since_loss
        Counted from the loss, not from the phase's own zero.

    Returns
    -------
    dict[str, float]
        AWS seconds.
    """
    if phase is None:
        return {}
    zero = float(phase.get("zero_at") or 0.0) if since_loss else 0.0
    return {each["name"]: float(each["at"]) + zero for each in phase["milestones"]}


# The whole circle


def overview(report: Data) -> str:
    """Draw the whole circle: the load, who serves, and what each region is.

    Parameters
    ----------
    report
        As ``report.json`` holds it.

    Returns
    -------
    str
        HTML.
    """
    buckets = report["load"].get("buckets") or [{"at": 0.0, "until": 1.0}]
    span = Span(buckets[0]["at"], max(buckets[-1].get("until", 0.0), buckets[0]["at"] + 1.0), _pressed(report))
    found = {name: moments_of(report.get(name), since_loss=True) for name in report["phases"]}
    zones = list(_zones(report, found))
    names = report["regions"]
    return (
        f'<div class="chart whole">{_load(report, span, zones, 0.0)}'
        f"{_lane(names['primary'], _primary_states(found, span), span)}"
        f"{_lane(names['dr'], _dr_states(found, span), span)}"
        f"{_commands(report, found, span)}{_lapses(report, span)}{_axis(span)}</div>"
    )


def _pressed(report: Data) -> Callable[[float], float]:
    """Return where an AWS moment is if the lab's own seconds are drawn evenly."""
    changes = [(float(each["at"]), float(each["scale"])) for each in report.get("clock", ())]
    first = float(report["time_scale"])

    def real(moment: float) -> float:
        at, passed, scale = 0.0, 0.0, first
        for since, now in changes:
            if moment <= since:
                break
            passed += (since - at) / scale
            at, scale = since, now
        return passed + (moment - at) / scale

    return real


class _Zone(NamedTuple):
    """A time in which nobody could order: from, until, what it is called, and how long it was if it is over."""

    start: float
    end: float
    name: str
    length: float | None


def _zones(report: Data, found: Mapping[str, Moments]) -> Iterable[_Zone]:
    failover, home = found.get("failover", {}), found.get("failback", {})
    if "lost" in failover:
        end = failover.get("restored", math.inf)
        yield _Zone(failover["lost"], end, "no service", _length(report, report["failover"], failover["lost"], end))
    if "frozen" in home:
        end = home.get("restored", math.inf)
        yield _Zone(home["frozen"], end, "frozen", _length(report, report["failback"], home["frozen"], end))


def _length(report: Data, phase: Data, start: float, end: float) -> float | None:
    """Return how long nobody could order; None if it is not over. In a series the phase tells the worst circle's."""
    told = phase["rto_seconds"] if phase["name"] == "failover" else phase["freeze_seconds"]
    if end == math.inf or told is None:
        return None
    return float(told) if report.get("cycles", 1) == 1 else end - start


def _primary_states(found: Mapping[str, Moments], span: Span) -> Iterable[tuple[str, str, float, float]]:
    failover, protect, home = (found.get(name, {}) for name in ("failover", "reprotect", "failback"))
    lost, returned = failover.get("lost", span.end), protect.get("returned", span.end)
    closed = protect.get("closed", protect.get("ended", span.end))
    protected, frozen = protect.get("ended", span.end), home.get("frozen", span.end)
    served = home.get("restored", span.end)
    yield "primary", "active", span.start, lost
    yield "gone", "lost", lost, returned
    yield "stale", "back, and wrong", returned, closed
    yield "busy", "made a replica", closed, protected
    yield "standby", "replica", protected, frozen
    yield "busy", "takes over", frozen, served
    yield "primary", "active", served, span.end


def _dr_states(found: Mapping[str, Moments], span: Span) -> Iterable[tuple[str, str, float, float]]:
    failover, home = found.get("failover", {}), found.get("failback", {})
    lost, restored = failover.get("lost", span.end), failover.get("restored", span.end)
    frozen, served, ended = (home.get(name, span.end) for name in ("frozen", "restored", "ended"))
    yield "standby", "replica", span.start, lost
    yield "busy", "takes over", lost, restored
    yield "dr", "active", restored, frozen
    yield "frozen", "frozen", frozen, served
    yield "busy", "made a replica", served, ended
    yield "standby", "replica", ended, span.end


def _lane(region: str, states: Iterable[tuple[str, str, float, float]], span: Span) -> str:
    drawn = "".join(
        f'<i class="state {look}" style="{span.box(start, end)}" '
        f'title="{escape(f"{region}: {text}, {clock(start)} to {clock(end)}")}">'
        f"{_label(text, start, end, span)}</i>"
        for look, text, start, end in states
        if start < end
    )
    return (
        f'<div class="row lane"><div class="name"><div>{escape(region)}</div></div>'
        f'<div class="track">{drawn}</div><div class="took"></div></div>'
    )


def _label(text: str, start: float, end: float, span: Span) -> str:
    return f"<span>{escape(text)}</span>" if span.share(end) - span.share(start) > 5 else ""


def _commands(report: Data, found: Mapping[str, Moments], span: Span) -> str:
    drawn = []
    for name, text in (("failover", "failover"), ("reprotect", "re-protect"), ("failback", "failback")):
        moments = found.get(name, {})
        if "started" in moments and "ended" in moments:
            start, end = moments["started"], moments["ended"]
            bad = "" if report[name]["status"] == "SUCCEEDED" else " failed"
            drawn.append(
                f'<i class="state command{bad}" style="{span.box(start, end)}" '
                f'title="{escape(f"{text}: {clock(start)} to {clock(end)}")}"><span>{text}</span></i>'
            )
    return (
        '<div class="row lane"><div class="name"><div>Commands</div></div>'
        f'<div class="track bare">{"".join(drawn)}</div><div class="took"></div></div>'
    )


def _lapses(report: Data, span: Span) -> str:
    changes = [*report.get("clock", ()), {"at": span.end, "scale": report["time_scale"]}]
    drawn = "".join(
        f'<i style="{span.box(each["at"], after["at"])}"><span>×\u00a0{each["scale"]:g}</span></i>'
        for each, after in zip(changes, changes[1:], strict=False)
        if each["scale"] > report["time_scale"] and each["at"] < span.end
    )
    return f'<div class="lapses" aria-hidden="true">{drawn}</div>' if drawn else ""


# A phase


def keys(report: Data) -> str:
    """Explain the colours.

    Parameters
    ----------
    report
        As ``report.json`` holds it.

    Returns
    -------
    str
        HTML.
    """
    primary, dr = (escape(report["regions"][role]) for role in ("primary", "dr"))
    colours = [
        ("var(--primary)", f"acknowledged by {primary}"),
        ("var(--dr)", f"acknowledged by {dr}; a step on the critical path"),
        ("var(--quiet)", "a step beside it"),
        ("var(--down)", "nobody can order"),
    ]
    if report.get("strays"):
        colours.insert(2, ("var(--bad)", f"acknowledged by {primary} after it had lost its role"))
    html = "".join(f'<span><i style="background:{colour}"></i>{text}</span>' for colour, text in colours)
    return f'<div class="keys">{html}</div>'


def chart(report: Data, phase: Data) -> str:
    """Draw a phase: the load, and each step on one axis of time.

    Parameters
    ----------
    report
        As ``report.json`` holds it.
    phase
        One of its phases.

    Returns
    -------
    str
        HTML.
    """
    moments, zero = moments_of(phase), float(phase.get("zero_at") or 0.0)
    span = _span(report, phase, moments, zero)
    begin = "lost" if "lost" in moments else "frozen"
    zones: list[_Zone] = []
    if begin in moments:
        end = moments.get("restored", math.inf)
        zones = [_Zone(moments[begin], end, "no service", _length(report, phase, moments[begin], end))]
    rows = _nested(phase["steps"], span) if phase["name"] == "failback" else _rows(phase["steps"], span)
    return (
        f'<div class="chart">{_marks(phase["name"], moments, span)}{_load(report, span, zones, zero)}'
        f"{_outage(moments, zones, span)}{rows}{_axis(span)}</div>"
    )


def _span(report: Data, phase: Data, moments: Moments, zero: float) -> Span:
    begin = min([0.0, *(at for name, at in moments.items() if name == "lost")])
    last = max([*moments.values(), *(step["end"] for step in phase["steps"]), 1.0])
    margin = max(20.0, _MARGINS.get(phase["name"], 0.03) * (last - begin))
    buckets = report["load"].get("buckets") or [{"at": 0.0, "until": 0.0}]
    first, final = buckets[0]["at"] - zero, buckets[-1].get("until", 0.0) - zero
    # A steady hour before the loss would only press together what matters.
    return Span(max(begin - margin, min(first, begin)), min(last + margin, max(last, final) + 1))


def _marks(phase: str, moments: Moments, span: Span) -> str:
    marks = [
        f'<b class="{name}{" left" if name in ("lost", "frozen") or span.share(moments[name]) > 80 else ""}" '
        f'style="left:{span.share(moments[name]):.3f}%"><span>{text} {clock(moments[name])}</span></b>'
        for name, text in _MARKS.get(phase, {}).items()
        if name in moments
    ]
    return f'<div class="marks" aria-hidden="true">{"".join(marks)}</div>'


def _load(report: Data, span: Span, zones: Sequence[_Zone], zero: float) -> str:
    load = report["load"]
    buckets = [
        each
        for each in load.get("buckets", ())
        if each.get("until", each["at"]) - zero > span.start and each["at"] - zero < span.end
    ]
    peak = max((sum(each["acknowledged"].values()) for each in load.get("buckets", ())), default=0) or 1
    shapes = [
        _rect("no-service", 10 * span.share(zone.start), 0, 10 * (span.share(zone.end) - span.share(zone.start)), 100)
        for zone in zones
    ]
    for each in buckets:
        left, wide = _place(each, span, zero)
        base = 100.0
        for region, count in each["acknowledged"].items():
            tall = 88 * count / peak
            base -= tall
            kind = "primary" if region == report["regions"]["primary"] else "dr"
            if count:
                shapes.append(_rect(f"bar-{kind}", left, base, wide, tall))
        if each["failed"] and not sum(each["acknowledged"].values()):
            shapes.append(_rect("bar-failed", left, 97, wide, 3))
    for each in report.get("strays", {}).get("buckets", ()):
        count = sum(each["acknowledged"].values())
        if count and span.start < each["at"] - zero < span.end:
            left, wide = _place(each, span, zero)
            shapes.append(_rect("bar-stray", left, 0, wide, max(4.0, min(40.0, 88 * count / peak))))
    written = "".join(_written(zone, span) for zone in zones)
    rate = peak / float(load.get("bucket_real_seconds") or 1.0)
    return (
        '<div class="row writes"><div class="name"><div>Orders acknowledged<br>'
        f"<em>per second of the clients, at most {rate:.0f}</em></div></div>"
        '<div class="track">'
        '<svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" '
        f'aria-label="Orders acknowledged over time">{"".join(shapes)}</svg>'
        f'{written}</div><div class="took"></div></div>'
    )


def _written(zone: _Zone, span: Span) -> str:
    left, right = span.share(zone.start), span.share(zone.end)
    if zone.length is None:
        text = zone.name
    elif right - left > _NARROW:
        text = f"{zone.name} for {duration(zone.length)}<small>clients keep trying</small>"
    else:
        text = f"{clock(zone.length)}<small>{zone.name}</small>"
    return f'<div class="gap" style="left:{(left + right) / 2:.3f}%">{text}</div>'


def _place(bucket: Data, span: Span, zero: float) -> tuple[float, float]:
    left = 10 * span.share(bucket["at"] - zero)
    wide = 10 * span.share(bucket.get("until", bucket["at"]) - zero) - left
    return left, max(wide - min(0.8, wide / 4), 0.5)


def _rect(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"/>'


def _outage(moments: Moments, zones: Sequence[_Zone], span: Span) -> str:
    rows = [
        _row(
            "Nobody can order", "", ("down", zone.start, min(zone.end, span.end)), span, kind="total", took=zone.length
        )
        for zone in zones
    ]
    if "lost" in moments and "started" in moments:
        rows.append(_row("Until it was started", "", ("hand", moments["lost"], moments["started"]), span))
    return "".join(rows)


def _rows(steps: Sequence[Data], span: Span) -> str:
    html = []
    for branch, group in _groups(steps):
        if branch:
            html.append(f'<div class="branch">{escape(_BRANCHES.get(branch, branch))}</div>')
        html.extend(_step(step, span, inside=bool(branch)) for step in group)
    return "".join(html)


def _nested(steps: Sequence[Data], span: Span) -> str:
    """Draw a parent's steps, each with those of the execution that it waited for, but the switch's: it has a figure."""
    html = []
    for parent in (step for step in steps if step["branch"] == "main"):
        html.append(_step(parent, span, inside=False))
        inside = [
            step
            for step in steps
            if step["branch"] != "main"
            and parent["start"] <= step["start"] <= parent["end"]
            and parent["end"] > parent["start"]
            and not step["branch"].startswith("Switch over")
            and step["kind"] == "Task"
        ]
        html.extend(_step(step, span, inside=True) for step in inside)
    return "".join(html)


def _step(step: Data, span: Span, *, inside: bool) -> str:
    look = "failed" if step["errors"] and step["open"] else "critical" if step["critical"] else "beside"
    looked = f"{step['visits']} looks" if step["visits"] > 1 else ""
    retried = f"{step['retries']} retries" if step["retries"] else ""
    note = ", ".join(filter(None, (looked, retried)))
    return _row(step["name"], note, (look, step["start"], step["end"]), span, kind="inside" if inside else "")


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


def _row(
    name: str, note: str, bar: tuple[str, float, float], span: Span, *, kind: str = "", took: float | None = None
) -> str:
    look, start, end = bar
    title = f"{name}: {clock(start)} to {clock(end)}"
    small = f" <em>{escape(note)}</em>" if note else ""
    return (
        f'<div class="row {kind}"><div class="name"><div>{escape(name)}{small}</div></div>'
        f'<div class="track"><i class="{look}" style="{span.box(start, end)}" title="{escape(title)}"></i></div>'
        f'<div class="took">{short(end - start if took is None else took)}</div></div>'
    )


def _axis(span: Span) -> str:
    length = span.end - span.start
    step = next((tick for tick in _TICKS if length / tick <= 9), _TICKS[-1])
    first = math.ceil(span.start / step)
    ticks: list[float] = [number * step for number in range(first, math.floor(span.end / step) + 1)]
    if span.pressed is not float:
        ticks = _apart([0, *_whole_ticks(span)], span)
    return (
        '<div class="axis">'
        + "".join(f'<span style="left:{span.share(tick):.3f}%">{clock(tick)}</span>' for tick in ticks)
        + "</div>"
    )


def _whole_ticks(span: Span) -> list[float]:
    """Ticks for an axis that is pressed together in parts: full minutes, as far apart as they are wide."""
    minutes = range(0, math.floor(span.end) + 1, 60)
    return sorted(minutes, key=lambda tick: (tick % 1800 != 0, tick % 600 != 0, tick % 300 != 0, tick))


def _apart(ticks: Sequence[float], span: Span, least: float = 6.5) -> list[float]:
    chosen: list[float] = []
    for tick in ticks:
        if all(abs(span.share(tick) - span.share(other)) >= least for other in chosen):
            chosen.append(tick)
    return sorted(chosen)
