"""A `pandas.DataFrame` as a CSV file that keeps what its columns are: numbers or text."""

import csv
import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from samerun.data.cells import is_missing, number
from samerun.errors import UserError, listed

KINDS = ("table_csv", "series_csv", "text_csv")
"""The datasets that can read the file, the usual one first."""
_KEPT = "biufOM"
"""Kinds of NumPy dtypes that a file can hold; text and categories are of the kind O."""


def csv_of(frame: Any) -> tuple[bytes, str]:
    """Returns a frame as CSV, text in quotes, and the digest of its content and types.

    Raises:
        UserError: a column has no name of its own, or a cell is neither a finite number nor text.
    """
    _check_names(frame)
    for name, dtype in zip(frame.columns, frame.dtypes, strict=True):
        _check_column(name, dtype, frame[name])
    text = frame.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    content: bytes = text.encode("utf-8")
    digest = hashlib.sha256(" ".join(map(_type_name, frame.dtypes)).encode())
    digest.update(content)
    return content, digest.hexdigest()


def _type_name(dtype: Any) -> str:
    """Returns a name of a type that is the same in every version of pandas."""
    if dtype.name == "category":
        return "category"
    return {"O": "text", "M": "date"}.get(dtype.kind, str(dtype.name).lower())


def _check_names(frame: Any) -> None:
    if not all(isinstance(name, str) for name in frame.columns):
        raise UserError("data: its columns are not all named by text, expected names.")
    names = [name.strip() for name in frame.columns]
    if len(set(names)) < len(names):
        raise UserError("data: two of its columns have the same name, expected unique names.")
    for name in names:
        if not _is_utf8(name):
            raise UserError(f"data: a column is named {name!a}, {_NO_CHARACTER}.")


_NO_CHARACTER = "which has half of a surrogate pair, expected text that UTF-8 can hold"


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _check_column(name: str, dtype: Any, column: Any) -> None:
    if dtype.kind not in _KEPT:
        raise UserError(f"data: column {name} is of type {dtype}, expected numbers or text.")
    if dtype.kind == "O":
        wrong = next(filter(None, map(_mistake, column.dropna())), "")
    else:
        is_infinite = dtype.kind == "f" and np.isinf(column.dropna().to_numpy(np.float64)).any()
        wrong = _INFINITE if is_infinite else ""
    if wrong:
        raise UserError(f"data: column {name} holds {wrong}.")


_INFINITE = "an infinite value, expected finite numbers, or NaN where there is no value"


def _mistake(cell: Any) -> str:
    """Returns what is wrong about a cell that is not missing, or nothing."""
    if isinstance(cell, str):
        return "" if _is_utf8(cell) else f"{cell[:40]!a}, {_NO_CHARACTER}"
    if isinstance(cell, complex | np.complexfloating) or not isinstance(
        cell, int | float | np.number | np.bool_
    ):
        return f"a {type(cell).__name__}, expected numbers or text"
    return _INFINITE if isinstance(cell, float | np.floating) and math.isinf(cell) else ""


# ---- as a table


def check_table(frame: Any, chosen: Mapping[str, Any]) -> None:
    """Checks that a table's cells will be read as what they are in the frame.

    Args:
        frame: one that `csv_of` accepts.
        chosen: the composed config of the dataset.

    Raises:
        UserError: text would be read as a number or as no value, with the line to type.
    """
    for name in frame.columns:
        _check_values(name, frame[name])
    kinds = {name: _kind(frame[name]) for name in frame.columns}
    target = chosen["target"]
    inputs = [name for name in kinds if name not in (target, chosen["group"])]
    unclear = [name for name in inputs if kinds[name] == "digits"]
    if unclear and not chosen["numeric"] and not chosen["categorical"]:
        numeric = ",".join(name for name in inputs if kinds[name] == "numbers")
        others = ",".join(name for name in inputs if kinds[name] != "numbers")
        raise UserError(
            f"data: {_are_digits(unclear)}: as categories add "
            f"`dataset.numeric=[{numeric}] dataset.categorical=[{others}]`, as numbers pass in "
            f"frame.astype({{{unclear[0]!r}: float}})."
        )
    if kinds.get(target) == "digits" and chosen["target_type"] == "auto":
        raise UserError(
            f"data: {_are_digits([target])}: add `dataset.target_type=classes` or "
            "`dataset.target_type=numbers`."
        )


def _are_digits(names: list[str]) -> str:
    return f"{listed(names)} of text or categories can be read as numbers, expected a choice"


def _check_values(name: str, column: Any) -> None:
    if column.dtype.kind != "O":
        return
    texts = (cell for cell in column.dropna() if isinstance(cell, str) and cell.strip())
    cell = next((cell for cell in texts if is_missing(cell)), None)
    if cell is not None:
        raise UserError(
            f"data: column {name} holds the text {cell!r}, which a table reads as no value: pass "
            f"in None if it is none, else another text: frame.replace({{{name!r}: "
            f"{{{cell!r}: {f'{cell.strip()}_'!r}}}}})."
        )


def _kind(column: Any) -> str:
    """Returns `numbers`, `text`, or `digits` for text and categories that read as numbers."""
    if column.dtype.kind in "iuf":
        return "numbers"
    cells = [str(cell) for cell in column.dropna()]
    if not cells or any(number(cell) is None for cell in cells if not is_missing(cell)):
        return "text"
    is_text = column.dtype.name == "category" or any(isinstance(c, str) for c in column.dropna())
    return "digits" if is_text else "numbers"
