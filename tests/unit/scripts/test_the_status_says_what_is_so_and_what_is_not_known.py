from __future__ import annotations

import datetime as dt
import threading
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import NoCredentialsError

from scripts import status
from tests.unit.scripts.answers import ARN, DR, HANGS, PRIMARY, Cloud, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = dt.datetime(2026, 11, 26, 3, 4, 30, tzinfo=dt.UTC)
JUST_NOW = "2026-11-26T03:04:20+00:00"
QUESTION = {
    "what": "failover",
    "reason": "eu-west-1 is lost by both signs",
    "asked_at": "2026-11-26T03:00:00+00:00",
    "until": "2026-11-26T03:15:00+00:00",
    "no_answer": "reject",
    "execution": ARN,
}


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    found = Cloud()
    monkeypatch.setattr("boto3.client", found.client)
    return found


def told(after: dt.timedelta = dt.timedelta()) -> str:
    return "\n".join(status.Status("dev", DR, lambda: NOW + after).lines())


def test_a_region_that_is_watched_and_well_is_called_so(cloud: Cloud) -> None:
    cloud.notes["watch"] = {"region": PRIMARY, "at": JUST_NOW}
    assert "eu-west-1 at 2026-11-26T03:04:20Z: well" in told()
    assert "NOBODY HAS LOOKED" not in told()


def test_a_probe_that_is_dead_is_not_taken_at_its_last_word(cloud: Cloud) -> None:
    cloud.notes["watch"] = {"region": PRIMARY, "at": JUST_NOW}
    assert "NOBODY HAS LOOKED for 7 min: docs/detection.md" in told(dt.timedelta(minutes=7))


def test_a_region_that_nobody_probes_is_not_called_well(cloud: Cloud) -> None:
    detail = "eu-central-1 is active, and is not probed by itself; eu-west-1 does not answer yet: RDS"
    cloud.notes["watch"] = {"region": DR, "at": JUST_NOW, "detail": detail}
    said = told()
    assert "eu-central-1 at 2026-11-26T03:04:20Z: not probed\n" in said
    assert detail in said
    assert "well" not in said


def test_a_question_says_until_when_and_what_becomes_of_no_answer(cloud: Cloud) -> None:
    cloud.notes["approval"] = QUESTION
    said = told()
    assert "answer until 2026-11-26T03:15:00Z, with one of\n" in said
    for answer in ("approve", "reject"):
        assert f"make {answer} ENVIRONMENT=dev DR_REGION={DR} REASON='why'" in said
    assert "without an answer by then: no failover begins" in said
    cloud.notes["approval"] = QUESTION | {"no_answer": "approve"}
    assert "without an answer by then: the failover begins, if nothing forbids it by then" in told()


def _ended(cloud: Cloud) -> None:
    cloud.answers["describe_execution"] = {"status": "ABORTED"}


def _forgotten(cloud: Cloud) -> None:
    cloud.answers["describe_execution"] = refusal("ExecutionDoesNotExist")


@pytest.mark.parametrize(
    ("dead", "after", "why"),
    [
        (_ended, 0, "the execution that asked has ended (ABORTED)"),
        (_forgotten, 0, "the execution that asked has ended (and is forgotten)"),
        (None, 20, "the time for an answer was over at 2026-11-26T03:15:00Z"),
    ],
)
def test_a_question_that_nobody_can_answer_any_more_says_so(
    cloud: Cloud, dead: Callable[[Cloud], None] | None, after: int, why: str
) -> None:
    cloud.notes["approval"] = QUESTION
    if dead:
        dead(cloud)
    said = told(dt.timedelta(minutes=after))
    assert why in said
    assert "make failover ENVIRONMENT=dev DR_REGION=eu-central-1" in said
    assert "make approve" not in said


def test_a_question_stays_where_it_cannot_be_looked_whether_it_still_waits(cloud: Cloud) -> None:
    cloud.notes["approval"] = QUESTION
    cloud.answers["describe_execution"] = refusal("ThrottlingException")
    assert "make approve" in told()


