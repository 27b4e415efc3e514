"""Figures of an evaluated classifier."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from samerun.evaluation import ClassificationReport, Curve
from samerun.plots.fonts import columns_of, plain_names
from samerun.plots.style import (
    BLUE,
    GRAY,
    LIGHT,
    SKY,
    SMALL,
    TEXT,
    describe,
    legend_outside,
    line_style,
    panels,
)

_MOST_COUNTED = 25  # classes: above, a number does not fit into its cell
_MOST_ZEROS = 5  # classes: above, zeros are clutter
_MOST_NAMED = 10  # curves: above, a legend is useless
_NUM_LOWEST = 5
_GOOD = 0.9  # areas: below, the enlarged corner is empty


def _name_ticks(axes: Axes, class_names: Sequence[str]) -> None:
    number = len(class_names)
    places = range(0, number, -(-number // 50))
    size = SMALL if number <= _MOST_COUNTED else 7.0
    shown = plain_names(class_names)
    names = [shown[place] for place in places]
    longest = max(map(columns_of, names))
    slanted = longest * number > 60 and longest > 2
    axes.set_xticks(places, names, fontsize=size, rotation=90 if slanted else 0)
    axes.set_yticks(places, names, fontsize=size)


def confusion_matrix(report: ClassificationReport, class_names: Sequence[str] = ()) -> Figure:
    """Draws the confusion matrix; color is the share of the true class.

    Counts are written where they fit, up to 25 classes. A row without color is a class that the
    split has no examples of.

    Args:
        report: an evaluated classifier.
        class_names: names to show; the report's own where empty.
    """
    counts = report.confusion
    number = len(counts)
    support = counts.sum(axis=1, keepdims=True)
    shares = np.ma.masked_invalid(np.where(support > 0, counts / np.maximum(support, 1), np.nan))
    side = float(np.clip(0.46 * number + 1.6, 4.0, 9.0))
    figure, (axes,) = panels(1, 1, side + 0.9, side)
    axes.grid(visible=False)
    # The square root of the scale: one mistake in a hundred is still a visible tint.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    axes.set_facecolor(LIGHT)
    if number <= _MOST_COUNTED:
        size = float(np.clip(13 - 0.3 * number, 6.5, TEXT))
        shown = counts > 0 if number > _MOST_ZEROS else support.repeat(number, axis=1) > 0
        for row, column in zip(*np.nonzero(shown), strict=True):
            color = "white" if shares[row, column] > 0.35 else "black"
            axes.text(
                column,
                row,
                str(counts[row, column]),
                ha="center",
                va="center",
                fontsize=size,
                color=color,
            )
    _name_ticks(axes, class_names or report.class_names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, ticks=[0, 0.01, 0.1, 0.25, 0.5, 1])
    bar.set_label("share of the true class", fontsize=SMALL)
    bar.ax.set_yticklabels(["0", "0.01", "0.1", "0.25", "0.5", "1"], fontsize=SMALL)
    bar.outline.set_visible(False)
    describe(axes, "predicted class", "true class")
    return figure


def _draw_curves(
    axes: Axes, curves: Mapping[int, Curve], names: Sequence[str], drawstyle: str
) -> list[str]:
    """Draws the curves on one panel and returns the legend's labels, in the lines' order."""
    named = list(curves)
    if len(curves) > _MOST_NAMED:
        named = sorted(curves, key=lambda label: curves[label].area)[:_NUM_LOWEST]
    others = [label for label in curves if label not in named]
    thick = {"linewidth": 1.6, "zorder": 3}
    thin = {"linewidth": 0.7, "color": GRAY, "alpha": 0.5}
    styles = [thick | line_style(position) for position in range(len(named))]
    for label, style in zip([*named, *others], [*styles, *[thin] * len(others)], strict=True):
        axes.plot(curves[label].x, curves[label].y, drawstyle=drawstyle, **style)
    shown = plain_names(names)
    labels = [f"{shown[label]} ({curves[label].area:.3f})" for label in named]
    return [*labels, f"the other {len(others)}"] if others else labels


def _curve_figure(
    curves: Mapping[int, Curve],
    names: Sequence[str],
    axis_names: tuple[str, str],
    *,
    corner: tuple[float, float],
    legend: str,
    drawstyle: str = "default",
) -> Figure:
    """The complete plot, and beside it the corner of good models, if all curves reach it."""
    if len(names) == 2:  # the other class's curve adds nothing
        curves = {label: curve for label, curve in curves.items() if label == 1}
    are_good = all(curve.area >= _GOOD for curve in curves.values())
    figure, (whole, *close) = panels(1, 1 + are_good, 6.9 + 3.5 * are_good, 4.2)
    labels = _draw_curves(whole, curves, names, drawstyle)
    whole.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    for axes in close:
        _draw_curves(axes, curves, names, drawstyle)
        x, y = corner
        axes.set(xlim=(x - 0.005, x + 0.205), ylim=(y - 0.005, y + 0.205))
        axes.set_title("the upper corner", fontsize=TEXT, loc="left")
    for axes in (whole, *close):
        axes.set_box_aspect(1)
        describe(axes, *axis_names)
    if labels:
        legend_outside(figure, whole.get_lines()[: len(labels)], labels, legend)
    return figure


def roc_curves(report: ClassificationReport, class_names: Sequence[str] = ()) -> Figure:
    """Draws true against false positives, each class against all others.

    Of more than ten classes, the five with the smallest areas are named.

    Args:
        report: an evaluated classifier.
        class_names: names to show; the report's own where empty.
    """
    names = class_names or report.class_names
    axis_names = ("false positive rate", "true positive rate")
    figure = _curve_figure(report.roc, names, axis_names, corner=(0.0, 0.8), legend="class (area)")
    figure.axes[0].plot([0, 1], [0, 1], color=GRAY, linestyle=":", linewidth=1.2, zorder=1)
    figure.axes[0].text(0.6, 0.52, "chance", color=GRAY, fontsize=SMALL)
    return figure


def precision_recall_curves(
    report: ClassificationReport, class_names: Sequence[str] = ()
) -> Figure:
    """Draws precision against recall, each class against all others.

    Of more than ten classes, the five with the smallest areas are named.

    Args:
        report: an evaluated classifier.
        class_names: names to show; the report's own where empty.
    """
    names, curves = class_names or report.class_names, report.precision_recall
    return _curve_figure(
        curves,
        names,
        ("recall", "precision"),
        corner=(0.8, 0.8),
        legend="class (average precision)",
        drawstyle="steps-post",  # a straight line between two points would be too optimistic
    )


def calibration(report: ClassificationReport) -> Figure:
    """Draws accuracy against confidence, and below it how many predictions have that confidence.

    Args:
        report: an evaluated classifier.
    """
    bins = report.calibration
    figure, (upper, lower) = panels(2, 1, 4.6, 5.8)
    grid = upper.get_gridspec()
    assert grid is not None
    grid.set_height_ratios([3, 1])
    width = 1 / len(bins.counts)
    centers = bins.edges[:-1] + width / 2
    filled = bins.counts > 0
    upper.plot([0, 1], [0, 1], color=GRAY, linestyle=":", linewidth=1.2, label="perfect")
    upper.errorbar(
        bins.confidence[filled],
        bins.accuracy[filled],
        np.stack([bins.accuracy - bins.low, bins.high - bins.accuracy])[:, filled],
        fmt="o",
        ms=6,
        color=BLUE,
        ecolor=SKY,
        elinewidth=2,
        label="bin, with 95 % interval",
    )
    error = report.metrics["expected_calibration_error"]
    describe(upper, "", "accuracy", f"expected calibration error {error:.3f}")
    upper.set(xlim=(0, 1.02), ylim=(0, 1.02))
    lower.bar(centers, bins.counts, width * 0.9, color=BLUE)
    lower.set_xlim(0, 1.02)
    describe(lower, "confidence (probability of the predicted class)", "examples")
    figure.legend(loc="outside upper center", ncols=2, fontsize=SMALL, frameon=False)
    return figure
