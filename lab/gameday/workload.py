"""The clients: writers that never stop trying, and a log of what they were promised.

The log is what the audit holds the database against, so it errs on one side only: a write counts as acknowledged when
the whole answer arrived and said so, and never otherwise.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

Outcome = Literal["acknowledged", "refused", "unanswered"]

CREATED: Final = 201
_ASK_AGAIN: Final = 0.5
"""Real seconds until a name is asked for again that nobody knew."""


@dataclass(frozen=True)
class Target:
    """Where the clients send their writes: a region's load balancer."""

    region: str
    url: str


@dataclass(frozen=True)
class Write:
    """One attempt to place an order, and how it ended.

    Moments are seconds since the Unix epoch. ``region`` is the one whose load balancer was asked.
    """

    id: str
    note: str
    region: str
    sent: float
    ended: float
    outcome: Outcome
    detail: str = ""


class WriteLog:
    """An append-only log of writes, in memory and as one JSON object a line.

    An attempt is on the disk before it is sent: whatever ends the game day, no promise is forgotten.

    Parameters
    ----------
    path
        The file; it is begun anew.
    aws
        Turns a moment into AWS seconds, for those who read the file.
    """

    def __init__(self, path: Path, aws: Callable[[float], float]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._aws = aws
        self._lock = threading.Lock()
        self._writes: list[Write] = []
        self._acknowledged = 0
        self._file = path.open("w", encoding="utf-8")

    def attempt(self, order: str, region: str, sent: float) -> None:
        """Log that a write is about to be sent.

        Parameters
        ----------
        order
            The order's id.
        region
            Where it is sent.
        sent
            When.
        """
        with self._lock:
            self._append({"event": "attempt", "id": order, "region": region, "at": sent, "aws": self._aws(sent)})

    def ended(self, write: Write) -> None:
        """Log how a write ended.

        Parameters
        ----------
        write
            The whole attempt.
        """
        with self._lock:
            self._writes.append(write)
            self._acknowledged += write.outcome == "acknowledged"
            self._append(
                {
                    "event": write.outcome,
                    "id": write.id,
                    "region": write.region,
                    "at": write.ended,
                    "aws": self._aws(write.ended),
                    "detail": write.detail,
                }
            )

    @property
    def acknowledged(self) -> int:
        """How many writes have been acknowledged so far."""
        return self._acknowledged

    def writes(self) -> list[Write]:
        """Return every write that has ended so far.

        Returns
        -------
        list[Write]
            In the order in which they ended.
        """
        with self._lock:
            return list(self._writes)

    def first_acknowledged(self, region: str, since: float) -> Write | None:
        """Return the first write that ``region`` acknowledged after a moment.

        Parameters
        ----------
        region
            The region that was asked.
        since
            Seconds since the Unix epoch.

        Returns
        -------
        Write | None
            None if there was none yet.
        """
        for write in self.writes():
            if write.outcome == "acknowledged" and write.region == region and write.ended >= since:
                return write
        return None

    def close(self) -> None:
        """Close the file. Later writes are refused, not forgotten."""
        with self._lock:
            self._file.close()

    def _append(self, line: dict[str, object]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


class Workload:
    """Writers that place orders through a load balancer, without a pause while nobody answers.

    Parameters
    ----------
    target
        Where to begin.
    log
        Where every attempt goes.
    writers
        How many write side by side.
    pause
        Real seconds a writer rests after an answer.
    retry_pause
        Real seconds a writer rests when there was none: an outage must not turn the clients into a storm.
    timeout
        Real seconds to wait for an answer.
    name
        What each is called in the orders that it places.
    """

    def __init__(
        self,
        target: Target,
        log: WriteLog,
        *,
        writers: int = 4,
        pause: float = 0.08,
        retry_pause: float = 0.2,
        timeout: float = 3.0,
        name: str = "writer",
    ) -> None:
        self.log = log
        self._name = name
        self._target = target
        self._pause = pause
        self._retry_pause = retry_pause
        self._timeout = timeout
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"{name}-{number}", daemon=True)
            for number in range(1, writers + 1)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def target(self) -> Target:
        """Where the clients send their writes now."""
        return self._target

    @property
    def writers(self) -> int:
        """How many write side by side."""
        return len(self._threads)

    def point_to(self, target: Target) -> None:
        """Send all writes to another load balancer from now on, as a traffic switch would.

        Parameters
        ----------
        target
            The other region's.
        """
        self._target = target

    def stop(self) -> None:
        """Let the writers finish what they sent, and end them."""
        self._stopped.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(timeout=2 * self._timeout)

    def _run(self, writer: int) -> None:
        connection: http.client.HTTPConnection | None = None
        connected_to: Target | None = None
        number = 0
        while not self._stopped.is_set():
            number += 1
            target = self._target
            if connection is None or connected_to != target:
                _close(connection)
                connection, connected_to = _connect(target.url, self._timeout), target
            write = self._place(connection, target, f"{self._name} {writer}, order {number}")
            self.log.ended(write)
            if write.outcome == "unanswered":
                # What a broken connection still carries belongs to no later request.
                _close(connection)
                connection = None
            self._stopped.wait(self._pause if write.outcome == "acknowledged" else self._retry_pause)
        _close(connection)

    def _place(self, connection: http.client.HTTPConnection, target: Target, note: str) -> Write:
        # A new id for each attempt: a write whose answer was lost stays what it is, unknown.
        order = uuid.uuid4().hex
        sent = time.time()
        self.log.attempt(order, target.region, sent)
        outcome, detail = _post(connection, {"id": order, "note": note})
        return Write(order, note, target.region, sent, time.time(), outcome, detail)


class Follower:
    """Points clients to where a name leads, and keeps each answer for as long as its TTL lets it, as clients do.

    Parameters
    ----------
    resolve
        Returns where the name leads now and for how many real seconds that may be kept; None while nobody answers.
    workload
        Whose clients go by the name.
    moved
        Called with each new target, when it was learnt.
    """

    def __init__(
        self,
        resolve: Callable[[], tuple[Target, float] | None],
        workload: Workload,
        moved: Callable[[Target, float], None],
    ) -> None:
        self._resolve, self._workload, self._moved = resolve, workload, moved
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        kept = 0.0
        while not self._stopped.wait(kept):
            found = self._resolve()
            kept = _ASK_AGAIN if found is None else found[1]
            if found is not None and found[0] != self._workload.target:
                self._workload.point_to(found[0])
                self._moved(found[0], time.time())


def _connect(url: str, timeout: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=timeout)


def _close(connection: http.client.HTTPConnection | None) -> None:
    if connection is not None:
        connection.close()


def _post(connection: http.client.HTTPConnection, order: dict[str, str]) -> tuple[Outcome, str]:
    try:
        connection.request("POST", "/orders", json.dumps(order), {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        return "unanswered", f"{type(error).__name__}: {error}"
    if response.status != CREATED:
        return "refused", f"{response.status} {body[:200].decode(errors='replace')}"
    try:
        answered = json.loads(body)["id"]
    except (ValueError, KeyError, TypeError):
        return "refused", "the answer does not name the order"
    return ("acknowledged", "") if answered == order["id"] else ("refused", "the answer names another order")
