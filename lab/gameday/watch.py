"""Starts a state machine as an operator does, and tells what it does, and its children do, while they do it."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lab.gameday import timeline
from lab.gameday.cloud import ACCESS_KEY
from lab.gameday.numbers import whole
from lab.gameday.terminal import clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.gameday.cloud import Execution, Region
    from lab.gameday.model import LabTime, Step, Timeline

PROJECT: Final = Path(__file__).resolve().parents[2]
_POLL: Final = 0.4
"""Real seconds between two looks at an execution."""


class GameDayError(Exception):
    """The game day cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Watched:
    """An execution as it is, its timeline, and the same of those that it started."""

    arn: str
    execution: Execution
    path: Timeline
    children: tuple[Watched, ...] = ()

    @property
    def machine(self) -> str:
        """The state machine's name."""
        return self.arn.split(":")[6]

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.execution.status != "RUNNING"

    def step(self, *words: str) -> Step | None:
        """Return the first step whose name has all these words.

        Parameters
        ----------
        words
            As the state's name writes them.

        Returns
        -------
        Step | None
            None if it was not reached.
        """
        return next((step for step in self.path.steps if all(word in step.name for word in words)), None)

    def steps(self) -> tuple[Step, ...]:
        """Return its steps and, under the name of each child, the child's.

        Returns
        -------
        tuple[Step, ...]
            In the order in which they began.
        """
        own = list(self.path.steps)
        for child in self.children:
            own.extend(replace(step, branch=child.title()) for step in child.steps() if step.kind in ("Task", "Wait"))
        return tuple(sorted(own, key=lambda step: step.start))

    def title(self) -> str:
        """Say what this execution is for.

        Returns
        -------
        str
            For example ``Re-protect eu-west-1``.
        """
        given = self.execution.given
        if self.machine.endswith("-reprotect"):
            return f"Re-protect {given.get('region', '')}".strip()
        if self.machine.endswith("-failover"):
            return f"Switch over to {given['target']}" if given.get("target") else "Switch over"
        return self.machine


@dataclass
class _Memory:
    """What of one execution has been told."""

    begun: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)


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
        self._memories: dict[str, _Memory] = {}
        self._news: list[tuple[float, str, str, Any]] = []

    def update(self, path: Timeline, *, ended: bool, execution: str = "", indent: str = "") -> None:
        """Note what is new.

        Parameters
        ----------
        path
            The execution as it is now.
        ended
            Whether it has ended.
        execution
            Which one: each has steps of its own.
        indent
            Before each line: what a child does stands under its parent.
        """
        memory, news = self._memories.setdefault(execution, _Memory()), self._news
        steps = [step for step in path.steps if step.kind != "Wait"]
        joins = [fork.end for fork in path.steps if fork.kind in ("Parallel", "Map") and not fork.open]
        for index, step in enumerate(steps):
            if step.kind != "Task":
                continue
            if step.name not in memory.begun:
                memory.begun.add(step.name)
                news.append((step.start, f"{indent}▸", step.name, "accent"))
            gone_on = any(later.branch == step.branch for later in steps[index + 1 :])
            joined = any(step.start < join for join in joins)
            if step.name not in memory.done and not step.open and (ended or gone_on or joined):
                memory.done.add(step.name)
                failed = ended and path.status != "SUCCEEDED" and step is steps[-1]
                mark, tone = ("✗", "bad") if failed else ("✓", "good")
                news.append((step.end, f"{indent}{mark}", f"{step.name}{_took(step)}", tone))

    def tell(self) -> None:
        """Tell what was noted of all executions, in the order in which it happened."""
        news, self._news = self._news, []
        for moment, mark, text, tone in sorted(news, key=lambda item: item[0]):
            self._say(mark, text, tone, moment)


