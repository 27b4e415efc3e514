"""Figures of a study, for pages and papers: Optuna's plots, in the style of all other figures.

Optuna's own matplotlib plots change pyplot's style for the whole process, cut the names of
parameters off and list every trial in a legend.
"""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from samerun.plots import style
from samerun.report.study_axis import logarithmic_if_wide
from samerun.report.study_spaces import parallel_coordinates, slices
from samerun.report.study_trials import best_trials, completed, state_of, trials_of

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

_log = logging.getLogger(__name__)

TITLES = {
    "history": "History",
    "importances": "Parameter importance",
    "slices": "Parameter slices",
    "parallel_coordinates": "Parallel coordinates",
    "pareto_front": "Pareto front",
    "intermediate_values": "Intermediate values",
}


def draw(
    study: "optuna.Study", objectives: Sequence[str], names: Sequence[str]
) -> tuple[dict[str, Figure], dict[str, str]]:
    """Draws every plot that the study has enough trials for.

    Args:
        study: the study.
        objectives: names of the study's values.
        names: the parameters, in the order in which they are shown; those that no completed trial
            has are left out.

    Returns:
        Figures by name; and the titles of those left out, with the reason.
    """
    figures: dict[str, Figure] = {}
    missing: dict[str, str] = {}
    names = completed(study, names)
    for name, function in _FIGURES.items():
        reason = _why_not(study, name, names)
        if reason is None:
            try:
                figures[name] = function(study, objectives, names)
            except Exception as error:  # the report survives a failed plot
                reason = f"Could not be drawn: {type(error).__name__}: {error}"
                _log.warning("The plot %s: %s", name, reason)
        if reason:
            missing[TITLES[name]] = reason
    return figures, missing


def _why_not(study: "optuna.Study", name: str, names: Sequence[str]) -> str | None:
    """Returns why a plot is omitted; empty if it does not apply to such a study at all."""
    complete = trials_of(study, "COMPLETE")
    if name in ("history", "pareto_front") and complete and not best_trials(study):
        return "No completed trial keeps sweep.constraints."
    if name == "pareto_front" and len(study.directions) == 1:
        return ""
    if name == "intermediate_values":
        if len(study.directions) > 1:
            return ""
        reported = any(trial.intermediate_values for trial in trials_of(study))
        return None if reported else "No trial has reported a value at the end of an epoch."
    enough = 1 if name in ("history", "pareto_front") else 2
    if len(complete) < enough:
        return f"Needs {enough} completed trials; there are {len(complete)}."
    if name not in ("history", "pareto_front") and not names:
        return "The search space has no parameter."
    if name == "importances" and not any(
        len({trial.values[i] for trial in complete}) > 1 for i in range(len(study.directions))
    ):
        return "All completed trials have the same value."
    return None


