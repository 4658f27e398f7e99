"""A game day that went well, as data: what a test changes is what it is about."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lab.gameday import audit, checks, load, timeline
from lab.gameday.checks import Standing, WorkloadFunction
from lab.gameday.model import LabTime, Milestone, Phase, Writes
from lab.gameday.report import Report
from lab.gameday.workload import Outcome, Write
from tests.unit.gameday.histories import LOSS, failover, since_loss

if TYPE_CHECKING:
    from lab.gameday.model import Timeline

PRIMARY, DR, FENCE = "eu-west-1", "eu-central-1", "dev-dr-fence"
LOST_AT = LOSS.timestamp()
SCALE = 10.0

PROMOTED: dict[str, Any] = {
    "DBInstanceIdentifier": "dev-db",
    "DBInstanceStatus": "available",
    "BackupRetentionPeriod": 7,
    "PendingModifiedValues": {},
    "StatusInfos": [],
}

STANDING = Standing(
    region=DR,
    database=PROMOTED,
    read_only=False,
    wanted_capacity=(2, 2, 4),
    wanted_healthy=2,
    capacity=(2, 2, 4),
    images=("ami-2", "ami-2"),
    newest_image="ami-2",
    healthy=2,
    functions=(WorkloadFunction("dev-orders", None, ("Enabled",)),),
    active_region=DR,
)


def write(order: str, at: float, outcome: Outcome = "acknowledged", region: str = PRIMARY) -> Write:
    """A write that was sent and ended around ``at`` AWS seconds after the loss."""
    sent = LOST_AT + at / SCALE
    return Write(order, f"note of {order}", region, sent, sent + 0.01, outcome)


def writes() -> list[Write]:
    """Four writers: steady, a gap of 224 s, then the other region."""
    steady = [write(f"a{number}", at) for number, at in enumerate(_every(-80, -1, 0.31))]
    gap = [write(f"b{number}", at, "unanswered") for number, at in enumerate(_every(0, 222, 2.1))]
    after = [write(f"c{number}", at, region=DR) for number, at in enumerate(_every(224, 275, 0.31))]
    return [*steady, *gap, *after]


def path() -> Timeline:
    return timeline.build(failover(), since_loss)


def phase(judged: Writes) -> Phase:
    seen = path()
    return Phase(
        name="failover",
        title=f"Failover to {DR}",
        zero_name=f"the loss of {PRIMARY}",
        status="SUCCEEDED",
        execution_arn=f"arn:aws:states:{DR}:000000000000:execution:dev-dr-failover:gameday-20261122-120014",
        rto_seconds=224.1,
        rto_note="from the loss to the first order",
        started=14.0,
        steps=seen.steps,
        work_seconds=seen.work_seconds,
        milestones=tuple(
            Milestone(name, at)
            for name, at in {"lost": 0.0, "started": 14.0, "ended": 220.0, "traffic": 222.0, "restored": 224.1}.items()
        ),
        output={"outcome": "failed-over"},
        writes=judged,
    )


def report(*, lost: tuple[str, ...] = (), standing: Standing = STANDING) -> Report:
    """A whole report; ``lost`` names writes whose rows are missing."""
    seen = writes()
    rows = {each.id: each.note for each in seen if each.outcome == "acknowledged" and each.id not in lost}
    judged = replace(audit.judge(seen, rows, LOST_AT, received_unapplied=0, read=60), unapplied_at_loss=87)
    failed_over = phase(judged)
    return Report(
        started_at="2026-11-22T11:59:50+00:00",
        time_scale=SCALE,
        environment="dev",
        primary=PRIMARY,
        dr=DR,
        outage={"region": PRIMARY, "mode": "hang", "at": LOSS.isoformat()},
        phases=[failed_over],
        writes=judged,
        checks=checks.after_failover(failed_over, path(), standing, judged, fence=FENCE, primary=PRIMARY),
        load=load.series(seen, LabTime(LOST_AT, SCALE).at),
        next=[f"{DR} runs alone: there is no replica.", f"{PRIMARY} must not serve when it returns."],
        machine={"system": "Linux x86_64", "processors": "2", "python": "3.13.0"},
        seconds=61.2,
    )


def broken_standing() -> Standing:
    return replace(STANDING, images=("ami-1", "ami-2"), active_region=PRIMARY)


def _every(start: float, end: float, step: float) -> list[float]:
    return [start + number * step for number in range(int((end - start) / step))]
