"""The results of several runs below one parent run: on the screen, in the store, as a figure."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from samerun import tracking
from samerun.escaping import code_span, markdown, spreadsheet_cell

if TYPE_CHECKING:
    from rich.console import Console

_PREFERRED = ("validation/accuracy", "validation/mean_absolute_error", "validation/loss")

Rows = Sequence[Sequence[str]]


def show(rows: Rows, out: "Console") -> None:
    """Prints a table, its header first; in a pipe, a table of rich's would cut long cells."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    out.print()
    for row in rows:
        cells = zip(row, widths, strict=True)
        line = "  ".join(f"{cell:<{width}}" for cell, width in cells)
        out.print(line.rstrip(), markup=False, soft_wrap=True)


def record(run: tracking.Run, rows: Rows, *, heading: str = "") -> None:
    """Stores a table as the artifact `runs.csv` and as the description of the parent run.

    Args:
        run: the parent run.
        rows: the table, its header first; the last column is shown as code.
        heading: Markdown above the table in the description.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(
        [spreadsheet_cell(cell) for cell in row] for row in rows
    )
    run.log_text(text.getvalue(), "runs.csv")
    run.describe(heading + _markdown(*rows))


def _markdown(header: Sequence[str], *rows: Sequence[str]) -> str:
    lines = [f"| {' | '.join(map(markdown, header))} |", "|---" * len(header) + "|"]
    for row in rows:
        last = f"`{code_span(row[-1])}`" if row[-1] else ""
        lines.append(f"| {' | '.join([*map(markdown, row[:-1]), last])} |")
    return "\n".join([*lines, ""])


def draw_curves(curves: Mapping[str, dict[str, list[float]]], folder: Path) -> Path | None:
    """Draws the curves of several runs in one figure, for the first metric that all have.

    Args:
        curves: the metrics of each run, by the run's name in the figure.
        folder: where the figure is written.

    Returns:
        Its file; `None` for fewer than two runs, or if they have no metric in common.
    """
    if len(curves) < 2:
        return None
    from samerun import plots

    shared = set.intersection(*map(set, curves.values()))
    metric = next((name for name in (*_PREFERRED, "train/loss") if name in shared), None)
    if metric is None:
        return None
    path = folder / "curves.png"
    plots.save(plots.compare_curves(curves, metric), path)
    return path
