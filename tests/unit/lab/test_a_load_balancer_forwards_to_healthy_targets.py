from __future__ import annotations

import http.client
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from lab.balancer import Balancer, HealthCheck, Response
from lab.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECK = HealthCheck(path="/health", interval=10, timeout=5, healthy_threshold=2, unhealthy_threshold=2)


class Target:
    """A web server that answers with its name, is healthy or not, and can keep a request waiting."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.health = 200
        self.seen: list[tuple[str, bytes, str]] = []
        self.asked = threading.Event()
        self.release = threading.Event()
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/slow":
                    target.asked.set()
                    target.release.wait(10)
                self._answer(target.health if self.path == "/health" else 200)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                target.seen.append((self.path, body, self.headers["X-Forwarded-For"]))
                self._answer(201)

            def _answer(self, status: int) -> None:
                body = target.name.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.server.server_address[1]

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def clock() -> Clock:
    return Clock(100)


@pytest.fixture
def balancer(clock: Clock) -> Iterator[Balancer]:
    made = Balancer(clock)
    made.set_group("app", CHECK)
    yield made
    made.close()


@pytest.fixture
def targets() -> Iterator[Callable[[str], Target]]:
    made: list[Target] = []

    def make(name: str) -> Target:
        made.append(Target(name))
        return made[-1]

    yield make
    for target in made:
        target.close()


@pytest.fixture
def port(balancer: Balancer) -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free: int = probe.getsockname()[1]
    balancer.listen("listener", free, "app")
    return free


def ask(port: int, path: str = "/", method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


def state(balancer: Balancer, target: str) -> str:
    health = balancer.health("app").get(target)
    return health.state if health else "gone"


def test_without_a_target_the_answer_is_503(port: int) -> None:
    assert ask(port)[0] == 503


def test_a_registered_target_is_initial_until_it_has_passed_a_probe(
    balancer: Balancer, targets: Callable[[str], Target], port: int
) -> None:
    sick = targets("sick")
    sick.health = 500
    balancer.set_group("app", HealthCheck(path="/health", interval=10, unhealthy_threshold=1000))
    balancer.register("app", "sick", sick.address)
    until(lambda: balancer.health("app")["sick"].reason == "Elb.InitialHealthChecking")
    assert state(balancer, "sick") == "initial"
    assert ask(port)[0] == 503
    sick.health = 200
    until(lambda: state(balancer, "sick") == "healthy")
    assert ask(port) == (200, b"sick")


def test_healthy_targets_take_turns(balancer: Balancer, targets: Callable[[str], Target], port: int) -> None:
    for name in ("one", "two"):
        balancer.register("app", name, targets(name).address)
    until(lambda: state(balancer, "one") == state(balancer, "two") == "healthy")
    assert {ask(port)[1] for _ in range(2)} == {b"one", b"two"}


def test_a_request_arrives_whole_and_says_for_whom(
    balancer: Balancer, targets: Callable[[str], Target], port: int
) -> None:
    target = targets("one")
    balancer.register("app", "one", target.address)
    until(lambda: state(balancer, "one") == "healthy")
    body = b"x" * 100_000
    assert ask(port, "/orders?a=1", "POST", body) == (201, b"one")
    assert target.seen == [("/orders?a=1", body, "127.0.0.1")]


def test_one_connection_carries_several_requests(
    balancer: Balancer, targets: Callable[[str], Target], port: int
) -> None:
    balancer.register("app", "one", targets("one").address)
    until(lambda: state(balancer, "one") == "healthy")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(3):
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"one"
    connection.close()


def test_an_unhealthy_target_gets_nothing_until_it_has_recovered(
    balancer: Balancer, targets: Callable[[str], Target], port: int
) -> None:
    well, sick = targets("well"), targets("sick")
    for target in (well, sick):
        balancer.register("app", target.name, target.address)
    until(lambda: state(balancer, "well") == state(balancer, "sick") == "healthy")
    sick.health = 500
    until(lambda: state(balancer, "sick") == "unhealthy")
    health = balancer.health("app")["sick"]
    assert (health.reason, health.description) == (
        "Target.ResponseCodeMismatch",
        "Health checks failed with these codes: [500]",
    )
    assert {ask(port)[1] for _ in range(4)} == {b"well"}
    sick.health = 200
    until(lambda: state(balancer, "sick") == "healthy")


def test_when_all_targets_are_unhealthy_all_are_tried_as_on_aws(
    balancer: Balancer, targets: Callable[[str], Target], port: int
) -> None:
    sick = targets("sick")
    sick.health = 500
    balancer.register("app", "sick", sick.address)
    until(lambda: state(balancer, "sick") == "unhealthy")
    assert ask(port) == (200, b"sick")


def test_a_target_that_died_is_a_502_and_then_unhealthy(
    balancer: Balancer, targets: Callable[[str], Target], port: int
) -> None:
    target = targets("one")
    balancer.register("app", "one", target.address)
    until(lambda: state(balancer, "one") == "healthy")
    target.close()
    assert ask(port)[0] == 502
    until(lambda: state(balancer, "one") == "unhealthy")
    assert balancer.health("app")["one"].reason == "Target.FailedHealthChecks"


def test_a_target_that_does_not_answer_is_a_504(
    balancer: Balancer, targets: Callable[[str], Target], port: int
) -> None:
    balancer.register("app", "one", targets("one").address)
    until(lambda: state(balancer, "one") == "healthy")
    assert ask(port, "/slow")[0] == 504


def test_a_draining_target_ends_its_requests_and_gets_no_new_ones(
    clock: Clock, balancer: Balancer, targets: Callable[[str], Target], port: int
) -> None:
    leaving, staying = targets("leaving"), targets("staying")
    balancer.register("app", "leaving", leaving.address)
    until(lambda: state(balancer, "leaving") == "healthy")
    clock.set_scale(1)  # the slow request must not run into the time-out of its target
    answers: list[tuple[int, bytes]] = []
    request = threading.Thread(target=lambda: answers.append(ask(port, "/slow")))
    request.start()
    assert leaving.asked.wait(10)
    # Registered only now, so that the slow request is with the one that leaves.
    clock.set_scale(100)
    balancer.register("app", "staying", staying.address)
    until(lambda: state(balancer, "staying") == "healthy")
    balancer.deregister("app", "leaving", delay=3000)
    assert state(balancer, "leaving") == "draining"
    assert {ask(port)[1] for _ in range(3)} == {b"staying"}
    leaving.release.set()
    request.join()
    assert answers == [(200, b"leaving")]
    until(lambda: state(balancer, "leaving") == "gone")


def test_a_fixed_response_needs_no_target(balancer: Balancer, port: int) -> None:
    balancer.listen("listener", port, Response(404, "text/plain", "nothing here"))
    assert ask(port) == (404, b"nothing here")


def test_a_listener_that_is_closed_refuses_and_can_be_opened_again(balancer: Balancer, port: int) -> None:
    balancer.shut("listener")
    assert balancer.ports() == {}
    with pytest.raises(ConnectionRefusedError):
        ask(port)
    balancer.listen("listener", port, "app")
    assert ask(port)[0] == 503


def test_a_port_that_is_taken_is_an_error_and_changes_nothing(balancer: Balancer, port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OSError, match="in use"):
            balancer.listen("listener", other.getsockname()[1], "app")
    assert balancer.ports() == {"listener": port}
    assert ask(port)[0] == 503


def test_fast_forward_a_target_that_fails_is_not_yet_sick(
    balancer: Balancer, targets: Callable[[str], Target], clock: Clock
) -> None:
    clock.set_scale(600)
    slow, well = targets("slow"), targets("well")
    slow.health = 500
    for target in (slow, well):
        balancer.register("app", target.name, target.address)
    until(lambda: state(balancer, "well") == "healthy")
    until(lambda: clock.aws_now() > 600)
    assert state(balancer, "slow") == "initial"
    clock.set_scale(100)
    until(lambda: state(balancer, "slow") == "unhealthy")
