"""The lab's one endpoint: AWS requests, region outages as a caller sees them, and the lab's own controls."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import threading
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from hypercorn.asyncio import serve
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.config import Config

from lab.function_shim import REGION_HEADER
from lab.world import OUTAGE_MODES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lab.world import Lab, OutageMode

    Message = dict[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Asgi = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

# `Credential=<key>/<date>/<region>/<service>/aws4_request`, in the Authorization header or in a presigned URL.
_CREDENTIAL: Final = re.compile(
    rb"Credential=[^/,&]+(?:/|%2F)\d{8}(?:/|%2F)([a-z0-9-]+)(?:/|%2F)([a-z0-9-]+)", re.IGNORECASE
)

_XML_SERVICES: Final = frozenset(
    {"autoscaling", "cloudformation", "ec2", "elasticloadbalancing", "iam", "monitoring", "rds", "s3", "sns", "sts"}
)

_connection: ContextVar[asyncio.StreamWriter | None] = ContextVar("_connection", default=None)


class _KnownConnection(TCPServer):  # type: ignore[misc]  # hypercorn is not typed here
    """Remembers the connection of each request: a reset has to cut it, which ASGI has no word for."""

    async def run(self) -> None:
        _connection.set(self.writer)
        await super().run()


class Server:
    """Serves ``application`` on the lab's port, from a thread with an event loop of its own.

    Parameters
    ----------
    lab
        Says which regions' APIs misbehave, and takes the orders of the control API.
    application
        Answers the AWS requests.
    """

    def __init__(self, lab: Lab, application: Asgi) -> None:
        self._lab = lab
        self._application = application
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="lab-endpoint", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._outage_changed: asyncio.Condition

    def start(self) -> None:
        """Bind the port and start to answer.

        Raises
        ------
        OSError
            When the port cannot be bound.
        """
        self._thread.start()
        self._started.wait()
        if self._failure:
            raise self._failure
        self._lab.on_return(lambda _: self._release())

    def stop(self) -> None:
        """Release what hangs, answer what is under way, and free the port."""
        self._release()
        with suppress(RuntimeError):  # the loop has ended already
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=15)

    # The loop's thread

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as failure:  # noqa: BLE001 - handed to the thread that called start()
            self._failure = failure
        finally:
            self._started.set()

    async def _serve(self) -> None:
        import hypercorn.asyncio.run as hypercorn_run

        hypercorn_run.TCPServer = _KnownConnection
        self._loop = asyncio.get_running_loop()
        self._stop, self._outage_changed = asyncio.Event(), asyncio.Condition()

        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", self._lab.port))
        except OSError:
            listener.close()
            raise
        config = Config()
        config.bind = [f"fd://{listener.detach()}"]
        config.loglevel = "WARNING"
        config.graceful_timeout = 2
        config.keep_alive_timeout = 120

        async def serving() -> None:
            self._started.set()
            await self._stop.wait()

        await serve(self._answer, config, shutdown_trigger=serving)

    def _release(self) -> None:
        async def notify() -> None:
            async with self._outage_changed:
                self._outage_changed.notify_all()

        with suppress(RuntimeError):
            asyncio.run_coroutine_threadsafe(notify(), self._loop)

    async def _answer(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            region, service = _signed_for(scope)
            if self._is_cut_off(scope, region):
                _reset_connection()
                return
            if scope["path"].startswith("/_lab/"):
                await self._control(scope, receive, send)
                return
            if mode := self._lab.api_mode(region):
                await self._fail(mode, region, service, receive, send)
                return
        await self._application(scope, receive, send)

    def _is_cut_off(self, scope: dict[str, Any], region: str) -> bool:
        """Say whether a function asks whose network reaches only the AWS APIs of its own region."""
        caller = dict(scope["headers"]).get(REGION_HEADER.lower().encode(), b"").decode()
        return self._lab.network.is_cut(caller) and region != caller

    # Outages

    async def _fail(self, mode: OutageMode, region: str, service: str, receive: Receive, send: Send) -> None:
        if mode == "reset":
            _reset_connection()
            return
        if mode == "hang":
            await self._hang(region, receive)
        code, message = "ServiceUnavailable", f"{region} does not answer"
        if service in _XML_SERVICES:
            error = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
            await _send(send, 503, b"text/xml", error.encode())
        else:
            await _reply(send, 503, {"__type": code, "message": message})

    async def _hang(self, region: str, receive: Receive) -> None:
        """Keep the caller waiting until the region is back, the lab ends or the caller gives up."""

        async def until_released() -> None:
            async with self._outage_changed:
                await self._outage_changed.wait_for(lambda: self._lab.closing or self._lab.api_mode(region) != "hang")

        async def until_given_up() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        waits = [asyncio.ensure_future(until_released()), asyncio.ensure_future(until_given_up())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    # The lab's own controls

    async def _control(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        try:
            order = json.loads(body or b"{}")
            # Off the loop: losing a region stops databases and instances, and the endpoint answers meanwhile.
            status, answer = await asyncio.to_thread(self._obey, scope["method"], scope["path"], order or {})
        except (ValueError, TypeError) as error:
            status, answer = 400, {"message": str(error)}
        self._release()
        await _reply(send, status, answer)

    def _obey(self, method: str, path: str, order: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        match (method, *path.removeprefix("/_lab/").split("/")):
            case ("GET", "status"):
                pass
            case ("GET", "witness"):
                # What functions may ask to learn whether they are cut off themselves.
                return 200, {"witness": "here"}
            case ("GET", "resolve", name):
                answer = self._lab.resolve(name)
                return (200, answer._asdict()) if answer else (404, {"message": f"no hosted zone has a {name}"})
            case ("POST", "regions", region, "outage"):
                self._lab.lose(self._known(region), _mode(order.get("mode", "refuse")))
            case ("POST", "regions", region, "return"):
                self._lab.bring_back(self._known(region))
            case ("POST", "apis", region):
                mode = order.get("mode")
                self._lab.set_apis(self._known(region), None if mode is None else _mode(mode))
            case ("POST", "clock"):
                self._lab.clock.set_scale(float(order["scale"]))
            case ("POST", "control", group, name) if control := self._lab.controls.get(group, {}).get(name):
                return 200, {"answer": control(**order)}
            case _:
                return 404, {"message": f"the lab knows no {method} {path}"}
        return 200, self._lab.status()

    def _known(self, region: str) -> str:
        if region not in self._lab.regions:
            raise ValueError(f"the lab has the regions {', '.join(self._lab.regions)}, not {region}")
        return region


def _mode(mode: str) -> OutageMode:
    for known in OUTAGE_MODES:
        if mode == known:
            return known
    raise ValueError(f"mode is one of {', '.join(OUTAGE_MODES)}, not {mode}")


def _signed_for(scope: dict[str, Any]) -> tuple[str, str]:
    """Read the region and service that a request was signed for: AWS tells them apart by host name, the lab cannot."""
    headers = dict(scope["headers"])
    match = _CREDENTIAL.search(headers.get(b"authorization", b"")) or _CREDENTIAL.search(scope["query_string"])
    return (match[1].decode(), match[2].decode()) if match else ("", "")


def _reset_connection() -> None:
    writer = _connection.get()
    if writer is None:
        return
    # Lingering for zero seconds makes the kernel send RST instead of FIN.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _reply(send: Send, status: int, answer: dict[str, Any]) -> None:
    await _send(send, status, b"application/json", json.dumps(answer).encode())


async def _send(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