class Watcher:
    """Starts and watches executions in one region.

    Parameters
    ----------
    region
        Where the state machines are.
    say
        Takes a mark, a text, a tone and AWS seconds since the loss.
    status
        Takes a line that the next one replaces.
    """

    def __init__(
        self, region: Region, say: Callable[[str, str, Any, float | None], None], status: Callable[[str], None]
    ) -> None:
        self._region = region
        self._say = say
        self._status = status
        self._over: dict[str, Execution] = {}

    def start(self, machine: str, now: Callable[[], float]) -> str:
        """Start a state machine the way an operator does: one command, no input.

        Parameters
        ----------
        machine
            Its name without the environment's, for example ``failover``.
        now
            Returns AWS seconds since the loss.

        Returns
        -------
        str
            The execution's ARN.

        Raises
        ------
        GameDayError
            The command did not succeed.
        """
        name = f"gameday-{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}"
        arn = self._region.state_machine(machine)
        command = ["stepfunctions", "start-execution", "--state-machine-arn", arn, "--name", name]
        self._say("$", f"aws {' '.join(command)}", "accent", now())
        return self._aws([*command, "--query", "executionArn", "--output", "text"]).strip()

    def follow(
        self, arn: str, time_of: Callable[[], LabTime], limit: float, seen: Callable[[Watched], None] | None = None
    ) -> Watched:
        """Tell what an execution and its children do while they do it.

        Parameters
        ----------
        arn
            The execution's.
        time_of
            Returns the lab's time, which may change its pace meanwhile.
        limit
            Real seconds to watch at most.
        seen
            Called with each look: who watches may act on it.

        Returns
        -------
        Watched
            Ended.

        Raises
        ------
        GameDayError
            It still runs after ``limit``.
        """
        told = Told(self._say)
        until = time.monotonic() + limit
        while True:
            lab = time_of()
            now = lab.at(time.time())
            watched = self._look(arn, lab, now)
            _note(told, watched, "")
            told.tell()
            if seen is not None:
                seen(watched)
            if watched.ended:
                return watched
            if time.monotonic() > until:
                raise GameDayError(
                    f"The execution still runs after {limit:.0f} s: look at {arn} in the lab that is up."
                )
            self._status(f"{clock(now):>8}  … {', '.join(_at_work(watched)) or 'between two steps'}")
            time.sleep(_POLL)

    def _look(self, arn: str, lab: LabTime, now: float) -> Watched:
        execution = self._over.get(arn) or self._region.execution(arn)
        if execution.status != "RUNNING":
            # What has ended does not change any more.
            self._over[arn] = execution
        path = timeline.build(execution.events, lambda stamp: lab.at(stamp.timestamp()), now=now)
        return Watched(arn, execution, path, tuple(self._look(child, lab, now) for child in execution.children()))

    def _aws(self, arguments: list[str]) -> str:
        executable = PROJECT / ".venv" / "bin" / "aws"
        program = str(executable) if executable.exists() else shutil.which("aws")
        if program is None:
            raise GameDayError("The aws command is not there: run `make setup`.")
        # Nothing of the person's own configuration: a profile of theirs must not decide which cloud this reaches.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
        environment |= {
            "AWS_ENDPOINT_URL": self._region.endpoint,
            "AWS_DEFAULT_REGION": self._region.name,
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


def _note(told: Told, watched: Watched, indent: str) -> None:
    # The parent's step begins before its child does and ends after it, also where the clock cannot tell.
    ended = watched.ended and all(child.ended for child in watched.children)
    if not ended:
        told.update(watched.path, ended=False, execution=watched.arn, indent=indent)
    for child in watched.children:
        _note(told, child, indent + "  ")
    if ended:
        told.update(watched.path, ended=True, execution=watched.arn, indent=indent)


def _at_work(watched: Watched) -> list[str]:
    for child in watched.children:
        if not child.ended:
            return _at_work(child)
    return [step.name for step in watched.path.steps if step.open and step.kind in ("Task", "Wait")]


def _took(step: Step) -> str:
    looks = f", looked {step.visits} times" if step.visits > 1 else ""
    again = f", {step.retries} retries" if step.retries else ""
    return f": {whole(step.seconds)} s{looks}{again}"
