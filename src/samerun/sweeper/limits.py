"""Limits: when a trial, or a sweep with trials left to run, has to end."""

import time
from typing import TYPE_CHECKING

from samerun import tags as tag
from samerun.config.sweep import Budget
from samerun.search.constraints import is_feasible
from samerun.search.lending import is_lent

if TYPE_CHECKING:
    import optuna

GRACE_SECONDS = 10.0
"""How far a trial may exceed its limit, to finish its epoch, before its worker is killed."""
STOP_SECONDS = 60.0
"""How long trials may take to write a checkpoint after Ctrl-C."""


def is_overdue(limit: float | None, seconds: float) -> bool:
    """Whether a trial has exceeded its time limit by so much that its worker has to be killed."""
    return limit is not None and seconds > limit * 1.1 + GRACE_SECONDS


def is_stop_overdue(stopped_at: float | None) -> bool:
    """Whether trials that were asked to stop, at that monotonic time, took too long to do so."""
    return stopped_at is not None and time.monotonic() > stopped_at + STOP_SECONDS


def reached(budget: Budget, study: "optuna.Study", seconds: float) -> str | None:
    """Returns which limit of a sweep is reached, in words; `None` if another trial may start.

    Args:
        budget: the limits.
        study: the study with its trials so far.
        seconds: how long the sweep has run, earlier starts included.
    """
    if budget.seconds is not None and seconds >= budget.seconds:
        return f"sweep.budget.seconds ({budget.seconds:g}) reached"
    if (budget.epochs, budget.target, budget.patience_trials) == (None, None, None):
        return None
    trials = study.get_trials(deepcopy=False)
    if budget.epochs is not None:
        epochs = sum(_epochs(trial) for trial in trials if not is_lent(trial))
        if epochs >= budget.epochs:
            return f"sweep.budget.epochs ({budget.epochs}) reached"
    if budget.target is None and budget.patience_trials is None:
        return None
    ended = [trial for trial in trials if trial.state.is_finished()]
    ended.sort(key=lambda trial: (trial.datetime_complete, trial.number))
    sign = 1.0 if study.direction.name == "MINIMIZE" else -1.0
    best, since = float("inf"), 0
    for trial in ended:
        is_complete = trial.state.name == "COMPLETE" and is_feasible(trial)
        value = sign * float(trial.value or 0.0) if is_complete else float("inf")
        since = 0 if value < best or is_lent(trial) else since + 1
        best = min(best, value)
    if budget.target is not None and best <= sign * budget.target:
        return f"sweep.budget.target ({budget.target:g}) reached"
    if budget.patience_trials is not None and since >= budget.patience_trials:
        return f"no improvement in {since} trials (sweep.budget.patience_trials)"
    return None


def _epochs(trial: "optuna.trial.FrozenTrial") -> int:
    return int(trial.user_attrs.get(tag.TRIAL_EPOCHS) or trial.last_step or 0)
