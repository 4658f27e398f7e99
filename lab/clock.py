"""AWS time: how many AWS seconds have passed in the lab, and how long one of them takes here."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable


_FASTEST_KEPT_UP_WITH: Final = 100


class Clock:
    """A clock that runs ``scale`` times as fast as the wall's.

    The scale may change while others sleep: setting the lab up runs fast-forward, what is measured runs at
    ``LAB_TIME_SCALE``. AWS time is continuous through such a change, and every sleeper is re-timed at once.

    Parameters
    ----------
    scale
        AWS seconds that pass in one real second.
    """

    def __init__(self, scale: float) -> None:
        self._scale = _checked(scale)
        self._real_anchor = time.monotonic()
        self._aws_anchor = 0.0
        self._changed = threading.Condition()
        self._closed = False
        self._listeners: list[Callable[[float], None]] = []

    @property
    def scale(self) -> float:
        """AWS seconds that pass in one real second."""
        return self._scale

    @property
    def fast_forward(self) -> bool:
        """Whether time runs too fast for what works every minute to keep up, as while the lab is set up."""
        return self._scale > _FASTEST_KEPT_UP_WITH

    def set_scale(self, scale: float) -> None:
        """Change the scale from now on and re-time every sleeper.

        Parameters
        ----------
        scale
            AWS seconds that pass in one real second from now on.
        """
        with self._changed:
            self._aws_anchor, self._real_anchor = self._aws_now(), time.monotonic()
            self._scale = _checked(scale)
            self._changed.notify_all()
        for listener in self._listeners:
            listener(scale)

    def on_change(self, listener: Callable[[float], None]) -> None:
        """Call ``listener(scale)`` at once and whenever the scale changes.

        Parameters
        ----------
        listener
            Called with the scale.
        """
        self._listeners.append(listener)
        listener(self._scale)

    def aws_now(self) -> float:
        """Return the AWS seconds since the clock was made.

        Returns
        -------
        float
            Seconds; never goes back.
        """
        with self._changed:
            return self._aws_now()

    def real(self, aws_seconds: float) -> float:
        """Return how long ``aws_seconds`` take here, at today's scale.

        Parameters
        ----------
        aws_seconds
            A duration on AWS.

        Returns
        -------
        float
            Real seconds.
        """
        return aws_seconds / self._scale

    def sleep_aws(self, aws_seconds: float) -> bool:
        """Block the calling thread for ``aws_seconds``; the lab's shutdown ends the sleep early.

        Parameters
        ----------
        aws_seconds
            A duration on AWS.

        Returns
        -------
        bool
            True when the time has passed, False when the lab is closing: stop what you do.
        """
        with self._changed:
            until = self._aws_now() + aws_seconds
            while not self._closed and (left := until - self._aws_now()) > 0:
                self._changed.wait(left / self._scale)
            return not self._closed

    def close(self) -> None:
        """Wake every sleeper for good."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _aws_now(self) -> float:
        return self._aws_anchor + (time.monotonic() - self._real_anchor) * self._scale


def _checked(scale: float) -> float:
    if not scale > 0:
        raise ValueError(f"the time scale must be above 0, not {scale}")
    return scale
