"""Building blocks of config classes: set-once dataclasses, and fields with ranges."""

import dataclasses
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any, TypeVar, dataclass_transform

from samerun.errors import UserError

T = TypeVar("T")


def _set_once(self: object, name: str, value: object) -> None:
    if name in self.__dict__:
        raise FrozenInstanceError(f"cannot assign to field '{name}'")
    object.__setattr__(self, name, value)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def config(cls: type[T]) -> type[T]:
    """Makes a keyword-only dataclass whose fields can be set once.

    `dataclass(frozen=True)` would say the same, but OmegaConf 2.3 turns a frozen dataclass into a
    read-only node, and Hydra then cannot merge a group's YAML or a command-line override into it
    ("Cannot set value of read-only config node"). Type checkers still see a frozen class.
    """
    made: type[T] = dataclass(kw_only=True)(cls)
    made.__setattr__ = _set_once  # type: ignore[method-assign]
    return made


@dataclass(frozen=True)
class Range:
    """The range of a numeric field.

    Args:
        low: the smallest value, or `None` for no lower bound.
        high: the largest value, or `None` for no upper bound.
        open_low: whether `low` is excluded.
        open_high: whether `high` is excluded.
    """

    low: float | None = None
    high: float | None = None
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        if value != value:  # NaN is in no range
            return False
        if self.low is not None and (value < self.low or (self.open_low and value == self.low)):
            return False
        return self.high is None or not (
            value > self.high or (self.open_high and value == self.high)
        )

    def __str__(self) -> str:
        ends = []
        if self.low is not None:
            ends.append(f"{'above' if self.open_low else 'at least'} {self.low:g}")
        if self.high is not None:
            ends.append(f"{'below' if self.open_high else 'at most'} {self.high:g}")
        return "a number " + " and ".join(ends)


def at_least(low: float) -> Any:
    """A field for a number, or a list or dict of numbers, greater than or equal to `low`."""
    return field(metadata={"range": Range(low=low)})


def above(low: float) -> Any:
    """A field for a number, or a list or dict of numbers, greater than `low`."""
    return field(metadata={"range": Range(low=low, open_low=True)})


def between(low: float, high: float) -> Any:
    """A field for numbers from `low` to `high`, both included."""
    return field(metadata={"range": Range(low=low, high=high)})


def fraction() -> Any:
    """A field for a fraction: at least 0 and below 1."""
    return field(metadata={"range": Range(low=0.0, high=1.0, open_high=True)})


def a_path() -> Any:
    """A field for the path of a file or folder, or a dict that may contain paths; see `paths`."""
    return field(metadata={"path": True})


def added(before: object, allowed: Range | None = None) -> Any:
    """A field that earlier versions did not have.

    Stored configs without it are read with `before`, and with this value it is not part of the
    fingerprint: runs that were recorded without the field stay what they were.

    Args:
        before: the value that means what those versions did, as a stored config writes it.
        allowed: range of a number; `None`: any.
    """
    return field(metadata={"before": before, **({"range": allowed} if allowed else {})})


def added_fields(kind: Any) -> dict[str, Any]:
    """Returns the fields that earlier versions of a config class did not have, with their values.

    Args:
        kind: the class or an object of it.
    """
    fields = dataclasses.fields(kind)
    return {one.name: one.metadata["before"] for one in fields if "before" in one.metadata}


def proper_fraction() -> Any:
    """A field for a fraction between 0 and 1, both excluded."""
    return field(metadata={"range": Range(low=0.0, high=1.0, open_low=True, open_high=True)})


def _numbers(key: str, value: object) -> Iterator[tuple[str, float]]:
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield key, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _numbers(f"{key}.{name}", item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _numbers(f"{key}[{index}]", item)


def check_ranges(node: object, prefix: str = "") -> None:
    """Checks every number in a config object, and in those it holds, against its field's range.

    Raises:
        UserError: a number is out of range.
    """
    assert dataclasses.is_dataclass(node)
    for entry in dataclasses.fields(node):
        value = getattr(node, entry.name)
        key = f"{prefix}{entry.name}"
        if dataclasses.is_dataclass(value):
            check_ranges(value, f"{key}.")
            continue
        allowed = entry.metadata.get("range")
        for name, number in _numbers(key, value):
            if allowed is not None and number not in allowed:
                raise UserError(f"{name}: received {number:g}, expected {allowed}.")
            if allowed is None and number != number:
                raise UserError(f"{name}: received nan, expected a number.")
