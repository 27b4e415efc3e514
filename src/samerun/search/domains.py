"""The dimensions of a search space, as plain values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from samerun.errors import listed

Value = bool | int | float | str | None


@dataclass(frozen=True)
class Categorical:
    """One of several values.

    Args:
        values: as the study knows them.
        words: as overrides write them.
    """

    values: tuple[Value, ...]
    words: tuple[str, ...]

    @property
    def num_points(self) -> int | None:
        """The number of different values."""
        return len(self.values)

    @property
    def points(self) -> list[Value]:
        """Every value."""
        return list(self.values)

    ends = points

    @property
    def middle(self) -> Value:
        """The first value."""
        return self.values[0]

    def word(self, value: Any) -> str:
        """Returns a value as an override writes it."""
        return self.words[self.values.index(self.read(value))]

    def short(self, value: Any) -> str:
        """Returns a value for display."""
        return self.word(value)

    def read(self, given: Any) -> Value:
        """Returns the value that is given: itself, or a way of writing it.

        Raises:
            ValueError: it is not in this space.
        """
        if given in self.words:
            return self.values[self.words.index(given)]
        number = _number(given)
        for value, word in zip(self.values, self.words, strict=True):
            is_same = number is not None and number == _number(value)
            if is_same or _plainly(given) in (_plainly(word), _plainly(value)):
                return value
        raise ValueError(f"{given} is none of {self}")

    def plain(self) -> Any:
        """Returns the space for JSON."""
        return list(self.words)

    def __str__(self) -> str:
        return listed(self.words)


@dataclass(frozen=True, kw_only=True)
class Numeric:
    """A number in a range that includes both ends.

    Args:
        low: the smallest.
        high: the largest.
        step: distance between neighbors; `None` for every real number, at least 1 for integers.
        is_int: integers only.
        is_log: on a log scale: as many values from 0.001 to 0.01 as from 0.01 to 0.1.
    """

    low: float
    high: float
    step: float | None = None
    is_int: bool = False
    is_log: bool = False

    @property
    def num_points(self) -> int | None:
        """The number of different values; `None` if it is infinite."""
        if self.step is None:
            return None
        return int((exact(self.high) - exact(self.low)) / exact(self.step)) + 1

    @property
    def points(self) -> list[float]:
        """All values in ascending order; only with a step."""
        return [self._at(index) for index in range(self.num_points or 0)]

    @property
    def ends(self) -> list[float]:
        """The smallest and the largest value."""
        return [self.low, self.high]

    @property
    def middle(self) -> float:
        """The value in the middle, on its own scale."""
        if self.is_log:
            return self._nearest(math.sqrt(self.low * self.high))
        return self._nearest((self.low + self.high) / 2)

    def word(self, value: Any) -> str:
        """Returns a value as an override writes it; parsing it returns the same bits."""
        return str(int(value)) if self.is_int else repr(self._nearest(value))

    def short(self, value: Any) -> str:
        """Returns a value for display, with four digits."""
        return str(int(value)) if self.is_int else f"{value:.4g}"

    def read(self, given: Any) -> float:
        """Returns the value that is given.

        Raises:
            ValueError: it is not a number, or not in this space.
        """
        value = _number(given)
        if value is None or not self.low <= value <= self.high:
            raise ValueError(f"{given} is not in {self}")
        found = self._nearest(value)
        if not math.isclose(found, value, rel_tol=1e-9, abs_tol=1e-12):
            raise ValueError(f"{given} is not in {self}")
        return found

    def plain(self) -> Any:
        """Returns the space for JSON."""
        kind = {"int": self.is_int, "log": self.is_log}
        return {"low": self.low, "high": self.high, "step": self.step, **kind}

    def _at(self, index: int) -> float:
        """Returns the value `index` steps above `low`, without the rounding errors of a sum."""
        assert self.step is not None
        value = exact(self.low) + index * exact(self.step)
        return int(value) if self.is_int else float(value)

    def _nearest(self, value: float) -> float:
        if self.step is None:
            return float(value)
        return self._at(round((exact(value) - exact(self.low)) / exact(self.step)))

    def __str__(self) -> str:
        step = f" by {self.step:g}" if self.step not in (None, 1) else ""
        return f"{self.low:g} to {self.high:g}{step}{', log' if self.is_log else ''}"


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One key of a search space.

    Args:
        key: as in an override, without a plus.
        space: its values.
        is_group: whether it is a config group.
        prefix: `+` or `++`, if the override has one.
        when: options of groups under which it is sampled; empty: always.
    """

    key: str
    space: Categorical | Numeric
    is_group: bool = False
    prefix: str = ""
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def holds(self, chosen: Mapping[str, Any]) -> bool:
        """Whether it is sampled where these options are chosen."""
        return all(chosen.get(group) in options for group, options in self.when.items())

    def __str__(self) -> str:
        conditions = [f"with {group}={','.join(names)}" for group, names in self.when.items()]
        return " ".join([str(self.space), *conditions])


def exact(value: float) -> Decimal:
    """Returns the decimal number that was written: 0.1, not the nearest binary fraction."""
    return Decimal(repr(float(value)))


def _plainly(given: Any) -> str:
    return str(given).replace(" ", "").lower()


def _number(given: Any) -> float | None:
    if isinstance(given, bool):
        return None
    try:
        return float(given) if math.isfinite(float(given)) else None
    except (TypeError, ValueError):
        return None
