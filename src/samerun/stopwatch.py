"""Where the seconds of a run went: one stopwatch in each process, which trains one run at a time.

A part that contains others counts only the seconds that are not theirs, so that the parts add up.
Threads in the background, such as the delivery to the store, are not measured.
"""

import contextlib
import time
from collections.abc import Iterator

_seconds: dict[str, float] = {}
_open: list[str] = []
_since = 0.0


def enter(name: str) -> None:
    """Starts a part, within the one that is open."""
    _charge()
    _open.append(name)


def leave() -> None:
    """Ends the part that was started last."""
    _charge()
    _open.pop()


@contextlib.contextmanager
def part(name: str) -> Iterator[None]:
    """Measures a part; also what it started and an exception kept from ending.

    Args:
        name: as in the table; the seconds of parts of the same name add up.
    """
    depth = len(_open)
    enter(name)
    try:
        yield
    finally:
        _charge()
        del _open[depth:]


def take() -> dict[str, float]:
    """Returns the seconds of every part so far, in the order of their starts, and starts anew."""
    _charge()
    taken = dict(_seconds)
    _seconds.clear()
    return taken


def _charge() -> None:
    """Adds the time since the last call to the part that is open."""
    global _since
    now = time.perf_counter()
    if _open:
        _seconds[_open[-1]] = _seconds.get(_open[-1], 0.0) + now - _since
    _since = now
