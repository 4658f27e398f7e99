"""One circle: the primary is lost and comes back, and everything returns to it. Each phase is a method.

It talks to the lab over HTTP only, so that it also runs against one that stays up.
"""

from __future__ import annotations

import datetime as dt
import re
import time
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from lab.gameday import audit, checks, load
from lab.gameday.cloud import Control, NotThereError, Region
from lab.gameday.model import Divergence, LabTime, Milestone, Phase, Stray, Timeline, Writes
from lab.gameday.numbers import whole
from lab.gameday.terminal import clock
from lab.gameday.watch import GameDayError, Watched, Watcher
from lab.gameday.workload import Follower, Target, Workload, WriteLog

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from lab.gameday.checks import Kept, Proof, Standing
    from lab.gameday.draw import Draw
    from lab.gameday.model import Check, Step
    from lab.gameday.report import Report
    from lab.gameday.terminal import Terminal
    from lab.gameday.workload import Write

_MODES: Final = {"refuse": "refuse every request", "hang": "hang without an answer", "reset": "cut every connection"}
_LOST: Final = "primary-lost"
_SIGNS: Final = {
    "probe-failed": "the primary does not answer",
    "replica-lost-source": "the replica has lost its source",
    _LOST: "both: this is what starts a failover",
}
PARTS: Final = ("detect", "decide", "work", "verify", "traffic")
"""What a recovery consists of."""
_CLOSED: Final = "Close the source to writers"
_PROVEN: Final = "Look at the source once more"
_UNREADABLE: Final = (BotoCoreError, ClientError, KeyError, ValueError, OSError, NotThereError, audit.Error)
GIVE_UP: Final = (GameDayError, BotoCoreError, ClientError, NotThereError, OSError, audit.Error)
"""What ends a circle before its end."""


@dataclass(frozen=True)
class Options:
    """How a game day is held. Times are real seconds: they bound how long people wait."""

    environment: str = "dev"
    steady_writes: int = 60
    restored_seconds: float = 5.0
    home_seconds: float = 4.0
    execution_limit: float = 420.0
    restore_limit: float = 30.0
    detection_limit: float = 60.0
    by_hand: bool = False
    """Start the failover as an operator does, instead of waiting for the alarm."""
    closing_limit: float = 30.0
    sample: int = 60
    lapse: float = 60.0
    """The scale while nobody waits for the service: a region is away, or a replica is being built."""


@dataclass
class _Found:
    """What became known of a circle's phases, for the audit."""

    loss: float = 0.0
    unapplied: int | None = None
    rang: float | None = None
    trigger: str = "manual"
    failed_over: Watched | None = None
    restored: float | None = None
    switched: float | None = None
    standing: Standing | None = None
    returned: float | None = None
    shut: float | None = None
    closed: Watched | None = None
    carried: set[str] = field(default_factory=set)
    failed_back: Watched | None = None
    failback_from: float = 0.0
    home_switched: float | None = None
    home: float | None = None


