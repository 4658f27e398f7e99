from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from pilotlight.aws import door
from pilotlight.decide import verification
from pilotlight.decide.verification import Seen
from pilotlight.errors import PreconditionFailed
from pilotlight.model import Door

if TYPE_CHECKING:
    from collections.abc import Iterator

GOOD = Seen(201, {}, 200, {"token": "3-abc"})


def works(seen: Seen, waited: int = 0) -> bool:
    return verification.works(seen, "3-abc", "http://dev-alb/verify", waited, 120)


def test_a_write_and_the_same_read_are_service() -> None:
    assert works(GOOD)
    assert works(GOOD, waited=120)


@pytest.mark.parametrize(
    "seen",
    [
        Seen(0, "refused", 0, ""),
        Seen(503, {"error": "read-only"}, 0, ""),
        Seen(201, {}, 404, {}),
        Seen(201, {}, 200, {"token": "2-old"}),
        Seen(201, {}, 200, "<html>a friendly page</html>"),
        Seen(302, "", 200, {"token": "3-abc"}),
    ],
)
def test_anything_less_is_waited_for_and_then_told(seen: Seen) -> None:
    assert not works(seen)
    with pytest.raises(PreconditionFailed, match="after 120 s of waiting"):
        works(seen, waited=120)


def test_every_try_of_an_execution_writes_the_same_row() -> None:
    assert verification.token(3, "arn:one") == verification.token(3, "arn:one")
    assert verification.token(3, "arn:one") != verification.token(3, "arn:two")


@pytest.mark.parametrize(
    ("seen", "url"),
    [
        (Door("alb", 80, "HTTP"), "http://alb"),
        (Door("alb", 8080, "HTTP"), "http://alb:8080"),
        (Door("alb", 443, "HTTPS"), "https://alb"),
        (Door("alb", 8443, "HTTPS"), "https://alb:8443"),
    ],
)
def test_a_port_is_named_only_where_it_is_not_the_usual_one(seen: Door, url: str) -> None:
    assert seen.url == url


class Application(BaseHTTPRequestHandler):
    """Keeps one token."""

    token = ""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Application.token = json.loads(body)["token"]
        self._answer(201, {"host": self.headers["Host"]})

    def do_GET(self) -> None:
        self._answer(200, {"token": Application.token})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def application() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Application)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_application_is_asked_as_a_user_would(application: str) -> None:
    status, answer = door.ask("POST", application, "/verify", {"token": "3-abc"}, host="app.example.com")
    assert (status, answer["host"]) == (201, "app.example.com")
    assert door.ask("GET", application, "/verify?token=3-abc") == (200, {"token": "3-abc"})


def test_no_answer_is_an_answer() -> None:
    status, why = door.ask("GET", "http://127.0.0.1:9", "/verify")
    assert status == 0
    assert "Connection" in why
