"""How long ago something was, in the fewest characters."""

import time

_UNITS = ((86400 * 365, "y"), (86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def age(milliseconds: int | None, *, now: float | None = None) -> str:
    """Returns how long ago a point in time was, such as `3 h`, or `?` if it is not known.

    Args:
        milliseconds: since 1970.
        now: seconds since 1970, by default this moment. A time after it is `0 s` ago.
    """
    if milliseconds is None:
        return "?"
    seconds = max(0.0, (time.time() if now is None else now) - milliseconds / 1000)
    return duration(seconds)


def duration(seconds: float) -> str:
    """Returns a length of time in its largest unit, such as `3 h`, rounded down."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "0 s"
