"""The search space grammar: from an override with several values to the domain of a key.

`range(a,b,step)` excludes its end, as in Hydra; `interval(a,b)` includes both ends.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    QuotedString,
    RangeSweep,
    Sweep,
)

from samerun.config.overrides import Override
from samerun.errors import UserError, listed, nearest
from samerun.search.domains import Categorical, Numeric, Value, exact

if TYPE_CHECKING:
    from decimal import Decimal

_TAGS = {"log", "int", "float"}


@dataclass(frozen=True, kw_only=True)
class FieldType:
    """The type of a config field, as far as a search space depends on it.

    Args:
        kind: `int`, `float`, `text` (and everything else that is not a number) or `any`.
        allowed: range of the field; `None`: all numbers.
    """

    kind: str
    allowed: Any = None


def parse_domain(
    override: Override, where: str, field_type: FieldType, options: Callable[[str], Sequence[str]]
) -> Categorical | Numeric:
    """Returns the domain of a key.

    Args:
        override: an override with several values.
        where: where it comes from, for messages.
        field_type: type of the key.
        options: returns the options of a group.

    Raises:
        UserError: it has no value, or none that the key accepts.
    """
    value = override.value
    tags = value.tags if isinstance(value, Sweep) else set()
    if tags - _TAGS:
        unknown = listed(sorted(map(str, tags - _TAGS)))
        raise UserError(f"{where}: received tag {unknown}, expected log, int or float.")
    if isinstance(value, ChoiceSweep | Glob):
        if tags:
            raise UserError(
                f"{where}: {listed(sorted(tags))} applies to numeric ranges, not to choices."
            )
        return _choices(override, where, field_type, options)
    if field_type.kind == "text":
        raise UserError(f"{where}: expected a list of choices such as a,b,c, not a numeric range.")
    assert isinstance(value, RangeSweep | IntervalSweep)
    if isinstance(value, RangeSweep):
        return _typed(_range(value, where), tags, where, field_type)
    if isinstance(value.start, int):  # int(interval(1,5)): Hydra's own are float
        tags = tags | {"int"}
    return _typed(_interval(value, where), tags, where, field_type)


def _choices(
    override: Override, where: str, field_type: FieldType, options: Callable[[str], Sequence[str]]
) -> Categorical:
    value = override.value
    if isinstance(value, Glob):
        values: list[Value] = [*value.filter(list(options(override.key)))]
        texts = [str(name) for name in values]
        if not texts:
            raise UserError(f"{where}: no option of {override.key} matches the pattern.")
    else:
        assert isinstance(value, ChoiceSweep)
        found = override.parsed.sweep_string_iterator()
        texts = [{"True": "true", "False": "false"}.get(text, text) for text in found]
        values = [_value(item, text) for item, text in zip(value.list, texts, strict=True)]
        texts = [
            w.lower() if isinstance(v, bool) else w for v, w in zip(values, texts, strict=True)
        ]
    if field_type.kind == "float":
        values = [float(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in values]
    repeated = [text for text, item in zip(texts, values, strict=True) if values.count(item) > 1]
    if repeated:
        raise UserError(f"{where}: received {repeated[0]} twice.")
    for item in values:
        _check_allowed(item, where, field_type)
    return Categorical(tuple(values), tuple(texts))


def _value(item: Any, text: str) -> Value:
    if isinstance(item, QuotedString):
        return str(item.text)
    return item if item is None or isinstance(item, bool | int | float | str) else text


def _check_allowed(value: Value, where: str, field_type: FieldType) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and field_type.allowed is not None and value not in field_type.allowed:
        raise UserError(
            f"{where}: the search space contains {value:g}, expected {field_type.allowed}."
        )


def _interval(value: IntervalSweep, where: str) -> Numeric:
    low, high = value.start, value.end
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        raise UserError(f"{where}: received interval({low},{high}), expected two finite bounds.")
    if low > high:
        raise UserError(
            f"{where}: received interval({low:g},{high:g}), expected the lower bound first: "
            f"interval({high:g},{low:g})."
        )
    return Numeric(low=low, high=high)


def _range(value: RangeSweep, where: str) -> Numeric:
    assert value.start is not None
    assert value.stop is not None
    given = (value.start, value.stop, value.step)
    shown = ",".join(f"{number:g}" for number in given)
    if not all(math.isfinite(number) for number in given) or not value.step:
        raise UserError(f"{where}: received range({shown}), expected a step other than 0.")
    start, stop, step = map(exact, given)
    count = math.ceil((stop - start) / step)
    if count < 1:
        raise UserError(f"{where}: received range({shown}), which is empty.")
    ends = sorted([start, start + (count - 1) * step])
    is_int = all(isinstance(number, int) for number in given)
    kind: Callable[[Decimal], float] = int if is_int else float
    return Numeric(low=kind(ends[0]), high=kind(ends[1]), step=kind(abs(step)), is_int=is_int)


def _typed(space: Numeric, tags: set[str], where: str, field_type: FieldType) -> Numeric:
    """Returns a range of integers for a key that takes only these, else of floats."""
    is_int = (
        "int" in tags or field_type.kind == "int" or (space.is_int and field_type.kind == "any")
    )
    low, high, step = space.low, space.high, space.step
    if is_int:
        if "float" in tags or any(end != int(end) for end in (low, high, step or 1)):
            raise UserError(f"{where}: received {space}, expected integers.")
        low, high, step = int(low), int(high), int(step or 1)
    else:
        low, high = float(low), float(high)
        step = None if step is None else float(step)
    is_log = "log" in tags
    if is_log and low <= 0:
        raise UserError(
            f"{where}: received a log scale from {low:g}, expected a lower bound above 0."
        )
    if is_log and step is not None and not (is_int and step == 1):
        raise UserError(f"{where}: received log and a step, expected only one of them.")
    for end in (low, high):
        _check_allowed(end, where, field_type)
    return Numeric(low=low, high=high, step=step, is_int=is_int, is_log=is_log)


def check_option(name: str, group: str, where: str, options: Callable[[str], Sequence[str]]) -> str:
    """Returns the name of an option.

    Raises:
        UserError: the group has no such option.
    """
    known = options(group)
    if name not in known:
        raise UserError(
            f"{where}: received '{name}', expected one of {listed(known)}.{nearest(name, known)}"
        )
    return name
