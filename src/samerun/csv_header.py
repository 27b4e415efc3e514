"""The first line of a CSV file, of training data and of new data: separators and column names."""

from collections import Counter
from pathlib import Path

from samerun.config.datasets.base import Separator
from samerun.errors import UserError

MOST_COLUMNS = 20_000
"""Maximum number of columns of a CSV file."""
SEPARATORS = [one for one in Separator if one is not Separator.auto]
"""What may separate the cells, the comma first."""


def check_columns(path: Path | str, columns: list[str]) -> None:
    """Checks the names in the first line of a CSV file.

    Args:
        path: of the file, for the message.
        columns: the names.

    Raises:
        UserError: there are too many, or two are equal.
    """
    if len(columns) > MOST_COLUMNS:
        raise UserError(
            f"{path}: has {len(columns)} columns, expected at most {MOST_COLUMNS}: remove some, "
            "or save the numbers with numpy.savez and use dataset=npz."
        )
    doubled = sorted(name for name, number in Counter(columns).items() if number > 1)
    if doubled:
        raise UserError(f"{path}: two columns are named '{doubled[0]}', expected unique names.")
