"""Rows of a CSV file in blocks: read by Arrow where every cell is plain, else by Python's csv.

Arrow reads a cell in a tenth of the time. What it makes of a block counts only where Python's csv
and float() make the same of it, bit for bit; any other block is read again by these, so that what
is accepted, what is refused and the line that is named do not depend on the way.
"""

import csv
import itertools
import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from samerun.errors import UserError
from samerun.escaping import one_line
from samerun.raw_model.tables import MISSING

if TYPE_CHECKING:
    import pyarrow as pa

_CELLS = 65_536
"""Cells that are text at a time: about 7 MB in Python, until they are numbers of 8 bytes."""
_NOT_PLAIN = ('"', "\ufeff")
"""What Arrow reads in another way: a quotation mark, and U+FEFF at the beginning of a block."""
_MISSING = sorted({form for text in MISSING for form in (text, text.upper(), text.title())})


@dataclass(frozen=True)
class Block:
    """Some rows.

    Args:
        lines: number (from 1) of the line in which each row ends.
        columns: by name, each `(n,)`: float64; object if it holds text.
    """

    lines: Sequence[int]
    columns: Mapping[str, Any]


class Rows:
    """The rows of a CSV file.

    Args:
        lines: of the file, with their ends.
        separator: of the cells.
        source: name of the file, for messages.
    """

    def __init__(self, lines: Iterable[str], separator: str, source: str) -> None:
        self._file = iter(lines)
        self._again: deque[str] = deque()
        self._num_lines = 0
        self._separator = separator
        self._source = source
        self._reader = csv.reader(self._lines(), delimiter=separator, strict=True)
        self.header = [cell.strip() for cell in next(self._rows(), [])]

    def block(self, most: int, names: Sequence[str], numeric: Collection[str]) -> Block | None:
        """Returns the next rows, `None` at the end.

        Args:
            most: number of rows.
            names: columns of the header to return.
            numeric: those of them that are numbers.

        Raises:
            UserError: a line is not valid CSV, or has another number of cells.
        """
        most = min(most, max(1, _CELLS // len(self.header)))
        some = [*itertools.islice(self._again_or_file(), most)]
        columns = self._plain(some, names, numeric)
        if columns is not None:
            self._num_lines += len(some)
            return Block(range(self._num_lines - len(some) + 1, self._num_lines + 1), columns)
        self._again.extendleft(reversed(some))
        return self._block(most, names, numeric)

    def _again_or_file(self) -> Iterator[str]:
        # Not `yield from`, which would close the file with this generator.
        while (
            line := self._again.popleft() if self._again else next(self._file, None)
        ) is not None:
            yield line

    def _lines(self) -> Iterator[str]:
        """The lines for csv, which takes no line before it needs it."""
        while (line := next(self._again_or_file(), None)) is not None:
            self._num_lines += 1
            yield line

    def _rows(self) -> Iterator[list[str]]:
        try:
            yield from self._reader
        except csv.Error as error:
            raise UserError(
                f"{self._source}: line {self._num_lines} is not valid CSV: {error}."
            ) from error

    def _block(self, most: int, names: Sequence[str], numeric: Collection[str]) -> Block | None:
        lines, rows = [], []
        for row in self._rows():
            if not row:
                continue
            if len(row) != len(self.header):
                raise UserError(
                    f"{self._source}: line {self._num_lines} has {len(row)} cells, expected "
                    f"{len(self.header)} as in the first line."
                )
            lines.append(self._num_lines)
            rows.append(row)
            if len(rows) == most:
                break
        if not rows:
            return None
        cells = dict(zip(self.header, zip(*rows, strict=True), strict=True))
        return Block(
            lines,
            {
                name: numbers(cells[name]) if name in numeric else np.array(cells[name], object)
                for name in names
            },
        )

    def _plain(
        self, lines: Sequence[str], names: Sequence[str], numeric: Collection[str]
    ) -> dict[str, Any] | None:
        """The columns of lines that Arrow reads as csv does, otherwise `None`."""
        text = "".join(lines)
        if not lines or any(letter in text for letter in _NOT_PLAIN):
            return None
        if max(map(len, lines)) > csv.field_size_limit():
            return None
        import pyarrow as pa

        try:
            table = self._table(text.encode(), names, numeric)
        except pa.ArrowException:
            return None
        if len(table) != len(lines):  # it leaves out empty lines
            return None
        columns = {name: table[name].to_numpy() for name in names}
        for name in numeric:
            if np.isfinite(columns[name]).sum() != len(table) - table[name].null_count:
                return None
        return columns

    def _table(self, content: bytes, names: Sequence[str], numeric: Collection[str]) -> "pa.Table":
        import pyarrow as pa
        from pyarrow import csv as arrow

        types = {name: pa.float64() if name in numeric else pa.string() for name in names}
        return arrow.read_csv(
            pa.BufferReader(content),
            arrow.ReadOptions(
                use_threads=False, column_names=self.header, block_size=len(content) + 1
            ),
            arrow.ParseOptions(delimiter=self._separator, quote_char=False),
            arrow.ConvertOptions(
                column_types=types, include_columns=names, null_values=_MISSING, check_utf8=False
            ),
            pa.system_memory_pool(),  # Arrow's own takes 8 MB for the first block
        )


def numbers(cells: Sequence[str]) -> Any:
    """Returns cells as numbers by the rules of training; what is none stays text, to be refused."""
    if not any("_" in cell for cell in cells):  # float() would accept 1_000
        try:
            return np.array([float(cell) for cell in cells])
        except ValueError:
            pass
    made = [_number(cell) for cell in cells]
    has_text = any(isinstance(cell, str) for cell in made)
    return np.array(made, object if has_text else np.float64)


def _number(cell: str) -> float | str:
    if cell.strip().lower() in MISSING:
        return math.nan
    try:
        return cell if "_" in cell else float(cell)
    except ValueError:
        return one_line(cell, 100)
