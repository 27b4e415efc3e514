"""Reads a user's own text and CSV files; errors name the file and the line or byte."""

import csv
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from samerun.config.datasets.base import Separator
from samerun.config.suggestions import as_hint
from samerun.csv_header import SEPARATORS, check_columns
from samerun.data import passed
from samerun.errors import UserError, listed, nearest

MOST_BYTES = 2_000_000_000
"""Maximum size of a text file; its cells take many times as much memory."""
_NAMED_COLUMNS = 30  # in an error message


def read_text(path: Path) -> str:
    """Returns the text of a UTF-8 file, without a byte order mark.

    Raises:
        UserError: it is missing, not a regular file, too large, or not UTF-8 (names the byte).
    """
    try:
        return _content(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: byte {error.start} (0x{error.object[error.start]:02x}) is not UTF-8: save "
            "the file as UTF-8."
        ) from error
    except OSError as error:
        raise UserError(
            f"dataset.path: received '{path}', which cannot be read ({error.strerror}): expected "
            f"a file.{passed.hint(path)}"
        ) from error


def _content(path: Path) -> bytes:
    """Reads a regular file; a device or a pipe may never end."""
    if path.exists() and not path.is_file():
        raise UserError(f"dataset.path: received '{path}', expected a regular file.")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1) if path.stat().st_size <= MOST_BYTES else None
    if content is None or len(content) > MOST_BYTES:
        raise UserError(
            f"{path}: has {path.stat().st_size} bytes, expected at most {MOST_BYTES}: split it, "
            "or save its numbers with numpy.savez and use dataset=npz."
        )
    return content


@dataclass(frozen=True)
class Table:
    """The cells of a CSV file.

    Args:
        path: of the file.
        columns: names from the first line.
        rows: cells of the other non-empty lines.
        lines: number (from 1) of the line in which each row ends.
    """

    path: Path
    columns: list[str]
    rows: list[list[str]]
    lines: list[int]

    def column(self, name: str, key: str) -> list[str]:
        """Returns the cells of a column.

        Args:
            name: of the column.
            key: config key that named it.

        Raises:
            UserError: there is no such column.
        """
        place = self._places.get(name)
        if place is None:
            known = self.columns[:_NAMED_COLUMNS]
            num_more = len(self.columns) - len(known)
            raise UserError(
                f"{key}: received '{name}', expected a column of {self.path}: {listed(known)}"
                f"{f' and {num_more} more' if num_more else ''}."
                f"{_hint(self.columns) or nearest(name, self.columns)}"
            )
        return [row[place] for row in self.rows]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.columns)}


def read_csv(name: str, separator: Separator = Separator.comma) -> Table:
    """Reads a CSV file whose first line names the columns.

    Args:
        name: path of the file.
        separator: what separates the cells.

    Raises:
        UserError: it is missing, not UTF-8, has no data, or a line of another length.
    """
    path = Path(name).expanduser()
    text = read_text(path)
    cut = _separator(text) if separator is Separator.auto else separator
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=str(cut), strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        columns = [cell.strip() for cell in next(reader, [])]
        check_columns(path, columns)
        for row in reader:
            if not row:
                continue
            if len(row) != len(columns):
                raise UserError(
                    f"{path}: line {reader.line_num} has {len(row)} cells, expected "
                    f"{len(columns)} as in the first line.{_hint(columns)}"
                )
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.line_num} is not valid CSV: {error}.") from error
    if not rows:
        raise UserError(f"{path}: has no data, expected column names and data below them.")
    return Table(path, columns, rows, lines)


def _separator(text: str) -> Separator:
    """Returns the separator with which the first line has the most cells; the comma by default."""
    first = text.partition("\n")[0]
    return max(SEPARATORS, key=lambda one: len(next(csv.reader([first], delimiter=str(one)), [])))


def _hint(columns: list[str]) -> str:
    """Returns a suggestion where the only column name holds another separator."""
    others = [one for one in SEPARATORS if len(columns) == 1 and one in columns[0]]
    if not others:
        return ""
    return f" Its cells look separated by a {others[0].name}.{as_hint('dataset.separator=auto')}"
