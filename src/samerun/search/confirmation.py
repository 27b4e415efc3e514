"""The confirmation of a search: its best trials, trained again with seeds that it did not use."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from samerun.config.root import Config
from samerun.config.sweep import Confirm, Sweep
from samerun.errors import UserError
from samerun.search.space import Space

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

FIRST_SEED = 1000
"""The first fresh seed above that of the search; `seeds` is at most this, so none is used twice."""

_SWEPT = ("seed", "seeds", "folds", "dataset.fold")


def fresh_seeds(cfg: Config, confirm: Confirm) -> range:
    """Returns the seeds of the runs that confirm a trial: the same for each trial.

    Args:
        cfg: the config that the search's trials share.
        confirm: how many there are.
    """
    first = cfg.seed + FIRST_SEED
    return range(first, first + confirm.seeds)


def study_name(name: str, seeds: range) -> str:
    """Returns the name of the study that confirms a search; other seeds are another study."""
    return f"{name}-confirm-{seeds[0]}-{seeds[-1]}"


def obstacle(keys: Collection[str], folds: object, num_objectives: int) -> str | None:
    """Returns why a search cannot be confirmed with fresh seeds; `None` if it can.

    Args:
        keys: of the search space.
        folds: number of folds of each trial, if it has several.
        num_objectives: number of objectives.
    """
    if num_objectives > 1:
        return f"{num_objectives} objectives, whose Pareto front has no first trial to confirm"
    if folds is not None:
        return f"folds={folds}, and seeds and folds do not go together in one run"
    swept = next((key for key in _SWEPT if key in keys), None)
    if swept is not None:
        return f"{swept} in the search space, so trials could not be paired by fresh seeds"
    return None


def check_confirmation(
    sweep: Sweep, cfg: Config, space: Space, num_objectives: int, n_trials: int
) -> None:
    """Checks that the best trials of a search can be confirmed, if they are to be.

    Args:
        sweep: the settings.
        cfg: the config that trials share.
        space: the search space.
        num_objectives: number of objectives.
        n_trials: total number of trials.

    Raises:
        UserError: they cannot.
    """
    top = sweep.confirm.top
    if not top:
        return
    why = obstacle([entry.key for entry in space.entries], cfg.folds, num_objectives)
    if why is not None:
        raise UserError(f"sweep.confirm.top: received {top} with {why}: leave sweep.confirm out.")
    if top > n_trials:
        raise UserError(
            f"sweep.confirm.top: received {top}, expected at most the number of trials, {n_trials}."
        )


def obstacle_of(study: "optuna.Study") -> str | None:
    """Returns why a study cannot be confirmed with fresh seeds; `None` if it can.

    Args:
        study: it may have been recorded by an earlier version, or by another program.
    """
    from samerun.search.study import study_start

    start = study_start(study)
    keys = {name for trial in study.get_trials(deepcopy=False) for name in trial.params}
    folds = None if start is None else start.base.get("folds")
    return obstacle(keys, folds, len(study.directions))


def is_point(space: Space, params: Mapping[str, Any]) -> bool:
    """Whether values are one point of a space, which a study may have left since it was extended.

    Args:
        space: the search space.
        params: values of a trial.
    """
    try:
        point = space.point(params)
    except UserError:  # a value is not in the space
        return False
    return {*params} == {*point} == {entry.key for entry in space.active(params)}


def choose_candidates(best: "list[FrozenTrial]", space: Space, top: int) -> "list[FrozenTrial]":
    """Returns the best trials that differ in their values.

    Args:
        best: trials that completed, the best first.
        space: the search space as it is now.
        top: how many to return at most.
    """
    chosen: list[FrozenTrial] = []
    for trial in best:
        is_new = all(trial.params != other.params for other in chosen)
        if len(chosen) < top and is_new and is_point(space, trial.params):
            chosen.append(trial)
    return chosen
