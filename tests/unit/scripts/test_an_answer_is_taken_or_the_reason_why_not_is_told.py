from __future__ import annotations

import json
from typing import Any

import pytest

from scripts import approval
from tests.unit.scripts.answers import ARN, DR, Cloud, refusal

QUESTION = {
    "what": "failover",
    "asked_at": "2026-11-26T03:00:00+00:00",
    "until": "2999-01-01T00:00:00+00:00",
    "no_answer": "reject",
    "known": "eu-west-1 is lost by both signs",
    "execution": ARN,
    "token": "the-token",
}
LONG_AGO = "2000-01-01T00:00:00+00:00"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    found = Cloud({"send_task_success": {}})
    found.notes["approval"] = QUESTION
    monkeypatch.setattr("boto3.client", found.client)
    return found


def sent(cloud: Cloud) -> list[Any]:
    return [json.loads(given["output"]) for operation, given in cloud.calls if operation == "send_task_success"]


def test_an_answer_says_first_on_what_it_acts(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    assert approval.main("dev", DR, "approve", "the region is down") == 0
    assert capsys.readouterr().out.splitlines()[0] == "dev in eu-central-1"
    assert [(one["answer"], one["reason"]) for one in sent(cloud)] == [("approve", "the region is down")]


def test_a_look_says_what_becomes_of_no_answer(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    assert approval.main("dev", DR, "approve") == 2
    assert "without an answer by 2999-01-01T00:00:00+00:00: no failover begins" in capsys.readouterr().out
    assert sent(cloud) == []


@pytest.mark.parametrize("reason", ["", "the region is down"])
@pytest.mark.parametrize(
    ("until", "status", "why"),
    [
        (QUESTION["until"], "TIMED_OUT", "the execution that asked has ended (TIMED_OUT)"),
        (LONG_AGO, "RUNNING", f"the time for an answer was over at {LONG_AGO}"),
    ],
)
def test_a_question_that_is_over_says_so_with_the_way_on(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], reason: str, until: str, status: str, why: str
) -> None:
    cloud.notes["approval"] = QUESTION | {"until": until}
    cloud.answers |= {"describe_execution": {"status": status}, "send_task_success": refusal("TaskTimedOut")}
    assert approval.main("dev", DR, "approve", reason) == 1
    said = capsys.readouterr().err
    for part in (why, "Nothing was answered", "make failover ENVIRONMENT=dev DR_REGION=eu-central-1"):
        assert part in said


def test_a_clock_that_is_ahead_keeps_nobody_from_answering(cloud: Cloud) -> None:
    cloud.notes["approval"] = QUESTION | {"until": LONG_AGO}
    assert approval.main("dev", DR, "approve", "the region is down") == 0
    assert len(sent(cloud)) == 1
