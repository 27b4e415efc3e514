"""The common style of all figures, set on each figure itself.

Nothing is read from or written to pyplot: its current figure and a `rc_context` belong to the
process, so two threads that draw would share them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from samerun.plots.fonts import set_fonts

# Distinct for all common kinds of color blindness (Okabe and Ito, 2008). Their yellow is left out:
# a thin yellow line cannot be seen on white.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
)
BLACK, GRAY, LIGHT = "#222222", "#888888", "#D9D9D9"
COLORS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK)
DASHES = ("-", "--", ":")

DPI = 150
TEXT, SMALL = 11.0, 9.5  # points; at half size still larger than a footnote's index


def sheet(width: float, height: float) -> Figure:
    """Returns an empty figure without panels.

    Args:
        width: inches of the figure.
        height: inches of the figure.
    """
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white", edgecolor="white")
    FigureCanvasAgg(figure)
    return figure


def panels(rows: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Returns an empty figure and its panels, row by row.

    Args:
        rows: panels one above the other.
        columns: panels side by side.
        width: inches of the figure.
        height: inches of the figure.
    """
    figure = sheet(width, height)
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))  # inches
    grid: list[Axes] = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
    for axes in grid:
        axes.set_facecolor("white")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=SMALL, color=GRAY)
        axes.grid(visible=True, color=LIGHT, linewidth=0.6)
        axes.set_axisbelow(True)
    return figure, grid


def describe(axes: Axes, x: str, y: str, title: str = "") -> None:
    """Names both axes and the panel."""
    axes.set_xlabel(x, fontsize=TEXT)
    axes.set_ylabel(y, fontsize=TEXT)
    if title:
        axes.set_title(title, fontsize=TEXT, loc="left")


def legend_outside(
    figure: Figure, lines: Sequence[Line2D], labels: Sequence[str], title: str
) -> None:
    """Writes the legend to the right of all panels."""
    figure.legend(
        lines,
        labels,
        loc="outside right upper",
        fontsize=SMALL,
        frameon=False,
        title=title,
        title_fontsize=SMALL,
        alignment="left",
    )


def line_style(position: int) -> dict[str, Any]:
    """Returns the color and dash of the n-th line: 21 that can be distinguished."""
    dash = DASHES[position // len(COLORS) % len(DASHES)]
    return {"color": COLORS[position % len(COLORS)], "linestyle": dash}


def histogram(axes: Axes, values: NDArray[np.float64], num_bins: int) -> None:
    """Draws how often values occur; those that differ by rounding only share one bin."""
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    smallest = 1e-9 * max(abs(low), abs(high)) or 1.0
    if high - low < smallest * num_bins:
        middle, half = (low + high) / 2, max(abs(low), abs(high)) / 2 or 0.5
        low, high = middle - half, middle + half
    counts, edges = np.histogram(values, num_bins, (low, high))
    axes.stairs(counts, edges, fill=True, color=BLUE)  # one outline takes 12 ms less than bars


def grid_of(number: int, most_columns: int) -> tuple[int, int]:
    """Returns the rows and columns of a grid with room for this many panels."""
    columns = max(1, min(number, most_columns))
    return max(1, -(-number // columns)), columns


def hide(axes: Sequence[Axes]) -> None:
    """Leaves the places of unused panels empty."""
    for unused in axes:
        unused.set_axis_off()


def save(figure: Figure, path: Path | str) -> None:
    """Writes a PNG that is the same, byte for byte, each time the same values are drawn.

    Args:
        figure: what to write.
        path: the file; its folder has to exist.
    """
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    set_fonts(figure)
    # Not `savefig`, which draws twice and takes a tenth longer. Without the
    # metadata, matplotlib would write its version number.
    canvas.print_png(path, metadata={"Software": None})  # type: ignore[no-untyped-call]
