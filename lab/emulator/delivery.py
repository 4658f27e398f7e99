"""EventBridge's deliveries: tried again until an event is too old, then put aside; and events that come twice or late.

MiniStack delivers once, and drops what fails. On AWS a delivery is retried by the target's RetryPolicy and ends in its
dead-letter queue. https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lab.emulator import here, replace, scope
from lab.emulator.permissions import may

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.world import Lab

_DAY: Final = 86400
_MOST_ATTEMPTS: Final = 185
_LONGEST_PAUSE: Final = 60
_BY_SCHEDULE: Final = ("aws.events", "aws.scheduler")


class _Failure(NamedTuple):
    """Why a delivery failed; one that is final is not tried again."""

    code: str
    final: bool


def install(lab: Lab) -> None:
    """Let deliveries be retried, and offer the controls of the group ``events``.

    Parameters
    ----------
    lab
        Its clock times the retries, and no event is delivered in a region that is lost.
    """
    from ministack.services import eventbridge

    deliveries = _Deliveries(lab)
    replace(eventbridge, "_invoke_target", deliveries.install)
    lab.controls["events"] = {
        "list": partial(_listed, lab),
        "replay": partial(_replay, lab),
        "failing-targets": deliveries.let_targets_fail,
    }


class _Deliveries:
    """Every delivery to a target, of rules and of schedules."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._failing: set[str] = set()
        self._deliver: Callable[..., None]

    def install(self, original: Callable[..., None]) -> Callable[..., None]:
        """Take the place of MiniStack's one attempt."""
        self._deliver = original
        return self.invoke

    def let_targets_fail(self, region: str, on: bool = True) -> list[str]:
        """Let every target of a region's rules and schedules fail, as throttled ones do; return where they fail."""
        (self._failing.add if on else self._failing.discard)(region)
        return sorted(self._failing)

    def invoke(self, target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
        """Deliver an event to a target, now or by and by."""
        region, accepted = here(), self._lab.clock.aws_now()
        if self._lab.is_down(region):
            # Schedules of a lost region do not fire. An event that it has taken is kept.
            if event.get("Source") in _BY_SCHEDULE:
                return
        elif self._attempt(target, event, rule, view) is None:
            return

        def go_on() -> None:
            with scope(self._lab, region):
                self._retry(partial(self._attempt, target, event, rule, view), target, event, rule, accepted)

        self._lab.spawn(go_on, "event-retry")

    def _retry(
        self,
        attempt: Callable[[], _Failure | None],
        target: dict[str, Any],
        event: dict[str, Any],
        rule: dict[str, Any],
        accepted: float,
    ) -> None:
        policy = target.get("RetryPolicy") or {}
        oldest = int(policy.get("MaximumEventAgeInSeconds", _DAY))
        most = int(policy.get("MaximumRetryAttempts", _MOST_ATTEMPTS))
        clock, retries, pause = self._lab.clock, 0, 1
        while clock.sleep_aws(min(pause, max(0.1, accepted + oldest - clock.aws_now()))):
            if self._lab.is_down(here()):
                continue
            if clock.aws_now() - accepted >= oldest:
                self._put_aside(target, event, rule, "MaximumEventAgeInSeconds", retries)
                return
            if retries >= most:
                self._put_aside(target, event, rule, "MaximumRetryAttempts", retries)
                return
            failure, retries = attempt(), retries + 1
            if failure is None:
                return
            if failure.final:
                self._put_aside(target, event, rule, failure.code, retries)
                return
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _attempt(self, target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any) -> Any:
        region = here()
        where = _region(target["Arn"]) or region
        if failure := self._failure(target, rule, region, where):
            return failure
        if _service(target["Arn"]) == "events" and where != region:
            self._forward(event, where, target["Arn"].rpartition("/")[2])
        else:
            self._deliver(target, event, rule, view)
        return None

    def _forward(self, event: dict[str, Any], region: str, bus: str) -> None:
        """Hand an event to a bus of another region, once: what has crossed before does not cross again."""
        from ministack.services import eventbridge

        if region in self._lab.regions and event.get("Region") == here():
            # Rules have the same names in both regions: MiniStack's guard against loops would take one for the other.
            forwarded = {**event, "EventBusName": bus, "_DispatchPath": []}
            with scope(self._lab, region):
                eventbridge._events_log_list().append(forwarded)
                eventbridge._dispatch_event(forwarded)

    def _failure(self, target: dict[str, Any], rule: dict[str, Any], region: str, where: str) -> _Failure | None:
        if self._lab.is_down(where):
            return _Failure("SERVICE_UNAVAILABLE", final=False)
        if region in self._failing:
            return _Failure("THROTTLING", final=False)
        if not _exists(target["Arn"]):
            return _Failure("RESOURCE_NOT_FOUND", final=True)
        role, service = target.get("RoleArn") or rule.get("RoleArn"), _service(target["Arn"])
        action = {"states": "states:StartExecution", "lambda": "lambda:InvokeFunction"}.get(service)
        # A rule invokes a function by the function's own policy, everything else by the target's role.
        if role and action and not may(self._lab, role, action, target["Arn"]):
            self._lab.log(f"{role} is not authorized to perform: {action} on resource: {target['Arn']}")
            return _Failure("NO_PERMISSIONS", final=True)
        return None

    def _put_aside(
        self, target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], reason: str, retries: int
    ) -> None:
        from ministack.core.arn import parse_arn
        from ministack.services import eventbridge, sqs

        queue = (target.get("DeadLetterConfig") or {}).get("Arn")
        self._lab.log(f"an event for {target['Arn']} was not delivered: {reason}; dead-letter queue: {queue or 'none'}")
        found = sqs._queue_by_arn(queue) if queue else None
        if found is None:
            return
        payload = json.dumps(eventbridge._pattern_event_view(event).event_with_detail())
        eventbridge._dispatch_to_sqs(parse_arn(queue), payload)
        attributes = {
            "RULE_ARN": str(rule.get("Arn", "")),
            "TARGET_ARN": target["Arn"],
            "EXHAUSTED_RETRY_CONDITION" if reason.startswith("Maximum") else "ERROR_CODE": reason,
            "RETRY_ATTEMPTS": str(retries),
        }
        message = next(each for each in reversed(found["messages"]) if each["body"] == payload)
        message["message_attributes"] = {
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
        }


