"""Figures of the training itself: curves over epochs, the learning rate, the weights."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from samerun.config.training import should_rise
from samerun.errors import UserError, listed
from samerun.evaluation import best_epoch
from samerun.plots.fonts import plain, printable
from samerun.plots.style import (
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    SMALL,
    TEXT,
    describe,
    grid_of,
    hide,
    histogram,
    legend_outside,
    line_style,
    panels,
)

History = Mapping[str, Sequence[float]]

_SPLITS = {"train": BLUE, "validation": ORANGE}
_RATE = "learning_rate"
_MOST_HISTOGRAMS = 24
_MOST_FEATURES, _MOST_UNITS, _MOST_WRITTEN = 30, 64, 20
_LONGEST_FEATURE = 28
_LONGEST_RUN = 34  # characters in a line of the legend
_MOST_NAMED = 10  # runs; above, a legend is useless


def _spans_decades(values: NDArray[np.float64]) -> bool:
    finite = values[np.isfinite(values)]
    return bool(len(finite) and finite.min() > 0 and finite.max() / finite.min() > 50)


def _draw_metric(axes: Axes, history: History, metric: str, monitor: str | None) -> None:
    names = [f"{split}/{metric}" for split in _SPLITS if f"{split}/{metric}" in history]
    for name in names:
        split = name.split("/")[0]
        values = np.asarray(history[name], np.float64)
        epochs = np.arange(1, len(values) + 1)
        marker = "o" if len(values) <= 20 else "none"
        axes.plot(epochs, values, marker=marker, ms=3.5, color=_SPLITS[split], label=split)
    decisive = monitor if monitor and monitor in history else names[-1]
    best = best_epoch(history[decisive], decisive)
    if best is not None and best <= len(history[names[-1]]):
        value = history[names[-1]][best - 1]
        axes.axvline(best, color=GRAY, linestyle=":", linewidth=1.2, zorder=1)
        label = f"best {decisive if decisive == monitor else 'here'}: epoch {best}"
        axes.plot([best], [value], "D", ms=7, mfc="none", mec="black", ls="none", label=label)
    everything = np.concatenate([np.asarray(history[name], np.float64) for name in names])
    if _spans_decades(everything):
        axes.set_yscale("log")
    describe(axes, "epoch", metric.replace("_", " "))
    axes.legend(fontsize=SMALL, frameon=False)


def learning_curves(history: History, monitor: str | None = None) -> Figure:
    """Draws one panel per metric, with training and validation, and one for the learning rate.

    Args:
        history: one value per epoch under `train/<metric>`, `validation/<metric>` and
            `learning_rate`; other names are not drawn.
        monitor: name whose best epoch is marked in all panels; each panel's own where it is `None`
            or not in the history.
    """
    metrics = list(
        dict.fromkeys(
            name.split("/", 1)[1]
            for name in history
            if name.split("/")[0] in _SPLITS and "/" in name and not name.endswith(_RATE)
        )
    )
    rates = next((values for name, values in history.items() if name.endswith(_RATE)), None)
    number = len(metrics) + (rates is not None)
    rows, columns = grid_of(number, 3)
    figure, grid = panels(rows, columns, 3.9 * columns, 3.1 * rows)
    for axes, metric in zip(grid, metrics, strict=False):
        _draw_metric(axes, history, metric, monitor)
    if rates is not None:
        axes = grid[len(metrics)]
        axes.plot(np.arange(1, len(rates) + 1), rates, ".-", color=GREEN)
        _scale_rate(axes, np.asarray(rates, np.float64))
        describe(axes, "epoch", "learning rate")
    longest = max((len(values) for values in history.values()), default=1)
    for axes in grid:
        axes.set_xlim(1 - 0.03 * longest, longest * 1.03)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    hide(grid[number:])
    return figure


def compare_curves(histories: Mapping[str, History], metric: str) -> Figure:
    """Draws one metric of several runs in one panel, the best run first in the legend.

    Of more than ten runs, the ten best are named and the others are thin and gray.

    Args:
        histories: one value per epoch by logged name, of each run by its name.
        metric: logged name, such as `validation/accuracy`; runs without it are left out.

    Raises:
        UserError: no run has the metric.
    """
    found = {
        name: np.asarray(history[metric], np.float64)
        for name, history in histories.items()
        if len(history.get(metric, ()))
    }
    if not found:
        known = sorted({name for history in histories.values() for name in history})
        raise UserError(f"No run has the metric '{metric}', expected {listed(known)}.")
    best = {name: best_epoch(histories[name][metric], metric) for name in found}
    order = sorted(found, key=lambda name: _rank(found[name], best[name], metric))
    shown = _differing(list(found))
    named = [_wrapped(f"{shown[name]} (0.0000 at 000)") for name in order[:_MOST_NAMED]]
    num_lines = 2 + sum(1 + label.count("\n") for label in named)
    figure, (axes,) = panels(1, 1, 8.6, max(4.2, 0.2 * num_lines))
    lines: dict[str, Any] = {}  # of the runs in the legend, the others under an empty name
    labels = {"": f"the other {len(order) - _MOST_NAMED}"}
    for place, name in enumerate(order):
        values, epoch = found[name], best[name]
        look: dict[str, Any] = {"color": GRAY, "alpha": 0.5, "linewidth": 0.7}
        key = ""
        if place < _MOST_NAMED:
            look = line_style(place) | {"linewidth": 1.6, "zorder": 3, "ms": 3.5}
            look["marker"] = "o" if len(values) <= 20 else "none"
            score = "never finite" if epoch is None else f"{values[epoch - 1]:.4g} at {epoch}"
            key = name
            labels[name] = _wrapped(f"{shown[name]} ({score})")
        (lines[key],) = axes.plot(np.arange(1, len(values) + 1), values, **look)
    if _spans_decades(np.concatenate(list(found.values()))):
        axes.set_yscale("log")
    axes.set_xlim(left=1 - 0.03 * max(map(len, found.values())))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))
    describe(axes, "epoch", metric.replace("_", " "))
    legend_outside(
        figure, list(lines.values()), [labels[key] for key in lines], "run (best value at epoch)"
    )
    return figure


def _differing(names: Sequence[str]) -> dict[str, str]:
    """Returns each name without the words that all of them have, if something remains."""
    shared = set.intersection(*(set(name.split()) for name in names))
    short = {name: [word for word in name.split() if word not in shared] for name in names}
    if not all(short.values()):
        return {name: name for name in names}
    return {name: " ".join(words) for name, words in short.items()}


def _wrapped(label: str) -> str:
    """Returns a run's label in as many lines as it needs: what differs is never left out."""
    lines = textwrap.wrap(label, _LONGEST_RUN, break_on_hyphens=False) or [""]
    return "\n".join(plain(line, len(line)) for line in lines)


