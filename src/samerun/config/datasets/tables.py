"""Datasets of tables; the values are in `conf/dataset/`."""

from enum import StrEnum

from samerun.config.datasets.base import Cells, Dataset, HeldOut, RandomSplit, Scaled, ScaledTarget
from samerun.config.fields import a_path, added, config


class Missing(StrEnum):
    """What to do with missing values."""

    refuse = "refuse"
    """Report where, and stop."""
    impute = "impute"
    """Use the training median for numbers and the most frequent value for categories."""


class TargetType(StrEnum):
    """What the target column of a table is."""

    auto = "auto"
    """Classes if it holds text or two distinct integers, else numbers."""
    classes = "classes"
    """Every different value is a class."""
    numbers = "numbers"
    """A number to predict: regression."""


@config
class Diabetes(Dataset, RandomSplit, HeldOut, Scaled, ScaledTarget):
    """The 442 patients of scikit-learn's diabetes table; the target is progression in a year.

    Args:
        features: columns to use, in this order; empty: all ten.
    """

    kind: str = "diabetes"
    features: list[str]


@config
class TableCsv(Dataset, RandomSplit, HeldOut, Scaled, ScaledTarget, Cells):
    """A user's own table in one CSV file with a header line.

    Args:
        path: path of the file.
        target: column to predict.
        target_type: what that column is.
        numeric: numeric columns to use; empty: every column that holds only numbers.
        categorical: categorical columns to use; empty: every other column. If one of the two lists
            is given, only the listed columns are used.
        missing: what to do with missing values.
        group: column whose rows of one value stay in one split or fold, such as the patient; it is
            not an input. `null`: rows are independent.
    """

    kind: str = "table_csv"
    path: str = a_path()
    target: str
    target_type: TargetType
    numeric: list[str]
    categorical: list[str]
    missing: Missing
    group: str | None = added(None)


KINDS: tuple[type[Dataset], ...] = (Diabetes, TableCsv)
