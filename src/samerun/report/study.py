"""The report of a sweep: a page in Markdown, interactive plots, figures, all trials as CSV.

Nothing here imports TensorFlow, since a sweep's own process never does.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from samerun import tags as tag
from samerun.escaping import code_span, fence, markdown
from samerun.report.confirmation import Confirmation
from samerun.report.study_trials import (
    Commands,
    best_trials,
    counts,
    epochs_of,
    format_counts,
    format_number,
    format_params,
    label_of,
    parameters,
    reason_of,
    seconds_of,
    state_of,
    test_of,
    to_csv,
    trials_of,
)
from samerun.search.confirmation import obstacle_of
from samerun.tracking import Run

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

_TOP = 5
_CONFIRMED = 3  # best trials that are suggested for a confirmation
_MOST_FAILURES = 10  # on the page; the table of all trials has every one
LOOSER = {
    "median": "median.warmup_epochs",
    "percentile": "percentile.warmup_epochs",
    "successive_halving": "successive_halving.min_epochs",
    "hyperband": "hyperband.min_epochs",
    "patient": "patient.patience_epochs",
    "threshold": "threshold.warmup_epochs",
    "wilcoxon": "wilcoxon.startup_instances",
}
"""The setting of each pruner that delays pruning when raised."""


def write(
    study: "optuna.Study",
    run: Run,
    folder: Path,
    *,
    definitions: Mapping[str, str],
    objectives: Sequence[str],
    children: Mapping[int, tuple[str, str]],
    commands: Commands | None = None,
    confirmation: Confirmation | None = None,
) -> list[str]:
    """Writes the final artifacts of a study: page, plots as HTML and PNG, trials as CSV.

    Args:
        study: the study; it may have no completed trial.
        run: the sweep's own run.
        folder: where the files are written before they are logged; created if missing.
        definitions: the definition of each entry of the search space, by its key.
        objectives: names of the study's values, such as `validation/accuracy`.
        children: run ID and run name of each trial, by its number.
        commands: returns what trains a trial again; omitted if `None`.
        confirmation: of its best trials with fresh seeds; `None` without one.

    Returns:
        A line for each plot that could not be drawn, with the reason.
    """
    from samerun.plots.style import save
    from samerun.report import study_figures, study_pages

    folder.mkdir(parents=True, exist_ok=True)
    names = parameters(study, definitions)
    text = to_markdown(
        study,
        definitions=definitions,
        objectives=objectives,
        children=children,
        commands=commands,
        confirmation=confirmation,
    )
    run.describe(text)
    run.log_text(to_csv(study, objectives, children, names), "trials.csv")
    figures, missing = study_figures.draw(study, objectives, names)
    for name, figure in figures.items():
        save(figure, folder / f"{name}.png")
        run.log_file(folder / f"{name}.png", "plots")
    page = folder / "plots.html"
    page.write_text(
        study_pages.page(study, objectives, names, list(figures), missing, commands=commands),
        encoding="utf-8",
    )
    run.log_file(page)
    _write_tensorboard(study, run, objectives)
    notes = [f"{name}: {reason}" for name, reason in missing.items()]
    if notes:
        text += "\n".join(["### Missing plots", "", *(f"- {markdown(line)}" for line in notes), ""])
    run.log_text(text, "study.md")
    return notes


def _write_tensorboard(study: "optuna.Study", run: Run, objectives: Sequence[str]) -> None:
    """Writes the HParams tab of the entire study, which `samerun tensorboard RUN` opens."""
    from samerun import tensorboard

    folder = run.folder / "tensorboard"
    shutil.rmtree(folder, ignore_errors=True)  # from before the sweep was resumed
    sessions = []
    for trial in trials_of(study):
        if trial.datetime_start is None:
            continue
        start = trial.datetime_start.timestamp()
        values = trial.values if trial.state.name == "COMPLETE" else None
        session = tensorboard.Session(
            name=f"{trial.number:04}",
            params={name: _plain(value) for name, value in trial.params.items()},
            values=dict(zip(objectives, values or (), strict=False)),
            points=(objectives[0], trial.intermediate_values),
            state=trial.state.name,
            start=start,
            end=trial.datetime_complete.timestamp() if trial.datetime_complete else start,
        )
        sessions.append(session)
    tensorboard.write_sweep(folder, objectives, sessions)
    run.log_folder(folder, "tensorboard")


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def to_markdown(
    study: "optuna.Study",
    *,
    definitions: Mapping[str, str],
    objectives: Sequence[str],
    children: Mapping[int, tuple[str, str]],
    commands: Commands | None = None,
    confirmation: Confirmation | None = None,
) -> str:
    """Returns the study's page in Markdown; the sweep may still be running.

    Args:
        study: the study.
        definitions: the definition of each entry of the search space, by its key.
        objectives: names of the study's values.
        children: run ID and run name of each trial, by its number.
        commands: returns what trains a trial again; omitted if `None`.
        confirmation: of its best trials with fresh seeds; `None` without one.
    """
    best = best_trials(study)
    if confirmation is None:
        lines = [f"**{_sentence(study, objectives, best)}**", ""]
    else:
        lines = [f"**{_confirmed(study, confirmation)}**", ""]
    if confirmation is not None and confirmation.ranked:
        first = confirmation.ranked[0]
        lines += _commands(first.trial, f"trial {first.number}", commands)
        lines += confirmation.section()
    elif best:
        which = "best by the first objective" if len(study.directions) > 1 else "best"
        title = f"trial {markdown(label_of(best[0]))}, the {which}"
        lines += _commands(best[0], title, commands)
    lines += _table_of_trials(study, best, objectives, children)
    note = _optimism(study, objectives) if best and confirmation is None else ""
    lines += [f"{note}.", ""] if note else []
    lines += ["### Search space", "", "| key | values |", "|---|---|"]
    lines += [f"| `{_cell(key)}` | `{_cell(text)}` |" for key, text in definitions.items()]
    lines += ["", f"Sampler {_part(study, tag.SAMPLER)}, pruner {_part(study, tag.PRUNER)}.", ""]
    lines += _infeasible(study)
    lines += _failures(study)
    return "\n".join([*lines, ""])


def last_lines(
    study: "optuna.Study",
    *,
    objectives: Sequence[str],
    commands: Commands | None = None,
    confirmation: Confirmation | None = None,
) -> list[tuple[str, str]]:
    """Returns what the screen shows at the end of a sweep: a label and a text for each line.

    Args:
        study: the study.
        objectives: names of the study's values.
        commands: returns what trains a trial again; omitted if `None`.
        confirmation: of its best trials with fresh seeds; `None` without one.
    """
    rows = [("trials", format_counts(counts(study)) or "none")]
    if confirmation is not None and confirmation.ranked:
        return rows + confirmation.rows(commands)
    best = best_trials(study)
    if confirmation is not None and best:
        rows.append(("confirmed", confirmation.sentence()))
    if len(objectives) > 1 and best:
        rows.append(("front", ", ".join(f"trial {label_of(trial)}" for trial in best)))
    for trial in best[:1]:
        values = _format_values(trial, objectives)
        rows.append(("best", f"trial {label_of(trial)}  {values}"))
        tested, note = test_of(trial), _optimism(study, objectives)
        if tested is not None and note:
            rows.append(("test", f"trial {trial.number}  {tested[0]} {format_number(tested[1])}"))
        if note:
            rows.append(("note", note))
        rows.append(("with", format_params(trial.params)))
        rows += commands(trial) if commands else ()
    if not best and trials_of(study):
        rows.append(("best", _why_none_is_best(study)))
    return rows


def _optimism(study: "optuna.Study", objectives: Sequence[str]) -> str:
    """Returns why the best value tends to be optimistic; empty if no validation metric chose it."""
    number = len(trials_of(study, "COMPLETE"))
    if not objectives[0].startswith("validation/") or number < 2:
        return ""
    return (
        f"{objectives[0]} chose among {number} trials and their epochs, so the best value tends to "
        "be optimistic; the test metric did not: report it, and do not choose by it"
        f"{_how_to_confirm(study, number)}"
    )


def _how_to_confirm(study: "optuna.Study", number: int) -> str:
    """Returns how to find out whether the best trials differ; empty where there is no way."""
    if obstacle_of(study) is not None:
        return ""
    return (
        "; these values cannot say whether the best trials differ: add "
        f"sweep.study={study.study_name} sweep.confirm.top={min(_CONFIRMED, number)} "
        "sweep.confirm.seeds=5 to the same command"
    )


def _why_none_is_best(study: "optuna.Study") -> str:
    """Explains that no trial completed, and what to change."""
    if counts(study).get("infeasible"):
        return "none, since no trial keeps sweep.constraints: loosen them, or the search space"
    none = "none, since no trial completed"
    if not trials_of(study, "PRUNED"):
        failed = bool(trials_of(study, "FAIL"))
        return f"{none}: trials.csv holds the reasons" if failed else none
    key = LOOSER.get(study.user_attrs.get(tag.PRUNER, ""))
    return f"{none}: try sweep.pruner=none" + (f", or a larger sweep.{key}" if key else "")


def _sentence(
    study: "optuna.Study", objectives: Sequence[str], best: "Sequence[FrozenTrial]"
) -> str:
    found = format_counts(counts(study)) or "no trial yet"
    if not best:
        return f"{found}; no results yet."
    if len(objectives) > 1:
        return f"{found}; {len(best)} on the Pareto front of {' and '.join(objectives)}."
    trial = best[0]
    label, value = markdown(label_of(trial)), format_number(trial.values[0])
    return f"{objectives[0]} {value} in trial {label}; {found}."


def _confirmed(study: "optuna.Study", confirmation: Confirmation) -> str:
    found = format_counts(counts(study)) or "no trial yet"
    return f"{markdown(confirmation.sentence())}; {found}."


def _commands(trial: "FrozenTrial", title: str, commands: Commands | None) -> list[str]:
    """Returns the commands that train a trial again."""
    lines = [text for _, text in commands(trial)] if commands else []
    if not lines:
        return []
    marks = fence("\n".join(lines))
    return [f"To repeat {title}:", "", marks, *lines, marks, ""]


def _table_of_trials(
    study: "optuna.Study",
    best: "Sequence[FrozenTrial]",
    objectives: Sequence[str],
    children: Mapping[int, tuple[str, str]],
) -> list[str]:
    """Returns a table of the five best trials, or of the Pareto front."""
    if not best:
        return []
    is_front = len(study.directions) > 1
    shown = best if is_front else best[:_TOP]
    title = "Pareto front" if is_front else f"Best {len(shown)}" if len(shown) > 1 else "Best"
    tested = next((found[0] for found in map(test_of, shown) if found), None)
    titles = [*objectives, *([tested] if tested else [])]
    lines = [
        f"### {title}",
        "",
        f"| trial | {' | '.join(map(markdown, titles))} | with | epochs | s | run |",
    ]
    lines.append("|---|" + "---|" * (len(titles) + 4))
    for trial in shown:
        seconds, run = seconds_of(trial), children.get(trial.number, ("", ""))
        cells = [markdown(label_of(trial)), *(format_number(value) for value in trial.values)]
        if tested:
            found = test_of(trial)
            cells.append(format_number(found[1]) if found else "")
        cells += [f"`{_cell(format_params(trial.params))}`", str(epochs_of(trial) or "")]
        cells += ["" if seconds is None else f"{seconds:.1f}", f"`{run[0]}`" if run[0] else ""]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _infeasible(study: "optuna.Study") -> list[str]:
    """Returns the trials that violate a constraint, which are not ranked."""
    found = [trial for trial in trials_of(study) if state_of(trial) == "INFEASIBLE"]
    if not found:
        return []
    lines = ["### Infeasible", "", "Not ranked, since they violate `sweep.constraints`:", ""]
    for trial in found[:_MOST_FAILURES]:
        reason, epochs = reason_of(trial) or "a constraint", epochs_of(trial) or 0
        lines.append(f"- trial {trial.number}: {markdown(reason)} ({epochs} epochs)")
    if len(found) > _MOST_FAILURES:
        lines.append(f"- and {len(found) - _MOST_FAILURES} more in `trials.csv`")
    return [*lines, ""]


def _failures(study: "optuna.Study") -> list[str]:
    failed = trials_of(study, "FAIL")
    if not failed:
        return []
    lines = ["### Failed", ""]
    for trial in failed[:_MOST_FAILURES]:
        reason = reason_of(trial) or "no reason recorded"
        lines.append(
            f"- trial {trial.number}: {markdown(reason)} (`{_cell(format_params(trial.params))}`)"
        )
    if len(failed) > _MOST_FAILURES:
        lines.append(f"- and {len(failed) - _MOST_FAILURES} more in `trials.csv`")
    return [*lines, ""]


def _format_values(trial: "FrozenTrial", objectives: Sequence[str]) -> str:
    pairs = zip(objectives, trial.values, strict=True)
    return "  ".join(f"{name} {format_number(value)}" for name, value in pairs)


def _part(study: "optuna.Study", key: str) -> str:
    """Returns the config's name of the sampler or pruner, or its class if that is not stored."""
    part = study.sampler if key == tag.SAMPLER else study.pruner
    named = study.user_attrs.get(key, type(part).__name__)
    return f"`{code_span(str(named))}`"


def _cell(text: str) -> str:
    """Escapes text for backticks in a table: a bar would end the cell, a backtick the code."""
    return code_span(text)
