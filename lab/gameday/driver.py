"""Game days: one circle told in full, or a series of circles drawn from a seed, and what is left of them."""

from __future__ import annotations

import datetime as dt
import os
import platform
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab.gameday import series
from lab.gameday.circle import GIVE_UP, Circle, Options
from lab.gameday.cloud import Control, Region
from lab.gameday.draw import Draw, any_seed, draw, seeds
from lab.gameday.numbers import shares, whole
from lab.gameday.report import Report, write
from lab.gameday.terminal import Terminal, clock
from lab.gameday.watch import PROJECT, GameDayError

if TYPE_CHECKING:
    from lab.gameday.model import Check

OUTPUT: Final = PROJECT / "build" / "gameday"
INTERRUPTED: Final = 130


@dataclass(frozen=True)
class Plan:
    """Which circles are held. Without ``cycles`` it is one, as ``draw`` says, told in full."""

    draw: Draw = field(default_factory=Draw)
    cycles: int | None = None
    seed: int | None = None
    output: Path = OUTPUT
    options: Options = field(default_factory=Options)


def run(endpoint: str, scale: float, plan: Plan | None = None) -> int:
    """Hold a game day on a lab that is up and deployed.

    Parameters
    ----------
    endpoint
        The lab's address.
    scale
        AWS seconds that pass in one real second while somebody waits for the service.
    plan
        Which circles.

    Returns
    -------
    int
        0 if everything held, 1 if something did not or the game day could not be held, 130 if it was interrupted.
    """
    plan = plan or Plan()
    terminal = Terminal(sys.stdout, short=plan.cycles is not None)
    try:
        return GameDay(endpoint, scale, plan, terminal).hold()
    except KeyboardInterrupt:
        terminal.settle()
        terminal.line("Interrupted: the writers are stopped, nothing was judged.", "warn")
        return INTERRUPTED
    except GIVE_UP as error:
        terminal.settle()
        terminal.line(_reason(error), "bad")
        return 1


