"""Checks before the first trial, so that a typo costs seconds and not an epoch."""

from collections.abc import Iterator, Sequence
from typing import Any

from samerun import config, search, tracking, user_code
from samerun.config.sweep import Sweep
from samerun.errors import UserError
from samerun.search.objectives import check_sweep
from samerun.sweeper.trial_configs import TrialConfigs

_MOST_MODELS = 24
"""The most models that are built: each takes about 0.2 s."""


def check_branches(
    sweep: Sweep, configs: TrialConfigs, space: search.Space
) -> list[tuple[str, config.Config]]:
    """Checks every branch with both ends of all its ranges, and the enqueued points.

    Returns:
        A label and a config for each branch and each different model in it.

    Raises:
        UserError: the first one that does not fit.
    """
    for entry in sweep.enqueue:
        if not isinstance(entry, str):  # the ID of a run, which is read later
            enqueued_point(sweep, space, entry)
    from samerun import data  # importing NumPy takes longer than the checks before this one

    found: dict[Any, tuple[str, config.Config]] = {}
    for values in _points(configs, space):
        cfg = configs.composition(values).config
        user_code.check_functions(cfg)
        spec = data.describe(cfg.dataset)
        config.check(cfg, spec)
        check_sweep(sweep, cfg, spec)
        search.check_constraints(sweep, cfg, spec)
        label = _label(values, cfg)
        key = repr((cfg.model, cfg.dataset, user_code.own_functions(cfg)))
        found.setdefault(key, (label, cfg))
    return list(found.values())[:_MOST_MODELS]


def _label(values: dict[str, Any], cfg: config.Config) -> str:
    """Returns the label of a model: the swept options of the groups that it depends on."""
    kinds = {"model": cfg.model.kind, "dataset": cfg.dataset.kind}
    chosen = [str(values[group]) for group in kinds if group in values]
    return " ".join(chosen or kinds.values())


def enqueued_point(sweep: Sweep, space: search.Space, entry: Any) -> dict[str, Any]:
    """Returns an entry of `sweep.enqueue` as values of the study.

    Raises:
        UserError: it is not a mapping, or not a point of the space.
    """
    if not isinstance(entry, dict):
        raise UserError(
            f"sweep.enqueue: received {entry}, expected values such as {{model.dropout: 0.3}}, or "
            "the ID of a run."
        )
    values = space.named(entry)
    search.check_point(sweep, space, values)
    return values


def enqueued_points(
    sweep: Sweep, space: search.Space, uri: str | None
) -> tuple[dict[str, Any], ...]:
    """Returns the points to try first: given values, or those of recorded runs.

    Raises:
        UserError: there is no such run, or a point is not in the space.
    """
    points: list[dict[str, Any]] = []
    for entry in sweep.enqueue:
        if isinstance(entry, str):
            (run,) = tracking.find_runs([entry], uri=uri)
            points.append(space.point(run.params))
            search.check_point(sweep, space, points[-1])
        else:
            points.append(enqueued_point(sweep, space, entry))
    return tuple(points)


def _points(configs: TrialConfigs, space: search.Space) -> Iterator[dict[str, Any]]:
    for branch in configs.branches():
        yield from space.corners(branch)


def model_lines(labels: Sequence[str], built: Sequence[tuple[int, int]]) -> list[str]:
    """Returns a line for each model: its parameters and an estimate of the memory it needs."""
    sizes: dict[str, list[tuple[int, int]]] = {}
    for label, size in zip(labels, built, strict=True):
        sizes.setdefault(label, []).append(size)
    lines = []
    for label, found in sizes.items():
        low, high = min(n for n, _ in found), max(n for n, _ in found)
        numbers = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        memory = max(size for _, size in found) / 1e6
        needed = f"about {memory:,.0f} MB" if memory >= 1 else "under 1 MB"
        lines.append(f"{label}: {numbers} parameters, {needed} in training")
    return lines


def check_values(study: Any, space: search.Space) -> None:
    """Checks the space against the trials of a study, as its storage will.

    Raises:
        UserError: Optuna cannot change an entry's options once trials have used them, or a trial
            that was interrupted has a value that is no longer in the space.
    """
    from optuna.distributions import check_distribution_compatibility
    from optuna.trial import TrialState

    from samerun.search.optuna_internals import contains

    now = {entry.key: search.distribution(entry.space) for entry in space.entries}
    for trial in study.get_trials(deepcopy=False):
        for key, before in trial.distributions.items():
            if key not in now:
                continue
            try:
                check_distribution_compatibility(before, now[key])
            except ValueError as error:
                raise _unfit(key, str(error)) from error
            value = trial.params[key]
            if trial.state == TrialState.RUNNING and not contains(now[key], before, value):
                raise _unfit(key, f"trial {trial.number} resumes with {value}")


def _unfit(key: str, why: str) -> UserError:
    return UserError(
        f"sweep.extend: existing trials of the study do not fit the new space of {key} "
        f"({why.rstrip('.')}): choose another name with sweep.study."
    )
