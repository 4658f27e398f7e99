"""SQS: dead letters, those of functions too, and how they go back."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from lab.emulator import replace, scope, wrap_resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.world import Lab


def install(lab: Lab) -> None:
    """Complete MiniStack's dead letters, and offer the control of the group ``queues``.

    Parameters
    ----------
    lab
        Gets the control.
    """
    _functions_have_dead_letters()
    _dead_letters_go_back()
    lab.controls["queues"] = {"make-visible": _visible(lab)}


def _functions_have_dead_letters() -> None:
    """CloudFormation's DeadLetterConfig, which MiniStack drops; and what lands there is the event as it was."""
    from ministack.services import lambda_svc, sqs

    def provision(original: Callable[..., Any]) -> Callable[..., Any]:
        def provisioned(*args: Any, **kwargs: Any) -> Any:
            name, attributes = original(*args, **kwargs)
            # create(logical id, properties, stack), update(physical id, old, new, …)
            wanted = next(given for given in reversed(args) if isinstance(given, dict)).get("DeadLetterConfig")
            config = lambda_svc._functions[name]["config"]
            if wanted:
                config["DeadLetterConfig"] = wanted
            else:
                config.pop("DeadLetterConfig", None)
            return name, attributes

        return provisioned

    def route(original: Callable[..., Any]) -> Callable[..., Any]:
        def routed(target: str, name: str, event: dict[str, Any], result: dict[str, Any]) -> None:
            original(target, name, event, result)
            config = lambda_svc._functions.get(name, {}).get("config", {})
            queue = sqs._queue_by_arn(target)
            # A destination is told what became of the event, a dead-letter queue has the event itself.
            if queue and queue["messages"] and config.get("DeadLetterConfig", {}).get("TargetArn") == target:
                body = json.dumps(event)
                queue["messages"][-1] |= {"body": body, "md5_body": hashlib.md5(body.encode()).hexdigest()}

        return routed

    wrap_resource("AWS::Lambda::Function", "create", provision)
    wrap_resource("AWS::Lambda::Function", "update", provision)
    replace(lambda_svc, "_route_async_failure", route)


def _dead_letters_go_back() -> None:
    """StartMessageMoveTask: the messages of a dead-letter queue go to the queue that is named, at once."""
    from ministack.services import sqs

    tasks: list[dict[str, Any]] = []

    def queue(arn: str) -> dict[str, Any]:
        found: dict[str, Any] | None = sqs._queue_by_arn(arn)
        if found is None:
            raise sqs._Err("ResourceNotFoundException", f"The resource that you specified ({arn}) doesn't exist.")
        return found

    def start(data: dict[str, Any], _url: str) -> dict[str, Any]:
        source = queue(data["SourceArn"])
        moved = 0
        for message in list(source["messages"]):
            # A message goes back to where it came from, unless another place is named. One that no queue has sent there
            # has no such place.
            target = data.get("DestinationArn") or message.get("sys", {}).get("DeadLetterQueueSourceArn")
            if not target:
                continue
            source["messages"].remove(message)
            sqs._ensure_msg_fields(message)
            again = {"receive_count": 0, "receipt_handle": None, "visible_at": time.time(), "first_receive_at": None}
            queue(target)["messages"].append({**message, **again})
            moved += 1
        sqs.esm_wake.set()
        task = {
            "TaskHandle": str(uuid.uuid4()),
            "Status": "COMPLETED",
            "SourceArn": data["SourceArn"],
            "ApproximateNumberOfMessagesMoved": moved,
            "ApproximateNumberOfMessagesToMove": moved,
            "StartedTimestamp": int(time.time() * 1000),
        }
        if "DestinationArn" in data:
            task["DestinationArn"] = data["DestinationArn"]
        tasks.insert(0, task)
        return {"TaskHandle": task["TaskHandle"]}

    def list_tasks(data: dict[str, Any], _url: str) -> dict[str, Any]:
        mine = [task for task in tasks if task["SourceArn"] == data["SourceArn"]]
        return {"Results": mine[: int(data.get("MaxResults", 1))]}

    sqs._HANDLERS["StartMessageMoveTask"] = start
    sqs._HANDLERS["ListMessageMoveTasks"] = list_tasks


def _visible(lab: Lab) -> Callable[[str, str], int]:
    """Return what lets messages be received that wait for it: an SQS of real time knows nothing of the lab's clock."""
    from ministack.services import lambda_svc, sqs

    polling = threading.Lock()

    def poll(original: Callable[[], bool]) -> Callable[[], bool]:
        def polled() -> bool:
            # A message is received first, and only then its function is at work.
            with polling:
                return original()

        return polled

    def make_visible(region: str, queue: str) -> int:
        """Let a queue's messages be received now, unless a function is at work on some; return how many there are."""
        with scope(lab, region), polling, sqs._queues_lock:
            found = sqs._queues.get(sqs._queue_url(queue))
            if found is None:
                raise ValueError(f"there is no queue {queue} in {region}")
            arn = found["attributes"]["QueueArn"]
            mappings = [esm["UUID"] for esm in list(lambda_svc._esms.values()) if esm.get("EventSourceArn") == arn]
            if not any(lambda_svc._esm_inflight.get(mapping) for mapping in mappings):
                for message in found["messages"]:
                    message["visible_at"] = min(message["visible_at"], time.time())
            sqs.esm_wake.set()
            return len(found["messages"])

    replace(lambda_svc, "_poll_sqs", poll)
    return make_visible
