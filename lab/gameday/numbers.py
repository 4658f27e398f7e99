"""How numbers and moments are rounded and written for people.

Here alone is rounded: the terminal has the raw value and the report its tenth, and both have to say the same.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def tenth(seconds: float) -> float:
    """Round to a tenth, half away from zero. What was rounded stays as it is.

    Parameters
    ----------
    seconds
        AWS seconds; may be negative.

    Returns
    -------
    float
        As the report holds it.
    """
    # No -0.0, which would be written with its sign.
    return _half_away(seconds * 10) / 10 + 0.0


def whole(seconds: float) -> int:
    """Round the tenth to a second, half away from zero: the same of a value and of its tenth.

    Parameters
    ----------
    seconds
        AWS seconds; may be negative.

    Returns
    -------
    int
        As people are told it.
    """
    return int(_half_away(tenth(seconds)))


def _half_away(value: float) -> float:
    return math.copysign(math.floor(abs(value) + 0.5), value)


def shares(parts: Mapping[str, float], total: float) -> dict[str, int]:
    """Round parts to seconds that add up to the rounded total: the largest takes what is left over.

    Parameters
    ----------
    parts
        AWS seconds by name.
    total
        What they are the parts of.

    Returns
    -------
    dict[str, int]
        In the same order.
    """
    rounded = {name: whole(seconds) for name, seconds in parts.items()}
    if rounded:
        largest = max(parts, key=lambda name: tenth(parts[name]))
        rounded[largest] += whole(total) - sum(rounded.values())
    return rounded


def number(value: int | None) -> str:
    """Write a count.

    Parameters
    ----------
    value
        None if nobody knows.

    Returns
    -------
    str
        Thousands apart.
    """
    return "?" if value is None else f"{value:,}".replace(",", "\u202f")


def duration(seconds: float) -> str:
    """Write how long something took, to the second.

    Parameters
    ----------
    seconds
        AWS seconds.

    Returns
    -------
    str
        For example ``3 min 44 s``.
    """
    rounded = whole(seconds)
    if rounded < 100:
        return f"{rounded} s"
    minutes, rest = divmod(rounded, 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def short(seconds: float) -> str:
    """Write how long a step took; short ones to a tenth.

    Parameters
    ----------
    seconds
        AWS seconds.

    Returns
    -------
    str
        For example ``4.2 s``.
    """
    return f"{tenth(seconds):.1f} s" if tenth(seconds) < 10 else duration(seconds)


def big(seconds: float) -> str:
    """Write a duration as a figure that stands out, in HTML.

    Parameters
    ----------
    seconds
        AWS seconds.

    Returns
    -------
    str
        With small units.
    """
    rounded = whole(seconds)
    if rounded < 100:
        return f"{rounded}<small> s</small>"
    return f"{rounded // 60}<small> min</small> {rounded % 60:02}<small> s</small>"


def clock(seconds: float) -> str:
    """Write a moment on an axis.

    Parameters
    ----------
    seconds
        AWS seconds; may be negative.

    Returns
    -------
    str
        Minutes and seconds.
    """
    rounded = whole(abs(seconds))
    sign = "−" if seconds < 0 and rounded else ""
    return f"{sign}{rounded // 60}:{rounded % 60:02}"
