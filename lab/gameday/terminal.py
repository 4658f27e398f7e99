"""Live progress for people: what happens, why, and how many AWS seconds after the loss.

In a terminal the last line is alive; in a pipe there are only whole lines and nothing moves.
"""

from __future__ import annotations

import os
import shutil
import threading
from typing import TYPE_CHECKING, Final, Literal

from lab.gameday.numbers import whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

Tone = Literal["plain", "dim", "bold", "good", "bad", "warn", "accent"]

_CODES: Final[Mapping[Tone, str]] = {
    "plain": "",
    "dim": "2",
    "bold": "1",
    "good": "32",
    "bad": "1;31",
    "warn": "33",
    "accent": "36",
}


class Terminal:
    """Writes progress to a stream.

    Parameters
    ----------
    stream
        Usually standard output.
    environ
        Usually ``os.environ``: NO_COLOR and TERM are honoured.
    short
        Tell no chapters and events, but what sums them up.
    """

    def __init__(self, stream: TextIO, environ: Mapping[str, str] = os.environ, *, short: bool = False) -> None:
        self.short = short
        self._stream = stream
        self._live = stream.isatty() and environ.get("TERM") != "dumb"
        self._colour = self._live and not environ.get("NO_COLOR")
        self._lock = threading.Lock()
        self._status = ""

    @property
    def live(self) -> bool:
        """Whether the last line can be rewritten."""
        return self._live

    def paint(self, text: str, tone: Tone) -> str:
        """Colour a text, where colours are welcome.

        Parameters
        ----------
        text
            One line.
        tone
            What the colour means.

        Returns
        -------
        str
            The text, coloured or as it was.
        """
        code = _CODES[tone]
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and code else text

    def line(self, text: str = "", tone: Tone = "plain") -> None:
        """Write a line that stays.

        Parameters
        ----------
        text
            One line.
        tone
            What its colour means.
        """
        with self._lock:
            self._wipe()
            self._write(self.paint(text, tone) + "\n")
            self._draw()

    def chapter(self, title: str, why: str) -> None:
        """Begin a part: what happens next, and why.

        Parameters
        ----------
        title
            A word or two.
        why
            One sentence.
        """
        if self.short:
            return
        self.line()
        self.line(f"{self.paint(title, 'bold')}  {self.paint(why, 'dim')}")

    def event(self, mark: str, text: str, at: float | None = None, tone: Tone = "plain") -> None:
        """Write what happened and when.

        Parameters
        ----------
        mark
            One character.
        text
            What happened.
        at
            AWS seconds since the loss.
        tone
            What the mark's colour means.
        """
        if self.short:
            return
        moment = f"{clock(at):>8}" if at is not None else " " * 8
        self.line(f"{self.paint(moment, 'dim')}  {self.paint(mark, tone)} {text}")

    def brief(self, text: str, tone: Tone = "plain") -> None:
        """Write what sums up a part, where its events are not told.

        Parameters
        ----------
        text
            One line.
        tone
            What its colour means.
        """
        if self.short:
            self.line(text, tone)

    def status(self, text: str) -> None:
        """Show a line that the next one replaces; in a pipe, nothing.

        Parameters
        ----------
        text
            What is the case now.
        """
        if self._live:
            with self._lock:
                self._wipe()
                self._status = text
                self._draw()

    def settle(self) -> None:
        """Remove the live line."""
        with self._lock:
            self._wipe()
            self._status = ""
            self._stream.flush()

    def _wipe(self) -> None:
        if self._live and self._status:
            self._write("\r\x1b[2K")

    def _draw(self) -> None:
        if self._live and self._status:
            width = shutil.get_terminal_size().columns - 1
            self._write(self.paint(self._status[:width], "accent"))
        self._stream.flush()

    def _write(self, text: str) -> None:
        # A terminal or a log that knows less than Unicode still gets its lines.
        encoding = self._stream.encoding or "utf-8"
        self._stream.write(text.encode(encoding, errors="replace").decode(encoding))


def clock(seconds: float) -> str:
    """Write AWS seconds as people say them.

    Parameters
    ----------
    seconds
        May be negative.

    Returns
    -------
    str
        For example ``+3:07``.
    """
    rounded = whole(abs(seconds))
    sign = "-" if seconds < 0 and rounded else "+"
    hours, minutes = divmod(rounded // 60, 60)
    return f"{sign}{hours}:{minutes:02}:{rounded % 60:02}" if hours else f"{sign}{minutes}:{rounded % 60:02}"
