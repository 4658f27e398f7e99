"""What a game day establishes: plain data that the report, the page and the checks share."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from lab.gameday.numbers import tenth

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
    changes
        Moments (seconds since the Unix epoch, rising) from which another scale holds, each with that scale.
    """

    zero: float
    scale: float
    changes: tuple[tuple[float, float], ...] = ()

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
        return self._passed(moment) - self._passed(self.zero)

    def scale_at(self, moment: float) -> float:
        """Return how many AWS seconds pass in one real second at a moment.

        Parameters
        ----------
        moment
            Seconds since the Unix epoch.

        Returns
        -------
        float
            The scale.
        """
        return next((scale for since, scale in reversed(self.changes) if moment >= since), self.scale)

    def changed(self, moment: float, scale: float) -> LabTime:
        """Return this time with another scale from a moment on.

        Parameters
        ----------
        moment
            Seconds since the Unix epoch; not before an earlier change.
        scale
            AWS seconds that pass in one real second from then on.

        Returns
        -------
        LabTime
            With the same zero: what was is not re-timed.
        """
        return replace(self, changes=(*self.changes, (moment, scale)))

    def _passed(self, moment: float) -> float:
        # Counted from the zero with the first scale, then corrected for each change that lies before the moment.
        passed, scale = (moment - self.zero) * self.scale, self.scale
        for since, now in self.changes:
            if moment > since:
                passed += (moment - since) * (now - scale)
            scale = now
        return passed


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
    phase: str = ""


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
class Stray:
    """What clients wrote to a region that had lost its role and did not know it yet.

    These writes belong to no phase and count as acknowledged nowhere else: no recovery could carry them over, and
    what matters is that each of them is named.
    """

    clients: int = 0
    acknowledged: int = 0
    acknowledged_ids: tuple[str, ...] = ()
    attempts: int = 0
    last_at: float | None = None


@dataclass(frozen=True)
class Divergence:
    """What an old database has and the active one lacks: as re-protection reported it, and as it is.

    ``evidence_ids`` are the orders of the list that it wrote, ``old_ids`` those that were found in the retired database
    itself and not in the active one; None where they could not be read, with the reason in ``unread``.
    """

    reported: dict[str, Any] | None = None
    orders: int | None = None
    evidence: str = ""
    evidence_ids: tuple[str, ...] | None = None
    old_ids: tuple[str, ...] | None = None
    unread: str = ""


@dataclass(frozen=True)
class Phase:
    """A part of the game day that one execution of a state machine carried out.

    Times are AWS seconds since the phase's own zero; ``zero_name`` says what that was, ``zero_at`` when: AWS seconds
    after the loss. ``writes`` are those that clients were promised while the phase lasted, and every promise belongs to
    one phase only. ``breakdown`` says what the recovery time consists of, in AWS seconds, each part from where the one
    before it ended. ``freeze_seconds`` is how long nobody could write in a planned switch.
    """

    name: str
    title: str
    zero_name: str
    status: str
    zero_at: float = 0.0
    execution_arn: str = ""
    trigger: str = "manual"
    rto_seconds: float | None = None
    rto_note: str = ""
    breakdown: dict[str, float] = field(default_factory=dict)
    freeze_seconds: float | None = None
    freeze_note: str = ""
    started: float | None = None
    seconds: float | None = None
    work_seconds: float | None = None
    work_note: str = ""
    milestones: tuple[Milestone, ...] = ()
    steps: tuple[Step, ...] = ()
    cause: str = ""
    output: dict[str, Any] = field(default_factory=dict)
    writes: Writes = field(default_factory=Writes)
    stray: Stray | None = None
    divergence: Divergence | None = None

    def moment(self, milestone: str) -> float | None:
        """Return when a milestone was, in AWS seconds since the phase's zero.

        Parameters
        ----------
        milestone
            Its name.

        Returns
        -------
        float | None
            None if it was not reached.
        """
        return next((each.at for each in self.milestones if each.name == milestone), None)

    def as_json(self) -> dict[str, Any]:
        """Return the phase as the report holds it.

        Returns
        -------
        dict[str, Any]
            JSON's types only, seconds to a tenth. ``stray`` and ``divergence`` are there only where there can be some;
            ``divergence`` is what the workflow reported, with what the audit found beside it.
        """
        data = asdict(self)
        data["steps"] = [
            {**asdict(step), "start": tenth(step.start), "end": tenth(step.end), "seconds": tenth(step.seconds)}
            for step in self.steps
        ]
        for key in ("rto_seconds", "freeze_seconds", "work_seconds", "seconds", "started", "zero_at"):
            data[key] = None if data[key] is None else tenth(data[key])
        data["breakdown"] = _parts(self.breakdown, data["rto_seconds"])
        data["milestones"] = [{"name": each.name, "at": tenth(each.at)} for each in self.milestones]
        if self.stray is None:
            del data["stray"], data["divergence"]
        else:
            found = self.divergence or Divergence()
            data["stray"] = self.stray.acknowledged
            data["stray_ids"] = list(self.stray.acknowledged_ids)
            data["stray_clients"] = self.stray.clients
            data["divergence"] = None if found.reported is None else dict(found.reported)
            data["divergence_orders"] = found.orders
            data["divergence_ids"] = None if found.evidence_ids is None else list(found.evidence_ids)
            data["divergence_found"] = None if found.old_ids is None else len(found.old_ids)
        return data


def _parts(parts: dict[str, float], whole: float | None) -> dict[str, float]:
    """Round parts so that they still add up to the whole: the largest takes what is left over."""
    rounded = {name: tenth(seconds) for name, seconds in parts.items()}
    if rounded and whole is not None:
        largest = max(rounded, key=lambda name: rounded[name])
        rounded[largest] = tenth(rounded[largest] + whole - sum(rounded.values()))
    return rounded
