"""The game day, phase by phase. It talks to the lab over HTTP only, so that it also runs against one that stays up."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from lab.gameday import audit, checks, load, timeline
from lab.gameday.cloud import ACCESS_KEY, Control, Execution, NotThereError, Region
from lab.gameday.model import LabTime, Milestone, Phase, Step, Timeline
from lab.gameday.report import Report
from lab.gameday.terminal import Terminal, clock
from lab.gameday.workload import Workload, WriteLog

if TYPE_CHECKING:
    from collections.abc import Callable

PROJECT: Final = Path(__file__).resolve().parents[2]
OUTPUT: Final = PROJECT / "build" / "gameday"
_POLL: Final = 0.4
"""Real seconds between two looks at an execution."""


class GameDayError(Exception):
    """The game day cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Options:
    """How a game day is held. Times are real seconds: they bound how long people wait."""

    environment: str = "dev"
    mode: str = "hang"
    output: Path = OUTPUT
    writers: int = 4
    steady_writes: int = 200
    steady_seconds: float = 8.0
    restored_seconds: float = 5.0
    failover_limit: float = 420.0
    restore_limit: float = 30.0
    sample: int = 60
    behind: int = 2
    """Real seconds that the replica is kept behind, as a busy one is, so that there is something to apply."""


def run(endpoint: str, scale: float, options: Options | None = None) -> int:
    """Hold a game day on a lab that is up and deployed.

    Parameters
    ----------
    endpoint
        The lab's address.
    scale
        AWS seconds that pass in one real second.
    options
        How it is held.

    Returns
    -------
    int
        0 if everything held, 1 if something did not or the game day could not be held, 130 if it was interrupted.
    """
    terminal = Terminal(sys.stdout)
    try:
        return GameDay(endpoint, scale, options or Options(), terminal).hold()
    except KeyboardInterrupt:
        terminal.settle()
        terminal.line("Interrupted: the writers are stopped, nothing was judged.", "warn")
        return 130
    except GameDayError as error:
        terminal.settle()
        terminal.line(str(error), "bad")
        return 1
    except (BotoCoreError, ClientError, NotThereError, OSError, audit.Error) as error:
        terminal.settle()
        terminal.line(f"The game day could not go on: {type(error).__name__}: {error}", "bad")
        return 1


