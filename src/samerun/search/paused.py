"""Which trials wait at a rung, and where they have paused: read from their user attributes."""

from typing import TYPE_CHECKING

from samerun import tags as tag
from samerun.search.outcome import EndState

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


def is_paused(trial: "FrozenTrial") -> bool:
    """Whether a trial waits at a rung: for Optuna it is running, but no worker trains it."""
    state = trial.user_attrs.get(tag.STATE)
    return trial.state.name == "RUNNING" and state == EndState.paused.value


def paused_at(trial: "FrozenTrial | optuna.Trial") -> dict[int, float]:
    """Returns the epochs at which a trial has paused, and the seconds it had taken until then."""
    found = trial.user_attrs.get(tag.TRIAL_PAUSED) or {}
    return {int(epoch): float(seconds) for epoch, seconds in found.items()}