def overlaid_curves(curves: Mapping[str, Mapping[int, float]], metric: str) -> Figure:
    """Draws one metric of several runs in a panel that can be read on a phone.

    Args:
        curves: value by epoch of each run by its label, a letter; a run without values is left out.
        metric: logged name, such as `validation/accuracy`.
    """
    figure, (axes,) = panels(1, 1, 4.6, 3.3)
    for place, (label, curve) in enumerate(curves.items()):
        steps = sorted(curve)
        values = np.asarray([curve[step] for step in steps], np.float64)
        marker = "o" if len(values) <= 20 else "none"
        look = line_style(place) | {"linewidth": 1.6, "ms": 3.5, "marker": marker}
        if len(values):
            axes.plot(steps, values, label=plain(label), **look)
    if _spans_decades(
        np.concatenate([np.fromiter(c.values(), np.float64) for c in curves.values()])
    ):
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    describe(axes, "epoch", metric.partition("/")[2].replace("_", " "), printable(metric))
    columns = 1 if len(curves) <= 4 else 2 if len(curves) <= 10 else 4
    axes.legend(fontsize=SMALL, frameon=False, ncols=columns)
    return figure


def _ends(name: str) -> str:
    """The categories of a column start alike and differ at the end: town=Aachen, town=Bonn."""
    kept = _LONGEST_FEATURE // 2
    text = name if len(name) <= _LONGEST_FEATURE else f"{name[:kept]}…{name[-kept:]}"
    return plain(text, len(name))


def _rank(values: NDArray[np.float64], best: int | None, metric: str) -> float:
    """Smaller is better; a run without a finite value comes last."""
    if best is None:
        return float("inf")
    return float(-values[best - 1] if should_rise(metric) else values[best - 1])


def _scale_rate(axes: Axes, rates: NDArray[np.float64]) -> None:
    if _spans_decades(rates):
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, float(np.nanmax(rates)) * 1.05 or 1.0)
        axes.ticklabel_format(axis="y", scilimits=(-2, 3), useMathText=True)


