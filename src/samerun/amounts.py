"""Ages, lengths of time, sizes and measured numbers, in the fewest characters."""

import time

_UNITS = ((86400 * 365, "y"), (86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_SIZES = ("B", "kB", "MB", "GB", "TB")


def age(milliseconds: int | None, *, now: float | None = None) -> str:
    """Returns how long ago a point in time was, such as `3h`, or `?` if it is not known.

    Args:
        milliseconds: since 1970.
        now: seconds since 1970, by default this moment. A time after it is `0s` ago.
    """
    if milliseconds is None:
        return "?"
    return duration((time.time() if now is None else now) - milliseconds / 1000)


def duration(seconds: float) -> str:
    """Returns a length of time in its largest unit, rounded down, such as `3h`."""
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return "0s"


def size(number: float) -> str:
    """Returns a number of bytes with three digits, such as `1.23 MB`."""
    place = 0
    while number >= 1000 and place < len(_SIZES) - 1:
        number, place = number / 1000, place + 1
    return f"{number:.3g} {_SIZES[place]}"


def short(value: float) -> str:
    """Returns `0.123`, a large number as `19,431`, a small one with three digits."""
    if 1000 <= abs(value) < 1e15:
        return f"{value:,.0f}"
    return f"{value:.3f}" if 0.01 <= abs(value) < 1000 or value == 0 else f"{value:.3g}"
