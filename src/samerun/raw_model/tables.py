"""Rows of a table: numbers and categories under the names of the training file's columns."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .encoded import Array, Encoded, accepted, check_columns, scaled, shown

MISSING = {"", "na", "n/a", "nan", "null"}
"""Cells, lowercase and stripped, that stand for a missing value."""


def encode(form: Mapping[str, Any], frame: Any) -> Encoded:
    """Scales numbers, one-hot encodes categories and imputes missing values, as training does.

    Args:
        form: the input's description.
        frame: a data frame.
    """
    names = [*form["numeric"], *form["categorical"]]
    check_columns(frame.columns, names)
    refused: dict[int, str] = {}
    raw = np.empty((len(frame), len(names)))
    for place, name in enumerate(form["numeric"]):
        raw[:, place] = _numbers(frame[name], name, refused)
    for place, name in enumerate(form["categorical"], start=len(form["numeric"])):
        values = form["categories"][place - len(form["numeric"])]
        raw[:, place] = _codes(frame[name], name, values, refused)
    imputes = form.get("missing") == "impute"
    for place, name in enumerate(() if imputes else names):
        for row in np.flatnonzero(np.isnan(raw[:, place])).tolist():
            refused.setdefault(
                row, f"column {name} has no value, and the model was trained on complete rows"
            )
    rows = accepted(len(frame), refused)
    return Encoded(x=_inputs(form, raw[rows]), rows=rows, refused=refused)


def _numbers(column: Any, name: str, refused: dict[int, str]) -> Array:
    """The column as float64, with NaN where there is no value."""
    if column.dtype.kind in "iuf":
        values: Array = column.to_numpy(np.float64, na_value=np.nan)
        wrong = np.flatnonzero(np.isinf(values) | (np.abs(values) > np.finfo(np.float32).max))
    else:
        cells = [_number(cell) for cell in column]
        values = np.array([np.nan if cell is None else cell for cell in cells], np.float64)
        wrong = np.array([row for row, cell in enumerate(cells) if cell is None], np.int64)
    for row in wrong.tolist():
        found = shown(column.iloc[row])
        refused.setdefault(row, f"column {name} holds {found}, expected a finite number")
    return values


def _number(cell: Any) -> float | None:
    """Returns a number, NaN for no value, `None` for anything else: text is not guessed."""
    if cell is None or type(cell).__name__ == "NAType":
        return np.nan
    if isinstance(cell, bool | np.bool_) or not isinstance(cell, int | float | np.number):
        return None
    try:
        value = float(cell)
    except OverflowError:  # an integer of JSON has any length
        return None
    return None if np.isinf(value) else value


def _codes(column: Any, name: str, values: Any, refused: dict[int, str]) -> Array:
    """Place of each value; their number for one that the training file does not have; NaN."""
    places = {value: float(place) for place, value in enumerate(values)}
    known: dict[Any, float] = {}
    codes = np.empty(len(column))
    for row, cell in enumerate(column):
        code = known.get(cell) if isinstance(cell, str) else None
        if code is None:
            code = _code(cell, places)
            if code is None:
                refused.setdefault(row, f"column {name} holds {shown(cell)}, expected text")
                code = np.nan
            elif isinstance(cell, str):
                known[cell] = code
        codes[row] = code
    return codes


def _code(cell: Any, places: Mapping[str, float]) -> float | None:
    if cell is None or cell != cell or type(cell).__name__ == "NAType":
        return np.nan
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        cell = int(cell)  # pandas reads whole numbers so where one is missing
    if isinstance(cell, int | np.integer | np.bool_):
        cell = str(cell)  # a file's column of whole numbers or of True and False, read by pandas
    if not isinstance(cell, str):
        return None
    text = cell.strip()
    return np.nan if text.lower() in MISSING else places.get(text, float(len(places)))


def _inputs(form: Mapping[str, Any], raw: Array) -> Array:
    """Encodes raw rows, `(n, columns)`, to float32 `(n, width)`."""
    num_numeric = len(form["numeric"])
    if form.get("fills") is not None:
        raw = np.where(np.isnan(raw), np.asarray(form["fills"], np.float64), raw)
    parts = [scaled(raw[:, :num_numeric], form["scaling"])]
    for codes, is_known in zip(raw[:, num_numeric:].T, form["is_known"], strict=True):
        unknown = len(is_known)  # also for a value that the training file does not have
        place = np.append(np.where(is_known, np.arange(unknown), unknown), unknown)
        parts.append(np.eye(unknown + 1, dtype=np.float32)[place[codes.astype(np.int64)]])
    made: Array = np.concatenate(parts, axis=1).astype(np.float32, copy=False)
    return made
