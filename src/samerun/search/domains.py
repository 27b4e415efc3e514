"""The dimensions of a search space: a key, its domain and its conditions."""

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
        values: the values in the study.
        texts: each as it is written on the command line.
    """

    values: tuple[Value, ...]
    texts: tuple[str, ...]

    @property
    def num_points(self) -> int | None:
        """The number of different values."""
        return len(self.values)

    @property
    def points(self) -> list[Value]:
        """All values."""
        return list(self.values)

    ends = points

    @property
    def middle(self) -> Value:
        """The first value."""
        return self.values[0]

    def to_text(self, value: Any) -> str:
        """Returns a value as it is written on the command line."""
        return self.texts[self.values.index(self.read(value))]

    def short(self, value: Any) -> str:
        """Returns a value for display."""
        return _shown(self.to_text(value))

    def read(self, given: Any) -> Value:
        """Returns the value that a value or its text stands for.

        Raises:
            ValueError: it is not one of the choices.
        """
        if given in self.texts:
            return self.values[self.texts.index(given)]
        number = _number(given)
        for value, text in zip(self.values, self.texts, strict=True):
            is_same = number is not None and number == _number(value)
            if is_same or _normalize(given) in (_normalize(text), _normalize(value)):
                return value
        raise ValueError(f"{given} is not one of {self}")

    def plain(self) -> Any:
        """Returns the domain as JSON values."""
        return list(self.texts)

    def __str__(self) -> str:
        return listed(map(_shown, self.texts))


@dataclass(frozen=True, kw_only=True)
class Numeric:
    """A range of numbers, both bounds included.

    Args:
        low: lower bound.
        high: upper bound.
        step: distance between values; `None`: continuous, and 1 for integers.
        is_int: integers only.
        is_log: sampled on a log scale.
    """

    low: float
    high: float
    step: float | None = None
    is_int: bool = False
    is_log: bool = False

    @property
    def num_points(self) -> int | None:
        """The number of different values; `None` if infinite."""
        if self.step is None:
            return None
        return int((exact(self.high) - exact(self.low)) / exact(self.step)) + 1

    @property
    def points(self) -> list[float]:
        """All values in ascending order, if there is a step."""
        return [self._at(index) for index in range(self.num_points or 0)]

    @property
    def ends(self) -> list[float]:
        """The lower and the upper bound."""
        return [self.low, self.high]

    @property
    def middle(self) -> float:
        """The value in the middle, on a log scale if `is_log`."""
        if self.is_log:
            return self._nearest(math.sqrt(self.low * self.high))
        return self._nearest((self.low + self.high) / 2)

    def to_text(self, value: Any) -> str:
        """Returns a value as it is written on the command line, with full precision."""
        return str(int(value)) if self.is_int else repr(self._nearest(value))

    def short(self, value: Any) -> str:
        """Returns a value for display, with four digits."""
        return str(int(value)) if self.is_int else f"{value:.4g}"

    def read(self, given: Any) -> float:
        """Returns the value that a number or its text stands for.

        Raises:
            ValueError: it is not a number, or not in the range.
        """
        value = _number(given)
        if value is None or not self.low <= value <= self.high:
            raise ValueError(f"{given} is not in {self}")
        found = self._nearest(value)
        if not math.isclose(found, value, rel_tol=1e-9, abs_tol=1e-12):
            raise ValueError(f"{given} is not in {self}")
        return found

    def plain(self) -> Any:
        """Returns the domain as JSON values."""
        kind = {"int": self.is_int, "log": self.is_log}
        return {"low": self.low, "high": self.high, "step": self.step, **kind}

    def _at(self, index: int) -> float:
        """Returns `low + index * step` without accumulated rounding errors."""
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
    """One dimension of a search space.

    Args:
        key: as on the command line, without a prefix.
        space: its domain.
        is_group: whether it selects an option of a config group, or names a loss or its like whose
            options are searched.
        prefix: `+`, `++` or nothing, as given.
        when: options of groups, or losses, under which it is searched; empty: always.
    """

    key: str
    space: Categorical | Numeric
    is_group: bool = False
    prefix: str = ""
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def holds(self, chosen: Mapping[str, Any]) -> bool:
        """Whether it is searched under these options."""
        return all(chosen.get(group) in options for group, options in self.when.items())

    def __str__(self) -> str:
        conditions = [f"with {group}={','.join(names)}" for group, names in self.when.items()]
        return " ".join([str(self.space), *conditions])


def exact(value: float) -> Decimal:
    """Returns the decimal number as written: 0.1, not the nearest binary fraction."""
    return Decimal(repr(float(value)))


def _shown(text: str) -> str:
    """Returns a choice without the backslash that Hydra writes before a colon."""
    return text.replace("\\:", ":")


def _normalize(given: Any) -> str:
    return str(given).replace(" ", "").lower()


def _number(given: Any) -> float | None:
    if isinstance(given, bool):
        return None
    try:
        return float(given) if math.isfinite(float(given)) else None
    except (TypeError, ValueError, OverflowError):
        return None
