"""The history of a metric in one line of a terminal."""

import math
from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"


def sparkline(
    values: Sequence[float], width: int = 20, *, scale: Sequence[float] | None = None
) -> str:
    """Returns a line of bars, of which the highest is the maximum and the lowest the minimum.

    Of a history that is longer than the line, the last value of each equal part is shown. A value
    that is not finite is `·`.

    Args:
        values: the history.
        width: most characters.
        scale: what maximum and minimum are taken from; `None`: the values themselves.
    """
    if len(values) > width:
        values = [values[(at + 1) * len(values) // width - 1] for at in range(width)]
    finite = [value for value in (values if scale is None else scale) if math.isfinite(value)]
    low, high = min(finite, default=0.0) / 2, max(finite, default=0.0) / 2  # whose difference fits
    return "".join(_bar(value, low, high) for value in values)


def _bar(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return "·"
    place = (value / 2 - low) / (high - low) if high > low else 0.5
    return _BARS[min(int(place * len(_BARS)), len(_BARS) - 1)]
