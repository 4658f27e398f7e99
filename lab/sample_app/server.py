"""The application's HTTP side: a handful of paths, JSON in and out, 503 and a reason when the data is out of reach."""

from __future__ import annotations

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from lab.sample_app.store import ConflictError, Orders, UnavailableError

if TYPE_CHECKING:
    from lab.sample_app.settings import Settings

Answer = tuple[int, dict[str, Any]]

_ORDER_ID: Final = re.compile(r"[\w.-]{1,64}")
_LARGEST_BODY: Final = 64 * 1024
_NOT_FOUND: Final[Answer] = (404, {"error": "not found"})


class _BadRequestError(Exception):
    pass


class Application:
    """Answers requests; knows nothing of sockets."""

    def __init__(self, settings: Settings, orders: Orders | None = None) -> None:
        self._settings = settings
        self._orders = orders or Orders(settings)

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        """Answer one request.

        Parameters
        ----------
        method
            ``GET`` or ``POST``.
        target
            Path and query.
        body
            What the client sent.

        Returns
        -------
        Answer
            Status and JSON body.
        """
        url = urlsplit(target)
        try:
            if method == "GET":
                return self._get(url.path, parse_qs(url.query))
            if method == "POST":
                return self._post(url.path, body)
        except _BadRequestError as error:
            return 400, {"error": str(error)}
        except ConflictError as error:
            return 409, {"error": str(error)}
        except UnavailableError as error:
            return 503, {"error": str(error)}
        return 405, {"error": f"{method} is not supported"}

    def _get(self, path: str, query: dict[str, list[str]]) -> Answer:
        if path in ("/", "/health"):
            return self._health()
        if path == "/health/deep":
            if _marked(self._settings.deep_sick_mark):
                return 500, {"error": "the deep check of this instance has been told to fail"}
            self._orders.check()
            return self._health()
        if path == self._settings.verify_path:
            found = self._orders.signed(query.get("token", [""])[0])
        elif path.startswith("/orders/"):
            found = self._orders.find(path.removeprefix("/orders/"))
        else:
            return _NOT_FOUND
        return (200, found) if found else _NOT_FOUND

    def _post(self, path: str, body: bytes) -> Answer:
        if path == "/orders":
            fields = _fields(body)
            order_id = _text(fields, "id", 64)
            if not _ORDER_ID.fullmatch(order_id):
                raise _BadRequestError("id: letters, digits, '.', '_' and '-' only")
            return 201, self._orders.place(order_id, _text(fields, "note", 255, optional=True))
        if path == self._settings.verify_path:
            return 201, self._orders.sign(_text(_fields(body), "token", 128))
        return _NOT_FOUND

    def _health(self) -> Answer:
        if _marked(self._settings.sick_mark):
            return 500, {"error": "this instance has been told to be sick"}
        return 200, {"status": "ok", "region": self._settings.region, "instance": self._settings.instance_id}


def _marked(mark: str | None) -> bool:
    return mark is not None and Path(mark).exists()


def _fields(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise _BadRequestError("the body is not a JSON object")
    return fields


def _text(fields: dict[str, Any], name: str, longest: int, *, optional: bool = False) -> str:
    value = fields.get(name, "" if optional else None)
    if not isinstance(value, str) or len(value) > longest or not (value or optional):
        raise _BadRequestError(f"{name}: a text of at most {longest} characters is expected")
    return value


def serve(settings: Settings) -> None:
    """Serve until the process ends.

    Parameters
    ----------
    settings
        The application's configuration.
    """
    server = Server((settings.host, settings.port), Application(settings))
    print(f"{settings.instance_id} in {settings.region} listens on {settings.host}:{settings.port}", flush=True)
    server.serve_forever()


class Server(ThreadingHTTPServer):
    """One thread a connection: the load balancer keeps them few."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], application: Application) -> None:
        self.application = application
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    # The answer leaves in one piece at once: a small body must not wait for the acknowledgement of the headers.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > _LARGEST_BODY:
            self.close_connection = True
            self._send(413, {"error": f"a Content-Length of at most {_LARGEST_BODY} is expected"})
            return
        body = self.rfile.read(int(length))
        self._send(*self.server.application.answer(self.command, self.path, body))

    def _send(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        # Probes come every few moments: only what failed is worth a line.
        if isinstance(code, int) and code >= 500:
            super().log_request(code, size)
