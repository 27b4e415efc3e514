"""What is checked before the first trial: a typo costs seconds, not an epoch."""

from collections.abc import Iterator, Sequence
from typing import Any

from samerun import config, data, search, tracking
from samerun.config.sweep import Sweep
from samerun.errors import UserError
from samerun.search.objectives import check_sweep
from samerun.sweeper.trial_configs import TrialConfigs

_MOST_MODELS = 24
"""Models that are built at most: each takes about 0.2 s."""


def check_branches(
    sweep: Sweep, frozen: TrialConfigs, space: search.Space
) -> list[tuple[str, config.Config]]:
    """Checks every branch, with every end of every range in it, and the points to try first.

    Returns:
        A label and a config for each branch and each different model in it.

    Raises:
        UserError: the first that does not fit.
    """
    for entry in sweep.enqueue:
        if not isinstance(entry, str):  # the ID of a run, whose store is looked at later
            enqueued(sweep, space, entry)
    found: dict[Any, tuple[str, config.Config]] = {}
    for values in _points(frozen, space):
        cfg = frozen.composition(values).config
        spec = data.describe(cfg.dataset)
        config.check(cfg, spec)
        check_sweep(sweep, cfg, spec)
        label = _label(values, cfg)
        key = repr((cfg.model, cfg.dataset))
        found.setdefault(key, (label, cfg))
    return list(found.values())[:_MOST_MODELS]


def _label(values: dict[str, Any], cfg: config.Config) -> str:
    """What a model is called: an optimizer that is swept as well has the same one as the others."""
    kinds = {"model": cfg.model.kind, "dataset": cfg.dataset.kind}
    chosen = [str(values[group]) for group in kinds if group in values]
    return " ".join(chosen or kinds.values())


def enqueued(sweep: Sweep, space: search.Space, entry: Any) -> dict[str, Any]:
    """Returns an entry of `sweep.enqueue` as values of the study.

    Raises:
        UserError: it is no mapping, or not a point of the space.
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
    """Returns the points to try first: values that were given, or those of recorded runs.

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
            points.append(enqueued(sweep, space, entry))
    return tuple(points)


def _points(frozen: TrialConfigs, space: search.Space) -> Iterator[dict[str, Any]]:
    for branch in frozen.branches():
        yield from space.corners(branch)


def model_lines(labels: Sequence[str], built: Sequence[tuple[int, int]]) -> list[str]:
    """Returns a line for each branch: its parameters and the memory it takes, as far as known."""
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
    """Compares the space with the values that a study's trials have, as its storage will.

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
                raise _unfit(key, f"trial {trial.number} goes on with {value}")


def _unfit(key: str, why: str) -> UserError:
    return UserError(
        f"sweep.extend: the trials that the study has do not fit the new space of {key} "
        f"({why.rstrip('.')}): give sweep.study another name."
    )