def schedule_curve(rates: NDArray[np.floating], steps_per_epoch: int) -> Figure:
    """Draws the learning rate of each training step, over epochs.

    Args:
        rates: (steps,) learning rates.
        steps_per_epoch: training steps per epoch.
    """
    figure, (axes,) = panels(1, 1, 6.0, 3.4)
    values = np.asarray(rates, np.float64)
    axes.plot(np.arange(len(values)) / steps_per_epoch, values, color=GREEN)
    _scale_rate(axes, values)
    axes.set_xlim(0, len(values) / steps_per_epoch)
    describe(axes, f"epochs (of {steps_per_epoch} steps)", "learning rate")
    return figure


def weight_histograms(weights: Mapping[str, NDArray[np.floating]]) -> Figure:
    """Draws how the values of each variable are spread.

    Args:
        weights: values by name, as `evaluation.weight_samples` returns them. Of more than 24 names,
            24 are drawn, evenly from the first to the last.
    """
    names = list(weights)
    if len(names) > _MOST_HISTOGRAMS:
        kept = np.linspace(0, len(names) - 1, _MOST_HISTOGRAMS).round().astype(int)
        names = [names[index] for index in kept]
    rows, columns = grid_of(len(names), 4)
    figure, grid = panels(rows, columns, 2.7 * columns, 2.0 * rows + 0.5)
    for axes, name in zip(grid, names, strict=False):
        values = np.asarray(weights[name], np.float64)
        finite = values[np.isfinite(values)]
        num_bins = int(np.clip(1.5 * len(values) ** 0.5, 8, 40))
        histogram(axes, finite, num_bins)
        num_bad = len(values) - len(finite)
        note = f" ({num_bad} not finite)" if num_bad else ""
        axes.set_title(_ending(name) + note, fontsize=SMALL, loc="left", y=1.0)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    hide(grid[len(names) :])
    left_out = len(weights) - len(names)
    share = f" ({len(names)} of {len(weights)} variables)" if left_out else ""
    figure.supxlabel(f"value of the weights{share}", fontsize=TEXT)
    figure.supylabel("frequency", fontsize=TEXT)
    return figure


def feature_weights(names: Sequence[str], kernel: NDArray[np.floating]) -> Figure:
    """Draws the weights of the first layer: a row for each feature, a column for each unit.

    Features that are scaled alike can be compared: a pale row is a feature the network ignores.

    Args:
        names: names of the features. Of more than 30, the 30 with the largest weights are drawn.
        kernel: (features, units) weights. Of more than 64 units, the first 64 are drawn.
    """
    values = np.asarray(kernel, np.float64)[:, :_MOST_UNITS]
    rows = np.argsort(-np.abs(kernel).mean(axis=1), kind="stable")[:_MOST_FEATURES]
    rows.sort()
    values = values[rows]
    num_features, num_units = values.shape
    width = float(np.clip(0.42 * num_units + 3.2, 5.0, 11.0))
    figure, (axes,) = panels(1, 1, width, float(np.clip(0.36 * num_features + 1.4, 2.6, 10.0)))
    axes.grid(visible=False)
    limit = float(np.abs(values[np.isfinite(values)]).max(initial=0.0)) or 1.0
    image = axes.imshow(
        values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest"
    )
    shown = [_ends(names[row]) for row in rows]
    axes.set_yticks(range(num_features), shown, fontsize=SMALL)
    places = range(0, num_units, -(-num_units // 16))
    axes.set_xticks(places, [str(place + 1) for place in places], fontsize=SMALL)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if num_units <= _MOST_WRITTEN:
        for (row, column), value in np.ndenumerate(values):
            color = "white" if abs(value) > 0.6 * limit else "black"
            text = f"{value:z.1f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7.5, color=color)
    bar = figure.colorbar(image, ax=axes, shrink=0.9)
    bar.set_label("weight", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL, color=GRAY)
    bar.outline.set_visible(False)
    left_out = [f"{num_features} of {len(names)} features"] if num_features < len(names) else []
    left_out += [f"{num_units} of {kernel.shape[1]} units"] if num_units < kernel.shape[1] else []
    describe(axes, "unit of the first layer", "feature", ", ".join(left_out))
    return figure


def _ending(path: str, longest: int = 30) -> str:
    """The end of a variable's path is more informative: the layer, kernel or bias."""
    return printable(path if len(path) <= longest else "…" + path[1 - longest :])
