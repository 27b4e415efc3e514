"""Optuna's two samplers that try everything, for studies that are asked and told.

Theirs end a study when there is nothing left, which Optuna allows inside `optimize` only. Imported
where they are built, since Optuna is.
"""

from collections.abc import Sequence
from typing import final

from optuna import Study
from optuna.samplers import BruteForceSampler, GridSampler
from optuna.trial import FrozenTrial, TrialState


@final
class Grid(GridSampler):
    """Every combination of values."""

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Leaves the end to the number of trials."""


@final
class BruteForce(BruteForceSampler):
    """Every combination of values, with conditions."""

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Leaves the end to the number of trials."""
