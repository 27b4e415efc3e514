"""The trials of a study for its report: by state, the best ones, as a table."""

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from samerun import tags as tag
from samerun.escaping import spreadsheet_cell
from samerun.search.constraints import is_feasible
from samerun.search.lending import is_lent, origin_of
from samerun.search.paused import is_paused

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

STATES = {
    "COMPLETE": "complete",
    "LENT": "lent",
    "PRUNED": "pruned",
    "INFEASIBLE": "infeasible",
    "FAIL": "failed",
    "RUNNING": "running",
    "PAUSED": "paused",
    "WAITING": "waiting",
}
"""Optuna's states and their names on the screen; `INFEASIBLE` violates a constraint, `PAUSED` is
running for Optuna and waits to be promoted, `LENT` is the result of an earlier study."""

Commands = Callable[["FrozenTrial"], Sequence[tuple[str, str]]]
"""Returns what trains a trial again outside the sweep: a label and a line to type for each way."""


def state_of(trial: "FrozenTrial") -> str:
    """Returns Optuna's state of a trial; `INFEASIBLE`, `PAUSED` or `LENT` where that says more."""
    if is_paused(trial):
        return "PAUSED"
    if not is_feasible(trial):
        return "INFEASIBLE"
    return "LENT" if is_lent(trial) else trial.state.name


def label_of(trial: "FrozenTrial") -> str:
    """Returns the number of a trial for display; of a lent one, also the trial that trained it."""
    origin = origin_of(trial)
    return str(trial.number) if origin is None else f"{trial.number} (lent: {origin})"


def trials_of(study: "optuna.Study", state: str | None = None) -> "list[FrozenTrial]":
    """Returns the trials of a study by number, or those in the given one of Optuna's states."""
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if state is None or trial.state.name == state]


def counts(study: "optuna.Study") -> dict[str, int]:
    """Returns the number of trials in each state that occurs, by its name on the screen."""
    found = Counter(state_of(trial) for trial in trials_of(study))
    return {name: found[state] for state, name in STATES.items() if found[state]}


def format_counts(by_state: Mapping[str, int]) -> str:
    """Formats counts as `20 complete, 3 pruned, 1 failed`."""
    return ", ".join(f"{number} {state}" for state, number in by_state.items() if number)


def best_trials(study: "optuna.Study") -> "list[FrozenTrial]":
    """Returns the completed trials, best first, or the Pareto front by the first objective.

    Those that violate a constraint are left out.
    """
    trials = [trial for trial in trials_of(study, "COMPLETE") if is_feasible(trial)]
    if len(study.directions) > 1:
        trials = study.best_trials if trials else []
    sign = 1 if study.directions[0].name == "MINIMIZE" else -1
    return sorted(trials, key=lambda trial: (sign * trial.values[0], trial.number))


def parameters(study: "optuna.Study", first: Iterable[str] = ()) -> list[str]:
    """Returns the names of all parameters of all trials.

    Args:
        study: the study.
        first: names that come first, in this order, such as those of the search space.
    """
    names = {name: None for trial in trials_of(study) for name in trial.params}
    return list({name: None for name in [*first, *names] if name in names})


def completed(study: "optuna.Study", names: Iterable[str]) -> list[str]:
    """Returns the parameters of completed trials, the only ones that can be drawn."""
    having = {name for trial in trials_of(study, "COMPLETE") for name in trial.params}
    return [name for name in names if name in having]


def seconds_of(trial: "FrozenTrial") -> float | None:
    """Returns the duration of a trial: as the worker recorded it, else from start to end."""
    seconds = trial.user_attrs.get(tag.TRIAL_SECONDS)
    if seconds is not None:
        return float(seconds)
    return trial.duration.total_seconds() if trial.duration else None


def epochs_of(trial: "FrozenTrial") -> int | None:
    """Returns the number of epochs of a trial: as recorded, else the last one reported."""
    epochs = trial.user_attrs.get(tag.TRIAL_EPOCHS, trial.last_step)
    return None if epochs is None else int(epochs)


def test_of(trial: "FrozenTrial") -> tuple[str, float] | None:
    """Returns the name and the value of the trial's test metric; `None` if it was not recorded."""
    found = trial.user_attrs.get(tag.TRIAL_TEST) or {}
    return next(((str(name), float(value)) for name, value in found.items()), None)


def reason_of(trial: "FrozenTrial") -> str:
    """Returns the recorded reason why a trial did not complete, or who lent it."""
    origin = origin_of(trial)
    if origin is not None:
        return f"lent: {origin}"
    return str(trial.user_attrs.get(tag.REASON, ""))


def format_number(value: Any) -> str:
    """Formats a value for display: numbers with four digits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, float) and math.isfinite(value) and value != int(value):
        return f"{value:.4g}"
    return f"{value:.6g}" if abs(value) >= 1e15 or not math.isfinite(value) else f"{int(value):,}"


def format_params(params: Mapping[str, Any]) -> str:
    """Formats parameters as `model.dropout=0.31 schedule=cosine`."""
    return " ".join(f"{name}={format_number(value)}" for name, value in params.items())


def to_csv(
    study: "optuna.Study",
    objectives: Sequence[str],
    children: Mapping[int, tuple[str, str]],
    names: Sequence[str],
) -> str:
    """Formats all trials as CSV, one per line; missing values are empty.

    Args:
        study: the study.
        objectives: names of the values.
        children: run ID and run name of each trial, by its number.
        names: parameters, in the order of their columns.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header = ["number", "state", *objectives, *names]
    header += ["run_id", "run_name", "seconds", "epochs", "reason"]
    writer.writerow([_safe(name) for name in header])
    for trial in trials_of(study):
        values = trial.values or [""] * len(objectives)
        seconds = seconds_of(trial)
        row = [trial.number, STATES[state_of(trial)], *values]
        row += [trial.params.get(name, "") for name in names]
        row += children.get(trial.number, ("", ""))
        row += ["" if seconds is None else round(seconds, 3)]
        row = [*row, epochs_of(trial), reason_of(trial)]
        writer.writerow([_safe(cell) for cell in row])
    return text.getvalue()


def _safe(cell: Any) -> Any:
    """Returns a cell; text is escaped so that a spreadsheet does not evaluate it."""
    return spreadsheet_cell(cell) if isinstance(cell, str) else cell