def execution(name: str, state: str) -> dict[str, Any]:
    zone = dt.timezone(dt.timedelta(hours=9))
    start = dt.datetime(2026, 11, 26, 12, 0, 5, tzinfo=zone)
    return {"name": name, "status": state, "startDate": start, "executionArn": f"arn:{name}"}


def test_executions_are_told_in_utc_with_the_state_they_are_in_and_why_the_last_one_failed(cloud: Cloud) -> None:
    found = [execution("four", "RUNNING"), execution("three", "FAILED"), execution("two", "FAILED")]
    cloud.answers["list_executions"] = {"executions": found}
    cloud.answers["get_execution_history"] = {
        "events": [
            {"type": "LambdaFunctionScheduled"},
            {"type": "TaskStateEntered", "stateEnteredEventDetails": {"name": "Promote the database"}},
            {"type": "TaskStateEntered", "stateEnteredEventDetails": {"name": "Plan"}},
        ]
    }
    cloud.answers["describe_execution"] = {"error": "PreconditionFailed", "cause": "no image\nof ours"}
    _, *lines = told().split("last of dev-dr-failback")[1].splitlines()
    head = told().split("last of dev-dr-failback")[1].splitlines()[0]
    assert head.strip() == "2026-11-26 03:00:05Z RUNNING    four"
    assert [line.strip() for line in lines] == [
        "now in: Promote the database",
        "2026-11-26 03:00:05Z FAILED     three",
        "PreconditionFailed: no image of ours",
        "2026-11-26 03:00:05Z FAILED     two",
    ]
    asked = next(given for operation, given in cloud.calls if operation == "get_execution_history")
    assert asked["reverseOrder"] is True


@pytest.mark.parametrize("region", [PRIMARY, DR])
def test_a_sentinel_that_may_not_run_is_told_in_either_region(cloud: Cloud, region: str) -> None:
    other = DR if region == PRIMARY else PRIMARY
    cloud.answers["get_function_concurrency", region] = {"ReservedConcurrentExecutions": 0}
    said = told()
    assert f"{region}: MAY NOT RUN (its concurrency is 0)" in said
    assert f"{other}: may run" in said
    cloud.answers["get_function_concurrency", region] = {"ReservedConcurrentExecutions": 5}
    cloud.answers["describe_rule", region] = {"State": "DISABLED"}
    assert f"{region}: MAY NOT RUN (its schedule is disabled)" in told()


def test_what_a_sentinel_closed_is_told_even_of_a_region_that_does_not_answer(cloud: Cloud) -> None:
    cloud.notes[f"posture-{PRIMARY}"] = {
        "closed": {"database": {}, "capacity": {}},
        "at": "2026-11-26T02:00:00+00:00",
        "epoch": 3,
        "successor": DR,
    }
    cloud.answers["get_function_concurrency", PRIMARY] = HANGS
    said = told()
    closed = f"closed last: capacity, database at 2026-11-26T02:00:00Z (epoch 3, {DR} served)"
    assert f"{PRIMARY}: does not answer (ReadTimeoutError); {closed}" in said
    assert f"{DR}: may run" in said


