from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from lab.gameday.workload import Target, Workload, WriteLog

if TYPE_CHECKING:
    from pathlib import Path

Answer = Callable[[BaseHTTPRequestHandler, dict[str, str]], None]


@contextmanager
def application(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            answer(self, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def reply(status: int, body: bytes) -> Answer:
    def answer(handler: BaseHTTPRequestHandler, _: dict[str, str]) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def created(handler: BaseHTTPRequestHandler, order: dict[str, str]) -> None:
    reply(201, json.dumps({"id": order["id"], "region": "eu-west-1"}).encode())(handler, order)


def half_an_answer(handler: BaseHTTPRequestHandler, order: dict[str, str]) -> None:
    body = json.dumps({"id": order["id"]}).encode()
    handler.send_response(201)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[:-5])
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)


def until(met: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not met():
        assert time.monotonic() < limit
        time.sleep(0.01)


def outcomes(answer: Answer, path: Path) -> set[str]:
    log = WriteLog(path / "writes.jsonl", lambda moment: moment)
    with application(answer) as url, Workload(Target("r", url), log, writers=2, pause=0, retry_pause=0.01, timeout=0.5):
        until(lambda: len(log.writes()) >= 3)
    log.close()
    return {write.outcome for write in log.writes()}


def test_a_whole_answer_that_names_the_order_is_an_acknowledgement(tmp_path: Path) -> None:
    assert outcomes(created, tmp_path) == {"acknowledged"}


def test_half_an_answer_is_none(tmp_path: Path) -> None:
    assert outcomes(half_an_answer, tmp_path) == {"unanswered"}


def test_another_orders_answer_is_none_of_ours(tmp_path: Path) -> None:
    assert outcomes(reply(201, b'{"id": "another"}'), tmp_path) == {"refused"}


def test_an_answer_that_is_not_201_is_a_refusal(tmp_path: Path) -> None:
    assert outcomes(reply(503, b'{"error": "no database"}'), tmp_path) == {"refused"}


def test_silence_is_no_answer(tmp_path: Path) -> None:
    stop = threading.Event()

    def silent(*_: object) -> None:
        stop.wait(30)

    try:
        assert outcomes(silent, tmp_path) == {"unanswered"}
    finally:
        stop.set()


def test_writers_go_on_while_nobody_answers_and_find_the_other_region(tmp_path: Path) -> None:
    log = WriteLog(tmp_path / "writes.jsonl", lambda moment: moment)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        dead = Target("lost", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with application(created) as url, Workload(dead, log, writers=2, retry_pause=0.01) as workload:
            until(lambda: len(log.writes()) >= 3)
            assert log.acknowledged == 0
            workload.point_to(Target("dr", url))
            until(lambda: log.first_acknowledged("dr", 0) is not None)
    log.close()
    assert log.first_acknowledged("lost", 0) is None


def test_every_attempt_is_on_disk_before_its_end(tmp_path: Path) -> None:
    outcomes(created, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "writes.jsonl").read_text().splitlines()]
    begun: set[str] = set()
    for line in lines:
        if line["event"] == "attempt":
            assert line["id"] not in begun
            begun.add(line["id"])
        else:
            assert line["id"] in begun
    assert {"at", "aws", "region"} <= lines[0].keys()
