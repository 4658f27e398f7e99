"""From ``report.json`` to one self-contained page. Pure: the same report makes the same page, byte for byte.

Whatever comes from outside (names of states, causes, ids) is escaped where it enters the page, and only there.
"""

from __future__ import annotations

import datetime as dt
import re
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final

from lab.gameday.figures import chart, keys, overview
from lab.gameday.numbers import big, clock, duration, number, shares

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Data = Mapping[str, Any]

_TEMPLATE: Final = Path(__file__).with_name("page.html")
_HELD: Final = (
    '<svg viewBox="0 0 18 18" aria-hidden="true"><circle cx="9" cy="9" r="9" fill="currentColor" opacity=".16"/>'
    '<path d="M5 9.3l2.700 2.700L13 6.500" fill="none" stroke="currentColor" stroke-width="2" '
    'stroke-linecap="round" stroke-linejoin="round"/></svg>'
)
_BROKEN: Final = (
    '<svg viewBox="0 0 18 18" aria-hidden="true"><circle cx="9" cy="9" r="9" fill="currentColor" opacity=".16"/>'
    '<path d="M6 6l6 6M12 6l-6 6" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"/></svg>'
)
_MEANS: Final = {
    "detect": "detect: until the alarm rang",
    "decide": "decide: until the lock was asked for",
    "work": "work: database, compute and functions up",
    "verify": "verify: a write and a read",
    "traffic": "traffic: until the first order there",
}
_ORDER: Final = ("failover", "reprotect", "failback", "switchover")
"""The planned switch is a part of the failback: seen first from afar, then near."""
_TITLES: Final = {
    "failover": "Failover",
    "reprotect": "Re-protection",
    "switchover": "The switch home",
    "failback": "Failback",
    "steady": "Steady again",
}


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
    if report["held"]:
        verdict = "Everything held"
    elif report.get("cycles", 1) > 1:
        held = sum(bool(each["held"]) for each in report["circles"])
        verdict = f"{report['cycles'] - held} of {report['cycles']} circles did not hold"
    else:
        verdict = f"{broken} of {len(checks)} did not hold" if broken else "It was not held to its end"
        verdict = verdict if checks else "Nothing was judged"
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"Game day {report['environment']}: {verdict.lower()}"),
        date=escape(_date(report["started_at"])),
        verdict=("✓ " if report["held"] else "✗ ") + escape(verdict),
        verdict_class="held" if report["held"] else "broken",
        headline=_unbroken(escape(headline(report)), report["regions"].values()),
        lead=escape(_lead(report)),
        tiles=_tiles(report),
        circles=_circles(report),
        whole=_whole(report),
        phases="".join(_phase(report, report[name]) for name in _ORDER if name in report["phases"]),
        checks=_checks(checks),
        lost=_lost(report["writes"]),
        next="".join(f"<li>{escape(each)}</li>" for each in report["next"]),
        facts="".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in _facts(report)),
        footer=escape(
            f"Times are AWS time: seconds of the lab × {scale}{_lapse(report)}. What AWS takes minutes for (a "
            f"promotion, an instance's start) takes the lab {scale} times less, from a table with sources; a "
            f"function's real milliseconds count × {scale} as well, so what the workflow itself takes looks slower "
            "here than on AWS. "
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
    if report.get("cycles", 1) > 1:
        return _headline_of_series(report)
    first: Data = report[report["phases"][0]] if report["phases"] else {"rto_seconds": None, "status": "not started"}
    if first["rto_seconds"] is None:
        return f"{primary} was lost, and {dr} did not take over: the failover ended {first['status']}."
    told = f"{primary} was lost. {dr} served again after {duration(first['rto_seconds'])}"
    fate = _fate(report["writes"]) + _listed(report)
    if len(report["phases"]) == 1:
        return f"{told}, {fate}."
    home = report.get("failback") or {"freeze_seconds": None}
    if home["freeze_seconds"] is None:
        return f"{told}, but it did not come home; {fate.removeprefix('and ').removeprefix('but ')}."
    return f"{told}. All came home with {duration(home['freeze_seconds'])} of downtime, {fate}."


def _headline_of_series(report: Data) -> str:
    circles, wanted = report["circles"], report["cycles"]
    held = sum(bool(each["held"]) for each in circles)
    times = [each["rto_seconds"] for each in circles if each["rto_seconds"] is not None]
    freezes = [each["freeze_seconds"] for each in circles if each["freeze_seconds"] is not None]
    told = f"{held} of {wanted} circles held"
    if times:
        told += f": served again after {duration(max(times))} at worst"
    if freezes:
        told += f", home with {duration(max(freezes))} of downtime at worst"
    return f"{told}, {_fate(report['writes'])}{_listed(report)}."


def _listed(report: Data) -> str:
    return ", each of them listed" if report["held"] and report["writes"]["lost"] and "reprotect" in report else ""


def _fate(writes: Data) -> str:
    lost = writes["lost"]
    if not writes["acknowledged"]:
        return "but no write was put to the test"
    if not lost:
        return "and no acknowledged write was lost"
    return f"and {number(lost)} acknowledged {'write was' if lost == 1 else 'writes were'} lost"


def _unbroken(html: str, names: Iterable[str]) -> str:
    """Keep a region's name and a duration on one line: they are one word."""
    for name in names:
        html = html.replace(escape(name), f"<span>{escape(name)}</span>")
    return re.sub(r"\d+ min(?: \d+ s)?|\d+ s\b", r"<span>\g<0></span>", html)


def _lead(report: Data) -> str:
    outage = report["outage"]
    how = {
        "refuse": "its APIs refused every request",
        "hang": "its APIs hung without an answer",
        "reset": "its APIs cut every connection",
    }.get(outage.get("mode", ""), "its APIs did not answer")
    told = f"Under load, the whole region was taken away: its database was killed, its instances were gone, {how}. "
    if "failback" not in report["phases"]:
        return told + (
            "An alarm in the other region did the rest."
            if _by_itself(report)
            else "One command without input did the rest."
        )
    first = (
        "Nobody touched anything until the other region served: its own alarm began the failover, and the name "
        "followed. One command without input"
        if _by_itself(report)
        else "One command without input made the other region serve, one more"
    )
    told += f"{first} protected it when the first was back, "
    back = report["failback"]["freeze_seconds"] is not None
    told += "and another brought everything home." if back else "and another was to bring everything home."
    if report.get("cycles", 1) > 1:
        told = f"{number(report['cycles'])} circles, drawn from the seed {report['seed']}, one after another. " + told
    return told


def _by_itself(report: Data) -> bool:
    return bool(report.get("failover", {}).get("trigger", "manual") != "manual")


def _lapse(report: Data) -> str:
    fast = max((each["scale"] for each in report.get("clock", ())), default=0)
    return f", and × {fast:g} while nobody waited for the service" if fast > report["time_scale"] else ""


def _date(stamp: str) -> str:
    moment = dt.datetime.fromisoformat(stamp)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


# The figures that people look for


def _tiles(report: Data) -> str:
    tiles: list[str] = []
    failover, home = report.get("failover"), report.get("failback")
    protect = report.get("reprotect")
    scale = f"{report['time_scale']:g}"
    several = report.get("cycles", 1) > 1
    if failover:
        rto = failover["rto_seconds"]
        note = f"from the loss to the first order acknowledged by {report['regions']['dr']}; lab seconds ×\u00a0{scale}"
        if several and rto is not None:
            note = f"at worst, {duration(failover['rto_seconds_median'])} at the median; lab seconds × {scale}"
        tiles.append(_tile("Recovery time", big(rto) if rto is not None else "never", "good" if rto else "bad", note))
    if home:
        freeze = home["freeze_seconds"]
        note = f"nobody could order: {report['regions']['dr']} closed, proven, {report['regions']['primary']} promoted"
        if several and freeze is not None:
            note = f"at worst, {duration(home['freeze_seconds_median'])} at the median"
        tiles.append(
            _tile(
                "Planned downtime",
                big(freeze) if freeze is not None else "not home",
                "" if freeze else "bad",
                note,
            )
        )
    writes = report["writes"]
    tiles.append(
        _tile(
            "Orders acknowledged",
            number(writes["acknowledged"]),
            "",
            f"{number(writes['unanswered'])} attempts without an answer are not counted",
        )
    )
    tiles.append(_lost_tile(report))
    if protect and protect.get("divergence"):
        stray = protect["stray"]
        orders = (
            sum(each["divergence_orders"] or 0 for each in report["circles"])
            if several
            else protect["divergence_orders"]
        )
        tiles.append(
            _tile(
                "Never crossed, and listed",
                number(orders),
                "",
                f"rows of orders that the lost region alone has: the lost ones, {number(stray)} that it took after its "
                "return, and any that nobody was promised",
            )
        )
    elif failover and failover["work_seconds"] is not None:
        tiles.append(
            _tile(
                "The workflow's own share",
                big(failover["work_seconds"]),
                "",
                f"the critical path without its waits for AWS; the lab's overhead counts ×\u00a0{scale}",
            )
        )
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _lost_tile(report: Data) -> str:
    lost = report["writes"]["lost"]
    failover = report.get("failover")
    later = sum(report[name]["writes"]["lost"] for name in report["phases"] if name != "failover")
    note = "looked for row by row"
    if lost and report["held"] and not later:
        note += "; all of them had never left the lost region, and none was lost later"
    elif later:
        note += f"; {number(later)} of them after the failover"
    if failover and failover["writes"]["unapplied_at_loss"] and not report.get("cycles", 1) > 1:
        note += f"; {number(failover['writes']['unapplied_at_loss'])} were in the replica, not yet applied, at the loss"
    tone = "good" if not lost else "" if report["held"] else "bad"
    return _tile("Acknowledged orders lost", number(lost), tone, note)


def _tile(name: str, figure: str, tone: str, note: str) -> str:
    return (
        f'<div class="tile"><dt>{escape(name)}</dt><dd><div class="figure {tone}">{figure}</div>'
        f'<div class="note">{escape(note)}</div></dd></div>'
    )


# A series


def _circles(report: Data) -> str:
    circles = report.get("circles", ())
    if report.get("cycles", 1) < 2:
        return ""
    worst = (
        max((each[time] or 0.0 for each in circles for time in ("rto_seconds", "freeze_seconds")), default=0.0) or 1.0
    )
    rows = "".join(_circle(each, worst) for each in circles)
    missing = report["cycles"] - len(circles)
    short = f'<p class="soft missing">{missing} more could not be held.</p>' if missing else ""
    return (
        "<section><h2>Circle by circle</h2>"
        '<p class="soft">Chance drew when the region was lost and how, who wrote, and what had crossed by then. '
        f"Any of them comes again with <code>make gameday CYCLES=1 SEED=…</code></p>"
        '<div class="series"><div class="head"><span>circle</span><span>drawn</span><span>recovery time</span>'
        "<span>planned downtime</span><span>acknowledged</span><span>lost</span><span>never crossed</span><span></span>"
        "</div>"
        f"{rows}</div>{short}</section>"
    )


def _circle(circle: Data, worst: float) -> str:
    held = bool(circle["held"])
    mark = f'<span class="mark {"held" if held else "broken"}">{_HELD if held else _BROKEN}</span>'
    failed = "".join(
        f"<li>{escape(check['name'])}: {escape(check['detail'])}</li>" for check in circle["failed_checks"]
    ) + (f"<li>{escape(circle['problem'])}</li>" if circle["problem"] else "")
    lost = sum(circle["lost"].values())
    return (
        f'<div class="circle"><span class="which"><b>{circle["number"]}</b> '
        f"<em>{escape(str(circle['seed']))}</em></span>"
        f'<span class="drawn">{escape(_drawn(circle["drawn"]))}</span>'
        f"{_meter(circle['rto_seconds'], worst, 'dr')}{_meter(circle['freeze_seconds'], worst, 'primary')}"
        f'<span class="count">{number(circle["acknowledged"])}</span><span class="count">{number(lost)}</span>'
        f'<span class="count">{number(circle["divergence_orders"])}</span>{mark}'
        + (f'<ul class="failed">{failed}</ul>' if failed else "")
        + "</div>"
    )


def _drawn(drawn: Data) -> str:
    parts = [f"APIs {drawn['mode']}", f"{drawn['writers']} clients"]
    if drawn["behind"]:
        parts.append(f"replica {drawn['behind']} s behind")
    if drawn["held"]:
        parts.append(f"{drawn['held']:g} s held back")
    parts.append(f"away {duration(drawn['away'])}")
    if drawn["strays"]:
        parts.append(f"{drawn['strays']} stray")
    return " · ".join(parts)


def _meter(seconds: float | None, worst: float, look: str) -> str:
    if seconds is None:
        return '<span class="meter"><em>never</em></span>'
    bar = f'<i class="{look}" style="width:{70 * seconds / worst:.1f}%"></i>'
    return f'<span class="meter">{bar}<em>{clock(seconds)}</em></span>'


# The phases


def _whole(report: Data) -> str:
    if len(report["phases"]) < 2:
        return ""
    which = f" {report['shown']}" if report.get("cycles", 1) > 1 else ""
    lapse = " Where the clock ran faster, time is drawn as it passed in the lab." if report.get("clock") else ""
    return (
        f"<section><h2>The whole circle{which}</h2>"
        f'<p class="soft">AWS time since the loss.{lapse}</p>{keys(report)}{overview(report)}</section>'
    )


def _phase(report: Data, phase: Data) -> str:
    extra = _divergence(report, phase) if phase["name"] == "reprotect" else _breakdown(phase)
    several = report.get("cycles", 1) > 1
    writes = "" if several else f" {_promised(phase['writes'])}"
    cause = f'<p class="cause">{escape(phase["cause"])}</p>' if phase["cause"] else ""
    return (
        f"<section><h2>{escape(phase['title'])}</h2>"
        f'<p class="soft">AWS time since {escape(phase["zero_name"])}. '
        f"What the end had to wait for is drawn strong.{escape(writes)}</p>{cause}"
        f"{extra}{keys(report) if len(report['phases']) < 2 else ''}{chart(report, phase)}</section>"
    )


def _breakdown(phase: Data) -> str:
    """Show what the recovery time consists of."""
    parts = phase.get("breakdown") or {}
    total = sum(parts.values())
    if not total:
        return ""
    bar = "".join(
        f'<i class="{escape(name)}" style="width:{100 * seconds / total:.2f}%"></i>' for name, seconds in parts.items()
    )
    legend = "".join(
        f'<span><i class="{escape(name)}"></i><b>{duration(seconds)}</b> {escape(_MEANS.get(name, name))}</span>'
        for name, seconds in shares(parts, total).items()
    )
    by = "by hand" if phase["trigger"] == "manual" else f"by {phase['trigger']}"
    return (
        f'<div class="divergence whole-width"><div><h3>Started {escape(by)}: what the {duration(total)} consist of</h3>'
        f'<div class="bar">{bar}</div><div class="parts">{legend}</div></div></div>'
    )


def _promised(writes: Data) -> str:
    return (
        f"{number(writes['acknowledged'])} orders were acknowledged meanwhile, {number(writes['lost'])} of them lost."
    )


def _divergence(report: Data, phase: Data) -> str:
    """Show what the old database alone has: whose it is, and where it is listed."""
    found = phase.get("divergence")
    if not found or report.get("cycles", 1) > 1:
        return ""
    lost, stray, orders = report["failover"]["writes"]["lost"], phase["stray"], phase["divergence_orders"] or 0
    parts = [
        ("lost", lost, "lost: acknowledged just before the loss"),
        ("stray", stray, f"taken by {report['regions']['primary']} after its return"),
        ("nobody", max(0, orders - lost - stray), "never promised to anybody"),
    ]
    total = sum(count for _, count, _ in parts) or 1
    bar = "".join(
        f'<i class="{look}" style="width:{100 * count / total:.2f}%"></i>' for look, count, _ in parts if count
    )
    legend = "".join(
        f'<span><i class="{look}"></i><b>{number(count)}</b> {escape(text)}</span>' for look, count, text in parts
    )
    tables = ", ".join(
        f"{name} +{counts.get('inserted', 0)} ~{counts.get('updated', 0)} −{counts.get('deleted', 0)}"
        for name, counts in (found.get("tables") or {}).items()
    )
    if found.get("more_tables"):
        tables += f" and {found['more_tables']} more tables: see the list"
    facts = [
        ("Listed in", f"<code>{escape(str(found.get('evidence') or 'no list'))}</code>"),
        ("By table", escape(tables or "none")),
        ("Kept as", f"<code>{escape(str(phase['output'].get('retired') or 'nothing'))}</code>"),
    ]
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    return (
        f'<div class="divergence"><div><h3>{number(orders)} orders never crossed</h3><div class="bar">{bar}</div>'
        f'<div class="parts">{legend}</div></div><dl class="facts">{listed}</dl></div>'
    )


# What held, what was lost, where it was


def _checks(checks: Sequence[Data]) -> str:
    html, phase = [], ""
    for check in checks:
        if (now := check.get("phase", "")) != phase:
            phase = now
            if phase in _TITLES:
                html.append(f'<h3 class="of">{_TITLES[phase]}</h3>')
        html.append(_check(check))
    return "".join(html)


def _check(check: Data) -> str:
    held = bool(check["held"])
    look, said = ("held", "held") if held else ("broken", "did not hold")
    return (
        f'<div class="check"><div class="mark {look}" title="{said}">'
        f"{_HELD if held else _BROKEN}</div>"
        f'<div class="name">{escape(check["name"])}</div><div class="detail">{escape(check["detail"])}</div></div>'
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
    yield "Time scale", f"{report['time_scale']:g} AWS seconds in one real second{_lapse(report)}"
    if report.get("seed") is not None:
        yield "Seed", f"<code>make gameday CYCLES={report['cycles']} SEED={report['seed']}</code>"
    for name in report["phases"]:
        if arn := report[name]["execution_arn"]:
            yield "Execution", f"<code>{escape(arn)}</code>"
    yield "Game day", f"{duration(report['real_seconds'])} of real time"
    yield (
        "Machine",
        escape(", ".join(filter(None, (machine.get("system"), f"{machine.get('processors', '?')} processors")))),
    )
    for name, value in machine.items():
        if name not in ("system", "processors"):
            yield escape(name.capitalize()), escape(value)