class Circle:
    """Two regions, clients that write, and what is done to them.

    Parameters
    ----------
    endpoint
        The lab's address.
    scale
        AWS seconds that pass in one real second while somebody waits for the service.
    options
        How it is held.
    draw
        What is left to chance.
    terminal
        Where progress goes.
    report
        What becomes known goes into it.
    directory
        Where the clients' logs go.
    earlier
        Orders of earlier circles that are still there: id to note. What this one leaves is added.
    """

    def __init__(
        self,
        endpoint: str,
        scale: float,
        options: Options,
        draw: Draw,
        terminal: Terminal,
        report: Report,
        directory: Path,
        earlier: dict[str, str],
    ) -> None:
        self._options, self._draw, self._terminal, self._report = options, draw, terminal, report
        self._control = Control(endpoint)
        self._time = LabTime(time.time(), scale)
        # Never slower than what was asked for.
        self._lapse = max(options.lapse, scale)
        self._primary = Region(endpoint, report.primary, options.environment)
        self._dr = Region(endpoint, report.dr, options.environment)
        self._serving = self._primary
        self._watcher = Watcher(self._dr, self._say, terminal.status)
        self._database = "app"
        self._earlier = earlier
        self._found = _Found()
        self._log = WriteLog(directory / "writes.jsonl", self._at)
        self._strays = WriteLog(directory / "stray-writes.jsonl", self._at)
        self._name = ""
        self._moved: dict[str, float] = {}

    def hold(self) -> None:
        """Go through all phases, as far as they go, and judge.

        Raises
        ------
        GameDayError
            It could not be held to its end. What took place before is judged all the same, if there was a failover.
        """
        try:
            try:
                self._go_round()
            except GIVE_UP:
                if self._found.failed_over is not None:
                    self._audit()
                raise
            self._audit()
        finally:
            self._log.close()
            self._strays.close()
            # Whatever happened, the next one begins at the pace that is asked for.
            self._pace(self._time.scale)

    # The phases

    def _go_round(self) -> None:
        with (
            Workload(self._primary.target(), self._log, writers=self._draw.writers, pause=self._draw.pause) as workload,
            self._by_name(workload),
        ):
            self._steady(workload)
            self._lose()
            if self._fail_over(workload) and self._protect() and self._fail_back(workload):
                self._home()

    def _by_name(self, workload: Workload) -> AbstractContextManager[object]:
        """Let the clients go by the application's name, where it has one: nobody tells them where to write then."""
        name = self._dr.configuration().get("application-host", "-")
        first = self._control.resolve(name) if name != "-" else None
        if first is None:
            return nullcontext()
        self._name = name

        def resolve() -> tuple[Target, float] | None:
            answer = self._control.resolve(name)
            if answer is None:
                return None
            target = Target(answer.region, f"http://{answer.address}:{answer.port}")
            return target, answer.ttl / self._time.scale_at(time.time())

        def moved(target: Target, moment: float) -> None:
            self._moved[target.region] = moment
            if self._found.loss:
                self._say("→", f"{name} leads to {target.region} now, and clients follow", "accent", self._at(moment))

        return Follower(resolve, workload, moved)

    def _steady(self, workload: Workload) -> None:
        terminal, primary, dr = self._terminal, self._primary, self._dr
        terminal.chapter("Steady", f"{workload.writers} clients place orders in {primary.name}, as on any other day")
        source, replica = primary.described_database(), dr.described_database()
        self._database = source.get("DBName") or replica.get("DBName") or self._database
        self._say("✓", f"{source['DBInstanceIdentifier']} in {primary.name}: {source['DBInstanceStatus']}", "good")
        if not replica.get("ReadReplicaSourceDBInstanceIdentifier"):
            raise GameDayError(
                f"The database in {dr.name} is no replica ({replica['DBInstanceStatus']}): "
                "a game day begins with both regions in their places. Start a fresh lab."
            )
        identifier = replica["DBInstanceIdentifier"]
        self._say("✓", f"{identifier} in {dr.name}: replica, {replica['DBInstanceStatus']}", "good")
        where = f"{self._name}, which leads to " if self._name else ""
        self._say("✓", f"clients write to {where}{workload.target.url}, the load balancer of {primary.name}", "good")
        until = time.monotonic() + self._draw.steady
        limit = until + 60
        while time.monotonic() < until or workload.log.acknowledged < self._options.steady_writes:
            if time.monotonic() > limit:
                raise GameDayError(
                    f"Only {workload.log.acknowledged} writes were acknowledged in the steady state: "
                    f"is {workload.target.url} well? The last answers: {_last_failures(workload.log)}"
                )
            terminal.status(f"          … {workload.log.acknowledged} orders acknowledged")
            time.sleep(0.2)
        self._say("✓", f"{workload.log.acknowledged} orders acknowledged", "good")
        self._prove_replication()
        if behind := self._draw.behind:
            self._control.order("database", "slow-applying", region=dr.name, identifier=identifier, seconds=behind)
            self._say(
                "·", f"the replica is kept {behind * self._time.scale:.0f} AWS s behind, as a busy one is", "warn"
            )
            time.sleep(behind + 1)
        if held := self._draw.held:
            self._say("·", f"the last {held * self._time.scale:.0f} AWS s of writes do not cross in time", "warn")
            self._control.order("database", "hold-receiving", region=dr.name, identifier=identifier)
            time.sleep(held)

    def _prove_replication(self) -> None:
        """Look for an order in the replica that has just been acknowledged by the primary."""
        newest = [write for write in self._log.writes() if write.outcome == "acknowledged"][-1]
        replica = self._dr.database(self._database)
        self._report.machine["database"] = f"{audit.version(replica)} stands in for RDS for MySQL"
        limit = time.time() + 15
        while not audit.find(replica, [newest.id]):
            if time.time() > limit:
                raise GameDayError("An acknowledged order did not reach the replica in 15 s: replication does not run.")
            time.sleep(0.05)
        self._say("✓", f"an order just acknowledged is in {self._dr.name}'s replica already", "good")

    def _lose(self) -> None:
        mode, primary = self._draw.mode, self._primary.name
        self._terminal.chapter("Loss", f"{primary} goes: database killed, instances gone, and its APIs {_MODES[mode]}")
        loss = time.time()
        self._found.loss = loss
        self._time = replace(self._time, zero=loss)
        self._control.lose(primary, mode)
        # Whatever comes, this is where the data is now.
        self._serving = self._dr
        self._report.outage = {
            "region": primary,
            "mode": mode,
            "at": dt.datetime.fromtimestamp(loss, dt.UTC).isoformat(timespec="milliseconds"),
        }
        self._say("✗", f"{primary} is lost; the clients go on trying", "bad", 0.0)
        self._found.unapplied = self._control.backlog(self._dr.name)
        if self._found.unapplied:
            self._say("·", f"{self._found.unapplied} writes have reached the replica and are not applied yet", "warn")

    def _fail_over(self, workload: Workload) -> bool:
        arn = "" if self._options.by_hand else self._detect()
        if arn:
            self._terminal.chapter("Failover", "begun by the alarm; it needs nothing from the lost region")
            watched = self._found.failed_over = self._watch("failover", arn)
        else:
            self._terminal.chapter("Failover", "one command, no input; it needs nothing from the lost region")
            watched = self._found.failed_over = self._run("failover")
        if watched.execution.status != "SUCCEEDED":
            return False
        if self._name:
            self._terminal.chapter("Restored", f"{self._name} follows the record; nobody points anybody anywhere")
        else:
            self._terminal.chapter(
                "Restored", "the team's traffic switch: clients are pointed to the other load balancer"
            )
            self._found.switched = self._point(workload, self._dr)
        self._found.restored = self._served(self._dr, self._found.loss)
        if self._name:
            self._found.switched = self._moved.get(self._dr.name)
        if self._found.restored is None:
            return False
        self._let_write(self._options.restored_seconds)
        self._found.standing = self._dr.standing(self._database)
        self._brief("failover", f"served again after {clock(self._time.at(self._found.restored))[1:]} min")
        return True

    def _detect(self) -> str:
        """Wait until an alarm has started the failover, telling which alarm rings when; empty if none did in time."""
        self._terminal.chapter("Detection", "nobody touches anything: DR's own probes and the replica have to notice")
        told: set[str] = set()
        limit = time.monotonic() + self._options.detection_limit
        while time.monotonic() < limit:
            for name, alarm in self._dr.alarms().items():
                if name in _SIGNS and name not in told and alarm.state == "ALARM" and alarm.since >= self._found.loss:
                    told.add(name)
                    self._say("!", f"alarm {name}: {_SIGNS[name]}", "warn", self._at(alarm.since))
                    if name == _LOST:
                        self._found.rang = alarm.since
            for arn in self._dr.started_since("failover", self._found.loss):
                trigger = self._dr.execution(arn).given.get("trigger")
                if isinstance(trigger, dict):
                    self._found.trigger = str(trigger.get("alarm"))
                    return arn
            self._terminal.status(f"{clock(self._now()):>8}  … watching the alarms in {self._dr.name}")
            time.sleep(0.1)
        self._say("✗", "no alarm has started a failover: a person does", "bad", self._now())
        return ""

    def _protect(self) -> bool:
        """Let the lost region come back with its old database, and re-protect it while stray clients write there."""
        primary, found, draw = self._primary, self._found, self._draw
        self._pace(self._lapse)
        self._terminal.chapter(
            "Return",
            f"after {draw.away / 60:.0f} min {primary.name} comes back as it was; nobody told it that it lost its role",
        )
        self._wait(draw.away / self._lapse, f"{primary.name} is away")
        self._pace(self._time.scale)
        found.returned = time.time()
        self._control.bring_back(primary.name)
        self._say("!", f"{primary.name} is back: old database, old record; its instances start", "warn", self._now())
        with ExitStack() as stack:
            stray = None
            if draw.strays:
                target = replace(primary.target(), region=primary.name)
                stray = stack.enter_context(
                    Workload(target, self._strays, writers=draw.strays, pause=0.1, name="stray client")
                )
            self._until_closed(stray)
            self._pace(self._lapse)
            self._terminal.chapter(
                "Re-protect", f"one command, no input; the clients write to {self._dr.name} all the time"
            )
            found.closed = self._run("reprotect")
        output = found.closed.execution.output
        if found.closed.execution.status != "SUCCEEDED":
            return False
        divergence = output.get("divergence") or {}
        self._say(
            "·",
            f"{divergence.get('rows', '?')} rows of {divergence.get('transactions', '?')} transactions never crossed: "
            f"{divergence.get('evidence') or 'there is no list'}",
            "warn",
            self._now(),
        )
        self._brief(
            "re-protect",
            f"{divergence.get('rows', '?')} rows never crossed, {self._strays.acknowledged} orders taken by strays",
        )
        return True

    def _until_closed(self, stray: Workload | None) -> None:
        """Wait until the returned region has closed itself: no instances wanted, and its database behind its door."""
        primary, limit = self._primary, time.monotonic() + self._options.closing_limit
        while time.monotonic() < limit:
            if primary.is_closed():
                self._found.shut = time.time()
                taken = f"; {self._strays.acknowledged} orders of stray clients got in before" if stray else ""
                self._say("✓", f"{primary.name} has closed itself, asked by nobody{taken}", "good", self._now())
                return
            self._terminal.status(f"{clock(self._now()):>8}  … {self._strays.acknowledged} stray orders acknowledged")
            time.sleep(0.1)
        self._say("✗", f"{primary.name} has not closed itself", "bad", self._now())

    def _fail_back(self, workload: Workload) -> bool:
        primary, found = self._primary, self._found
        ids = [write.id for write in self._log.writes() if write.outcome != "refused"]
        found.carried = set(audit.find(self._dr.database(self._database), ids))
        self._terminal.chapter(
            "Failback", f"one command, no input: everything goes home to {primary.name}, with nothing lost"
        )
        self._pace(self._time.scale)
        found.failback_from = time.time()

        def seen(watched: Watched) -> None:
            switch = _switch(watched)
            if switch is not None and _recorded(switch):
                self._go_home(workload)
            if found.home_switched is not None and found.home is None:
                first = workload.log.first_acknowledged(primary.name, found.failback_from)
                if first is not None:
                    found.home = first.ended
                    self._say("✓", f"the first order is acknowledged by {primary.name}", "good", self._at(first.ended))
            if switch is not None and switch.ended and found.home is not None:
                # The service is back; what is left is a replica that nobody waits for.
                self._pace(self._lapse)

        found.failed_back = self._run("failback", seen)
        switch = _switch(found.failed_back)
        if switch is not None and switch.execution.status == "SUCCEEDED":
            self._go_home(workload)
            if found.home is None:
                found.home = self._served(primary, found.failback_from)
                self._go_home(workload)
        freeze = self._freeze(switch)
        self._brief("failback", f"frozen for {whole(freeze)} AWS s" if freeze is not None else "not served again")
        return found.failed_back.execution.status == "SUCCEEDED" and found.home is not None

    def _home(self) -> None:
        self._terminal.chapter("Steady again", f"{self._primary.name} serves, {self._dr.name} follows")
        self._pace(self._time.scale)
        self._let_write(self._options.home_seconds)

    # The audit

    def _audit(self) -> None:
        self._terminal.chapter("Audit", "every order that a client was promised is looked for, row by row")
        self._terminal.status("          … looking for every order")
        report = self._report
        writes = self._log.writes()
        serving = self._serving.database(self._database)
        rows = audit.find(serving, [write.id for write in writes if write.outcome != "refused"])
        phases = self._phases()
        parts = audit.by_phase(writes, self._windows())
        judged = [replace(phase, writes=self._judge(phase.name, parts.get(phase.name, []), rows)) for phase in phases]
        report.phases = judged
        report.writes = audit.total([phase.writes for phase in judged])
        missing = len(self._earlier) - len(audit.find(serving, list(self._earlier))) if self._earlier else 0
        report.checks = [*self._checks(judged, rows), *self._of_earlier(missing)]
        report.load = load.series(writes, self._time)
        report.strays = load.series(self._strays.writes(), self._time) if self._strays.writes() else {}
        report.clock = [{"at": round(self._at(moment), 1), "scale": scale} for moment, scale in self._time.changes]
        report.next = _what_is_next(judged, self._primary.name, self._dr.name)
        self._earlier |= {write.id: write.note for write in writes if write.id in rows}
        total = report.writes
        self._say(
            "·" if total.lost else "✓",
            f"{total.acknowledged - total.lost} of {total.acknowledged} acknowledged orders are in "
            f"{self._serving.name}'s database",
            "warn" if total.lost else "good",
        )
        if total.lost:
            self._say("·", f"not there: {', '.join(total.lost_ids[:3])}{' …' if total.lost > 3 else ''}", "dim")
        self._say("·", f"{total.unanswered} attempts had no answer; none of them was counted", "dim")

    def _judge(self, name: str, writes: list[Write], rows: dict[str, str]) -> Writes:
        found = self._found
        acknowledged = [write for write in writes if write.outcome == "acknowledged"]
        zero = {"failover": found.loss, "reprotect": found.returned}.get(name) or found.failback_from
        chosen = [write.id for write in audit.sample(acknowledged, zero, self._options.sample) if write.id in rows]
        drained = found.failed_over.execution.output if name == "failover" and found.failed_over else {}
        judged = audit.judge(
            writes,
            rows,
            zero,
            received_unapplied=_received_unapplied(drained) if name == "failover" else None,
            unread=audit.read_back(self._serving.target().url, chosen),
            read=len(chosen),
        )
        return replace(judged, unapplied_at_loss=found.unapplied) if name == "failover" else judged

    def _windows(self) -> list[tuple[float, str]]:
        found = self._found
        windows = [(0.0, "failover")]
        if found.closed is not None and found.returned is not None:
            windows.append((found.returned, "reprotect"))
        if found.failed_back is not None:
            windows.append((found.failback_from, "failback"))
            if (switch := _switch(found.failed_back)) is not None:
                events = [event["timestamp"].timestamp() for event in switch.execution.events]
                windows += [(min(events), "switchover"), (max(events), "failback")]
        return windows

    def _phases(self) -> list[Phase]:
        phases = [self._failover_phase()]
        if self._found.closed is not None:
            phases.append(self._reprotect_phase(self._found.closed))
        if (whole := self._found.failed_back) is not None:
            if (switch := _switch(whole)) is not None:
                phases.append(self._switchover_phase(switch))
            phases.append(self._failback_phase(whole))
        return phases

    def _failover_phase(self) -> Phase:
        found, at = self._found, self._at
        watched = found.failed_over
        if watched is None:
            raise GameDayError("The failover was never started.")
        phase = self._phase(
            "failover", f"Failover to {self._dr.name}", f"the loss of {self._primary.name}", 0.0, watched
        )
        moments = [Milestone("lost", 0.0), *phase.milestones]
        if found.switched is not None:
            moments.append(Milestone("traffic", at(found.switched)))
        if found.restored is None:
            return replace(phase, milestones=tuple(moments))
        return replace(
            phase,
            milestones=(*moments, Milestone("restored", at(found.restored))),
            rto_seconds=at(found.restored),
            rto_note=f"from the loss to the first order acknowledged by {self._dr.name}, in AWS time (lab seconds "
            f"× {self._time.scale:g}); "
            + (
                "the failover was started by hand, at once: no detection is in it"
                if found.trigger == "manual"
                else f"started by the alarm {found.trigger}"
            ),
            breakdown=self._breakdown(watched, at(found.restored)),
        )

    def _breakdown(self, watched: Watched, restored: float) -> dict[str, float]:
        """Say what the recovery consists of: each part begins where the one before it ended."""
        began = self._at(self._found.rang) if self._found.rang is not None else watched.path.start
        moments = [0.0, began]
        for words in (("Take", "lock"), ("Verify",), ("Record", "active")):
            step = watched.step(*words)
            moments.append(step.start if step is not None else moments[-1])
        moments.append(restored)
        return {
            name: max(0.0, after - before) for name, before, after in zip(PARTS, moments, moments[1:], strict=False)
        }

    def _reprotect_phase(self, watched: Watched) -> Phase:
        zero = watched.path.start
        phase = self._phase("reprotect", f"Re-protect {self._primary.name}", "its start", zero, watched)
        moments = list(phase.milestones)
        if self._found.returned is not None:
            moments.insert(0, Milestone("returned", self._at(self._found.returned) - zero))
        close = watched.step("Close", "region")
        if self._found.shut is not None:
            moments.append(Milestone("closed", self._at(self._found.shut) - zero))
        elif close is not None:
            moments.append(Milestone("closed", close.end - zero))
        strays = self._strays.writes()
        accepted = [write for write in strays if write.outcome == "acknowledged"]
        return replace(
            phase,
            milestones=tuple(moments),
            stray=Stray(
                clients=self._draw.strays,
                acknowledged=len(accepted),
                acknowledged_ids=tuple(write.id for write in accepted),
                attempts=len(strays),
                last_at=self._at(accepted[-1].ended) - zero if accepted else None,
            ),
            divergence=self._divergence(watched.execution.output),
        )

    def _switchover_phase(self, watched: Watched) -> Phase:
        zero = watched.path.start
        phase = self._phase("switchover", f"Switch over to {self._primary.name}", "its start", zero, watched)
        return self._with_freeze(phase, watched)

    def _failback_phase(self, watched: Watched) -> Phase:
        zero = watched.path.start
        phase = self._phase("failback", f"Failback to {self._primary.name}", "its start", zero, watched)
        # Its own share is its children's: they have their own accounts of it.
        phase = replace(phase, steps=_shifted(watched.steps(), zero), work_seconds=None, work_note="")
        return self._with_freeze(phase, _switch(watched))

    def _phase(self, name: str, title: str, zero_name: str, zero: float, watched: Watched) -> Phase:
        path = watched.path
        trigger = {"failover": self._found.trigger, "switchover": "failback"}.get(name, "manual")
        return Phase(
            name=name,
            title=title,
            zero_name=zero_name,
            zero_at=zero,
            status=watched.execution.status,
            execution_arn=watched.arn,
            trigger=trigger,
            started=path.start - zero,
            seconds=path.end - path.start,
            steps=_shifted(path.steps, zero),
            cause=watched.execution.cause,
            output=watched.execution.output,
            work_seconds=path.work_seconds,
            work_note=f"the execution's {whole(path.end - path.start)} AWS s without {whole(path.wait_seconds)} s in "
            f"{path.waits} waits on its critical path; a function's real milliseconds count × the scale",
            milestones=(Milestone("started", path.start - zero), Milestone("ended", path.end - zero)),
        )

    def _with_freeze(self, phase: Phase, switch: Watched | None) -> Phase:
        close = switch.step(_CLOSED) if switch else None
        moments = list(phase.milestones)
        if close is not None:
            moments.append(Milestone("frozen", close.start - phase.zero_at))
        if self._found.home_switched is not None:
            moments.append(Milestone("traffic", self._at(self._found.home_switched) - phase.zero_at))
        if self._found.home is not None:
            moments.append(Milestone("restored", self._at(self._found.home) - phase.zero_at))
        return replace(
            phase,
            milestones=tuple(moments),
            freeze_seconds=self._freeze(switch),
            freeze_note=f"from the closing of {self._dr.name} to the first order acknowledged by {self._primary.name}, "
            f"in AWS time (lab seconds × {self._time.scale:g})",
        )

    def _freeze(self, switch: Watched | None) -> float | None:
        close = switch.step(_CLOSED) if switch else None
        return None if close is None or self._found.home is None else self._at(self._found.home) - close.start

    def _divergence(self, output: dict[str, Any]) -> Divergence:
        """Read the list that re-protection wrote, and look what the retired database really has more."""
        reported = output.get("divergence")
        if not isinstance(reported, dict):
            return Divergence(unread=f"re-protection reported {reported!r}")
        table = f"{self._database}.orders"
        counts = (reported.get("tables") or {}).get(table) or {}
        divergence = Divergence(
            reported=reported,
            orders=sum(int(count) for count in counts.values()),
            evidence=str(reported.get("evidence")),
        )
        try:
            listed = self._primary.document(divergence.evidence) if reported.get("evidence") else ""
            old = audit.all_ids(self._primary.database(self._database, str(output.get("retired"))))
            old -= set(audit.find(self._serving.database(self._database), sorted(old)))
            return replace(divergence, evidence_ids=audit.listed_orders(listed, table), old_ids=tuple(sorted(old)))
        except _UNREADABLE as error:
            return replace(divergence, unread=f"{type(error).__name__}: {error}")

    def _checks(self, phases: list[Phase], rows: dict[str, str]) -> list[Check]:
        found, named = self._found, {phase.name: phase for phase in phases}
        failover = named["failover"]
        watched = found.failed_over
        standing = found.standing or self._dr.standing(self._database)
        results = checks.after_failover(
            failover,
            watched.path if watched else Timeline("NOT STARTED", 0.0, 0.0),
            standing,
            failover.writes,
            fence=f"{self._options.environment}-dr-fence",
            primary=self._primary.name,
        )
        if not self._options.by_hand:
            results.insert(0, checks.by_itself(failover))
        if "reprotect" in named:
            phase = named["reprotect"]
            unpromised = {write.id for write in self._log.writes() if write.outcome != "acknowledged"}
            unpromised |= {write.id for write in self._strays.writes() if write.outcome != "acknowledged"}
            returned, shut = (None if at is None else self._at(at) for at in (found.returned, found.shut))
            results.append(checks.closed_itself(self._primary.name, returned, shut))
            results += checks.after_reprotect(
                phase, failover.writes, unpromised, self._kept(self._primary, phase.output), self._primary.name
            )
        if found.failed_back is not None:
            switch = _switch(found.failed_back)
            output = found.failed_back.execution.output
            empty = Phase("switchover", "", "", "not started")
            results += checks.after_failback(
                named.get("switchover", empty),
                named["failback"],
                (len(found.carried), len(found.carried - rows.keys())),
                self._proof(switch, output.get("dr") or {}),
                self._kept(self._dr, output.get("dr") or {}),
                checks.Places(self._primary.standing(self._database), self._dr.standing(self._database)),
            )
        return results

    def _of_earlier(self, missing: int) -> list[Check]:
        return [checks.earlier_orders(len(self._earlier), missing)] if self._earlier else []

    def _kept(self, region: Region, output: dict[str, Any]) -> Kept | None:
        retired = str(output.get("retired") or "")
        return region.kept(retired, str(output.get("snapshot") or "")) if retired else None

    def _proof(self, switch: Watched | None, output: dict[str, Any]) -> Proof:
        said = switch.execution.said(_PROVEN) if switch else {}
        proven = audit.canonical(str(said.get("position") or ""))
        try:
            retired = str(output.get("retired") or "")
            now = audit.position(self._dr.database(self._database, retired)) if retired else ""
        except _UNREADABLE as error:
            return checks.Proof(proven, "", f"{type(error).__name__}: {error}")
        return checks.Proof(proven, now)

    # What any phase does

    def _run(self, machine: str, seen: Any = None) -> Watched:
        return self._watch(machine, self._watcher.start(machine, self._now), seen)

    def _watch(self, machine: str, arn: str, seen: Any = None) -> Watched:
        watched = self._watcher.follow(arn, lambda: self._time, self._options.execution_limit, seen)
        if watched.execution.status != "SUCCEEDED":
            cause = watched.execution.cause or "no cause was given"
            self._say("✗", f"the execution ended {watched.execution.status}: {cause}", "bad", watched.path.end)
            self._brief(machine, f"ended {watched.execution.status}")
        return watched

    def _go_home(self, workload: Workload) -> None:
        """Let the clients go home: by their name, which has moved or soon will, or pointed there, once."""
        self._serving = self._primary
        if self._name:
            self._found.home_switched = self._moved.get(self._primary.name)
        elif self._found.home_switched is None:
            self._found.home_switched = self._point(workload, self._primary)

    def _point(self, workload: Workload, region: Region) -> float:
        moment = time.time()
        workload.point_to(region.target())
        self._serving = region
        self._say("→", f"clients write to {workload.target.url} now", "accent", self._at(moment))
        return moment

    def _served(self, region: Region, since: float) -> float | None:
        limit = time.monotonic() + self._options.restore_limit
        while (write := self._log.first_acknowledged(region.name, since)) is None:
            if time.monotonic() > limit:
                self._say("✗", f"no order was acknowledged by {region.name}: {_last_failures(self._log)}", "bad")
                return None
            time.sleep(0.05)
        self._say(
            "✓",
            f"the first order is acknowledged by {region.name}: the service is back",
            "good",
            self._at(write.ended),
        )
        return write.ended

    def _let_write(self, seconds: float) -> None:
        before = self._log.acknowledged
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._terminal.status(f"{clock(self._now()):>8}  … {self._log.acknowledged - before} more orders")
            time.sleep(0.2)
        self._say("✓", f"{self._log.acknowledged - before} more orders acknowledged", "good", self._now())

    def _wait(self, seconds: float, why: str) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._terminal.status(f"{clock(self._now()):>8}  … {why}")
            time.sleep(min(0.2, left))

    def _pace(self, scale: float) -> None:
        """Let the lab's clock run at another pace from now on; nothing if it does."""
        running = self._time.changes[-1][1] if self._time.changes else self._time.scale
        if scale != running:
            self._control.pace(scale)
            self._time = self._time.changed(time.time(), scale)

    def _at(self, moment: float) -> float:
        return self._time.at(moment)

    def _now(self) -> float:
        return self._time.at(time.time())

    def _say(self, mark: str, text: str, tone: Any = "plain", at: float | None = None) -> None:
        self._terminal.event(mark, text, at, tone)

    def _brief(self, phase: str, text: str) -> None:
        self._terminal.brief(f"   {phase:<12} {clock(self._now()):>9}   {text}")