def test_a_record_that_cannot_be_read_is_no_good_end_and_hides_nothing_else(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.record = {}
    assert status.main("dev", DR) == 1
    said = capsys.readouterr().out
    assert said.startswith("dev in eu-central-1\n")
    assert "CANNOT BE READ: dev-dr-state in eu-central-1 has no record" in said
    assert "database available" in said
    cloud.answers["get_item"] = refusal("ResourceNotFoundException")
    assert status.main("dev", DR) == 1
    assert "database available" in capsys.readouterr().out


def test_a_record_that_can_be_read_is_a_good_end(cloud: Cloud) -> None:
    assert status.main("dev", DR) == 0


def test_what_a_switch_left_that_bears_on_the_next_one_is_told(cloud: Cloud) -> None:
    at = "2026-11-26T03:01:00+00:00"
    cloud.record |= {"lock": "failed", "mode": "graceful", "source": DR, "target": PRIMARY, "promotion": at}
    assert f"POINT OF NO RETURN passed at 2026-11-26T03:01:00Z: only on to {PRIMARY}, never back\n" in told()
    # What a switch that is over has noted is history, and who builds a standby promotes nothing.
    cloud.record |= {"lock": "free"}
    assert "POINT OF NO RETURN" not in told()
    cloud.record |= {"lock": "held", "mode": "reprotect"}
    assert "POINT OF NO RETURN" not in told()
    assert "the region that was left" not in told()


def test_whether_the_region_that_was_left_is_closed_is_told(cloud: Cloud) -> None:
    cloud.record |= {"active_region": DR, "mode": "ungraceful", "source": PRIMARY, "target": DR}
    assert f"the region that was left, {PRIMARY}: not confirmed: {PRIMARY} has not answered yet\n" in told()
    cloud.record |= {"fence": "confirmed: functions, group, database"}
    assert f"the region that was left, {PRIMARY}: confirmed: functions, group, database\n" in told()


def test_a_cool_down_is_told_while_it_lasts(cloud: Cloud) -> None:
    cloud.record |= {"cool_down_until": "2026-11-26T03:30:00+00:00"}
    assert "cool-down until 2026-11-26T03:30:00Z: nothing fails over by itself\n" in told()
    assert "cool-down" not in told(dt.timedelta(hours=1))


def test_what_an_alarm_may_begin_is_told(cloud: Cloud) -> None:
    def parameter(**given: Any) -> dict[str, Any]:
        name = given["Name"].removeprefix("/dev/pilotlight/config/")
        return {"Parameter": {"Value": {"failover-mode": "approval", "failback-mode": "manual"}.get(name, PRIMARY)}}

    cloud.answers["get_parameter"] = parameter
    assert "failover is approval (FailoverMode), failback is manual (FailbackMode)" in told()


def test_who_looks_on_says_when_again(cloud: Cloud) -> None:
    made = {"what": "failover", "rule": "automation-is-off", "reason": "automation is off", "at": JUST_NOW}
    cloud.notes["decision"] = made | {"outcome": "wait", "again_seconds": 60}
    said = told()
    assert "failover: nothing begun (automation-is-off), automation is off\n" in said
    assert "looking on, again at 2026-11-26T03:05:20Z\n" in said
    cloud.notes["decision"] = made | {"outcome": "tell", "again_seconds": 0}
    assert "nothing begun, and the team was told" in told()
    assert "looking on" not in told()


def test_a_dr_that_hangs_is_asked_for_seconds_and_hides_nothing_that_answers(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience: list[float] = []

    def client(service: str, region_name: str, config: Any) -> Any:
        patience.append((config.connect_timeout + config.read_timeout) * config.retries["total_max_attempts"])
        return cloud.client(service, region_name, config)

    monkeypatch.setattr("boto3.client", client)
    at_once = threading.Barrier(len(status._MACHINES), timeout=30)

    def last(**_: Any) -> Any:
        at_once.wait()
        raise HANGS

    cloud.answers |= {"get_item": HANGS, "get_parameter": HANGS, "list_executions": last}
    cloud.answers["describe_db_instances"] = {"DBInstances": [{"DBInstanceStatus": "available"}]}
    said = told()
    assert max(patience) <= 10
    for title in ("active region", "automation", "watched", "sentinels", "last of dev-dr-failover"):
        (line,) = (line for line in said.splitlines() if line.startswith(f"{title} "))
        assert "CANNOT BE READ: Read timeout" in line
    # They were all asked at the same time, or the barrier would have broken.
    assert said.count("CANNOT BE READ: Read timeout") > len(status._MACHINES)


def test_without_credentials_it_says_that_alone(cloud: Cloud) -> None:
    cloud.answers["get_item"] = NoCredentialsError()
    with pytest.raises(NoCredentialsError):
        told()
