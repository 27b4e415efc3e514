"""The only file that uses private names of Optuna; a test checks them against its version.

There is no public way to reopen a trial of another process, to end one that waits, to ask or tell
without reading trials that are known, to write several attributes in one transaction, to ask for
Hyperband's bracket of a trial or to show a sampler other trials than those of the storage, and
Optuna's exhaustive samplers stop a study when nothing is left, which is allowed inside `optimize`
only. This module imports Optuna, so it is itself imported only where it is needed.
"""

import copy
import json
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any, final

from optuna import Study, Trial
from optuna.distributions import BaseDistribution
from optuna.pruners import HyperbandPruner
from optuna.samplers import BruteForceSampler, GridSampler
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import TrialModel, TrialUserAttributeModel
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.study._tell import _tell_with_warning
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import insert

from samerun import tags as tag
from samerun.search.paused import is_paused

_UNKNOWN = object()  # equal to no value


def reopen_trial(study: Study, frozen: FrozenTrial) -> Trial:
    """Returns a running trial, to suggest its values again and to write to it."""
    return Trial(study, frozen._trial_id)


def ask(study: Study, *, any_waits: bool) -> Trial:
    """Returns a new trial, or the first that waits.

    Args:
        study: the study.
        any_waits: whether a trial waited a moment ago; if none did, the trials are not read again.
    """
    if any_waits:
        return study.ask()
    study._thread_local.cached_all_trials = None  # as `Study.ask` begins
    return Trial(study, study._storage.create_new_trial(study._study_id))


def tell(study: Study, number: int, values: Sequence[float] | None, state: TrialState) -> None:
    """Reports how a trial ended, unless it has; `Study.tell` reads the trial again to return it."""
    _tell_with_warning(study, number, values, state, skip_if_finished=True)


def set_attributes(trial: Trial, values: Mapping[str, Any]) -> None:
    """Sets user attributes of a trial: in a database all in one transaction, or none.

    One at a time, each would take as long as all together. No other process may set the same ones.

    Args:
        trial: the trial, which is running.
        values: by name, each as JSON can hold it.
    """
    database = getattr(trial.storage, "_backend", trial.storage)  # without Optuna's cache
    if not isinstance(database, RDBStorage):
        for key, value in values.items():
            trial.set_user_attr(key, value)
        return
    number = trial._trial_id
    with _create_scoped_session(database.scoped_session) as session:
        model: Any = TrialModel.find_or_raise_by_id(number, session)
        database.check_trial_is_updatable(number, model.state)
        query = session.query(TrialUserAttributeModel).filter_by(trial_id=number)
        there = {str(row.key): row for row in query}
        texts = {key: json.dumps(value) for key, value in values.items()}
        for key in texts.keys() & there.keys():
            there[key].value_json = texts[key]
        fresh = [
            {"trial_id": number, "key": key, "value_json": text}
            for key, text in texts.items()
            if key not in there
        ]
        if fresh:  # in one statement
            session.execute(insert(TrialUserAttributeModel), fresh)
    trial._cached_frozen_trial.user_attrs.update(values)


def end_without_run(study: Study, frozen: FrozenTrial, reason: str) -> None:
    """Ends a trial that waits, or was interrupted before its run was created, as pruned.

    A finished trial takes no user attribute, so the reason comes first: only together with a
    finished state does it mean anything.

    Args:
        study: the study.
        frozen: the trial.
        reason: its user attribute `samerun.reason`.
    """
    study._storage.set_trial_user_attr(frozen._trial_id, tag.REASON, reason)
    if frozen.state == TrialState.WAITING:  # without a start, the study could not be copied
        study._storage.set_trial_state_values(frozen._trial_id, TrialState.RUNNING)
    study._storage.set_trial_state_values(frozen._trial_id, TrialState.PRUNED)


def contains(distribution: BaseDistribution, before: BaseDistribution, value: Any) -> bool:
    """Whether a value that was drawn from one distribution belongs to another one."""
    return bool(distribution._contains(before.to_internal_repr(value)))


def bracket_of(study: Study, trial: FrozenTrial) -> int:
    """Returns Hyperband's bracket of a trial, from 0; 0 with any other pruner."""
    pruner = study.pruner
    if not isinstance(pruner, HyperbandPruner):
        return 0
    if not pruner._pruners:
        pruner._try_initialization(study)
    return pruner._get_bracket_id(study, trial)


def with_paused_as_pruned(study: Study) -> Study:
    """Returns the same study as a sampler should see it: paused trials are pruned ones.

    A sampler learns from the values of pruned trials. Running ones it takes for bad, so that other
    workers try something else.

    Args:
        study: the study, with its pruner.
    """
    storage: Any = _PausedAsPruned(study._storage)
    return Study(study.study_name, storage, study.sampler, study.pruner)


@final
class _PausedAsPruned:
    """A storage whose paused trials are pruned when all trials are read."""

    def __init__(self, storage: Any) -> None:
        self._inner = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Returns the trials of a study, or those in some states."""
        trials = self._inner.get_all_trials(study_id, deepcopy=deepcopy)
        shown = [_as_pruned(trial) if is_paused(trial) else trial for trial in trials]
        return [trial for trial in shown if states is None or trial.state in states]


def _as_pruned(trial: FrozenTrial) -> FrozenTrial:
    """Returns a trial as if it had ended as pruned: its value is the last one reported."""
    shown = copy.copy(trial)
    shown.state = TrialState.PRUNED
    if trial.last_step is not None:
        shown.values = [trial.intermediate_values[trial.last_step]]
    return shown


@final
class Grid(GridSampler):
    """Every combination of values, once.

    Optuna uses a trial's number as its position in the grid, and so skips one combination for each
    enqueued trial.
    """

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Assigns a trial the first free position; a resumed trial keeps its own."""
        given = given_values(trial)
        if self._place(trial) is not None or set(self._param_names) <= set(given):
            return
        # From the storage, as in Optuna's own: with Hyperband, `study` shows only some trials.
        trials = study._storage.get_all_trials(study._study_id, deepcopy=False)
        taken = {self._point(other) for other in trials if other.number != trial.number}
        fitting = list(self._fitting(given)) or list(range(len(self._all_grids)))
        free = (place for place in fitting if tuple(self._all_grids[place]) not in taken)
        place = next(free, fitting[0])
        study._storage.set_trial_system_attr(trial._trial_id, "search_space", self._search_space)
        study._storage.set_trial_system_attr(trial._trial_id, "grid_id", place)

    def _place(self, trial: FrozenTrial) -> int | None:
        """Returns a trial's position in this grid; `None` if it has none there."""
        kept = trial.system_attrs
        if "grid_id" not in kept or not self._same_search_space(kept["search_space"]):
            return None
        return int(kept["grid_id"])

    def _point(self, trial: FrozenTrial) -> tuple[Any, ...]:
        """Returns the values of a trial, or those that it will have."""
        given, place = given_values(trial), self._place(trial)
        if place is not None and len(given) < len(self._param_names):
            return tuple(self._all_grids[place])
        return tuple(given.get(name, _UNKNOWN) for name in self._param_names)

    def _fitting(self, given: dict[str, Any]) -> Iterator[int]:
        """Yields the positions that match the values that a trial already has."""
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
        """Does nothing: the number of trials ends the sweep."""


def given_values(trial: FrozenTrial) -> dict[str, Any]:
    """Returns the values of a trial, and those that were enqueued for it."""
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
        """Does nothing: the number of trials ends the sweep."""
