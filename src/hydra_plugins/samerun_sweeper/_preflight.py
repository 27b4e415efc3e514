"""What is checked before the first trial: a typo costs seconds, not an epoch."""

from collections.abc import Iterator, Sequence
from typing import Any

from hydra_plugins.samerun_sweeper._trials import Frozen
from samerun import config, data, search
from samerun.config import Direction, Pruner, Sweep, UserError, listed, nearest

SIZES = ("num_parameters",)
"""Objectives that are no logged metric, and should be small."""
_MOST_MODELS = 24
"""Models that are built at most: each takes about 0.2 s."""


def check_settings(sweep: Sweep, num_objectives: int) -> None:
    """Checks settings that only fit together.

    Raises:
        UserError: they do not.
    """
    if num_objectives == 1:
        return
    if sweep.pruner is not Pruner.none:
        raise UserError(
            f"sweep.pruner: received '{sweep.pruner}' with {num_objectives} objectives, but "
            "pruning needs one: give sweep.pruner=none."
        )
    if sweep.direction is not Direction.auto:
        raise UserError(
            f"sweep.direction: received '{sweep.direction}' with {num_objectives} objectives, "
            "expected auto: each goes by its name."
        )
    if sweep.budget.target is not None or sweep.budget.patience_trials is not None:
        raise UserError(
            f"sweep.budget: a target and a patience need one objective, received {num_objectives}."
        )


def objectives_of(sweep: Sweep, base: config.Config) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the objectives and the direction of each.

    Raises:
        UserError: there is no such metric, or it cannot be meant to go that way.
    """
    names = tuple(sweep.objectives) or (base.training.early_stopping.monitor,)
    if len(set(names)) != len(names):
        raise UserError(f"sweep.objectives: received {listed(names)}, expected each once.")
    spec = data.describe(base.dataset)
    known = [*config.epoch_metrics(base, spec), *_final_metrics(base, spec), *SIZES]
    for name in names:
        if name not in known:
            hint = nearest(name.replace("val_", "validation/"), known)
            raise UserError(
                f"sweep.objectives: received '{name}', expected one of {listed(known)}.{hint}"
            )
    ways = tuple(_direction(sweep, name) for name in names)
    return names, ways


def _final_metrics(base: config.Config, spec: config.DataSpec) -> list[str]:
    if not spec.num_test:
        return []
    return [f"test/{name}" for name in ("loss", *config.metrics_of(base, spec.task))]


def _direction(sweep: Sweep, name: str) -> str:
    rises = config.should_rise(name) and name not in SIZES
    natural = Direction.maximize if rises else Direction.minimize
    if sweep.direction not in (Direction.auto, natural):
        raise UserError(
            f"sweep.direction: received '{sweep.direction}', but {name} is better when it is "
            f"{'larger' if rises else 'smaller'}: expected {natural} or auto."
        )
    return natural.value


def check_branches(frozen: Frozen, space: "search.Space") -> list[tuple[str, config.Config]]:
    """Checks every branch, with every end of every range in it.

    Returns:
        A label and a config for each branch and each different model in it.

    Raises:
        UserError: the first that does not fit.
    """
    found: dict[Any, tuple[str, config.Config]] = {}
    for values in _points(frozen, space):
        cfg = frozen.composition(values).config
        config.check(cfg, data.describe(cfg.dataset))
        groups = [str(value) for key, value in values.items() if key in config.GROUPS]
        label = " ".join([cfg.model.kind, cfg.dataset.kind]) if not groups else " ".join(groups)
        key = repr((cfg.model, cfg.dataset))
        found.setdefault(key, (label, cfg))
    return list(found.values())[:_MOST_MODELS]


def _points(frozen: Frozen, space: "search.Space") -> Iterator[dict[str, Any]]:
    for branch in frozen.branches():
        corners = list(space.corners(branch))
        if not corners:
            yield dict(branch)
        for corner in corners:
            yield {**branch, **corner}


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
        lines.append(f"{label}: {numbers} parameters, about {memory:,.0f} MB in training")
    return lines


def check_values(study: Any, space: "search.Space") -> None:
    """Tries the space on a copy of a study that goes on with another one.

    Raises:
        UserError: Optuna cannot change an entry's options once trials have used them.
    """
    import optuna

    copy = optuna.create_study(directions=study.directions)
    for trial in study.get_trials(deepcopy=False):
        if trial.state.is_finished():
            copy.add_trial(trial)
    try:
        for _ in range(3):
            space.suggest(copy.ask())
    except ValueError as error:
        raise UserError(
            f"sweep.extend: the options of an entry cannot change within a study ({error}): give "
            "sweep.study another name."
        ) from error
