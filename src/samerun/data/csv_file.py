"""A user's own text and CSV files: read whole, and refused with file, line or byte."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from samerun.config import UserError, listed, nearest


def read_text(path: Path) -> str:
    """Returns the text of a UTF-8 file, without a byte order mark.

    Raises:
        UserError: it is not there, or not UTF-8; names the byte.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: byte {error.start} (0x{error.object[error.start]:02x}) is not UTF-8: save "
            "the file as UTF-8."
        ) from error
    except OSError as error:
        raise UserError(
            f"dataset.path: received '{path}', which cannot be read ({error.strerror}): expected "
            "a file."
        ) from error


@dataclass(frozen=True)
class Table:
    """The cells of a CSV file.

    Args:
        path: where it was read.
        columns: names in the first line.
        rows: cells of the other lines that are not empty.
        lines: number, from 1, of the line each row ends in.
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
        if name not in self.columns:
            raise UserError(
                f"{key}: received '{name}', expected a column of {self.path}: "
                f"{listed(self.columns)}.{nearest(name, self.columns)}"
            )
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


def read_csv(name: str) -> Table:
    """Reads a CSV file whose first line names the columns.

    Args:
        name: its path.

    Raises:
        UserError: it is not there, not UTF-8, has no lines, or a line of another length.
    """
    path = Path(name).expanduser()
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        columns = [cell.strip() for cell in next(reader, [])]
        for row in reader:
            if not row:
                continue
            if len(row) != len(columns):
                raise UserError(
                    f"{path}: line {reader.line_num} has {len(row)} cells, expected "
                    f"{len(columns)} as in the first line."
                )
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.line_num} is no CSV: {error}.") from error
    if not rows:
        raise UserError(f"{path}: has no line of data, expected names in the first and data below.")
    doubled = sorted({column for column in columns if columns.count(column) > 1})
    if doubled:
        raise UserError(f"{path}: two columns are named '{doubled[0]}', expected different names.")
    return Table(path, columns, rows, lines)
