"""What a game day establishes: plain data that the report, the page and the checks share."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

SCHEMA: Final = 1


@dataclass(frozen=True)
class LabTime:
    """Wall-clock moments as AWS seconds since a moment that matters, such as the loss.

    Parameters
    ----------
    zero
        Seconds since the Unix epoch.
    scale
        AWS seconds that pass in one real second.
    """

    zero: float
    scale: float

    def at(self, moment: float) -> float:
        """Return ``moment`` (seconds since the Unix epoch) as AWS seconds since the zero.

        Parameters
        ----------
        moment
            Seconds since the Unix epoch.

        Returns
        -------
        float
            AWS seconds; negative before the zero.
        """
        return (moment - self.zero) * self.scale


@dataclass(frozen=True)
class Step:
    """One step of a workflow as an operator saw it: a loop of look, wait, look again is one step.

    ``start`` and ``end`` are AWS seconds; ``end`` of a step that is under way is the last moment known of it.
    ``functions`` are those whose answers it waited for, ``sent`` those that it set off without waiting.
    """

    name: str
    branch: str
    start: float
    end: float
    kind: str = "Task"
    critical: bool = False
    visits: int = 1
    calls: int = 0
    retries: int = 0
    wait_seconds: float = 0.0
    functions: tuple[str, ...] = ()
    sent: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    open: bool = False

    @property
    def seconds(self) -> float:
        """How long the step took, in AWS seconds."""
        return self.end - self.start


@dataclass(frozen=True)
class Timeline:
    """An execution's steps, and what its critical path consists of.

    The critical path is what the end had to wait for: of branches side by side, the one that ended last.
    """

    status: str
    start: float
    end: float
    steps: tuple[Step, ...] = ()
    waits: int = 0
    wait_seconds: float = 0.0
    calls: int = 0
    functions: tuple[str, ...] = ()
    sent: tuple[str, ...] = ()
    cause: str = ""

    @property
    def work_seconds(self) -> float:
        """The critical path without its waits: what the workflow itself took, not what it waited for."""
        return max(0.0, self.end - self.start - self.wait_seconds)


@dataclass(frozen=True)
class Check:
    """Something that had to hold, and whether it did."""

    name: str
    held: bool
    detail: str


@dataclass(frozen=True)
class Milestone:
    """A moment that people look for on a timeline, in AWS seconds."""

    name: str
    at: float


@dataclass(frozen=True)
class Writes:
    """What became of the writes of a phase, or of the whole game day.

    A write without an answer is never counted as acknowledged, even if it is found afterwards. ``unapplied_at_loss``
    counts what the replica had received and not applied just after the loss, as the lab saw it; ``received_unapplied``
    what of that was left when it was promoted, as the workflow saw it.
    """

    acknowledged: int = 0
    acknowledged_before: int = 0
    acknowledged_after: int = 0
    lost: int = 0
    lost_ids: tuple[str, ...] = ()
    lost_out_of_order: int = 0
    received_unapplied: int | None = 0
    unapplied_at_loss: int | None = None
    altered: int = 0
    read_back: int = 0
    read_back_failed: int = 0
    attempts: int = 0
    unanswered: int = 0
    unanswered_found: int = 0


@dataclass(frozen=True)
class Phase:
    """A part of the game day that one execution of a state machine carried out: a failover, later a failback.

    Times are AWS seconds since the phase's own zero; ``zero_name`` says what that was.
    """

    name: str
    title: str
    zero_name: str
    status: str
    execution_arn: str = ""
    trigger: str = "manual"
    rto_seconds: float | None = None
    rto_note: str = ""
    started: float | None = None
    work_seconds: float | None = None
    work_note: str = ""
    milestones: tuple[Milestone, ...] = ()
    steps: tuple[Step, ...] = ()
    cause: str = ""
    output: dict[str, Any] = field(default_factory=dict)
    writes: Writes = field(default_factory=Writes)

    def as_json(self) -> dict[str, Any]:
        """Return the phase as the report holds it.

        Returns
        -------
        dict[str, Any]
            JSON's types only, seconds to a tenth.
        """
        data = asdict(self)
        data["steps"] = [
            {**asdict(step), "start": _tenth(step.start), "end": _tenth(step.end), "seconds": _tenth(step.seconds)}
            for step in self.steps
        ]
        for key in ("rto_seconds", "work_seconds", "started"):
            data[key] = None if data[key] is None else _tenth(data[key])
        data["milestones"] = [{"name": each.name, "at": _tenth(each.at)} for each in self.milestones]
        return data


def _tenth(seconds: float) -> float:
    return round(seconds, 1)
