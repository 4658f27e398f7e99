"""Schedules: ``rate()`` of rules and of EventBridge Scheduler on the lab's clock, to the second.

MiniStack looks every ten real seconds, and counts from the last time it fired. ``cron()`` and ``at()`` stay MiniStack's
and follow the real clock: nothing of AWS time says what day it is.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from lab.emulator import replace, scope, wrap_resource
from lab.emulator.workers import is_busy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.world import Lab

    Seconds = Callable[[str], float | None]

_SHORTEST_LOOK: Final = 0.05
"""Real seconds between two looks at what is due."""

_SHORTEST_RATE: Final = 1.0
"""Real seconds between two firings of one schedule."""

_WHILE_SETTING_UP: Final = 10.0
"""The same while the lab is set up, which runs fast-forward: nobody waits for a schedule then."""

_logger = logging.getLogger("lab")


def install(lab: Lab) -> None:
    """Let schedules follow the lab's clock.

    Parameters
    ----------
    lab
        A schedule of a region that is lost does not fire, and goes on in its rhythm when the region is back.
    """
    from ministack.services import eventbridge

    seconds: Seconds = eventbridge._parse_rate_seconds
    # What MiniStack cannot read it does not fire.
    replace(eventbridge, "_parse_rate_seconds", lambda _: lambda _expression: None)
    schedules = _Schedules(lab, seconds)
    lab.every(lambda: max(1.0, _SHORTEST_LOOK * lab.clock.scale), schedules.look, "lab-schedules")
    _schedules_of_stacks()


class _Schedules:
    """When each ``rate()`` is due next."""

    def __init__(self, lab: Lab, seconds: Seconds) -> None:
        self._lab = lab
        self._seconds = seconds
        self._due: dict[tuple[str, ...], float] = {}

    def look(self) -> None:
        """Fire what is due."""
        clock = self._lab.clock
        now = clock.aws_now()
        enabled = {key: (every, fire) for key, every, fire in self._enabled()}
        # The countdown begins when a schedule is made or enabled.
        self._due = {key: self._due.get(key, now + every) for key, (every, _) in enabled.items()}
        for key, (every, fire) in enabled.items():
            if now < self._due[key]:
                continue
            late = (now - self._due[key]) % every
            shortest = _SHORTEST_RATE if self._lab.ready else _WHILE_SETTING_UP
            self._due[key] = now - late + max(every, shortest * clock.scale)
            self._fire(key, fire)

    def _fire(self, key: tuple[str, ...], fire: Callable[[], None]) -> None:
        if self._lab.is_down(key[1]):
            return
        try:
            with scope(self._lab, key[1]):
                fire()
        except Exception:
            _logger.exception("the schedule %s in %s could not fire", key[2], key[1])

    def _enabled(self) -> Iterator[tuple[tuple[str, ...], float, Callable[[], None]]]:
        from ministack.services import eventbridge, scheduler

        for kind, store in (("rule", eventbridge._rules), ("schedule", scheduler._schedules)):
            for (account, region, name), record in list(store._data.items()):
                expression = record.get("ScheduleExpression") or ""
                every = self._seconds(expression)
                if record.get("State", "ENABLED") != "ENABLED" or every is None or account != self._lab.account:
                    continue
                targets = (
                    eventbridge._targets._data.get((account, region, name), [])
                    if kind == "rule"
                    else [record["Target"]]
                )
                yield (kind, region, name, expression), every, lambda r=record, t=targets: _fire(r, t)  # type: ignore[misc]


def _fire(record: dict[str, Any], targets: list[dict[str, Any]]) -> None:
    from ministack.core.responses import get_account_id, get_region, new_uuid
    from ministack.services import eventbridge

    event = {
        "EventId": new_uuid(),
        "Source": "aws.events" if ":rule/" in record["Arn"] else "aws.scheduler",
        "DetailType": "Scheduled Event",
        "Detail": "{}",
        "EventBusName": record.get("EventBusName", "default"),
        "Time": int(time.time()),
        "Resources": [record["Arn"]],
        "Account": get_account_id(),
        "Region": get_region(),
    }
    for target in targets:
        # A minute of AWS time may be a second here, and a function's second is a real one: what still runs is not
        # started beside itself, or a slow machine would start ever more. On AWS it would have been over long ago.
        if not is_busy(target["Arn"]):
            eventbridge._invoke_target(target, event, record)


def _schedules_of_stacks() -> None:
    """AWS::Scheduler::Schedule with all its properties; an update overwrites all of them, as UpdateSchedule does.

    MiniStack keeps a few, and leaves what a template does not speak of as it is: a schedule that was disabled through
    the API would stay so, where AWS enables it.
    """
    import json

    from ministack.services import scheduler
    from ministack.services.cloudformation import provisioners

    def said(answer: tuple[int, Any, bytes]) -> None:
        if answer[0] >= 400:
            raise ValueError(json.loads(answer[2])["Message"])

    def create(_: Callable[..., Any]) -> Callable[..., Any]:
        def created(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
            name = props.get("Name") or provisioners._physical_name(stack_name, logical_id, max_len=64)
            said(scheduler._create_schedule(name, props))
            return name, {"Arn": scheduler._schedule_arn(props.get("GroupName", "default"), name)}

        return created

    def update(original: Callable[..., Any]) -> Callable[..., Any]:
        def updated(physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> Any:
            group = new.get("GroupName", "default")
            renamed = new.get("Name", physical_id) != physical_id or group != old.get("GroupName", "default")
            if renamed or f"{group}/{physical_id}" not in scheduler._schedules:
                return original(physical_id, old, new, stack_name)
            said(scheduler._update_schedule(physical_id, new))
            return physical_id, {"Arn": scheduler._schedule_arn(group, physical_id)}

        return updated

    wrap_resource("AWS::Scheduler::Schedule", "create", create)
    wrap_resource("AWS::Scheduler::Schedule", "update", update)
