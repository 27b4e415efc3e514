"""Tables: scikit-learn's diabetes, and a user's own CSV file.

The file is read with Python's csv module: importing pandas takes 0.4 s, most of the time in which
a table of some thousand rows is described, and pandas does not report the line of a cell.
"""

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from samerun.config import Layout, Task
from samerun.config.datasets import Dataset
from samerun.config.datasets.tables import Diabetes, Missing, TableCsv, TargetType
from samerun.data.cells import is_missing, number
from samerun.data.csv_file import Table, read_csv
from samerun.data.encoding import Columns, measure
from samerun.data.groups import check_classes_of_groups, sizes_of, split_groups
from samerun.data.source import Array, Outline, Source, SourceKind, Split
from samerun.data.splits import Sizes, check_classes, split_sizes
from samerun.errors import UserError, listed, nearest

_log = logging.getLogger(__name__)

DIABETES = ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6")


_FORMATTED = re.compile(r"[^\w\s]?\s?[-+]?\d[\d.,' \u00a0]*(?:[^\W\d]{1,3}|[^\w\s])?")
"""A number with a currency, a unit or separators, such as `1,234 €`."""
_IDENTIFIER = re.compile(r"^$|^unnamed: 0$|(?:^|[_\s-])(?:id|uuid|index|nr|no)$", re.IGNORECASE)
"""Names of columns that number the rows; pandas writes an index without one."""


