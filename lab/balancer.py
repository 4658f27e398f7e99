"""Application load balancers: listeners that really forward, and targets whose health is really probed.

One thread with an event loop of its own serves every listener, so that traffic does not depend on how busy the rest of
the lab is. Intervals, thresholds and time-outs are the target group's, in AWS seconds, with a small floor in real ones:
a probe of a real process costs real milliseconds however fast the lab's clock runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from lab.durations import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from lab.clock import Clock

Address = tuple[str, int]
State = Literal["initial", "healthy", "unhealthy", "draining", "unused", "unavailable"]

_logger = logging.getLogger("lab.balancer")

_SHORTEST_INTERVAL: Final = 0.2
_SHORTEST_TIMEOUT: Final = 3.0
_HOP_BY_HOP: Final = {b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"te"}
_LARGEST_HEAD: Final = 32 * 1024
_LARGEST_BODY: Final = 1024 * 1024
_CLIENT_IDLE: Final = 60.0
# What AWS documents for an application load balancer: 10 s to connect, 60 s for a target to answer.
_CONNECT_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 60.0


@dataclass(frozen=True)
class HealthCheck:
    """A target group's health check; times in AWS seconds."""

    path: str = "/"
    interval: float = 30
    timeout: float = 5
    healthy_threshold: int = 5
    unhealthy_threshold: int = 2
    codes: str = "200"
    enabled: bool = True

    def accepts(self, status: int) -> bool:
        """Say whether an HTTP status counts as healthy: ``200``, ``200,301`` or ``200-299``."""
        for part in self.codes.split(","):
            low, _, high = part.strip().partition("-")
            if int(low) <= status <= int(high or low):
                return True
        return False


class Health(NamedTuple):
    """A target's health, in the words of DescribeTargetHealth."""

    state: State
    reason: str = ""
    description: str = ""


