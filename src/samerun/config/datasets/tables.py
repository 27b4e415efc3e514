"""Data sets of tables; the values live in `conf/dataset/`."""

from enum import StrEnum

from samerun.config.datasets.base import Dataset, HeldOut, RandomSplit, Scaled, ScaledTarget
from samerun.config.fields import a_path, config


class Missing(StrEnum):
    """What to do where a table has no value."""

    refuse = "refuse"
    """Say where, and stop."""
    impute = "impute"
    """Take the training rows' median of a number and most frequent value of a category."""


class TargetType(StrEnum):
    """What the target column of a table is."""

    auto = "auto"
    """Classes if it holds text or just two whole numbers, else numbers."""
    classes = "classes"
    """Every different value is a class."""
    numbers = "numbers"
    """A number to be predicted: a regression."""


@config
class Diabetes(Dataset, RandomSplit, HeldOut, Scaled, ScaledTarget):
    """The 442 patients of scikit-learn's diabetes table; the target is progression in a year.

    Args:
        features: columns to be used, in this order; empty for all ten.
    """

    kind: str = "diabetes"
    features: list[str]


@config
class TableCsv(Dataset, RandomSplit, HeldOut, Scaled, ScaledTarget):
    """A user's own table in one CSV file with a header line.

    Args:
        path: the file.
        target: the column to be predicted.
        target_type: what that column is.
        numeric: columns of numbers to be used; empty for every column that holds only numbers.
        categorical: columns of categories to be used; empty for every other column. Where one of
            the two lists is given, only what is listed is used.
        missing: what to do where there is no value.
    """

    kind: str = "table_csv"
    path: str = a_path()
    target: str
    target_type: TargetType
    numeric: list[str]
    categorical: list[str]
    missing: Missing


KINDS: tuple[type[Dataset], ...] = (Diabetes, TableCsv)