def signed(study: "optuna.Study", position: int) -> "Callable[[FrozenTrial], float]":
    """Returns one objective, negated if it is maximized.

    Optuna takes an objective that it is handed for one to minimize, whatever its direction is.
    """
    sign = 1.0 if study.directions[position].name == "MINIMIZE" else -1.0
    return lambda trial: sign * float(trial.values[position])


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """Hides Optuna's warnings while it computes importances.

    Low values are meant (see `signed`), and that a parameter of a branch with few trials tells
    little is in the guide.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*low `target` values.*")
        warnings.filterwarnings("ignore", message="Some regimes for parameter.*")
        yield


def _history(study: "optuna.Study", objectives: Sequence[str], names: Sequence[str]) -> Figure:
    rows = len(objectives)
    figure, grid = style.panels(rows, 1, 8, 1.2 + 3.3 * rows)
    shown = ("COMPLETE", "LENT")
    complete = [trial for trial in trials_of(study, "COMPLETE") if state_of(trial) in shown]
    lent = [trial for trial in complete if state_of(trial) == "LENT"]
    numbers = [trial.number for trial in complete]
    for position, axes in enumerate(grid):
        values = [trial.values[position] for trial in complete]
        axes.plot(numbers, values, "o", color=style.BLUE, markersize=5, label="complete")
        if lent:
            xs, ys = [one.number for one in lent], [one.values[position] for one in lent]
            axes.plot(xs, ys, "o", color=style.SKY, markersize=5, label="lent")
        is_low = study.directions[position].name == "MINIMIZE"
        best = (np.minimum if is_low else np.maximum).accumulate(values)
        ends = [*numbers, max(trial.number for trial in trials_of(study))]
        axes.step(
            ends, [*best, best[-1]], where="post", color=style.BLACK, linewidth=1.2, label="best"
        )
        for state, label, color in (
            ("PRUNED", "pruned", style.ORANGE),
            ("INFEASIBLE", "infeasible", style.GRAY),
            ("FAIL", "failed", style.RED),
        ):
            at = [trial.number for trial in trials_of(study) if state_of(trial) == state]
            if at:
                axes.plot(
                    at,
                    [0.03] * len(at),
                    "|",
                    color=color,
                    markersize=11,
                    markeredgewidth=2,
                    transform=axes.get_xaxis_transform(),
                    label=label,
                )
        logarithmic_if_wide(axes.set_yscale, values)
        axes.margins(y=0.12)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        style.describe(axes, "trial", objectives[position])
    _legend(figure, grid[0])
    return figure


def _importances(study: "optuna.Study", objectives: Sequence[str], names: Sequence[str]) -> Figure:
    from optuna.importance import get_param_importances

    columns = len(objectives)
    figure, grid = style.panels(1, columns, 3.2 + 4.8 * columns, 1.4 + 0.4 * len(names))
    for position, axes in enumerate(grid):
        with without_warnings():
            found = get_param_importances(study, target=signed(study, position))
        shown = sorted(found.items(), key=lambda item: item[1])
        bars = axes.barh([name for name, _ in shown], [v for _, v in shown], color=style.BLUE)
        labels = [f"{value:.2f}" if value >= 0.005 else "<0.01" for _, value in shown]
        axes.bar_label(bars, labels, padding=3, fontsize=style.SMALL)
        axes.set_xlim(0, 1.15 * max([value for _, value in shown], default=1.0) or 1.0)
        axes.grid(visible=False, axis="y")
        style.describe(axes, "share of the importance", "", objectives[position])
    return figure


def _pareto(study: "optuna.Study", objectives: Sequence[str], names: Sequence[str]) -> Figure:
    complete, front = trials_of(study, "COMPLETE"), best_trials(study)
    pairs = [(i, j) for i in range(len(objectives)) for j in range(i + 1, len(objectives))]
    rows, columns = style.grid_of(len(pairs), 3)
    figure, grid = style.panels(rows, columns, 1.6 + 5.4 * columns, 0.4 + 4.2 * rows)
    for axes, (i, j) in zip(grid, pairs, strict=False):
        xs, ys = ([trial.values[k] for trial in complete] for k in (i, j))
        axes.plot(xs, ys, "o", color=style.GRAY, markersize=5, alpha=0.6, label="complete")
        points = sorted((trial.values[i], trial.values[j]) for trial in front)
        line = "-" if len(objectives) == 2 else "none"
        axes.plot(
            *zip(*points, strict=True),
            marker="o",
            linestyle=line,
            color=style.BLUE,
            linewidth=1,
            label="Pareto front",
        )
        # Nothing lies beyond a front: labels point to that corner, rotated so as not to overlap.
        right, up = (study.directions[k].name == "MAXIMIZE" for k in (i, j))
        for point in sorted(set(points)):
            at = [str(t.number) for t in front if (t.values[i], t.values[j]) == point]
            axes.annotate(
                ", ".join(at[:3]) + (" …" if len(at) > 3 else ""),
                point,
                xytext=(4 if right else -4, 4 if up else -4),
                textcoords="offset points",
                ha="left" if right else "right",
                va="center",
                rotation=60 if right == up else -60,
                rotation_mode="anchor",
                fontsize=8,
            )
        logarithmic_if_wide(axes.set_xscale, xs)
        logarithmic_if_wide(axes.set_yscale, ys)
        axes.margins(0.08)
        style.describe(axes, _goal(study, objectives, i), _goal(study, objectives, j))
    style.hide(grid[len(pairs) :])
    _legend(figure, grid[0])
    return figure


def _goal(study: "optuna.Study", objectives: Sequence[str], position: int) -> str:
    is_low = study.directions[position].name == "MINIMIZE"
    return f"{objectives[position]} ({'lower' if is_low else 'higher'} is better)"


def _intermediate(study: "optuna.Study", objectives: Sequence[str], names: Sequence[str]) -> Figure:
    figure, (axes,) = style.panels(1, 1, 8, 4.6)
    best = best_trials(study)[:1]
    looks = {
        "FAIL": ("failed", style.RED, 1.0),
        "RUNNING": ("running", style.GRAY, 1.0),
        "PRUNED": ("pruned", style.ORANGE, 1.0),
        "COMPLETE": ("complete", style.SKY, 1.0),
    }
    shown: list[float] = []
    for state, (label, color, width) in looks.items():
        for trial in trials_of(study, state):
            points = sorted(trial.intermediate_values.items())
            if not points:
                continue
            xs, ys = zip(*points, strict=True)
            shown += ys
            is_best = trial in best
            axes.plot(
                xs,
                ys,
                color=style.BLACK if is_best else color,
                linewidth=2.2 if is_best else width,
                zorder=3 if is_best else 2,
                marker="o",
                markersize=3.5 if state == "PRUNED" or len(xs) == 1 else 0,
                markevery=[-1],
                label=f"best, trial {trial.number}" if is_best else label,
            )
    logarithmic_if_wide(axes.set_yscale, shown)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.describe(axes, "epoch", objectives[0])
    _legend(figure, axes)
    return figure


def _legend(figure: Figure, axes: Axes) -> None:
    """Draws each legend entry once, to the right of the panels."""
    lines, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, lines, strict=True))
    style.legend_outside(figure, list(once.values()), list(once), "")


_FIGURES: dict[str, Callable[["optuna.Study", Sequence[str], Sequence[str]], Figure]] = {
    "history": _history,
    "importances": _importances,
    "slices": slices,
    "parallel_coordinates": parallel_coordinates,
    "pareto_front": _pareto,
    "intermediate_values": _intermediate,
}