def _region(arn: str) -> str:
    return (arn.split(":") + [""] * 4)[3]


def _service(arn: str) -> str:
    return (arn.split(":") + [""] * 3)[2]


def _exists(arn: str) -> bool:
    from ministack.services import lambda_svc, sqs, stepfunctions

    if _region(arn) != here():
        return True  # not for this region to say
    match _service(arn):
        case "lambda":
            return bool(lambda_svc._get_func_record_for_ref(arn)[0])
        case "states":
            return stepfunctions._resolve_state_machine_arn(arn) is not None
        case "sqs":
            return sqs._queue_by_arn(arn) is not None
    return True


# Controls


def _listed(lab: Lab, region: str, source: str = "", kind: str = "") -> list[dict[str, Any]]:
    """List the events that a region's buses have taken, as targets get them, the oldest first."""
    from ministack.services import eventbridge

    with scope(lab, region):
        taken = [eventbridge._pattern_event_view(event).event_with_detail() for event in eventbridge._events_log_list()]
    return [each for each in taken if source in ("", each["source"]) and kind in ("", each["detail-type"])]


def _replay(lab: Lab, region: str, event: dict[str, Any], times: int = 1) -> int:
    """Deliver an event again, as it was: its id and its time are those of the first time."""
    from ministack.services import eventbridge

    at = datetime.fromisoformat(event["time"]).timestamp() if "time" in event else time.time()
    record = {
        "EventId": event.get("id", "replayed"),
        "Source": event["source"],
        "DetailType": event["detail-type"],
        "Detail": json.dumps(event.get("detail", {})),
        "EventBusName": "default",
        "Time": int(at),
        "Resources": event.get("resources", []),
        "Account": event.get("account", lab.account),
        "Region": event.get("region", region),
    }
    with scope(lab, region):
        for _ in range(times):
            eventbridge._dispatch_event(record)
    return times
