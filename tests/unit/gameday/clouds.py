"""A cloud that is small enough to see through: two doors that take orders, rows, and executions that end as told."""

from __future__ import annotations

import datetime as dt
import json
import threading
import time
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from lab.gameday import audit
from lab.gameday.cloud import Alarm, Answer, Execution, NotThereError
from lab.gameday.model import Timeline
from lab.gameday.watch import Watched
from lab.gameday.workload import Target
from tests.unit.gameday import histories
from tests.unit.gameday.gamedays import DR, HOME, KEPT, PRIMARY, REPLICA, STANDING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

    from lab.gameday.checks import Kept, Standing


class Door:
    """A load balancer: takes orders into ``rows`` while it is open."""

    def __init__(self) -> None:
        self.open = False
        self.rows: dict[str, str] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if outer.open:
                    outer.rows[order["id"]] = order["note"]
                self.answer(201 if outer.open else 503, order)

            def do_GET(self) -> None:
                order = self.path.rpartition("/")[2]
                self.answer(200 if order in outer.rows else 404, {"id": order})

            def answer(self, status: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@dataclass
class Cloud:
    """Two regions; ``ends`` says how each command ends, ``breaks`` which one cannot even be watched."""

    ends: dict[str, str] = field(default_factory=dict)
    breaks: str = ""
    doors: dict[str, Door] = field(default_factory=lambda: {PRIMARY: Door(), DR: Door()})
    retired: dict[str, str] = field(default_factory=dict)
    home: bool = False
    name: str = "-"
    rings: bool = True
    lost: float = 0.0
    leads: str = PRIMARY
    closes: bool = True
    orders: list[str] = field(default_factory=list)
    paces: list[float] = field(default_factory=list)

    def close(self) -> None:
        """Close both doors for good."""
        for door in self.doors.values():
            door.server.shutdown()
            door.server.server_close()

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Take the place of the AWS API, the lab's control API, the databases and the watching of executions."""
        cloud = self
        patch.setattr("lab.gameday.circle.Control", lambda _: cloud)
        patch.setattr("lab.gameday.circle.Region", lambda _, name, __: Region(cloud, name))
        patch.setattr("lab.gameday.circle.Watcher", lambda *_: cloud)
        patch.setattr(audit, "find", lambda rows, ids: {order: rows[order] for order in ids if order in rows})
        patch.setattr(audit, "all_ids", set)
        patch.setattr(audit, "version", lambda _: "11.4-MariaDB")
        patch.setattr(audit, "position", lambda _: "0-1-4711")
        self.doors[PRIMARY].open = True

    # The control API

    def pace(self, scale: float) -> None:
        self.paces.append(scale)

    def order(self, _: str, control: str, **__: Any) -> None:
        self.orders.append(control)

    def backlog(self, _: str) -> int:
        return 3

    def resolve(self, name: str) -> Answer | None:
        if name != self.name:
            return None
        host, port = self.doors[self.leads].server.server_address[:2]
        return Answer(self.leads, str(host), int(port), 0.5)

    def lose(self, *_: str) -> None:
        self.lost = time.time()
        primary, dr = self.doors[PRIMARY], self.doors[DR]
        primary.open = False
        dr.rows = dict(list(primary.rows.items())[:-2])

    def bring_back(self, _: str) -> None:
        self.doors[PRIMARY].open = True

    # Executions

    def start(self, machine: str, _: Callable[[], float]) -> str:
        return histories.execution_arn(machine, "gameday")

    def follow(self, arn: str, _: object, __: float, seen: Callable[[Watched], None] | None = None) -> Watched:
        machine = arn.split(":")[6].removeprefix("dev-dr-")
        if self.breaks == machine:
            raise NotThereError(f"{machine} cannot be watched")
        status = self.ends.get(machine, "SUCCEEDED")
        done = getattr(self, f"_{machine}")() if status == "SUCCEEDED" else Watched(arn, _execution([], {}), _NOTHING)
        cause = "" if status == "SUCCEEDED" else "why"
        watched = replace(done, arn=arn, execution=replace(done.execution, status=status, cause=cause))
        if seen is not None:
            seen(watched)
        return watched

    def _failover(self) -> Watched:
        self.doors[DR].open, self.leads = True, DR
        return Watched(
            "", _execution([], {"outcome": "failed-over", "database": {"drain": {"received_unapplied": 0}}}), _NOTHING
        )

    def _reprotect(self) -> Watched:
        door = self.doors[PRIMARY]
        door.open = False
        self.retired = door.rows
        missing = sorted(self.retired.keys() - self.doors[DR].rows.keys())
        told = {"rows": len(missing), "transactions": len(missing), "evidence": "s3://bucket/key"}
        told["tables"] = {"app.orders": {"inserted": len(missing), "updated": 0, "deleted": 0}}
        output = {"outcome": "protected", "retired": "dev-db-retired-1", "snapshot": "final", "divergence": told}
        return Watched("", _execution([], output), _NOTHING)

    def _failback(self) -> Watched:
        self.doors[DR].open = False
        self.doors[PRIMARY].rows = dict(self.doors[DR].rows)
        self.doors[PRIMARY].open, self.home, self.leads = True, True, PRIMARY
        # Pressed together: all of it happens while it is asked for.
        now = dt.datetime.now(dt.UTC)
        events = [
            event | {"timestamp": now + (event["timestamp"] - histories.LOSS) / 1e6}
            for event in histories.switchover(0)
        ]
        switch = Watched(histories.SWITCH, _execution(events, {}), _NOTHING)
        output = {"outcome": "failed-back", "dr": {"retired": "dev-db-retired-2", "snapshot": "final"}}
        return Watched("", _execution([], output), _NOTHING, (switch,))


_NOTHING = Timeline("SUCCEEDED", 0.0, 1.0)


def _execution(events: list[dict[str, Any]], output: dict[str, Any]) -> Execution:
    return Execution("SUCCEEDED", list(events), output, "")


@dataclass
class Region:
    """One of the two."""

    cloud: Cloud
    name: str

    def target(self) -> Target:
        return Target(self.name, self.cloud.doors[self.name].url)

    def described_database(self, _: str = "") -> dict[str, Any]:
        return REPLICA if self.name == DR else {"DBInstanceIdentifier": "dev-db", "DBInstanceStatus": "available"}

    def database(self, _: str, identifier: str = "") -> dict[str, str]:
        if identifier:
            return self.cloud.retired
        # What the primary has, its replica has too.
        lost = self.name == DR and not self.cloud.doors[DR].rows
        return self.cloud.doors[PRIMARY if lost else self.name].rows

    def configuration(self) -> dict[str, str]:
        return {"application-host": self.cloud.name}

    def is_closed(self) -> bool:
        return self.cloud.closes

    def alarms(self) -> dict[str, Alarm]:
        state = "ALARM" if self.cloud.lost and self.cloud.rings else "OK"
        names = ("probe-failed", "replica-lost-source", "primary-lost")
        return {name: Alarm(state, self.cloud.lost + 0.01) for name in names}

    def started_since(self, machine: str, _: float) -> list[str]:
        return [histories.execution_arn(machine, "by-alarm")] if self.cloud.rings else []

    def execution(self, _: str) -> Execution:
        return replace(_execution([], {}), given={"trigger": {"alarm": "dev-dr-primary-lost"}})

    def standing(self, _: str) -> Standing:
        if self.cloud.home:
            return HOME.primary if self.name == PRIMARY else HOME.dr
        return STANDING

    def kept(self, identifier: str, _: str) -> Kept:
        return replace(KEPT, region=self.name, identifier=identifier)

    def document(self, _: str) -> str:
        missing = sorted(self.cloud.retired.keys() - self.cloud.doors[DR].rows.keys())
        lines: Sequence[dict[str, Any]] = [{"table": "app.orders", "after": {"id": order}} for order in missing]
        return "\n".join(json.dumps(line) for line in lines)
