"""What `make failback` shows while it waits, how it ends, and what it asks before a long downtime."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts import console, failback

PARENT, CHILD = "arn:parent", "arn:child"
HISTORIES: dict[str, list[dict[str, Any]]] = {
    PARENT: [
        {"type": "TaskStateEntered", "stateEnteredEventDetails": {"name": "Check what is asked"}},
        {"type": "ChoiceStateEntered", "stateEnteredEventDetails": {"name": "Where does it begin?"}},
        {"type": "TaskStateEntered", "stateEnteredEventDetails": {"name": "Switch over to the primary"}},
        {"type": "TaskSubmitted", "taskSubmittedEventDetails": {"output": json.dumps({"ExecutionArn": CHILD})}},
    ],
    CHILD: [
        {"type": "TaskStateEntered", "stateEnteredEventDetails": {"name": "Promote the database"}},
        {"type": "WaitStateEntered", "stateEnteredEventDetails": {"name": "Give the promotion time"}},
        {"type": "TaskStateEntered", "stateEnteredEventDetails": {"name": "Promote the database"}},
    ],
}


class States:
    """Step Functions, as far as it is watched."""

    def __init__(self, *statuses: str) -> None:
        self._statuses = list(statuses)

    def describe_execution(self, **_: Any) -> dict[str, Any]:
        return {"status": self._statuses.pop(0)}

    def get_paginator(self, _: str) -> States:
        return self

    def paginate(self, executionArn: str, **_: Any) -> list[dict[str, Any]]:  # noqa: N803 - AWS's name
        return [{"events": HISTORIES[executionArn]}]


def test_steps_and_those_of_the_children_are_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert console.follow(States("RUNNING", "SUCCEEDED"), PARENT, 0) == {"status": "SUCCEEDED"}
    lines = capsys.readouterr().out.splitlines()
    assert [line[12:] for line in lines] == [
        "Check what is asked",
        "Switch over to the primary",
        "    Promote the database",
        "    Give the promotion time",
    ]


def test_a_good_end_says_what_is_next_and_what_never_crossed(capsys: pytest.CaptureFixture[str]) -> None:
    primary = {"region": "eu-west-1", "retired": "dev-db-retired-2", "divergence": {"rows": 7, "evidence": "s3://x"}}
    output = {"outcome": "failed-back", "next": "1. Point the name.", "primary": primary, "dr": None}
    assert failback.conclude({"status": "SUCCEEDED", "output": json.dumps(output)}) == 0
    told = capsys.readouterr().out
    for part in ("failed-back", "1. Point the name.", "dev-db-retired-2 in eu-west-1 holds 7 row changes", "s3://x"):
        assert part in told


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        ({"status": "FAILED", "error": "PreconditionFailed", "cause": "the replica is gone"}, "the replica is gone"),
        ({"status": "ABORTED"}, "it goes on where it stopped"),
    ],
)
def test_a_bad_end_says_why(ended: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert failback.conclude(ended) == 1
    assert told in capsys.readouterr().out


def test_an_unknown_method_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert failback.main(["dev", "eu-central-1", "magic"]) == 2
    assert "'magic'" in capsys.readouterr().out


def test_a_word_has_to_be_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIRM", "prod")
    console.confirm("prod", "it")
    with pytest.raises(SystemExit, match="nothing was done"):
        console.confirm("dev", "it")
