"""Figures of an evaluated regression or forecast."""

import numpy as np
from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, Locator, MaxNLocator
from numpy.typing import NDArray

from samerun.evaluation import RegressionReport
from samerun.plots.fonts import printable
from samerun.plots.style import (
    BLACK,
    BLUE,
    GRAY,
    ORANGE,
    SMALL,
    TEXT,
    describe,
    grid_of,
    hide,
    histogram,
    panels,
)

_MOST_OUTPUTS = 6
_MOST_POINTS = 3000  # above, dots cover each other and only counts per cell are informative
_NUM_CLOSE = 100


def _with_unit(label: str, unit: str) -> str:
    return f"{label} ({printable(unit)})" if unit else label


def _draw_points(
    axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], counted: str = "examples"
) -> None:
    if len(x) > _MOST_POINTS:
        cells = axes.hexbin(x, y, gridsize=50, bins="log", mincnt=1, cmap="Blues", linewidths=0)
        bar = axes.figure.colorbar(cells, ax=axes, shrink=0.8)
        bar.set_label(counted, fontsize=SMALL)
    else:
        opacity = float(np.clip(60 / len(x) ** 0.65, 0.15, 0.8))
        axes.plot(x, y, "o", ms=4, mew=0, color=BLUE, alpha=opacity)


def predicted_against_truth(report: RegressionReport, unit: str = "") -> Figure:
    """Draws each prediction against its truth; a perfect model is on the line.

    Args:
        report: an evaluated regression or forecast; of more than six outputs, six are drawn that
            are equally far apart, the first and the last among them, as the figure notes.
        unit: unit of the targets.
    """
    outputs = report.truth.shape[1]
    number, kind = min(outputs, _MOST_OUTPUTS), "step" if report.is_forecast else "output"
    rows, columns = grid_of(number, 2 if number <= 4 else 3)
    side = 4.6 if columns < 3 else 3.8
    figure, grid = panels(rows, columns, side * columns, (side - 0.2) * rows)
    chosen = np.linspace(0, outputs - 1, number).round().astype(int)
    for output, axes in zip(chosen, grid, strict=False):
        truth, predicted = report.truth[:, output], report.predicted[:, output]
        low, high = min(truth.min(), predicted.min()), max(truth.max(), predicted.max())
        margin = 0.03 * (high - low) or 1.0
        ends = (low - margin, high + margin)
        _draw_points(axes, truth, predicted)
        axes.plot(ends, ends, color=GRAY, linestyle=":", linewidth=1.2)
        axes.set(xlim=ends, ylim=ends)
        axes.set_box_aspect(1)
        title = f"{kind} {output + 1} of {outputs}" if outputs > 1 else ""
        describe(axes, _with_unit("truth", unit), _with_unit("prediction", unit), title)
    hide(grid[number:])
    if number < outputs:
        figure.suptitle(f"{number} of {outputs} {kind}s", fontsize=TEXT)
    return figure


def residuals(report: RegressionReport, unit: str = "") -> Figure:
    """Draws truth minus prediction: over the prediction, and how often each occurs.

    Args:
        report: an evaluated regression or forecast; all outputs together.
        unit: unit of the targets.
    """
    figure, (left, right) = panels(1, 2, 8.8, 3.6)
    errors = report.residuals.ravel()
    name, counted = _with_unit("residual", unit), "examples"
    if report.truth.shape[1] > 1:
        counted = "examples × steps" if report.is_forecast else "examples × outputs"
    _draw_points(left, report.predicted.ravel(), errors, counted)
    left.axhline(0, color=GRAY, linestyle=":", linewidth=1.2)
    describe(left, _with_unit("prediction", unit), name, "residual = truth - prediction")
    histogram(right, errors, 40)
    right.axvline(0, color=GRAY, linestyle=":", linewidth=1.2)
    mean, deviation = errors.mean(), errors.std()
    describe(right, name, counted, f"mean {mean:.3g}, standard deviation {deviation:.3g}")
    return figure


def forecast_over_time(
    report: RegressionReport, times: NDArray[np.generic] | None = None, unit: str = ""
) -> Figure:
    """Draws truth and forecast over time: the complete split, and its last hundred steps.

    Args:
        report: an evaluated forecast; of one with several steps ahead, the first is drawn.
        times: (examples,) labels of the time axis: dates (`datetime64`) or numbers.
        unit: unit of the target.
    """
    truth, predicted = report.truth[:, 0], report.predicted[:, 0]
    at = np.arange(len(truth)) if times is None else np.asarray(times)
    is_long = len(truth) > 2 * _NUM_CLOSE
    figure, grid = panels(1 + is_long, 1, 8.0, 3.0 * (1 + is_long))
    for axes, start in zip(grid, (0, len(truth) - _NUM_CLOSE), strict=False):
        axes.plot(at[start:], truth[start:], color=BLACK, linewidth=2.2, label="truth")
        axes.plot(at[start:], predicted[start:], color=ORANGE, linewidth=1.2, label="forecast")
        label = "time step in the split" if times is None else "time"
        title = f"the last {_NUM_CLOSE}" if start else ""
        if not start and report.truth.shape[1] > 1:
            title = f"the first of {report.truth.shape[1]} steps ahead"
        describe(axes, label if axes is grid[-1] else "", _with_unit("value", unit), title)
        if np.issubdtype(at.dtype, np.datetime64):
            _write_dates(axes)
    grid[0].legend(fontsize=SMALL, frameon=False, ncols=2)
    return figure


def _write_dates(axes: Axes) -> None:
    locator: Locator = dates.AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter: Formatter = dates.ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)
    axes.xaxis.get_offset_text().set_fontsize(SMALL)


def error_by_step(report: RegressionReport, unit: str = "") -> Figure:
    """Draws the mean absolute error of each step ahead, with the baseline's.

    Args:
        report: an evaluated forecast.
        unit: unit of the target.
    """
    figure, (axes,) = panels(1, 1, 6.0, 3.6)
    lines = [("forecast", report.predicted, BLUE, "o-")]
    if report.simple is not None:
        lines.append((f"{report.baseline} baseline", report.simple, ORANGE, "s--"))
    for label, values, color, style in lines:
        errors = np.abs(report.truth - values).mean(axis=0)
        axes.plot(np.arange(1, len(errors) + 1), errors, style, color=color, ms=4, label=label)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=SMALL, frameon=False)
    describe(axes, "steps ahead", _with_unit("mean absolute error", unit))
    return figure
