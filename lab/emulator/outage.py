"""The loss of a region, inside the process.

A region that refuses HTTP requests would still act by itself: MiniStack runs state machines, EventBridge targets,
schedules and event source pollers of all regions in this one process. Here each of them stands still while its region
is lost. On AWS they stop as well; what was durable goes on when the region is back, as it does here.
"""

from __future__ import annotations

import threading
from functools import wraps
from typing import TYPE_CHECKING, Any

from lab.emulator import here, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.world import Lab


class _Gate:
    """Holds threads of a region for as long as the region is lost."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._changed = threading.Condition()
        lab.on_return(lambda _: self._wake())
        lab.on_close(self._wake)

    def wait(self, region: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._lab.closing or not self._lab.is_down(region))

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def install(lab: Lab) -> None:
    """Let nothing act in a region that is lost.

    Parameters
    ----------
    lab
        Says which regions are lost.
    """
    gate = _Gate(lab)
    _hold_executions(gate)
    _hold_functions(lab, gate)
    _hold_triggers(lab)


def _hold_executions(gate: _Gate) -> None:
    """Let executions stand still.

    Every step of an execution writes an event before it acts and after: held there, an execution stands still between
    two steps and goes on when its region is back.
    """
    from ministack.services import stepfunctions

    def held_while_down(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def held(*args: Any, **kwargs: Any) -> Any:
            gate.wait(here())
            return original(*args, **kwargs)

        return held

    replace(stepfunctions, "_add_event", held_while_down)
    replace(stepfunctions, "_invoke_resource", held_while_down)


def _hold_functions(lab: Lab, gate: _Gate) -> None:
    """Keep asynchronous invocations and batches that were accepted before the loss, as Lambda does; end what runs."""
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    def held_or_refused(original: Callable[..., Any]) -> Callable[..., Any]:
        def dispatch(*args: Any, **kwargs: Any) -> Any:
            gate.wait(here())
            if lab.closing:  # or it would start a process that nobody ends
                return {"error": True, "body": {"errorType": "Closing", "errorMessage": "the lab is closing"}}
            return original(*args, **kwargs)

        return dispatch

    replace(lambda_svc, "_execute_function_dispatch", held_or_refused)

    def kill_functions(region: str) -> None:
        # Whatever runs in the lost region ends now: a function of it must not go on calling the other region.
        with lambda_runtime._lock:
            keys = [key for key in lambda_runtime._workers if key.split(":")[1] == region]
            doomed = [worker for key in keys for worker in lambda_runtime._workers.pop(key)]
        for worker in doomed:
            if worker._proc is not None:
                worker._proc.kill()
        lambda_runtime.kill_workers(doomed)

    lab.on_outage(kill_functions)
    lab.on_close(lambda_runtime.reset)


def _hold_triggers(lab: Lab) -> None:
    """Let no queue be polled where a region is lost; for events and schedules see ``delivery`` and ``schedules``."""
    from ministack.services import lambda_svc

    def only_where_up(original: Callable[..., Iterator[tuple[str, str, Any]]]) -> Callable[..., Any]:
        def mappings() -> Iterator[tuple[str, str, Any]]:
            return ((account, region, esm) for account, region, esm in original() if not lab.is_down(region))

        return mappings

    replace(lambda_svc, "_iter_all_esms", only_where_up)
