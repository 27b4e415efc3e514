"""The only file that uses names which Optuna keeps private; a test compares them with its version.

Nothing public leads back to a trial that another process started, and Optuna's samplers that try
everything end a study when nothing is left, which it allows inside `optimize` only. This module
imports Optuna, so it is itself imported only where it is needed.
"""

from collections.abc import Iterator, Sequence
from typing import Any, final

from optuna import Study, Trial
from optuna.distributions import BaseDistribution
from optuna.samplers import BruteForceSampler, GridSampler
from optuna.trial import FrozenTrial, TrialState

_UNKNOWN = object()  # equal to no value


def reopen_trial(study: Study, frozen: FrozenTrial) -> Trial:
    """Returns a running trial, to suggest its values again and to write to it."""
    return Trial(study, frozen._trial_id)


def contains(distribution: BaseDistribution, before: BaseDistribution, value: Any) -> bool:
    """Whether a value that was drawn from one distribution belongs to another one."""
    return bool(distribution._contains(before.to_internal_repr(value)))


@final
class Grid(GridSampler):
    """Every combination of values, once.

    Optuna's takes a trial's number for its place in the grid, and so leaves one combination out for
    each trial whose values were named.
    """

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Gives a trial the first place that no other has; one that goes on keeps its own."""
        given = _given(trial)
        if self._place(trial) is not None or set(self._param_names) <= set(given):
            return
        # From the storage, as Optuna's own does: with Hyperband `study` shows some trials only.
        trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
        taken = {self._point(other) for other in trials if other.number != trial.number}
        fitting = list(self._fitting(given)) or list(range(len(self._all_grids)))
        free = (place for place in fitting if tuple(self._all_grids[place]) not in taken)
        place = next(free, fitting[0])
        study._storage.set_trial_system_attr(trial._trial_id, "search_space", self._search_space)
        study._storage.set_trial_system_attr(trial._trial_id, "grid_id", place)

    def _place(self, trial: FrozenTrial) -> int | None:
        """Returns where in this grid a trial is; `None`: nowhere, or in that of a former space."""
        kept = trial.system_attrs
        if "grid_id" not in kept or not self._same_search_space(kept["search_space"]):
            return None
        return int(kept["grid_id"])

    def _point(self, trial: FrozenTrial) -> tuple[Any, ...]:
        """Returns the values of a trial, or those that it is going to have."""
        given, place = _given(trial), self._place(trial)
        if place is not None and len(given) < len(self._param_names):
            return tuple(self._all_grids[place])
        return tuple(given.get(name, _UNKNOWN) for name in self._param_names)

    def _fitting(self, given: dict[str, Any]) -> Iterator[int]:
        """Yields the places that agree with the values that a trial has already."""
        known = [
            (index, given[name]) for index, name in enumerate(self._param_names) if name in given
        ]
        for place, point in enumerate(self._all_grids):
            if all(point[index] == value for index, value in known):
                yield place

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Leaves the end to the number of trials."""


def _given(trial: FrozenTrial) -> dict[str, Any]:
    """Returns the values that a trial has, and those that were named for it."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


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
