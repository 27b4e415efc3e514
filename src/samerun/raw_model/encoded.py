"""What the parts of a model of raw input hand to each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class RefusedInput(ValueError):
    """Input that a model does not take; the message is one sentence."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Raw examples as the Keras model takes them.

    Args:
        x: accepted examples, `(n, *input_shape)`.
        rows: position of each in the input, `(n,)`, ascending.
        refused: why the other rows are refused, by position.
        columns: columns of the answer that come from the input, such as dates: `(n, ...)`.
    """

    x: Array
    rows: Array
    refused: Mapping[int, str]
    columns: Mapping[str, Array] = field(default_factory=dict)


def accepted(num_rows: int, refused: Mapping[int, str]) -> Array:
    """Returns the positions of the rows that are not refused, `(n,)`."""
    kept = np.ones(num_rows, bool)
    kept[list(refused)] = False
    return np.flatnonzero(kept)


def shown(value: Any, longest: int = 40) -> str:
    """Returns a value from outside as a short text on one line, in quotes."""
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in str(value))
    return f"'{text[:longest]}…'" if len(text) > longest else f"'{text}'"


def listed(names: Any) -> str:
    """Returns some names with `and`, at most eight of them."""
    some = [str(name) for name in names]
    if len(some) > 8:
        some = [*some[:8], f"{len(some) - 8} more"]
    return some[0] if len(some) == 1 else f"{', '.join(some[:-1])} and {some[-1]}" if some else ""


def check_columns(present: Any, needed: Any) -> None:
    """Checks that no column is missing; others are not used.

    Raises:
        RefusedInput: one is missing.
    """
    missing = [name for name in needed if name not in present]
    if missing:
        raise RefusedInput(
            f"The input has the columns {listed(present) or 'none'} and lacks {listed(missing)}; "
            f"expected {listed(needed)}."
        )


def scaled(x: Array, scaling: Mapping[str, Any]) -> Array:
    """Returns numbers as training scales them: `(x - offset) / scale` in float32."""
    offset = np.asarray(scaling["offset"], np.float32)
    made: Array = (x.astype(np.float32) - offset) / np.asarray(scaling["scale"], np.float32)
    return made
