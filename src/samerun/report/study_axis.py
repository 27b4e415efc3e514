"""The position of a parameter's value on an axis from 0 to 1, and the labels of the axis."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

from matplotlib.ticker import LogLocator, MaxNLocator

_MOST_CHOICES = 12
_WIDE = 30  # ratio of the largest to the smallest value from which an axis is logarithmic


@final
@dataclass(frozen=True, kw_only=True)
class Scale:
    """An axis for one parameter or objective: linear, logarithmic, or a position for each choice.

    Args:
        low: the value at 0.
        high: the value at 1.
        is_log: equal steps are equal factors.
        is_whole: only whole numbers are marked.
        choices: those of a categorical parameter, from 0 to 1; empty for numbers.
    """

    low: float = 0.0
    high: float = 1.0
    is_log: bool = False
    is_whole: bool = False
    choices: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Sequence[Any], distribution: Any) -> "Scale":
        """Returns the axis for values.

        Args:
            values: what occurs.
            distribution: the Optuna distribution; `None` for an objective.
        """
        if hasattr(distribution, "choices"):
            given = [str(choice) for choice in distribution.choices]
            others = sorted({str(value) for value in values} - set(given))
            return cls(choices=(*given, *others))
        finite = [float(value) for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(finite), max(finite)
        is_log = is_wide(finite) if distribution is None else bool(getattr(distribution, "log", 0))
        if low == high:  # a single value is in the middle
            step = abs(low) / 2 or 1.0
            low, high = (low / 2, high * 2) if is_log and low > 0 else (low - step, high + step)
        is_whole = isinstance(getattr(distribution, "high", None), int)
        return cls(low=low, high=high, is_log=is_log and low > 0, is_whole=is_whole)

    @property
    def has_long_words(self) -> bool:
        """Whether horizontal labels under the axis would overlap."""
        return sum(len(choice) for _, choice in self.ticks()) > 22

    def position(self, value: Any) -> float:
        """Returns the position of a value; NaN if the value is not finite."""
        if self.choices:
            last = len(self.choices) - 1
            return self.choices.index(str(value)) / last if last else 0.5
        if not math.isfinite(value):
            return math.nan
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (float(value) - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Returns positions and labels of a few ticks."""
        if self.choices:
            step = -(-len(self.choices) // _MOST_CHOICES)
            return [(self.position(choice), _cut(choice)) for choice in self.choices[::step]]
        values = [float(value) for value in self._round_values()]
        # Rounded, since 1e-05 is not exactly 10 ** -5.
        inside = [value for value in values if -1e-6 < self.position(value) < 1 + 1e-6]
        if len(inside) < 2:
            inside = [self.low, self.high]
        return [(self.position(value), _number(value)) for value in inside]

    def _round_values(self) -> Sequence[float]:
        if not self.is_log:
            return MaxNLocator(4, integer=self.is_whole).tick_values(self.low, self.high)
        if self.high / self.low >= 100:
            return LogLocator(numticks=6).tick_values(self.low, self.high)
        return LogLocator(subs=(1.0, 2.0, 5.0), numticks=8).tick_values(self.low, self.high)


def _cut(choice: str) -> str:
    return choice if len(choice) <= 16 else f"{choice[:15]}…"


def _number(value: float) -> str:
    """Formats a number in few characters: `0.001`, `1e-5`, `250k`."""
    if value and not 1e-4 < abs(value) < 1e4:
        if 1e4 <= abs(value) < 1e6 and value % 1000 == 0:
            return f"{value / 1000:.0f}k"
        digits, _, power = f"{value:.3g}".partition("e")
        return f"{digits}e{int(power)}" if power else digits
    return f"{value:.4g}"


def is_wide(values: Sequence[float]) -> bool:
    """Whether values need a logarithmic axis."""
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) / min(finite) >= _WIDE


def logarithmic_if_wide(set_scale: Callable[[str], None], values: Sequence[float]) -> None:
    """Makes an axis logarithmic if its values need it."""
    if is_wide(values):
        set_scale("log")