class GameDay:
    """One circle or several, one after another, on the same lab.

    Parameters
    ----------
    endpoint
        The lab's address.
    scale
        AWS seconds that pass in one real second while somebody waits for the service.
    plan
        Which circles.
    terminal
        Where progress goes.
    """

    def __init__(self, endpoint: str, scale: float, plan: Plan, terminal: Terminal) -> None:
        self._endpoint, self._scale, self._plan, self._terminal = endpoint, scale, plan, terminal
        self._earlier: dict[str, str] = {}
        self._primary, self._dr = _roles(endpoint, plan.options.environment)

    def hold(self) -> int:
        """Hold the circles, judge, and write the report.

        Returns
        -------
        int
            0 if everything held.
        """
        self._clear()
        return self._one() if self._plan.cycles is None else self._series(self._plan.cycles)

    def _clear(self) -> None:
        """Remove what an earlier game day left: nothing of it is to be taken for this one's."""
        output = self._plan.output
        for directory in output.glob("circle-*"):
            shutil.rmtree(directory, ignore_errors=True)
        for name in ("report.json", "report.html", "writes.jsonl", "stray-writes.jsonl", "lab.log"):
            (output / name).unlink(missing_ok=True)

    # One circle

    def _one(self) -> int:
        terminal, plan = self._terminal, self._plan
        terminal.line(
            f"Game day  environment {plan.options.environment}: {self._primary} is about to be lost, {self._dr} has to "
            f"take over, and everything has to come home",
            "bold",
        )
        terminal.line(
            f"Times are AWS time since the loss: lab seconds × {self._scale:g}, and × {plan.options.lapse:g} while "
            "nobody waits for the service.",
            "dim",
        )
        report = self._empty_report()
        problem = self._hold(plan.draw, report, plan.output)
        if problem and not report.phases:
            terminal.line(problem, "bad")
            if (log := self._keep_log()) is not None:
                terminal.line(f"  The lab's log    {_short(log)}")
            return 1
        held = series.Held(1, None, plan.draw, report, problem)
        data, html = write(series.combined([held], 1), plan.output)
        self._summary(report)
        if problem:
            terminal.line(f"  {problem}", "bad")
        return self._end(held=held.held, data=data, html=html, broken=_broken(report.checks))

    def _hold(self, draw: Draw, report: Report, directory: Path) -> str:
        """Hold a circle; return why it could not be held to its end, if so."""
        began = time.time()
        problem = ""
        try:
            Circle(
                self._endpoint,
                self._scale,
                self._plan.options,
                draw,
                self._terminal,
                report,
                directory,
                self._earlier,
            ).hold()
        except GIVE_UP as error:
            problem = _reason(error)
        self._terminal.settle()
        report.seconds = time.time() - began
        return problem

    def _summary(self, report: Report) -> None:
        terminal = self._terminal
        terminal.chapter("Summary", "what had to hold")
        phase = None
        for check in report.checks:
            if check.phase != phase:
                phase = check.phase
                terminal.line(f"        {terminal.paint(series.TITLES.get(phase, phase), 'bold')}")
            mark = terminal.paint("✓" if check.held else "✗", "good" if check.held else "bad")
            terminal.line(f"          {mark} {check.name}")
            terminal.line(f"            {check.detail}", "dim" if check.held else "warn")
        terminal.line()
        found = {each.name: each for each in report.phases}
        failover, reprotect, back = (found.get(name) for name in ("failover", "reprotect", "failback"))
        if failover and failover.rto_seconds is not None:
            terminal.line(
                f"  Recovery time    {whole(failover.rto_seconds)} AWS s ({clock(failover.rto_seconds)[1:]} min), "
                f"lab seconds × {report.time_scale:g}"
            )
            if failover.breakdown:
                consists = shares(failover.breakdown, failover.rto_seconds)
                parts = ", ".join(f"{name} {seconds}" for name, seconds in consists.items())
                terminal.line(f"  Of that          {parts} (started by {failover.trigger})")
        if back and back.freeze_seconds is not None:
            terminal.line(
                f"  Freeze           {whole(back.freeze_seconds)} AWS s ({clock(back.freeze_seconds)[1:]} min) without "
                "writes on the way home"
            )
        lost = report.writes.lost
        terminal.line(f"  Orders           {report.writes.acknowledged} acknowledged, {lost} lost{_whose(report)}")
        if reprotect and reprotect.divergence and reprotect.divergence.reported is not None:
            stray = reprotect.stray.acknowledged if reprotect.stray else 0
            terminal.line(
                f"  Never crossed    {reprotect.divergence.orders} orders ({lost} lost, {stray} taken by the returned "
                "region), listed in"
            )
            terminal.line(f"                   {reprotect.divergence.evidence or 'nothing'}")

    # A series

    def _series(self, cycles: int) -> int:
        terminal, plan = self._terminal, self._plan
        seed = any_seed() if plan.seed is None else plan.seed
        terminal.line(f"Game day  {cycles} circles, seed {seed}", "bold")
        terminal.line(
            f"Each: {self._primary} lost, {self._dr} takes over, {self._primary} returns, is protected again, takes "
            "back. Times are AWS time.",
            "dim",
        )
        done = self._circles(seed, cycles)
        data, html = write(series.combined(done, cycles, seed), plan.output)
        terminal.line()
        self._totals(done, cycles)
        failed = [held for held in done if not held.held]
        for held in failed:
            terminal.line(f"  Again            make gameday CYCLES=1 SEED={held.seed}   (circle {held.number})", "warn")
        if failed and done[0] is not failed[0]:
            first = failed[0].number
            terminal.line(f"                   make gameday CYCLES={first} SEED={seed}   (from the first on)", "warn")
        return self._end(
            held=not failed and len(done) == cycles,
            data=data,
            html=html,
            broken=f"{len(failed)} of {cycles} circles did not hold"
            + (f", {cycles - len(done)} could not be held." if len(done) < cycles else "."),
        )

    def _circles(self, seed: int, cycles: int) -> list[series.Held]:
        terminal, plan = self._terminal, self._plan
        done: list[series.Held] = []
        for number, own in enumerate(seeds(seed, cycles), 1):
            drawn = draw(own)
            terminal.line()
            terminal.line(
                f"{terminal.paint(f'Circle {number} of {cycles}', 'bold')}  seed {own}: "
                f"{terminal.paint(drawn.sentence(), 'dim')}"
            )
            report = self._empty_report()
            directory = plan.output / f"circle-{number}"
            held = series.Held(number, own, drawn, report, self._hold(drawn, report, directory))
            done.append(held)
            self._tell(held)
            write(series.combined([held], 1), directory)
            if not held.can_go_on:
                if number < cycles:
                    terminal.line("   The regions are not in their places: no circle can follow this one.", "bad")
                break
        return done

    def _tell(self, held: series.Held) -> None:
        terminal, report = self._terminal, held.report
        terminal.line(
            f"   orders       {report.writes.acknowledged} acknowledged, {report.writes.lost} lost{_whose(report)}, "
            f"{report.seconds:.0f} s here"
        )
        if held.held:
            terminal.line(f"   ✓ held: {len(report.checks)} checks", "good")
            return
        terminal.line(f"   ✗ {held.problem or _broken(report.checks)}", "bad")
        for check in report.checks:
            if not check.held:
                terminal.line(f"     {check.name}: {check.detail}", "warn")

    def _totals(self, done: list[series.Held], cycles: int) -> None:
        terminal = self._terminal
        told = series.combined(done, cycles)
        failover, back = told.get("failover") or {}, told.get("failback") or {}
        if failover.get("rto_seconds") is not None:
            terminal.line(
                f"  Recovery time    {whole(failover['rto_seconds'])} AWS s at worst, "
                f"{whole(failover['rto_seconds_median'])} at the median"
            )
        if back.get("freeze_seconds") is not None:
            terminal.line(
                f"  Freeze           {whole(back['freeze_seconds'])} AWS s at worst, "
                f"{whole(back['freeze_seconds_median'])} at the median"
            )
        writes = told["writes"]
        by_phase = ", ".join(f"{told[name]['writes']['lost']} in {name}" for name in told["phases"])
        terminal.line(f"  Orders           {writes['acknowledged']} acknowledged, {writes['lost']} lost ({by_phase})")

    # What both do

    def _end(self, *, held: bool, data: Path, html: Path, broken: str) -> int:
        terminal = self._terminal
        terminal.line(f"  Report           {_short(html)}")
        terminal.line(f"                   {_short(data)}")
        if not held and (log := self._keep_log()) is not None:
            terminal.line(f"  The lab's log    {_short(log)}")
        terminal.line()
        terminal.line("Everything held." if held else broken, "good" if held else "bad")
        return 0 if held else 1

    def _keep_log(self) -> Path | None:
        """Keep what the lab logged: its home goes when it ends."""
        try:
            log = Path(Control(self._endpoint).status()["home"]) / "lab.log"
            return Path(shutil.copy(log, self._plan.output / "lab.log"))
        except OSError:
            return None

    def _empty_report(self) -> Report:
        return Report(
            started_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            time_scale=self._scale,
            environment=self._plan.options.environment,
            primary=self._primary,
            dr=self._dr,
            machine=_machine(),
        )


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, GameDayError) else f"It could not go on: {type(error).__name__}: {error}"


def _roles(endpoint: str, environment: str) -> tuple[str, str]:
    """Return the primary and the DR region, from the orchestrator's configuration in whichever region has one."""
    for name in Control(endpoint).status()["regions"]:
        configured = Region(endpoint, name, environment).configuration()
        if {"primary-region", "dr-region"} <= configured.keys():
            return configured["primary-region"], configured["dr-region"]
    raise GameDayError(f"No region of the lab has an environment {environment}: deploy it first.")


def _whose(report: Report) -> str:
    parts = [f"{phase.writes.lost} in {phase.name}" for phase in report.phases if phase.writes.lost]
    return f" ({', '.join(parts)})" if parts else ""


def _broken(found: list[Check]) -> str:
    return f"{sum(not check.held for check in found)} of {len(found)} did not hold."


def _machine() -> dict[str, str]:
    return {
        "processors": str(os.cpu_count() or "unknown"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _short(path: Path) -> str:
    return str(path.relative_to(PROJECT)) if path.is_relative_to(PROJECT) else str(path)