_REGISTERING: Final = Health("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
_CHECKING: Final = Health("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
_HEALTHY: Final = Health("healthy")
_DRAINING: Final = Health("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
_UNCHECKED: Final = Health("unavailable", "Target.HealthCheckDisabled", "Health checks are disabled for this target")


class Response(NamedTuple):
    """An answer that a listener gives by itself."""

    status: int
    content_type: str = "text/plain"
    body: str = ""


@dataclass(eq=False)
class _Target:
    key: str
    locate: Callable[[], Address | None]
    health: Health = _REGISTERING
    in_flight: int = 0
    passed: int = 0
    failed: int = 0
    prober: asyncio.Task[None] | None = None

    def note(self, check: HealthCheck, failure: Health | None) -> None:
        """Count a probe's result and change the state when a threshold is reached."""
        if self.health.state == "draining":
            return
        if failure is None:
            self.passed, self.failed = self.passed + 1, 0
            # A target that was never unhealthy needs to pass only once.
            needed = check.healthy_threshold if self.health.state == "unhealthy" else 1
            if self.passed >= needed:
                self.health = _HEALTHY
        else:
            self.passed, self.failed = 0, self.failed + 1
            if self.failed >= check.unhealthy_threshold:
                self.health = failure
            elif self.health is _REGISTERING:
                self.health = _CHECKING


@dataclass(eq=False)
class _Group:
    check: HealthCheck
    targets: dict[str, _Target] = field(default_factory=dict)
    turn: int = 0

    def choose(self) -> _Target | None:
        """Return the target whose turn it is: a healthy one, or any if all of them are unhealthy, as AWS does."""
        able = [t for t in self.targets.values() if t.health.state in ("healthy", "unavailable")]
        if not able:
            unhealthy = [t for t in self.targets.values() if t.health.state != "draining"]
            able = unhealthy if all(t.health.state == "unhealthy" for t in unhealthy) else []
        if not able:
            return None
        self.turn += 1
        return able[self.turn % len(able)]


@dataclass(eq=False)
class _Listener:
    port: int
    action: str | Response
    server: asyncio.Server
    connections: set[asyncio.Task[None]] = field(default_factory=set)


class _TargetError(Exception):
    """A target did not answer; carries the status that the client gets."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status}")
        self.status = status


class Balancer:
    """Every load balancer of the lab: listeners by key, target groups by key, targets by id.

    Methods may be called from any thread but the balancer's own; each returns when what it says is done.

    Parameters
    ----------
    clock
        Tells how long an AWS second takes.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._groups: dict[str, _Group] = {}
        self._listeners: dict[str, _Listener] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lab-balancer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close every listener and end the thread."""
        if not self._thread.is_alive():
            return
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        self._loop.close()

    # Target groups

    def set_group(self, group: str, check: HealthCheck) -> None:
        """Make a target group, or change the health check of one.

        Parameters
        ----------
        group
            Its key.
        check
            How its targets are probed from now on.
        """

        async def apply() -> None:
            self._groups.setdefault(group, _Group(check)).check = check

        self._run(apply())

    def drop_group(self, group: str) -> None:
        """Forget a target group and its targets.

        Parameters
        ----------
        group
            Its key.
        """

        async def apply() -> None:
            found = self._groups.pop(group, None)
            for target in found.targets.values() if found else ():
                _cancel(target.prober)

        self._run(apply())

    def register(self, group: str, target: str, locate: Callable[[], Address | None]) -> None:
        """Add a target to a group and start to probe it; a target that drains comes back.

        Parameters
        ----------
        group
            The group's key.
        target
            The target's id.
        locate
            Returns the target's address, or None while it has none. Called on the balancer's thread: must not block.
        """

        async def apply() -> None:
            targets = self._groups[group].targets
            known = targets.get(target)
            if known is None or known.health.state == "draining":
                _cancel(known.prober if known else None)
                made = targets[target] = _Target(target, locate)
                made.prober = asyncio.create_task(self._probe_forever(self._groups[group], made))

        self._run(apply())

    def deregister(self, group: str, target: str, delay: float) -> None:
        """Take a target out of rotation; it is gone when its last request has ended, or after ``delay``.

        Parameters
        ----------
        group
            The group's key.
        target
            The target's id; one that is not there is no error.
        delay
            The deregistration delay in AWS seconds.
        """

        async def apply() -> None:
            found = self._groups[group].targets.get(target) if group in self._groups else None
            if found and found.health.state != "draining":
                _cancel(found.prober)
                found.health = _DRAINING
                found.prober = asyncio.create_task(self._drain(self._groups[group], found, delay))

        self._run(apply())

    def health(self, group: str) -> dict[str, Health]:
        """Return what the probes have found.

        Parameters
        ----------
        group
            The group's key.

        Returns
        -------
        dict[str, Health]
            By target id; draining targets are in it until they are gone.
        """
        found = self._groups.get(group)
        # Read from another thread: a copy of the dictionary is all that is needed.
        return {key: target.health for key, target in dict(found.targets).items()} if found else {}

    # Listeners

    def listen(self, listener: str, port: int, action: str | Response) -> None:
        """Open a listener, or change what an open one does.

        Parameters
        ----------
        listener
            Its key.
        port
            The port on the loopback address.
        action
            The key of a target group to forward to, or a fixed response.

        Raises
        ------
        OSError
            When the port is taken; nothing is changed then.
        """

        async def apply() -> None:
            known = self._listeners.get(listener)
            if known and known.port == port:
                known.action = action
                return
            # Only 127.0.0.1, though the name is `localhost`: clients that try ::1 first go on to it at once.
            server = await asyncio.start_server(
                lambda reader, writer: self._serve(made, reader, writer), "127.0.0.1", port, limit=_LARGEST_HEAD
            )
            made = _Listener(port, action, server)
            if known:
                await self._shut(known)
            self._listeners[listener] = made

        self._run(apply())

    def shut(self, listener: str) -> None:
        """Close a listener and break its connections.

        Parameters
        ----------
        listener
            Its key; one that is not open is no error.
        """

        async def apply() -> None:
            if found := self._listeners.pop(listener, None):
                await self._shut(found)

        self._run(apply())

    def ports(self) -> dict[str, int]:
        """Return the port of every open listener.

        Returns
        -------
        dict[str, int]
            By the listener's key.
        """
        return {key: listener.port for key, listener in dict(self._listeners).items()}

    # The balancer's own thread

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _close(self) -> None:
        for listener in self._listeners.values():
            await self._shut(listener)
        self._listeners.clear()
        self._groups.clear()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    @staticmethod
    async def _shut(listener: _Listener) -> None:
        listener.server.close()
        connections = list(listener.connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _sleep_aws(self, seconds: float, at_least: float = 0.0) -> None:
        # In short steps, because the scale may change meanwhile.
        until = self._clock.aws_now() + seconds
        first = True
        while (left := self._clock.real(until - self._clock.aws_now())) > 0 or first:
            await asyncio.sleep(max(min(left, 0.5), at_least if first else 0.0))
            first = False

    def _timeout(self, aws_seconds: float) -> float:
        return max(self._clock.real(aws_seconds), _SHORTEST_TIMEOUT)

    # Probes

    async def _probe_forever(self, group: _Group, target: _Target) -> None:
        await self._sleep_aws(duration("target-registration"))
        while True:
            check = group.check
            if not check.enabled:
                target.health = _UNCHECKED
            elif not ((failure := await self._probe(check, target)) and self._clock.fast_forward):
                # Fast forward, a machine that is busy for a second would be sick for ten minutes.
                target.note(check, failure)
            await self._sleep_aws(check.interval, at_least=_SHORTEST_INTERVAL)

    async def _probe(self, check: HealthCheck, target: _Target) -> Health | None:
        address = target.locate()
        if address is None:
            return Health("unhealthy", "Target.FailedHealthChecks", "Health checks failed")
        try:
            async with asyncio.timeout(self._timeout(check.timeout)):
                status = await _probe_status(address, check.path)
        except TimeoutError:
            return Health("unhealthy", "Target.Timeout", "Request timed out")
        except (OSError, EOFError, ValueError):
            return Health("unhealthy", "Target.FailedHealthChecks", "Health checks failed")
        if check.accepts(status):
            return None
        return Health("unhealthy", "Target.ResponseCodeMismatch", f"Health checks failed with these codes: [{status}]")

    async def _drain(self, group: _Group, target: _Target, delay: float) -> None:
        until = self._clock.aws_now() + delay
        while target.in_flight and self._clock.aws_now() < until:
            await asyncio.sleep(0.05)
        if group.targets.get(target.key) is target:
            del group.targets[target.key]

    # Traffic

    async def _serve(self, listener: _Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        listener.connections.add(task)
        try:
            while await self._answer(listener, reader, writer):
                pass
        except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError):
            pass  # the client is gone, or did not speak HTTP
        except asyncio.CancelledError:
            # The listener is closed under its clients: they see a reset, not a polite end.
            writer.transport.abort()
        finally:
            listener.connections.discard(task)
            writer.close()

    async def _answer(self, listener: _Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        async with asyncio.timeout(_CLIENT_IDLE):
            request = await _read_request(reader)
        if request is None:
            return False
        response = await self._respond(listener, request, writer)
        writer.write(response if request.keep else response.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        await writer.drain()
        return request.keep

    async def _respond(self, listener: _Listener, request: _Request, writer: asyncio.StreamWriter) -> bytes:
        action = listener.action
        if isinstance(action, Response):
            return _response(action.status, action.body, action.content_type)
        group = self._groups.get(action)
        target = group.choose() if group else None
        if target is None:
            return _response(503)
        target.in_flight += 1
        try:
            return await self._forward(target, request, client=writer.get_extra_info("peername")[0])
        except _TargetError as error:
            return _response(error.status)
        finally:
            target.in_flight -= 1

    async def _forward(self, target: _Target, request: _Request, client: str) -> bytes:
        address = target.locate()
        if address is None:
            raise _TargetError(504)
        try:
            async with asyncio.timeout(self._timeout(_CONNECT_SECONDS)):
                reader, writer = await asyncio.open_connection(*address)
        except TimeoutError:
            raise _TargetError(504) from None
        except OSError:
            raise _TargetError(502) from None
        try:
            async with asyncio.timeout(self._timeout(_ANSWER_SECONDS)):
                writer.write(request.forwarded(client))
                await writer.drain()
                return await _read_response(reader)
        except TimeoutError:
            raise _TargetError(504) from None
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            raise _TargetError(502) from None
        finally:
            writer.close()


class _Request(NamedTuple):
    head: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    keep: bool

    def forwarded(self, client: str) -> bytes:
        """Return the request as the target gets it: one a connection, and saying for whom."""
        lines = [self.head, *(name + b": " + value for name, value in self.headers if name.lower() not in _HOP_BY_HOP)]
        lines += [b"X-Forwarded-For: " + client.encode(), b"X-Forwarded-Proto: http", b"Connection: close"]
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body


async def _read_request(reader: asyncio.StreamReader) -> _Request | None:
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    head, headers = _parse_head(raw)
    if _value(headers, b"transfer-encoding"):
        raise ValueError("chunked requests are not supported")
    length = int(_value(headers, b"content-length") or 0)
    if length > _LARGEST_BODY:
        raise ValueError("the body is too large")
    if _value(headers, b"expect").lower() == b"100-continue":
        headers = [header for header in headers if header[0].lower() != b"expect"]
    body = await reader.readexactly(length) if length else b""
    keep = head.endswith(b"HTTP/1.1") and _value(headers, b"connection").lower() != b"close"
    return _Request(head, headers, body, keep)


async def _read_response(reader: asyncio.StreamReader) -> bytes:
    raw = await reader.readuntil(b"\r\n\r\n")
    status, headers = _parse_head(raw)
    code = _status(status)
    length = _value(headers, b"content-length")
    if code in (204, 304):
        body = b""
    elif length:
        body = await reader.readexactly(int(length))
    else:
        body = await reader.read(-1)
        headers.append((b"Content-Length", b"%d" % len(body)))
    kept = [name + b": " + value for name, value in headers if name.lower() not in _HOP_BY_HOP]
    return b"\r\n".join([status, *kept]) + b"\r\n\r\n" + body


async def _probe_status(address: Address, path: str) -> int:
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\n"
            "User-Agent: ELB-HealthChecker/2.0\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        return _status(await reader.readline())
    finally:
        writer.close()


def _status(line: bytes) -> int:
    if not (match := re.match(rb"HTTP/1\.[01] (\d{3})", line)):
        raise ValueError("not an HTTP answer")
    return int(match[1])


def _parse_head(raw: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    first, *lines = raw[:-4].split(b"\r\n")
    headers = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise ValueError("a header without a colon")
        headers.append((name, value.strip()))
    return first, headers


def _value(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    return next((value for key, value in headers if key.lower() == name), b"")


_PHRASES: Final = {502: "Bad Gateway", 503: "Service Temporarily Unavailable", 504: "Gateway Time-out"}


def _response(status: int, body: str = "", content_type: str = "text/html") -> bytes:
    phrase = _PHRASES.get(status, "")
    if not body and phrase:
        body = f"<html><head><title>{status} {phrase}</title></head><body><h1>{status} {phrase}</h1></body></html>\r\n"
    content = body.encode()
    head = f"HTTP/1.1 {status} {phrase}\r\nServer: awselb/2.0\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def _cancel(task: asyncio.Task[None] | None) -> None:
    with contextlib.suppress(RuntimeError):
        if task:
            task.cancel()
