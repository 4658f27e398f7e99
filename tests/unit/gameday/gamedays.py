"""A game day that went well, as data: what a test changes is what it is about."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lab.gameday import audit, checks, load, timeline
from lab.gameday.checks import Kept, Places, Proof, Standing, WorkloadFunction
from lab.gameday.draw import draw, seeds
from lab.gameday.model import Divergence, LabTime, Milestone, Phase, Stray, Writes
from lab.gameday.report import Report
from lab.gameday.series import Held, combined
from lab.gameday.workload import Outcome, Write
from tests.unit.gameday import histories
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


RETURNED, CLOSED_AT, HOME_FROM = 530.0, 560.0, 2230.0
"""AWS seconds after the loss: the primary is back, re-protection starts, failback starts."""
SWITCHED_FROM, SERVED_HOME = HOME_FROM + 12, HOME_FROM + 262
LAPSE = 60.0
TIME = (
    LabTime(LOST_AT, SCALE)
    .changed(LOST_AT + 27.5, LAPSE)
    .changed(LOST_AT + 27.5 + (HOME_FROM - 275) / LAPSE, SCALE)
    .changed(LOST_AT + 27.5 + (HOME_FROM - 275) / LAPSE + 28, LAPSE)
)
STRAYS = ("s1", "s2", "s3")
LOST = ("a252", "a253")
EVIDENCE = "s3://dev-evidence-000000000000-eu-west-1/divergence/dev-db-retired-1/rows.jsonl"
COMPARED = {
    "transactions": 5,
    "rows": 5,
    "tables": {"app.orders": {"inserted": 5, "updated": 0, "deleted": 0}},
    "listed": True,
    "truncated": False,
    "evidence": EVIDENCE,
    "detail": "",
}
KEPT = Kept(PRIMARY, "dev-db-retired-1", "available", protected=True, doors=("closed",), snapshot="available")
REPLICA: dict[str, Any] = {
    "DBInstanceIdentifier": "dev-db",
    "DBInstanceStatus": "available",
    "BackupRetentionPeriod": 7,
    "ReadReplicaSourceDBInstanceIdentifier": f"arn:aws:rds:{PRIMARY}:000000000000:db:dev-db",
    "StatusInfos": [{"StatusType": "read replication", "Normal": True, "Status": "replicating"}],
}
HOME = Places(
    replace(STANDING, region=PRIMARY, active_region=PRIMARY),
    replace(
        STANDING,
        database=REPLICA,
        read_only=True,
        capacity=(0, 0, 4),
        images=(),
        healthy=0,
        functions=(WorkloadFunction("dev-orders", 0, ("Disabled",)),),
        active_region=PRIMARY,
    ),
)


def all_writes() -> list[Write]:
    """The writes of a whole circle: DR serves until the freeze, then the primary."""
    away = [_moved(write("d", 0, region=DR), at, f"d{number}") for number, at in enumerate(_every(276, 2254, 2.0))]
    frozen = [
        _moved(write("e", 0, "refused", DR), at, f"e{number}")
        for number, at in enumerate(_every(2255, SERVED_HOME, 2.1))
    ]
    home = [_moved(write("f", 0), at, f"f{number}") for number, at in enumerate(_every(SERVED_HOME, 4300, 2.0))]
    return [*writes(), *away, *frozen, *home]


def circle(*, lost: tuple[str, ...] = LOST, number: int = 1) -> Report:
    """A whole circle that held."""
    seen = all_writes()
    rows = {each.id: each.note for each in seen if each.outcome == "acknowledged" and each.id not in lost}
    begins = [(0.0, "failover"), (_real(RETURNED), "reprotect"), (_real(HOME_FROM), "failback")]
    begins += [(_real(SWITCHED_FROM), "switchover"), (_real(HOME_FROM + 265), "failback")]
    judged = {
        name: audit.judge(some, rows, LOST_AT, received_unapplied=0 if name == "failover" else None, read=60)
        for name, some in audit.by_phase(seen, begins).items()
    }
    failed_over = replace(phase(judged["failover"]), seconds=206.0)
    protected = replace(
        _phase("reprotect", f"Re-protect {PRIMARY}", histories.reprotect(CLOSED_AT), judged["reprotect"]),
        output={"outcome": "protected", "divergence": COMPARED, "retired": "dev-db-retired-1"},
        stray=Stray(1, len(STRAYS), STRAYS, 40, 9.0),
        divergence=Divergence(COMPARED, 5, EVIDENCE, (*lost, *STRAYS), tuple(sorted((*lost, *STRAYS)))),
    )
    protected = replace(
        protected,
        milestones=(*protected.milestones, Milestone("returned", RETURNED - CLOSED_AT), Milestone("closed", 10.0)),
    )
    switched = _phase(
        "switchover", f"Switch over to {PRIMARY}", histories.switchover(SWITCHED_FROM), judged["switchover"]
    )
    whole = _phase("failback", f"Failback to {PRIMARY}", histories.failback(HOME_FROM), judged["failback"])
    whole = replace(whole, output={"outcome": "failed-back", "next": "1. Nothing is left to do."})
    switched, whole = (
        replace(
            each,
            freeze_seconds=SERVED_HOME - SWITCHED_FROM - 12,
            milestones=(
                *each.milestones,
                Milestone("frozen", SWITCHED_FROM + 12 - each.zero_at),
                Milestone("traffic", SERVED_HOME - 4 - each.zero_at),
                Milestone("restored", SERVED_HOME - each.zero_at),
            ),
        )
        for each in (switched, whole)
    )
    found = checks.after_failover(failed_over, path(), STANDING, judged["failover"], fence=FENCE, primary=PRIMARY)
    found += checks.after_reprotect(protected, judged["failover"], (), KEPT, PRIMARY)
    found += checks.after_failback(
        switched, whole, (1400, 0), Proof("0-1-4711", "0-1-4711"), replace(KEPT, region=DR), HOME
    )
    phases = [failed_over, protected, switched, whole]
    strays = [_moved(write("s", 0), at, name) for name, at in zip(STRAYS, (540.0, 548.0, 566.0), strict=True)]
    strays += [_moved(write("t", 0, "refused"), at, f"t{number}") for number, at in enumerate(_every(570, 2200, 20))]
    return replace(
        report(),
        phases=phases,
        writes=audit.total([each.writes for each in phases]),
        checks=found,
        load=load.series(seen, TIME),
        strays=load.series(strays, TIME),
        clock=[{"at": round(TIME.at(at), 1), "scale": scale} for at, scale in TIME.changes],
        next=["Nothing is left to do."],
        seconds=130.0 + number,
    )


def series(circles: int = 3, *, broken: int = 0) -> dict[str, Any]:
    """The report of several circles; the one that is named ``broken`` did not hold."""
    held = []
    for number, seed in enumerate(seeds(7, circles), 1):
        seen = circle(number=number)
        seen.phases[0] = replace(seen.phases[0], rto_seconds=200.0 + 17 * number)
        if number == broken:
            seen.checks[11] = replace(seen.checks[11], held=False, detail="its list lacks 1 orders")
        held.append(Held(number, seed, draw(seed), seen))
    return combined(held, circles, 7)


def _phase(name: str, title: str, events: list[dict[str, Any]], judged: Writes) -> Phase:
    seen = timeline.build(events, since_loss)
    zero = seen.start
    return Phase(
        name=name,
        title=title,
        zero_name="its start",
        zero_at=zero,
        status="SUCCEEDED",
        execution_arn=histories.execution_arn(name, "gameday"),
        started=0.0,
        seconds=seen.end - zero,
        work_seconds=seen.work_seconds,
        steps=tuple(replace(step, start=step.start - zero, end=step.end - zero) for step in seen.steps),
        milestones=(Milestone("started", 0.0), Milestone("ended", seen.end - zero)),
        writes=judged,
    )


def _real(at: float) -> float:
    """When something was, AWS seconds after the loss."""
    low, high = LOST_AT - 100, LOST_AT + 1000
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if TIME.at(middle) < at else (low, middle)
    return low


def _moved(one: Write, at: float, order: str) -> Write:
    sent = _real(at)
    return replace(one, id=order, note=f"note of {order}", sent=sent, ended=sent + 0.01)


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
        load=load.series(seen, LabTime(LOST_AT, SCALE)),
        next=[f"{DR} runs alone: there is no replica.", f"{PRIMARY} must not serve when it returns."],
        machine={"system": "Linux x86_64", "processors": "2", "python": "3.13.0"},
        seconds=61.2,
    )


def broken_standing() -> Standing:
    return replace(STANDING, images=("ami-1", "ami-2"), active_region=PRIMARY)


def _every(start: float, end: float, step: float) -> list[float]:
    return [start + number * step for number in range(int((end - start) / step))]
