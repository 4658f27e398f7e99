"""Single faults, each of which must not fail over; then a primary that is really lost, and what people say of it.

In this order, on one system, with automation on: nobody starts anything here.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.running import ACCOUNT, ROOT
from tests.workflow.mail import Mailbox
from tests.workflow.operator import DR, PRIMARY, Operator

if TYPE_CHECKING:
    from collections.abc import Callable

ALARM = "dev-dr-primary-lost"
PARTS = ("dev-dr-probe-failed", "dev-dr-replica-lost-source")
LOOKS_ON = "Wait before looking again"
# Longer than both alarms need for a loss, and than the rounds that are in between.
A_WHILE = 240


@pytest.fixture(autouse=True, scope="module")
def automation(operator: Operator) -> None:
    operator.automation(on=True)
    operator.until(lambda: states(operator).get(ALARM) == "OK", "the alarms have looked", 120)


def states(operator: Operator) -> dict[str, str]:
    found = operator.lab.client("cloudwatch").describe_alarms(
        AlarmNames=[ALARM, *PARTS, "dev-dr-deep-probe-failed"], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    return {each["AlarmName"]: each["StateValue"] for each in (*found["MetricAlarms"], *found["CompositeAlarms"])}


def triggered(operator: Operator) -> list[dict[str, Any]]:
    """Executions that an alarm started, the first one first."""
    return operator.triggered()


def database(operator: Operator, control: str, **more: Any) -> None:
    operator.lab.control("database", control, region=DR, identifier="dev-db", **more)


def well(operator: Operator) -> None:
    """Wait until the primary is well by both signs."""
    operator.until(lambda: operator.order(operator.door(PRIMARY), str(uuid.uuid4())), "the primary serves", 60)
    operator.until(lambda: all(states(operator)[name] == "OK" for name in (ALARM, *PARTS)), "the alarms are quiet", 90)


def nothing_happened(operator: Operator, before: dict[str, Any], executions: int) -> None:
    after = operator.record()
    assert (after["epoch"], after["lock"], after["active_region"]) == (before["epoch"], before["lock"], PRIMARY)
    for each in triggered(operator)[executions:]:
        end = operator.end_of(each["executionArn"])
        assert end.output["outcome"] == "no-failover"
    assert operator.group(DR)["DesiredCapacity"] == 0
    assert operator.database(DR)["ReadReplicaSourceDBInstanceIdentifier"]


def deliver(operator: Operator, times: int = 1, **detail: Any) -> None:
    """Deliver the alarm's event as if it rang, however long ago."""
    event = {
        "id": str(uuid.uuid4()),
        "source": "aws.cloudwatch",
        "detail-type": "CloudWatch Alarm State Change",
        "time": (dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": DR,
        "account": ACCOUNT,
        "resources": [f"arn:aws:cloudwatch:{DR}:{ACCOUNT}:alarm:{ALARM}"],
        "detail": {
            "alarmName": ALARM,
            "state": {"value": "ALARM", "timestamp": "2026-01-01T00:00:00.000+0000", "reason": "test"},
            "previousState": {"value": "OK"},
            **detail,
        },
    }
    for _ in range(times):
        operator.lab.control("events", "replay", region=DR, event=event)


FAULTS: dict[str, tuple[Callable[[Operator], None], Callable[[Operator], None]]] = {
    "the way of DR's probes to the primary": (
        lambda o: o.lab.control("network", "probe-path", region=DR, on=True),
        lambda o: o.lab.control("network", "probe-path", region=DR, on=False),
    ),
    "the deep check alone": (
        lambda o: o.lab.control("compute", "failing-deep-check", region=PRIMARY, on=True),
        lambda o: o.lab.control("compute", "failing-deep-check", region=PRIMARY, on=False),
    ),
    "a replica that is behind": (
        lambda o: database(o, "pause-applying"),
        lambda o: database(o, "resume-applying"),
    ),
    "replication that is broken": (
        lambda o: database(o, "break-replication"),
        lambda o: database(o, "repair-replication"),
    ),
    "DR's own network": (lambda o: cut_off(o, on=True), lambda o: cut_off(o, on=False)),
    "the targets of one zone": (
        lambda o: o.lab.control("compute", "zone-down", region=PRIMARY),
        lambda o: None,
    ),
    "a deployment in the primary": (lambda o: replace_the_instances(o), lambda o: None),
}


def cut_off(operator: Operator, *, on: bool) -> None:
    operator.lab.control("network", "cut", region=DR, on=on)
    database(operator, "break-replication" if on else "repair-replication")


def replace_the_instances(operator: Operator) -> None:
    for instance in operator.group(PRIMARY)["Instances"][:1]:
        operator.lab.client("autoscaling", PRIMARY).terminate_instance_in_auto_scaling_group(
            InstanceId=instance["InstanceId"], ShouldDecrementDesiredCapacity=False
        )


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_alone_fails_nothing_over(operator: Operator, fault: str) -> None:
    well(operator)
    before, executions = operator.record(), len(triggered(operator))
    begin, end = FAULTS[fault]
    begin(operator)
    try:
        operator.lab.clock_passes(A_WHILE)
        assert states(operator)[ALARM] != "ALARM"
    finally:
        end(operator)
    nothing_happened(operator, before, executions)


@pytest.mark.parametrize("times", [1, 5], ids=["an event of an hour ago", "an event delivered five times"])
def test_an_event_alone_fails_nothing_over(operator: Operator, times: int) -> None:
    well(operator)
    before, executions = operator.record(), len(triggered(operator))
    deliver(operator, times)
    operator.until(lambda: len(triggered(operator)) == executions + times, "each delivery woke the workflow")
    nothing_happened(operator, before, executions)


def test_an_alarm_set_by_hand_fails_nothing_over(operator: Operator) -> None:
    well(operator)
    before, executions = operator.record(), len(triggered(operator))
    operator.lab.client("cloudwatch").set_alarm_state(AlarmName=ALARM, StateValue="ALARM", StateReason="by hand")
    operator.until(lambda: len(triggered(operator)) > executions, "it woke the workflow")
    nothing_happened(operator, before, executions)


# A primary that is really lost


def lost(operator: Operator) -> str:
    """Lose the primary and wait until the alarm has woken the failover."""
    well(operator)
    executions = len(triggered(operator))
    operator.lab.lose(PRIMARY, "refuse")
    operator.until(lambda: len(triggered(operator)) > executions, "the alarm woke the failover", 60)
    arn: str = triggered(operator)[executions]["executionArn"]
    return arn


def make(operator: Operator, *order: str) -> str:
    """Say something as a person on call does, by make."""
    environment = os.environ | {
        "AWS_ENDPOINT_URL": operator.lab.endpoint,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "lab",
        "AWS_DEFAULT_REGION": DR,
    }
    done = subprocess.run(
        ["make", "--no-print-directory", *order],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def not_failed_over(operator: Operator, arn: str, rule: str) -> None:
    end = operator.end_of(arn)
    assert end.status == "SUCCEEDED", end.cause
    assert end.output["outcome"] == "no-failover"
    assert end.output["decision"]["rule"] == rule
    assert operator.record()["active_region"] == PRIMARY
    operator.lab.bring_back(PRIMARY)


def switched_off(operator: Operator) -> str:
    """Lose the primary while automation is off, and wait until the execution looks on."""
    assert "automation is OFF" in make(operator, "automation", "OFF=moving the database")
    arn = lost(operator)
    assert operator.reaches(arn, LOOKS_ON) == "entered"
    assert operator.note("decision")["rule"] == "automation-is-off"
    return arn


def test_while_automation_is_off_people_are_told_and_nothing_begins(operator: Operator) -> None:
    arn = switched_off(operator)
    assert "moving the database" in make(operator, "status")
    operator.until(lambda: operator.entered(arn).count(LOOKS_ON) > 1, "it is looked at again")
    operator.lab.bring_back(PRIMARY)
    not_failed_over(operator, arn, "alarm-is-over")
    # Told of once, however often it was decided.
    assert operator.entered(arn).count("Tell the team why not") == 1
    assert "automation is on" in make(operator, "automation", "ON=1")


def test_in_the_cool_down_people_are_told_and_nothing_begins(operator: Operator) -> None:
    until = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat(timespec="seconds")
    operator.write_record(cool_down_until=until)
    not_failed_over(operator, lost(operator), "cool-down")
    operator.write_record(cool_down_until="")


def test_a_failover_that_an_alarm_began_and_that_is_refused_tells_the_team(operator: Operator) -> None:
    mail = Mailbox(operator, DR, "dev-dr-notifications")
    was = operator.set("poll-seconds", "15m")
    arn = lost(operator)
    end = operator.end_of(arn)
    operator.set("poll-seconds", was)
    assert (end.status, end.error) == ("FAILED", "PreconditionFailed")
    assert "poll-seconds is '15m'" in end.cause
    assert operator.entered(arn)[-2:] == ["Tell the team that it was refused", "Refused"]
    told = mail.next("REFUSED")
    assert f"The failover that an alarm began was refused: {end.cause}\n" in told
    assert f"\n  make failover ENVIRONMENT=dev DR_REGION={DR}\n" in told
    shown = make(operator, "status")
    assert "PreconditionFailed: parameter /dev/pilotlight/config/poll-seconds is '15m'" in shown
    assert f"{PRIMARY}: does not answer" in shown or f"{PRIMARY}: does not say" in shown
    assert f"{DR}: may run" in shown
    operator.lab.bring_back(PRIMARY)


def test_what_cannot_be_decided_is_told_once_and_decided_when_it_is_put_right(operator: Operator) -> None:
    mail = Mailbox(operator, DR, "dev-dr-notifications")
    was = operator.set("failover-mode", "sometimes")
    arn = lost(operator)
    again = "Wait before deciding again"
    operator.until(lambda: operator.entered(arn).count(again) > 1, "it is tried again")
    told = mail.next("UNDECIDED")
    assert "failover-mode is 'sometimes'" in told
    assert f"\n  make failover ENVIRONMENT=dev DR_REGION={DR}\n" in told
    operator.set("failover-mode", "manual")
    not_failed_over(operator, arn, "manual")
    operator.set("failover-mode", was)


def asked(operator: Operator) -> str:
    arn = lost(operator)
    operator.until(lambda: operator.note("approval").get("execution") == arn, "the team is asked")
    # Since that is wanted, and not since nobody knows what would be lost.
    made = operator.note("decision")
    assert (made["rule"], 0 <= made["loss_seconds"] <= 60) == ("approval", True), made
    return arn


def test_a_no_is_kept_and_nothing_begins(operator: Operator) -> None:
    operator.set("failover-mode", "approval")
    arn = asked(operator)
    shown = make(operator, "reject", "REASON=they have it back in minutes")
    assert "lost by both signs" in shown
    not_failed_over(operator, arn, "rejected")
    answer = operator.note("decision")["answer"]
    assert (answer["answer"], answer["reason"]) == ("reject", "they have it back in minutes")
    assert answer["by"].startswith("arn:")
    assert operator.note("approval") == {}


def test_a_question_goes_with_the_execution_that_asked_it(operator: Operator) -> None:
    arn = asked(operator)
    assert "without an answer by then: no failover begins" in make(operator, "status")
    assert operator.stop(arn)
    operator.until(lambda: operator.note("approval") == {}, "the question is withdrawn")
    operator.lab.bring_back(PRIMARY)


def test_no_answer_is_a_no(operator: Operator) -> None:
    was = operator.set("approval-timeout-seconds", "60")
    not_failed_over(operator, asked(operator), "no-answer")
    operator.set("approval-timeout-seconds", was)


def test_when_automation_is_on_again_a_yes_fails_over_once_however_often_the_event_comes(operator: Operator) -> None:
    arn = switched_off(operator)
    before = len(triggered(operator))
    deliver(operator, 2)
    operator.until(lambda: len(triggered(operator)) == before + 2, "each delivery woke the workflow")
    for each in triggered(operator)[before:]:
        assert operator.end_of(each["executionArn"]).output["decision"]["rule"] == "looked-at-already"
    # Nobody starts anything: the alarm has rung, and rings.
    make(operator, "automation", "ON=1")
    operator.until(lambda: operator.note("approval").get("execution") == arn, "the team is asked")
    deliver(operator, 5)
    make(operator, "approve", "REASON=the region is down")
    end = operator.end_of(arn, 240)
    assert end.status == "SUCCEEDED", end.cause
    assert end.output["outcome"] == "failed-over", end.output["decision"]
    decision = end.output["decision"]
    assert (decision["rule"], decision["answer"]["reason"]) == ("approved", "the region is down")
    for each in triggered(operator)[before:]:
        if each["executionArn"] != arn:
            assert operator.end_of(each["executionArn"]).output["outcome"] == "no-failover"
    record = operator.record()
    assert (record["active_region"], record["epoch"], record["lock"]) == (DR, "1", "free")
    assert "dev-dr-primary-lost" in record["reason"]
    assert decision["inputs"]["alarms"][ALARM] == "ALARM"
