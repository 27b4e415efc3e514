"""What a cell of a table is: a number, no value, or text."""

import math

from samerun.raw_model.tables import MISSING


def is_missing(cell: str) -> bool:
    """Whether a cell stands for a missing value."""
    return cell.strip().lower() in MISSING


def number(cell: str) -> float | None:
    """Returns the finite number in a cell, or `None`."""
    if "_" in cell:  # float() would accept 1_000
        return None
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
