from __future__ import annotations

import io

import pytest

from lab.gameday.terminal import Terminal, clock


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def tell(terminal: Terminal) -> None:
    terminal.chapter("Loss", "a region goes")
    terminal.status("… still going")
    terminal.event("✓", "promoted", 184, "good")
    terminal.settle()


def test_a_pipe_gets_whole_lines_and_no_codes() -> None:
    stream = io.StringIO()
    tell(Terminal(stream, {}))
    assert "\x1b" not in stream.getvalue()
    assert "\r" not in stream.getvalue()
    assert "still going" not in stream.getvalue()
    assert "+3:04  ✓ promoted\n" in stream.getvalue()


def test_a_terminal_gets_colour_and_a_live_line() -> None:
    stream = Tty()
    tell(Terminal(stream, {"TERM": "xterm"}))
    assert "\x1b[32m" in stream.getvalue()
    assert "\r\x1b[2K" in stream.getvalue()


def test_no_color_is_honoured() -> None:
    stream = Tty()
    tell(Terminal(stream, {"TERM": "xterm", "NO_COLOR": "1"}))
    assert "m" not in {part[-1:] for part in stream.getvalue().split("\x1b[")[1:]}
    assert "\x1b[32m" not in stream.getvalue()


def test_a_dumb_terminal_is_treated_as_a_pipe() -> None:
    stream = Tty()
    tell(Terminal(stream, {"TERM": "dumb"}))
    assert "\x1b" not in stream.getvalue()


def test_a_stream_that_knows_only_ascii_still_gets_its_lines() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    tell(Terminal(stream, {}))
    stream.flush()
    assert b"promoted" in raw.getvalue()


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "+0:00"), (-0.2, "+0:00"), (-61, "-1:01"), (187.4, "+3:07"), (3725, "+1:02:05")]
)
def test_seconds_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert clock(seconds) == said
