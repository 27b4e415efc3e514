"""Figures of a study's parameters: one by one, and all together."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from samerun.plots import style
from samerun.report.study_axis import Scale, is_wide, logarithmic_if_wide
from samerun.report.study_trials import trials_of

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

_COLORS = "viridis"
_NOT_THERE = -0.12  # below every axis: the position of a parameter that a trial does not have


def slices(study: "optuna.Study", objectives: Sequence[str], names: Sequence[str]) -> Figure:
    """Draws the values over each parameter; later trials are lighter."""
    complete = trials_of(study, "COMPLETE")
    rows, columns = style.grid_of(len(names), 4)
    all_rows = rows * len(objectives)
    width, height = 1.6 + 2.8 * columns, 0.8 + 2.6 * all_rows
    figure, grid = style.panels(all_rows, columns, width, height)
    for position, objective in enumerate(objectives):
        panels = grid[position * rows * columns :][: rows * columns]
        for index, (axes, name) in enumerate(zip(panels, names, strict=False)):
            _slice(axes, study, name, position)
            style.describe(axes, name, objective if index % columns == 0 else "")
        style.hide(panels[len(names) :])
    numbers = [float(trial.number) for trial in complete]
    bar = figure.colorbar(_colors(numbers), ax=grid, label="trial", aspect=30, shrink=0.9)
    bar.outline.set_visible(False)
    return figure


def _slice(axes: Axes, study: "optuna.Study", name: str, position: int) -> None:
    complete = trials_of(study, "COMPLETE")
    having = [trial for trial in complete if name in trial.params]
    scale = Scale.of([trial.params[name] for trial in having], _distribution(study, name))
    colors = _colors([float(trial.number) for trial in complete])
    axes.scatter(
        [scale.position(trial.params[name]) for trial in having],
        [trial.values[position] for trial in having],
        c=colors.to_rgba(np.array([trial.number for trial in having])),
        s=22,
        clip_on=False,
    )
    axes.set_xlim(-0.06, 1.06)
    axes.set_xticks(*_ticks(scale), rotation=30 if scale.has_long_words else 0)
    logarithmic_if_wide(axes.set_yscale, [trial.values[position] for trial in complete])


def parallel_coordinates(
    study: "optuna.Study", objectives: Sequence[str], names: Sequence[str]
) -> Figure:
    """Draws a line per trial through all its parameters; the best is darkest."""
    complete = trials_of(study, "COMPLETE")
    columns = [*objectives, *names]
    points = [_points(trial, objectives, names) for trial in complete]
    scales = [
        Scale.of(
            [point[name] for point in points if name in point],
            None if place < len(objectives) else _distribution(study, name),
        )
        for place, name in enumerate(columns)
    ]
    figure, (axes,) = style.panels(1, 1, max(7.0, 2.2 + 1.5 * len(columns)), 5.4)
    is_low = study.directions[0].name == "MINIMIZE"
    firsts = [trial.values[0] for trial in complete]
    colors = _colors(firsts, is_reversed=not is_low)
    bar = figure.colorbar(colors, ax=axes, label=objectives[0], aspect=30, shrink=0.8)
    bar.outline.set_visible(False)
    for point in sorted(points, key=lambda point: point[objectives[0]], reverse=is_low):
        places = [
            scale.position(point[name]) if name in point else _NOT_THERE
            for scale, name in zip(scales, columns, strict=True)
        ]
        color = colors.to_rgba(np.array([point[objectives[0]]]))[0]
        axes.plot(range(len(columns)), places, color=color, linewidth=1.3, alpha=0.8)
    for place, (scale, name) in enumerate(zip(scales, columns, strict=True)):
        _vertical_axis(axes, place, scale)
        if any(name not in point for point in points):
            axes.text(place + 0.04, _NOT_THERE, "not there", va="center", fontsize=8)
    _frame(axes, columns)
    return figure


def _points(
    trial: "FrozenTrial", objectives: Sequence[str], names: Sequence[str]
) -> dict[str, Any]:
    params = {name: trial.params[name] for name in names if name in trial.params}
    return {**dict(zip(objectives, trial.values, strict=True)), **params}


def _frame(axes: Axes, columns: Sequence[str]) -> None:
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    labels = [name.replace("/", "/\n").replace(".", ".\n") for name in columns]
    axes.set_xticks(range(len(columns)), labels, fontsize=style.SMALL)
    axes.tick_params(length=0)
    axes.set_yticks([])
    axes.set_xlim(-0.3, len(columns) - 0.4)


def _vertical_axis(axes: Axes, place: int, scale: Scale) -> None:
    axes.plot([place, place], [0, 1], color=style.BLACK, linewidth=0.9, zorder=3)
    for at, label in zip(*_ticks(scale), strict=True):
        axes.plot([place - 0.03, place], [at, at], color=style.BLACK, linewidth=0.9, zorder=3)
        axes.text(
            place + 0.04,
            at,
            label,
            va="center",
            fontsize=8,
            zorder=4,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6},
        )


def _colors(values: Sequence[float], *, is_reversed: bool = False) -> ScalarMappable:
    """Returns the colors of values: from dark to light, or from light to dark."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    name = f"{_COLORS}_r" if is_reversed else _COLORS
    norm = LogNorm if is_wide(finite) else Normalize
    return ScalarMappable(norm(min(finite), max(finite)), name)


def _distribution(study: "optuna.Study", name: str) -> Any:
    """Returns the distribution of a parameter in the latest trial that has it."""
    return next(
        trial.distributions[name]
        for trial in reversed(trials_of(study))
        if name in trial.distributions
    )


def _ticks(scale: Scale) -> tuple[list[float], list[str]]:
    marks = scale.ticks()
    return [at for at, _ in marks], [label for _, label in marks]
