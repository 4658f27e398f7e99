"""Holds an execution at a state, so that what is to happen right there happens there, however fast the rest passes.

Nothing on AWS does this: it is a control of the lab. A task that is held has done its work, and nobody has noted it;
any other state is held before it does anything.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from lab.emulator import replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.world import Lab

_LOOK_EVERY: Final = 0.05


def install(lab: Lab) -> None:
    """Offer the control.

    Parameters
    ----------
    lab
        Whose controls it is added to.
    """
    from ministack.services import stepfunctions

    holds = _Holds()
    replace(stepfunctions, "_add_event", holds.at_events)
    lab.controls["executions"] = {"hold": holds.hold, "held": holds.held, "let-go": holds.let_go}


class _Holds:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._wanted: tuple[str, str] | None = None
        self._held: list[str] = []
        # Whether the task that a thread carries out has succeeded: what was caught has done nothing.
        self._task = threading.local()

    def hold(self, state: str, of: str = "") -> None:
        """Hold the next execution that comes to a state and has this in its ARN, instead of whatever was to be held."""
        with self._changed:
            self._wanted, self._held = (state, of), []
            self._changed.notify_all()

    def held(self) -> list[str]:
        """Name the execution that is held."""
        return list(self._held)

    def let_go(self) -> None:
        """Let the held execution go on, and hold none."""
        with self._changed:
            self._wanted, self._held = None, []
            self._changed.notify_all()

    def at_events(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Hold before the end of a task that succeeded is noted, and after the beginning of any other state is."""

        def add(execution: dict[str, Any], kind: str, details: dict[str, Any] | None = None) -> Any:
            told: dict[str, Any] = next(iter((details or {}).values()), {})
            if kind == "TaskStateExited" and self._task.succeeded:
                self._wait(execution, told["name"])
            event = original(execution, kind, details)
            if kind in ("TaskStateEntered", "TaskSucceeded"):
                self._task.succeeded = kind == "TaskSucceeded"
            elif kind.endswith("StateEntered"):
                self._wait(execution, told["name"])
            return event

        return add

    def _wait(self, execution: dict[str, Any], state: str) -> None:
        arn = execution["executionArn"]
        with self._changed:
            if self._wanted is None or self._held or state != self._wanted[0] or self._wanted[1] not in arn:
                return
            self._held = held = [arn]
            while self._held is held and execution["status"] == "RUNNING":
                self._changed.wait(_LOOK_EVERY)
        # It was stopped meanwhile: its thread ends here, and threads end quietly on this one exception.
        if execution["status"] != "RUNNING":
            raise SystemExit
