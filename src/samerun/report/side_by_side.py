"""A table on the screen with one column for each run, in blocks of columns that fit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

_GAP = 2  # between columns
_FEWEST = 3  # columns of a block: two runs stay side by side, however long their values
_WIDEST = 18  # characters of a value that is not wrapped
_WIDEST_LEAD = 30


@dataclass(frozen=True, kw_only=True)
class SideRow:
    """A row of the table; all cells are Rich's markup.

    Args:
        lead: what the row is about, repeated in each block.
        values: one for each run.
        notes: lines below the row, in the first block.
        style: of the row.
    """

    lead: tuple[str, ...]
    values: tuple[str, ...]
    notes: tuple[str, ...] = ()
    style: str = ""


def show(
    rows: Sequence[SideRow], sides: Sequence[str], out: Console, lead: Sequence[str] = ("",)
) -> None:
    """Prints rows with a column for each run.

    Args:
        rows: what to print.
        sides: the heading of each run.
        out: where to print.
        lead: the headings of the columns before them.
    """
    for first, end in _blocks(rows, sides, out.width, len(lead)):
        if first:
            out.print()
        headings = map(escape, (*lead, *sides[first:end]))
        made = Table(*headings, box=None, pad_edge=False, header_style="dim")
        for row in rows:
            made.add_row(*row.lead, *row.values[first:end], style=row.style)
            for note in row.notes if not first else ():
                made.add_row(note)
        out.print(made)


def _blocks(
    rows: Sequence[SideRow], sides: Sequence[str], width: int, num_lead: int
) -> Iterator[tuple[int, int]]:
    """Yields the first column of each block and the one after its last."""
    room = width - sum(
        min(_WIDEST_LEAD + _GAP, _width([row.lead[place] for row in rows]) + _GAP)
        for place in range(num_lead)
    )
    first, used = 0, 0
    for place, side in enumerate(sides):
        own = min(_WIDEST, _width([escape(side), *(row.values[place] for row in rows)])) + _GAP
        if used + own > room + _GAP and place - first >= _FEWEST:
            yield first, place
            first, used = place, 0
        used += own
    yield first, len(sides)


def _width(cells: Sequence[str]) -> int:
    return max((Text.from_markup(cell).cell_len for cell in cells), default=0)