def _switch(whole: Watched) -> Watched | None:
    """Return the planned switch within a failback."""
    return next((child for child in whole.children if child.machine.endswith("-failover")), None)


def _recorded(switch: Watched) -> bool:
    """Say whether a switch has verified its target and recorded it as active: the team's sign to move the clients."""
    step = switch.step("Record", "active")
    return step is not None and not step.open


def _shifted(steps: tuple[Step, ...], zero: float) -> tuple[Step, ...]:
    return tuple(replace(step, start=step.start - zero, end=step.end - zero) for step in steps)


def _received_unapplied(output: dict[str, Any]) -> int | None:
    """Return what the replica had received and not applied when it was promoted; None if nobody could count it."""
    drain = output.get("database", {}).get("drain", {})
    count = drain.get("received_unapplied")
    return count if isinstance(count, int) and count >= 0 else None


def _last_failures(log: WriteLog) -> str:
    failures = [write.detail for write in log.writes()[-20:] if write.outcome != "acknowledged"]
    return "; ".join(dict.fromkeys(failures[-3:])) or "none"


def _what_is_next(phases: list[Phase], primary: str, dr: str) -> list[str]:
    last = phases[-1]
    # The workflow numbers what it says; a list does so by itself.
    said = [each for each in re.split(r"(?:^|\s)\d\.\s", str(last.output.get("next") or "")) if each.strip()]
    if said or last.status == "SUCCEEDED":
        return said or [f"{primary} serves and {dr} follows: nothing is left to do."]
    return [last.cause or f"The last execution ended {last.status}."]
