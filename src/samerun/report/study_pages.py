"""All plots of a study on one interactive HTML page, drawn by Optuna with Plotly.

One page, since the script that draws is 4.8 MB and has to be inside: MLflow shows an HTML artifact
without its neighbors, and a page has to open where there is no network.
"""

import html
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from samerun.report.study_axis import is_wide
from samerun.report.study_figures import TITLES, signed, without_warnings
from samerun.report.study_trials import (
    Commands,
    best_trials,
    completed,
    counts,
    format_counts,
    format_number,
    format_params,
    label_of,
    trials_of,
)

if TYPE_CHECKING:
    import optuna

_Drawn = Iterator[tuple[str, Any]]  # headings and plotly figures
_Drawer = Callable[["optuna.Study", Sequence[str], list[str]], _Drawn]
_NUM_BEST = 5
_MOST_NAMED = 30  # lines; above, a legend is useless
_BLUES = ((0.0, "#9cc3e0"), (1.0, "#08306b"))
_HEAD = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1200px; margin: 2em auto; \
padding: 0 1em }}
h2 {{ font-size: 1.1em; margin: 2em 0 0 }}
p {{ color: #555 }}
section, div {{ overflow-x: auto }}
table {{ border-collapse: collapse; font-size: .9em }}
th, td {{ text-align: left; vertical-align: top; padding: .3em 1em .3em 0; \
border-bottom: 1px solid #ddd }}
code {{ font-size: .9em }}
</style>
<script>{script}</script>
</head><body>
<h1>{title}</h1><p>{counts}</p>
"""


def page(
    study: "optuna.Study",
    objectives: Sequence[str],
    names: Sequence[str],
    shown: Collection[str],
    missing: Mapping[str, str],
    *,
    commands: Commands | None = None,
) -> str:
    """Returns the page.

    Args:
        study: the study.
        objectives: names of the study's values.
        names: the parameters, in the order in which they are shown.
        shown: names of the plots to draw, as in `study_figures.TITLES`.
        missing: why a plot is left out, by its title.
        commands: returns what trains a trial again; omitted if `None`.
    """
    from plotly.offline import get_plotlyjs

    title = html.escape(f"Study {study.study_name}")
    numbers = html.escape(format_counts(counts(study)) or "No trial yet")
    drawable = completed(study, names)  # Optuna rejects the others
    parts = [_HEAD.format(title=title, counts=numbers, script=get_plotlyjs())]
    parts.append(_best(study, objectives, commands))
    for name in shown:
        for heading, figure in _DRAWERS[name](study, objectives, drawable):
            _style(figure)
            drawn = figure.to_html(
                full_html=False, include_plotlyjs=False, config={"displaylogo": False}
            )
            parts.append(f"<section><h2>{html.escape(heading)}</h2>\n{drawn}</section>\n")
    for heading, reason in missing.items():
        parts.append(f"<h2>{html.escape(heading)}</h2><p>{html.escape(reason)}</p>\n")
    return "".join([*parts, "</body></html>\n"])


def _best(
    study: "optuna.Study",
    objectives: Sequence[str],
    commands: Commands | None,
) -> str:
    """Returns a table of the best trials, or of the Pareto front, with what repeats each."""
    is_front = len(objectives) > 1
    best = best_trials(study) if is_front else best_trials(study)[:_NUM_BEST]
    if not best:
        return ""
    lines = []
    for trial in best:
        repeats = [text for _, text in commands(trial)] if commands else []
        cells = [label_of(trial), *map(format_number, trial.values), format_params(trial.params)]
        row = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        code = "<br>".join(f"<code>{html.escape(text)}</code>" for text in repeats)
        lines.append(f"<tr>{row}<td>{code}</td></tr>\n")
    titles = ["trial", *objectives, "with", "to repeat it"]
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    heading = (
        "Trials on the Pareto front"
        if is_front
        else "Best trials"
        if len(best) > 1
        else "Best trial"
    )
    return f"<div><h2>{heading}</h2>\n<table><tr>{head}</tr>\n{''.join(lines)}</table></div>\n"


def _one_each(name: str, function: str, *, takes_params: bool = False) -> _Drawer:
    """Returns a function that draws one of Optuna's plots for each objective."""

    def draw(study: "optuna.Study", objectives: Sequence[str], params: list[str]) -> _Drawn:
        from optuna import visualization

        chosen = {"params": params} if takes_params else {}
        for position, objective in enumerate(objectives):
            is_one = len(objectives) == 1
            target = None if is_one else _value(position)
            figure = getattr(visualization, function)(
                study, target=target, target_name=objective, **chosen
            )
            yield TITLES[name] + ("" if is_one else f": {objective}"), figure

    return draw


def _importances(study: "optuna.Study", objectives: Sequence[str], params: list[str]) -> _Drawn:
    from optuna.visualization import plot_param_importances

    for position, name in enumerate(objectives):
        with without_warnings():
            figure = plot_param_importances(study, target=signed(study, position), target_name=name)
        yield TITLES["importances"] + ("" if len(objectives) == 1 else f": {name}"), figure


def _parallel(study: "optuna.Study", objectives: Sequence[str], params: list[str]) -> _Drawn:
    from optuna.visualization import plot_parallel_coordinate

    figure = plot_parallel_coordinate(study, params=params, target_name=objectives[0])
    if len(objectives) > 1:  # Optuna numbers them
        labels = figure.layout.xaxis.ticktext
        figure.update_xaxes(ticktext=[*objectives, *labels[len(objectives) :]])
    yield TITLES["parallel_coordinates"], figure


def _pareto(study: "optuna.Study", objectives: Sequence[str], params: list[str]) -> _Drawn:
    from optuna.visualization import plot_pareto_front

    if len(objectives) > 3:  # more than Optuna draws; the figure shows each pair
        return
    figure = plot_pareto_front(study, target_names=list(objectives))
    if len(objectives) == 2:
        for position, update in enumerate((figure.update_xaxes, figure.update_yaxes)):
            if is_wide([trial.values[position] for trial in trials_of(study, "COMPLETE")]):
                update(type="log")
    yield TITLES["pareto_front"], figure


def _intermediate(study: "optuna.Study", objectives: Sequence[str], params: list[str]) -> _Drawn:
    from optuna.visualization import plot_intermediate_values

    figure = plot_intermediate_values(study)
    figure.update_layout(xaxis_title="epoch", yaxis_title=objectives[0])
    yield TITLES["intermediate_values"], figure


def _value(position: int) -> Callable[[Any], float]:
    return lambda trial: float(trial.values[position])


def _style(figure: Any) -> None:
    """Removes the title, which the heading repeats; leaves room for long parameter names.

    The colors end before the white of Optuna's scale, which is that of the page.
    """
    figure.update_layout(title=None, margin={"t": 40}, template="plotly_white")
    if 1 < len(figure.data) <= _MOST_NAMED:
        figure.update_layout(showlegend=True)
    for trace in figure.data:
        for part in (getattr(trace, "marker", None), getattr(trace, "line", None)):
            if part is not None and getattr(part, "colorscale", None) is not None:
                part.colorscale = _BLUES
    figure.update_yaxes(automargin=True, exponentformat="power")
    figure.update_xaxes(automargin=True, exponentformat="power")


_DRAWERS: dict[str, _Drawer] = {
    "history": _one_each("history", "plot_optimization_history"),
    "importances": _importances,
    "slices": _one_each("slices", "plot_slice", takes_params=True),
    "parallel_coordinates": _parallel,
    "pareto_front": _pareto,
    "intermediate_values": _intermediate,
}
