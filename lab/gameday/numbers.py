"""How numbers and moments are written for people."""

from __future__ import annotations


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
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
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
    return f"{seconds:.1f} s" if seconds < 9.95 else duration(seconds)


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
    whole = round(seconds)
    if whole < 100:
        return f"{whole}<small> s</small>"
    return f"{whole // 60}<small> min</small> {whole % 60:02}<small> s</small>"


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
    whole = round(abs(seconds))
    sign = "−" if seconds < 0 and whole else ""
    return f"{sign}{whole // 60}:{whole % 60:02}"
