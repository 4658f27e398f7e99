from __future__ import annotations

import http.server
import json
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from functions.pair import app

from .conftest import DR, PRIMARY, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Regions

ROOT = Path(__file__).parents[3]


class Context:
    def __init__(self, milliseconds: int = 60_000) -> None:
        self._milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self._milliseconds


class CloudFormation:
    """Takes answers as CloudFormation's bucket would."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.refuse = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.refuse:
                    outer.refuse -= 1
                    self.send_error(503)
                    return
                # The URL was signed for no content type.
                assert self.headers["Content-Type"] == ""
                outer.answers.append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/answer"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def event(self, kind: str, **more: str) -> dict[str, Any]:
        sample: dict[str, Any] = json.loads((ROOT / "events" / "pair-create.json").read_text())
        return {**sample, "RequestType": kind, "ResponseURL": self.url, **more}


@pytest.fixture
def cloudformation() -> Iterator[CloudFormation]:
    made = CloudFormation()
    yield made
    made.server.shutdown()
    made.server.server_close()


def in_region(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(region).items():
        monkeypatch.setenv(name, value)


def test_with_what_was_done(regions: Regions, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch) -> None:
    in_region(DR.region, monkeypatch)
    regions.deploy(DR)
    app.handler(cloudformation.event("Create"), Context())
    (answer,) = cloudformation.answers
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"]["Pairing"] == "waiting for the other region"
    assert answer["Data"]["FirstRecord"] == "written"


def test_with_the_reason_when_it_failed(
    regions: Regions, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_region(PRIMARY.region, monkeypatch)
    regions.deploy(DR)
    app.handler(cloudformation.event("Create"), Context())
    (answer,) = cloudformation.answers
    assert answer["Status"] == "FAILED"
    assert "NoSuchBucket" in answer["Reason"]


def test_even_when_the_environment_is_incomplete(
    cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ENVIRONMENT", raising=False)
    app.handler(cloudformation.event("Update"), Context())
    assert cloudformation.answers[0]["Status"] == "FAILED"


def test_before_the_function_is_stopped(cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_work", lambda _: time.sleep(60))
    app.handler(cloudformation.event("Create"), Context(app._ANSWER_SECONDS * 1000 + 1000))
    (answer,) = cloudformation.answers
    assert answer["Status"] == "FAILED"
    assert "ran out of time" in answer["Reason"]


def test_again_when_the_answer_was_not_taken(cloudformation: CloudFormation) -> None:
    cloudformation.refuse = 2
    app._send(cloudformation.url, {"Status": "SUCCESS"})
    assert cloudformation.answers == [{"Status": "SUCCESS"}]


def test_a_deletion_does_nothing(
    regions: Regions, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_region(DR.region, monkeypatch)
    for side in (PRIMARY, DR):
        regions.deploy(side)
    app.handler({}, Context())
    before = regions.rules(PRIMARY), regions.rules(DR), regions.state()
    app.handler(cloudformation.event("Delete", PhysicalResourceId="pair"), Context())
    assert cloudformation.answers[0]["Status"] == "SUCCESS"
    assert (regions.rules(PRIMARY), regions.rules(DR), regions.state()) == before


def test_an_update_keeps_the_resource_it_is_about(
    regions: Regions, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_region(DR.region, monkeypatch)
    regions.deploy(DR)
    app.handler(cloudformation.event("Update", PhysicalResourceId="pair"), Context())
    assert cloudformation.answers[0]["PhysicalResourceId"] == "pair"


def test_by_hand_it_pairs_without_cloudformation(regions: Regions, monkeypatch: pytest.MonkeyPatch) -> None:
    in_region(DR.region, monkeypatch)
    for side in (PRIMARY, DR):
        regions.deploy(side)
    assert app.handler({}, Context())["Pairing"] == "paired"