def _check_names(key: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise UserError(
                f"{key}: received '{name}', expected columns from {listed(known)}."
                f"{nearest(name, known)}"
            )
        if names.count(name) > 1:
            raise UserError(f"{key}: received '{name}' twice, expected it once.")


def outline_diabetes(cfg: Diabetes) -> Outline:
    """Returns the outline of scikit-learn's table.

    Raises:
        UserError: a feature does not exist.
    """
    _check_names("dataset.features", cfg.features, DIABETES)
    return Outline(
        task=Task.regression,
        layout=Layout.table,
        input_shape=(len(cfg.features or DIABETES),),
        num_outputs=1,
        num_examples=442,
        feature_names=tuple(cfg.features or DIABETES),
    )


def load_diabetes(cfg: Diabetes) -> Source:
    """Loads the table in its original units; scikit-learn's scaled one was scaled on all rows.

    Raises:
        UserError: see `outline_diabetes`.
    """
    from sklearn.datasets import load_diabetes as load

    outline = outline_diabetes(cfg)
    x, y = load(return_X_y=True, scaled=False)
    chosen = [DIABETES.index(name) for name in cfg.features or DIABETES]
    return Source(outline=outline, examples=Split(x[:, chosen], y.reshape(-1, 1)))


def _numbers(table: Table, name: str, key: str) -> Array:
    """The numbers of a column; NaN for missing values."""
    values = []
    for cell, line in zip(table.column(name, key), table.lines, strict=True):
        value = math.nan if is_missing(cell) else number(cell)
        if value is None:
            raise UserError(
                f"{key}: {table.path}: line {line}, column {name} holds '{cell}', expected a "
                "finite number."
            )
        values.append(value)
    return np.array(values)


def _are_numbers(table: Table, name: str) -> bool:
    """Whether a column that the config does not name is numeric; refuses ambiguous ones."""
    cells = [
        (cell, line)
        for cell, line in zip(table.column(name, "dataset.path"), table.lines, strict=True)
        if not is_missing(cell)
    ]
    others = [(cell, line) for cell, line in cells if number(cell) is None]
    if not others:
        return True
    cell, line = others[0]
    if len(others) < len(cells) / 2:
        raise UserError(
            f"{table.path}: column {name} holds {len(cells) - len(others)} numbers, but line "
            f"{line} holds '{cell}': correct it, or list the column in dataset.categorical."
        )
    num_different = len({text.strip() for text, _ in cells})
    if num_different > max(10, len(cells) / 2):
        looks = "an identifier" if num_different == len(cells) else "free text"
        looks = "numbers with units" if _FORMATTED.fullmatch(cell.strip()) else looks
        raise UserError(
            f"{table.path}: column {name} is text, such as '{cell}', with {num_different} "
            f"different values in {len(cells)} rows, which looks like {looks}, expected numbers or "
            "categories: correct it, or list the columns to use in dataset.numeric and "
            "dataset.categorical."
        )
    return False


def _suspicions(table: Table, columns: Columns) -> list[str]:
    """Returns what looks wrong about columns that the config does not name."""
    found = []
    cells = {name: table.column(name, "dataset.path") for name in columns.numeric}
    identifiers = [name for name in cells if _is_identifier(name, list(map(number, cells[name])))]
    if identifiers:
        numeric = ",".join(name for name in columns.numeric if name not in identifiers)
        line = f"dataset.numeric=[{numeric}] dataset.categorical=[{','.join(columns.categorical)}]"
        found.append(
            f"{listed(identifiers)}: looks like an identifier, with another integer in each row: "
            f"if so, leave it out: `{line}`."
        )
    for name in columns.categorical:
        texts = [cell.strip() for cell in table.column(name, "dataset.path")]
        formatted = [text for text in texts if _FORMATTED.fullmatch(text)]
        if len(formatted) > len(texts) / 2:
            found.append(
                f"column {name} is text, such as '{formatted[0]}', and is used as categories: "
                "write plain numbers, such as 1234.5, to use it as numbers."
            )
    return found


def _is_identifier(name: str, values: Sequence[float | None]) -> bool:
    """Whether a column numbers the rows, or is named so and has another integer in each."""
    if len(values) < 10 or not all(value is not None and value.is_integer() for value in values):
        return False
    steps = set(np.diff(np.array(values, np.float64)).tolist())
    is_named = _IDENTIFIER.search(name.strip()) is not None
    return steps == {1.0} or (is_named and len(set(values)) == len(values))


def _names(cfg: TableCsv, table: Table) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the numeric and of the categorical columns."""
    others = [name for name in table.columns if name not in (cfg.target, cfg.group)]
    table.column(cfg.target, "dataset.target")
    _check_names("dataset.numeric", cfg.numeric, others)
    _check_names("dataset.categorical", cfg.categorical, others)
    if doubled := sorted(set(cfg.numeric) & set(cfg.categorical)):
        raise UserError(
            f"dataset.numeric and dataset.categorical both name '{doubled[0]}', expected one."
        )
    if cfg.numeric or cfg.categorical:
        return tuple(cfg.numeric), tuple(cfg.categorical)
    are_numbers = {name: _are_numbers(table, name) for name in others}
    numeric = tuple(name for name in others if are_numbers[name])
    return numeric, tuple(name for name in others if not are_numbers[name])


def _categories(table: Table, name: str) -> tuple[str, ...]:
    cells = {cell.strip() for cell in table.column(name, "dataset.categorical")}
    return tuple(sorted(cell for cell in cells if not is_missing(cell)))


def _rows(table: Table, columns: Columns) -> Array:
    """Returns raw rows, `(n, columns)`."""
    made = [_numbers(table, name, "dataset.numeric") for name in columns.numeric]
    for name, values in zip(columns.categorical, columns.categories, strict=True):
        codes: dict[str, float] = {value: code for code, value in enumerate(values)}
        cells = table.column(name, "dataset.categorical")
        made.append(np.array([codes.get(cell.strip(), math.nan) for cell in cells]))
    return np.stack(made, axis=1)


def _check_values(cfg: TableCsv, table: Table, columns: Columns, rows: Array) -> None:
    names = [*columns.numeric, *columns.categorical]
    for name, values in zip(names, np.isnan(rows).T, strict=True):
        if values.all():
            raise UserError(f"{table.path}: column {name} holds no value: remove it.")
        if values.any() and cfg.missing is Missing.refuse:
            raise UserError(
                f"{table.path}: column {name} has no value in {values.sum()} of {len(rows)} rows, "
                f"the first in line {table.lines[values.argmax()]}: fill them in, exclude the "
                "column, or set dataset.missing=impute."
            )


def _target(cfg: TableCsv, table: Table) -> tuple[Array, tuple[str, ...]]:
    """Returns targets, `(n,)` of classes or `(n, 1)` of numbers, and the class names."""
    cells = [cell.strip() for cell in table.column(cfg.target, "dataset.target")]
    for cell, line in zip(cells, table.lines, strict=True):
        if is_missing(cell):
            raise UserError(
                f"{table.path}: line {line} has no value in the target column {cfg.target}: fill "
                "it in or remove the line."
            )
    different = set(cells)
    numbers = {cell: number(cell) for cell in different}
    are_numbers = None not in numbers.values()
    are_two = len(different) == 2 and all(cell.lstrip("+-").isdecimal() for cell in different)
    is_auto = cfg.target_type is TargetType.auto
    if cfg.target_type is TargetType.numbers or (is_auto and are_numbers and not are_two):
        return _numbers(table, cfg.target, "dataset.target").reshape(-1, 1), ()
    names = tuple(
        sorted(different, key=(lambda cell: (numbers[cell], cell)) if are_numbers else None)
    )
    if len(names) < 2:
        raise UserError(
            f"{table.path}: the target column {cfg.target} holds only '{names[0]}', "
            "expected two or more classes."
        )
    codes = {name: code for code, name in enumerate(names)}
    return np.array([codes[cell] for cell in cells]), names


def _groups(cfg: TableCsv, table: Table) -> Array | None:
    """Returns the group of each row, `(n,)`; `None` without a group column."""
    if cfg.group is None:
        return None
    if cfg.group == cfg.target:
        raise UserError(
            f"dataset.group: received '{cfg.group}', which is the target, expected another column, "
            "such as the patient that a row is about."
        )
    cells = [cell.strip() for cell in table.column(cfg.group, "dataset.group")]
    for cell, line in zip(cells, table.lines, strict=True):
        if is_missing(cell):
            raise UserError(
                f"{table.path}: line {line} has no value in the group column {cfg.group}: fill it "
                "in or remove the line."
            )
    return np.unique(cells, return_inverse=True)[1]


def _sizes(cfg: TableCsv, labels: Array | None, groups: Array | None, num_rows: int) -> Sizes:
    """Returns the sizes of the splits.

    Args:
        cfg: has the fractions or the fold.
        labels: `(n,)` class of each row; `None` for numbers.
        groups: `(n,)` group of each row; `None` without groups.
        num_rows: number of rows.

    Raises:
        UserError: the rows cannot be divided like this.
    """
    if groups is None:
        sizes = split_sizes(cfg, num_rows)
        if labels is not None:
            check_classes(cfg, labels, sizes, has_official_test=False)
        return sizes
    splits = split_groups(cfg, groups)
    if labels is not None:
        check_classes_of_groups(cfg, labels, splits["train"])
    return sizes_of(splits)


@dataclass(frozen=True, kw_only=True)
class _Read:
    """What a file holds; `suspicions` is what looks wrong about columns that are not named."""

    outline: Outline
    columns: Columns
    examples: Split
    groups: Array | None
    suspicions: Sequence[str]


def _read(cfg: TableCsv) -> _Read:
    table = read_csv(cfg.path, cfg.separator)
    numeric, categorical = _names(cfg, table)
    if not numeric and not categorical:
        raise UserError(f"{table.path}: holds no column besides the target {cfg.target}.")
    columns = Columns(numeric, categorical, tuple(_categories(table, name) for name in categorical))
    rows = _rows(table, columns)
    _check_values(cfg, table, columns, rows)
    y, names = _target(cfg, table)
    groups = _groups(cfg, table)
    sizes = _sizes(cfg, np.array(names)[y] if names else None, groups, len(rows))
    task = Task.binary if len(names) == 2 else Task.multiclass if names else Task.regression
    outline = Outline(
        task=task,
        layout=Layout.table,
        input_shape=(columns.width,),
        num_outputs=len(names) if len(names) > 2 else 1,
        class_names=names,
        num_examples=len(rows),
        sizes=sizes,
        feature_names=columns.input_names,
    )
    is_chosen = cfg.numeric or cfg.categorical
    return _Read(
        outline=outline,
        columns=columns,
        examples=Split(rows, y),
        groups=groups,
        suspicions=[] if is_chosen else _suspicions(table, columns),
    )


def outline_table_csv(cfg: TableCsv) -> Outline:
    """Returns the outline of the file, by reading all of it.

    Raises:
        UserError: the file or a column is missing, or a cell is not as expected.
    """
    return _read(cfg).outline


def load_table_csv(cfg: TableCsv) -> Source:
    """Loads the table.

    Raises:
        UserError: see `outline_table_csv`.
    """
    read = _read(cfg)
    for text in read.suspicions:
        _log.warning("%s: %s", cfg.path, text)
    return Source(
        outline=read.outline,
        examples=read.examples,
        groups=read.groups,
        measure=partial(measure, cfg.normalization, read.columns),
    )


SOURCES: dict[type[Dataset], SourceKind] = {
    Diabetes: SourceKind(outline=outline_diabetes, load=load_diabetes),
    TableCsv: SourceKind(outline=outline_table_csv, load=load_table_csv),
}
