"""What `make image` starts, where, and how it ends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from scripts import console, image

PRIMARY, DR = "eu-west-1", "eu-central-1"
OUTPUT = {
    "outcome": "published",
    "region": PRIMARY,
    "other": DR,
    "detail": "",
    "pair": "dev-app-1",
    "published": {DR: "ami-2", PRIMARY: "ami-1"},
    "version": "2.3.1",
    "instance": "i-1",
    "checked": ["the key is enabled"],
    "removed": {"images": ["ami-0"], "snapshots": ["snap-0"], "problems": []},
}


class Ssm:
    """The record of one region; or a region that does not answer."""

    def __init__(self, value: str | Exception) -> None:
        self._value = value

    def get_parameter(self, **_: Any) -> dict[str, Any]:
        if isinstance(self._value, Exception):
            raise self._value
        return {"Parameter": {"Value": self._value}}


LOST = EndpointConnectionError(endpoint_url="https://ssm")
NONE = ClientError({"Error": {"Code": "ParameterNotFound", "Message": ""}}, "GetParameter")


@pytest.mark.parametrize(
    ("dr", "primary", "active"),
    [(DR, PRIMARY, DR), (PRIMARY, PRIMARY, PRIMARY), (LOST, PRIMARY, PRIMARY), (NONE, PRIMARY, PRIMARY)],
)
def test_it_is_started_where_drs_record_says(
    monkeypatch: pytest.MonkeyPatch, dr: Any, primary: Any, active: str
) -> None:
    records = {DR: Ssm(dr), PRIMARY: Ssm(primary)}
    monkeypatch.setattr("boto3.client", lambda _, region_name, **__: records[region_name])
    assert console.active_region("dev", DR, PRIMARY) == active


def test_where_no_region_answers_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boto3.client", lambda *_, **__: Ssm(LOST))
    with pytest.raises(console.StoppedError, match="nothing was started"):
        console.active_region("dev", DR, PRIMARY)


def ended(capsys: pytest.CaptureFixture[str], **changes: Any) -> tuple[int, str]:
    status = image.conclude({"status": "SUCCEEDED", "output": json.dumps(OUTPUT | changes)})
    return status, capsys.readouterr().out


def test_a_good_end_says_what_was_published_checked_and_removed(capsys: pytest.CaptureFixture[str]) -> None:
    status, told = ended(capsys)
    assert status == 0
    for part in ("dev-app-1: ami-2 in eu-central-1", "version 2.3.1", "✓ the key is enabled", "removed: ami-0, snap-0"):
        assert part in told


def test_an_image_in_one_region_alone_is_no_good_end(capsys: pytest.CaptureFixture[str]) -> None:
    status, told = ended(capsys, outcome="published-alone", published={PRIMARY: "ami-1"}, detail="it does not answer")
    assert status == 2
    assert "NOT copied to eu-central-1: it does not answer" in told


@pytest.mark.parametrize(("outcome", "status"), [("running", 3), ("standing-by", 1)])
def test_where_nothing_was_made_that_is_said(capsys: pytest.CaptureFixture[str], outcome: str, status: int) -> None:
    found, told = ended(capsys, outcome=outcome, detail="another run is making one: arn:x")
    assert found == status
    assert "Nothing was made in eu-west-1: another run is making one: arn:x" in told


def test_a_failure_is_told_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert image.conclude({"status": "FAILED", "error": "PreconditionFailed", "cause": "the key is Disabled"}) == 1
    assert "the key is Disabled" in capsys.readouterr().out
