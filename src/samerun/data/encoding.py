"""Encodes rows of numbers and categories for a model."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from samerun.config.datasets.base import Normalization
from samerun.config.spec import Layout
from samerun.data.preprocessing import Preprocessing, Scaling, fit
from samerun.data.splits import Array
from samerun.errors import UserError, listed

_MOST_SHOWN = 12


@dataclass(frozen=True)
class Columns:
    """The columns of a table.

    A raw row is `(numbers + categories,)` of float64: numbers unchanged, then for each
    categorical column the index of its value in `categories`; NaN for missing values.

    Args:
        numeric: names of the numeric columns.
        categorical: names of the categorical columns.
        categories: for each categorical column all values in the table, in order.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]

    @property
    def width(self) -> int:
        """Length of an encoded row: 1 per number, 1 per category, 1 per column for unknown."""
        return len(self.numeric) + sum(len(values) + 1 for values in self.categories)

    @property
    def input_names(self) -> tuple[str, ...]:
        """The name of each number of an encoded row, such as `size` or `town=Bonn`."""
        names = [*self.numeric]
        for column, values in zip(self.categorical, self.categories, strict=True):
            names += [*(f"{column}={value}" for value in values), f"{column}=unknown"]
        return tuple(names)


@final
@dataclass(frozen=True)
class TableEncoding(Preprocessing):
    """Scales numbers, one-hot encodes categories and imputes missing values.

    The encoding has an input for every category of the table, so its shape does not depend on how
    the rows are split. A category that no training row has is encoded as unknown: its own input
    is 0 in all rows.

    Args:
        columns: of the table.
        is_known: for each categorical column and category, whether a training row has it.
        fills: values for missing cells, as in a raw row: `(columns,)` of float64.
        scaling: of the numbers.
    """

    columns: Columns
    is_known: tuple[tuple[bool, ...], ...]
    fills: Array
    scaling: Scaling

    def __call__(self, x: Any) -> Array:
        """Encodes raw rows.

        Args:
            x: `(n, columns)` of raw rows.

        Returns:
            float32 `(n, columns.width)`.
        """
        x = np.asarray(x, np.float64)
        x = np.where(np.isnan(x), self.fills, x)
        num_numeric = len(self.columns.numeric)
        parts = [self.scaling(x[:, :num_numeric])]
        for codes, is_known in zip(x[:, num_numeric:].T, self.is_known, strict=True):
            place = np.where(is_known, np.arange(len(is_known)), len(is_known))
            parts.append(np.eye(len(is_known) + 1, dtype=np.float32)[place[codes.astype(np.int64)]])
        return np.concatenate(parts, axis=1).astype(np.float32, copy=False)

    def once(self, x: Array) -> Array:
        """Encodes all rows of a split."""
        return self(x)

    def each_batch(self, x: Any) -> Any:
        """Returns encoded rows unchanged."""
        return x

    def as_dict(self) -> dict[str, Any]:
        """Returns the encoding as plain values."""
        return {
            "kind": "table",
            "numeric": list(self.columns.numeric),
            "categorical": list(self.columns.categorical),
            "categories": [list(values) for values in self.columns.categories],
            "is_known": [list(flags) for flags in self.is_known],
            "fills": self.fills.tolist(),
            "scaling": self.scaling.as_dict(),
        }


def column_rows(preprocessing: Preprocessing) -> list[tuple[str, str]]:
    """Returns which columns of a table are used as numbers and which as categories, to be shown."""
    if not isinstance(preprocessing, TableEncoding):
        return []
    columns = preprocessing.columns
    categorical = [
        f"{name} ({len(values)})"
        for name, values in zip(columns.categorical, columns.categories, strict=True)
    ]
    rows = {"numeric": list(columns.numeric), "categorical": categorical}
    return [(label, _few(names)) for label, names in rows.items() if names]


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return f"{listed(names[:_MOST_SHOWN])}{more}"


def table_encoding(values: dict[str, Any], scaling: Scaling) -> TableEncoding:
    """Returns the encoding whose `as_dict` returned these values, with its scaling."""
    columns = Columns(
        tuple(values["numeric"]),
        tuple(values["categorical"]),
        tuple(map(tuple, values["categories"])),
    )
    is_known = tuple(map(tuple, values["is_known"]))
    return TableEncoding(columns, is_known, np.asarray(values["fills"], np.float64), scaling)


def measure(kind: Normalization, columns: Columns, x: Array) -> TableEncoding:
    """Fits the encoding to training rows: medians, most frequent values, known categories, scaling.

    Args:
        kind: how to scale numbers.
        columns: of the table.
        x: raw training rows, `(n, columns)`.

    Raises:
        UserError: a column has no value in any training row.
    """
    names = np.array([*columns.numeric, *columns.categorical])
    if (is_empty := np.isnan(x).all(axis=0)).any():
        raise UserError(
            f"dataset: no training row has a value in {listed(names[is_empty])}: exclude the "
            "column by listing the others in dataset.numeric and dataset.categorical."
        )
    num_numeric = len(columns.numeric)
    fills, is_known = np.nanmedian(x, axis=0), []
    for place, values in enumerate(columns.categories, start=num_numeric):
        codes = x[~np.isnan(x[:, place]), place].astype(np.int64)
        counts = np.bincount(codes, minlength=len(values))
        fills[place] = counts.argmax()
        is_known.append(tuple((counts > 0).tolist()))
    numbers = np.where(np.isnan(x), fills, x)[:, :num_numeric]
    empty = Scaling(np.zeros((), np.float32), np.ones((), np.float32))
    scaling = fit(kind, numbers, Layout.table) if num_numeric else empty
    return TableEncoding(columns, tuple(is_known), fills, scaling)