class GameDay:
    """One game day: two regions, clients that write, and what is done to them.

    Parameters
    ----------
    endpoint
        The lab's address.
    scale
        AWS seconds that pass in one real second.
    options
        How it is held.
    terminal
        Where progress goes.
    """

    def __init__(self, endpoint: str, scale: float, options: Options, terminal: Terminal) -> None:
        self._endpoint = endpoint
        self._options = options
        self._terminal = terminal
        self._control = Control(endpoint)
        self._began = time.time()
        self._zero = LabTime(self._began, scale)
        primary, dr = self._roles()
        self._primary = Region(endpoint, primary, options.environment)
        self._dr = Region(endpoint, dr, options.environment)
        self._database = "app"
        self._unapplied: int | None = None
        self._report = Report(
            started_at=dt.datetime.fromtimestamp(self._began, dt.UTC).isoformat(timespec="seconds"),
            time_scale=scale,
            environment=options.environment,
            primary=primary,
            dr=dr,
            machine=_machine(),
        )

    def hold(self) -> int:
        """Go through all phases, judge, and write the report.

        Returns
        -------
        int
            0 if everything held.
        """
        self._introduce()
        log = WriteLog(self._options.output / "writes.jsonl", self._zero.at)
        try:
            with Workload(self._primary.target(), log, writers=self._options.writers) as workload:
                self._steady(workload)
                loss = self._lose()
                phase, path = self._fail_over(workload, loss)
            self._audit(log, loss, phase, path)
        finally:
            log.close()
            self._terminal.settle()
        return self._conclude()

    def _roles(self) -> tuple[str, str]:
        """Return the primary and the DR region, from the orchestrator's configuration in whichever region has one."""
        for name in self._control.status()["regions"]:
            configured = Region(self._endpoint, name, self._options.environment).configuration()
            if {"primary-region", "dr-region"} <= configured.keys():
                return configured["primary-region"], configured["dr-region"]
        raise GameDayError(f"No region of the lab has an environment {self._options.environment}: deploy it first.")

    # The phases

    def _introduce(self) -> None:
        scale = self._zero.scale
        self._terminal.line(
            f"Game day  environment {self._options.environment}: {self._primary.name} is about to be lost, "
            f"{self._dr.name} has to take over",
            "bold",
        )
        self._terminal.line(
            f"Times are AWS time since the loss: lab seconds × {scale:g}. What AWS takes minutes for, the lab does in "
            f"{scale:g} times less.",
            "dim",
        )

    def _steady(self, workload: Workload) -> None:
        options, terminal = self._options, self._terminal
        terminal.chapter(
            "Steady", f"{workload.writers} clients place orders in {self._primary.name}, as on any other day"
        )
        source, replica = self._primary.described_database(), self._dr.described_database()
        self._database = source.get("DBName") or replica.get("DBName") or self._database
        self._say(
            "✓", f"{source['DBInstanceIdentifier']} in {self._primary.name}: {source['DBInstanceStatus']}", "good"
        )
        if not replica.get("ReadReplicaSourceDBInstanceIdentifier"):
            raise GameDayError(
                f"The database in {self._dr.name} is no replica ({replica['DBInstanceStatus']}): "
                "a game day begins with both regions in their places. Start a fresh lab."
            )
        self._say(
            "✓", f"{replica['DBInstanceIdentifier']} in {self._dr.name}: replica, {replica['DBInstanceStatus']}", "good"
        )
        self._say("✓", f"clients write to {workload.target.url}, the load balancer of {self._primary.name}", "good")
        until = time.monotonic() + options.steady_seconds
        limit = until + 60
        while time.monotonic() < until or workload.log.acknowledged < options.steady_writes:
            if time.monotonic() > limit:
                raise GameDayError(
                    f"Only {workload.log.acknowledged} writes were acknowledged in the steady state: "
                    f"is {workload.target.url} well? The last answers: {_last_failures(workload.log)}"
                )
            terminal.status(f"          … {workload.log.acknowledged} orders acknowledged")
            time.sleep(0.2)
        self._say("✓", f"{workload.log.acknowledged} orders acknowledged", "good")
        self._prove_replication(workload.log)
        if options.behind:
            self._keep_behind(replica["DBInstanceIdentifier"])

    def _keep_behind(self, replica: str) -> None:
        seconds = self._options.behind
        self._control.order("database", "slow-applying", region=self._dr.name, identifier=replica, seconds=seconds)
        self._say("·", f"the replica is kept {seconds * self._zero.scale:.0f} AWS s behind, as a busy one is", "warn")
        time.sleep(seconds + 1)

    def _prove_replication(self, log: WriteLog) -> None:
        """Look for an order in the replica that has just been acknowledged by the primary."""
        newest = [write for write in log.writes() if write.outcome == "acknowledged"][-1]
        replica = self._dr.database(self._database)
        self._report.machine["database"] = f"{audit.version(replica)} stands in for RDS for MySQL"
        limit = time.time() + 15
        while not audit.find(replica, [newest.id]):
            if time.time() > limit:
                raise GameDayError("An acknowledged order did not reach the replica in 15 s: replication does not run.")
            time.sleep(0.05)
        self._say("✓", f"an order just acknowledged is in {self._dr.name}'s replica already", "good")

    def _lose(self) -> float:
        mode = self._options.mode
        self._terminal.chapter(
            "Loss", f"{self._primary.name} goes: database killed, instances gone, and its APIs {_MODES[mode]}"
        )
        loss = time.time()
        self._zero = replace(self._zero, zero=loss)
        self._control.lose(self._primary.name, mode)
        self._report.outage = {
            "region": self._primary.name,
            "mode": mode,
            "at": dt.datetime.fromtimestamp(loss, dt.UTC).isoformat(timespec="milliseconds"),
        }
        self._say("✗", f"{self._primary.name} is lost; the clients go on trying", "bad", 0.0)
        self._unapplied = self._control.backlog(self._dr.name)
        if self._unapplied:
            self._say("·", f"{self._unapplied} writes have reached the replica and are not applied yet", "warn")
        return loss

    def _fail_over(self, workload: Workload, loss: float) -> tuple[Phase, Timeline]:
        self._terminal.chapter("Failover", "one command, no input; it needs nothing from the lost region")
        arn = self._start("failover")
        path, execution = self._watch(arn, loss)
        started, ended = path.start, path.end
        phase = Phase(
            name="failover",
            title=f"Failover to {self._dr.name}",
            zero_name=f"the loss of {self._primary.name}",
            status=execution.status,
            execution_arn=arn,
            started=started,
            steps=path.steps,
            cause=execution.cause,
            output=execution.output,
            work_seconds=path.work_seconds,
            work_note=f"the execution's {ended - path.start:.0f} AWS s without {path.wait_seconds:.0f} s in "
            f"{path.waits} waits on its critical path; a function's real milliseconds count × the scale",
        )
        moments = [Milestone("lost", 0.0), Milestone("started", started), Milestone("ended", ended)]
        if execution.status != "SUCCEEDED":
            self._say("✗", f"the execution ended {execution.status}: {execution.cause}", "bad", ended)
            return replace(phase, milestones=tuple(moments)), path
        self._terminal.chapter("Restored", "the team's traffic switch: clients are pointed to the other load balancer")
        switched = time.time()
        workload.point_to(self._dr.target())
        moments.append(Milestone("traffic", self._zero.at(switched)))
        self._say("→", f"clients write to {workload.target.url} now", "accent", self._zero.at(switched))
        if (first := self._await_restored(workload, loss)) is not None:
            moments.append(Milestone("restored", first))
            phase = replace(
                phase,
                rto_seconds=first,
                rto_note=f"from the loss to the first order acknowledged by {self._dr.name}, in AWS time (lab seconds "
                f"× {self._zero.scale:g}); the failover was started by hand, at once: no detection is in it",
            )
        return replace(phase, milestones=tuple(moments)), path

    def _await_restored(self, workload: Workload, loss: float) -> float | None:
        limit = time.monotonic() + self._options.restore_limit
        while (write := workload.log.first_acknowledged(self._dr.name, loss)) is None:
            if time.monotonic() > limit:
                self._say("✗", f"no order was acknowledged by {self._dr.name}: {_last_failures(workload.log)}", "bad")
                return None
            time.sleep(0.05)
        first = self._zero.at(write.ended)
        self._say("✓", f"the first order is acknowledged by {self._dr.name}: the service is back", "good", first)
        until = time.monotonic() + self._options.restored_seconds
        before = workload.log.acknowledged
        while time.monotonic() < until:
            self._terminal.status(f"          … {workload.log.acknowledged - before} more orders acknowledged")
            time.sleep(0.2)
        return first

    def _audit(self, log: WriteLog, loss: float, phase: Phase, path: Timeline) -> None:
        self._terminal.chapter("Audit", "every order that a client was promised is looked for, row by row")
        writes = log.writes()
        acknowledged = [write for write in writes if write.outcome == "acknowledged"]
        ids = [write.id for write in writes if write.outcome != "refused"]
        rows = audit.find(self._dr.database(self._database), ids)
        chosen = [write.id for write in audit.sample(acknowledged, loss, self._options.sample)]
        judged = audit.judge(
            writes,
            rows,
            loss,
            received_unapplied=_received_unapplied(phase.output),
            unread=audit.read_back(self._dr.target().url, [order for order in chosen if order in rows]),
            read=sum(order in rows for order in chosen),
        )
        self._say(
            "✗" if judged.lost else "✓",
            f"{judged.acknowledged - judged.lost} of {judged.acknowledged} acknowledged orders are in the database",
            "warn" if judged.lost else "good",
        )
        if judged.lost:
            self._terminal.line(f"            not there: {', '.join(judged.lost_ids[:5])}", "dim")
        judged = replace(judged, unapplied_at_loss=self._unapplied)
        self._say("·", f"{judged.unanswered} attempts had no answer; none of them was counted", "dim")
        phase = replace(phase, writes=judged)
        self._report.phases.append(phase)
        self._report.writes = judged
        self._report.load = load.series(writes, self._zero.at)
        self._report.checks = checks.after_failover(
            phase,
            path,
            self._dr.standing(self._database),
            judged,
            fence=f"{self._options.environment}-dr-fence",
            primary=self._primary.name,
        )
        self._report.next = _what_is_next(phase, self._primary.name, self._dr.name)

    def _conclude(self) -> int:
        report, terminal = self._report, self._terminal
        report.seconds = time.time() - self._began
        data, html = report.write(self._options.output)
        terminal.chapter("Summary", "what had to hold")
        for check in report.checks:
            mark, tone = ("✓", "good") if check.held else ("✗", "bad")
            self._terminal.line(f"          {terminal.paint(mark, 'good' if check.held else 'bad')} {check.name}")
            self._terminal.line(f"            {check.detail}", "dim" if tone == "good" else "warn")
        terminal.line()
        failover = report.phases[-1]
        if failover.rto_seconds is not None:
            terminal.line(
                f"  Recovery time    {failover.rto_seconds:.0f} AWS s ({clock(failover.rto_seconds)[1:]} min), "
                f"lab seconds × {report.time_scale:g}"
            )
        backlog = f" ({self._unapplied} were not applied yet at the loss)" if self._unapplied else ""
        terminal.line(
            f"  Orders           {report.writes.acknowledged} acknowledged, {report.writes.lost} lost{backlog}"
        )
        terminal.line(f"  Report           {_short(html)}")
        terminal.line(f"                   {_short(data)}")
        terminal.line()
        if report.held:
            terminal.line("Everything held.", "good")
            return 0
        broken = sum(not check.held for check in report.checks)
        terminal.line(f"{broken} of {len(report.checks)} did not hold.", "bad")
        return 1

    # What any phase does with a state machine

    def _start(self, machine: str) -> str:
        """Start a state machine the way an operator does, and return the execution's ARN."""
        name = f"gameday-{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}"
        arn = self._dr.state_machine(machine)
        command = ["stepfunctions", "start-execution", "--state-machine-arn", arn, "--name", name]
        self._say("$", f"aws {' '.join(command)}", "accent", self._zero.at(time.time()))
        return self._aws([*command, "--query", "executionArn", "--output", "text"]).strip()

    def _aws(self, arguments: list[str]) -> str:
        executable = PROJECT / ".venv" / "bin" / "aws"
        program = str(executable) if executable.exists() else shutil.which("aws")
        if program is None:
            raise GameDayError("The aws command is not there: run `make setup`.")
        # Nothing of the person's own configuration: a profile of theirs must not decide which cloud this reaches.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
        environment |= {
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_DEFAULT_REGION": self._dr.name,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": ACCESS_KEY,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
        }
        try:
            done = subprocess.run(
                [program, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise GameDayError(f"aws {arguments[0]} {arguments[1]} did not answer in 60 s") from error
        if done.returncode:
            raise GameDayError(f"aws {' '.join(arguments)} failed: {done.stderr.strip()}")
        return done.stdout

    def _watch(self, arn: str, loss: float) -> tuple[Timeline, Execution]:
        """Tell what the execution does while it does it; return what it did."""
        told = Told(self._say)
        seconds: Callable[[dt.datetime], float] = lambda stamp: self._zero.at(stamp.timestamp())  # noqa: E731
        limit = time.monotonic() + self._options.failover_limit
        while True:
            execution = self._dr.execution(arn)
            now = self._zero.at(time.time())
            path = timeline.build(execution.events, seconds, now=now)
            told.update(path, ended=execution.status != "RUNNING")
            if execution.status != "RUNNING":
                return path, execution
            if time.monotonic() > limit:
                raise GameDayError(
                    f"The execution still runs after {time.time() - loss:.0f} s: look at {arn} in the lab that is up."
                )
            at_work = ", ".join(step.name for step in path.steps if step.open and step.kind in ("Task", "Wait"))
            self._terminal.status(f"{clock(now):>8}  … {at_work or 'between two steps'}")
            time.sleep(_POLL)

    def _say(self, mark: str, text: str, tone: Any = "plain", at: float | None = None) -> None:
        self._terminal.event(mark, text, at, tone)


class Told:
    """Tells each step's begin and end once, however often the history is read.

    A state's name is unique in its machine, so it is enough to know a step by. Its end shows only when its branch
    has gone on: until then a step that looked and waits is going to look again.

    Parameters
    ----------
    say
        Takes a mark, a text, a tone and AWS seconds since the loss.
    """

    def __init__(self, say: Callable[[str, str, Any, float], None]) -> None:
        self._say = say
        self._begun: set[str] = set()
        self._done: set[str] = set()

    def update(self, path: Timeline, *, ended: bool) -> None:
        """Tell what is new.

        Parameters
        ----------
        path
            The execution as it is now.
        ended
            Whether it has ended.
        """
        steps = [step for step in path.steps if step.kind != "Wait"]
        joins = [fork.end for fork in path.steps if fork.kind in ("Parallel", "Map") and not fork.open]
        news: list[tuple[float, str, str, Any]] = []
        for index, step in enumerate(steps):
            if step.kind != "Task":
                continue
            if step.name not in self._begun:
                self._begun.add(step.name)
                news.append((step.start, "▸", step.name, "accent"))
            gone_on = any(later.branch == step.branch for later in steps[index + 1 :])
            joined = any(step.start < join for join in joins)
            if step.name not in self._done and not step.open and (ended or gone_on or joined):
                self._done.add(step.name)
                news.append((step.end, "✓", f"{step.name}{_took(step)}", "good"))
        for moment, mark, text, tone in sorted(news, key=lambda item: item[0]):
            self._say(mark, text, tone, moment)


def _took(step: Step) -> str:
    looks = f", looked {step.visits} times" if step.visits > 1 else ""
    again = f", {step.retries} retries" if step.retries else ""
    return f": {step.seconds:.0f} s{looks}{again}"


_MODES: Final = {"refuse": "refuse every request", "hang": "hang without an answer", "reset": "cut every connection"}


def _received_unapplied(output: dict[str, Any]) -> int | None:
    """Return what the replica had received and not applied when it was promoted; None if nobody could count it."""
    drain = output.get("database", {}).get("drain", {})
    count = drain.get("received_unapplied")
    return count if isinstance(count, int) and count >= 0 else None


def _last_failures(log: WriteLog) -> str:
    failures = [write.detail for write in log.writes()[-20:] if write.outcome != "acknowledged"]
    return "; ".join(dict.fromkeys(failures[-3:])) or "none"


def _what_is_next(phase: Phase, primary: str, dr: str) -> list[str]:
    # The workflow numbers what it says; a list does so by itself.
    said = [each for each in re.split(r"(?:^|\s)\d\.\s", str(phase.output.get("next") or "")) if each.strip()]
    return said or [
        f"{dr} runs alone: there is no replica until {primary} is back and is protected again.",
        f"{primary} must not serve when it returns: its database is kept, closed, never deleted.",
    ]


def _machine() -> dict[str, str]:
    return {
        "processors": str(os.cpu_count() or "unknown"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _short(path: Path) -> str:
    return str(path.relative_to(PROJECT)) if path.is_relative_to(PROJECT) else str(path)
