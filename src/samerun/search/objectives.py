"""Objectives and directions of a sweep, and their checks."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samerun.config.checks import epoch_metrics, metrics_of
from samerun.config.instances import instances_of, kind_of
from samerun.config.pruners import Pruner
from samerun.config.root import Config
from samerun.config.spec import DataSpec, Task
from samerun.config.suggestions import as_hint, metric_name
from samerun.config.sweep import Direction, ObjectiveFrom, Sweep
from samerun.config.training import Metric, is_own, name_of, should_rise
from samerun.errors import UserError, listed, nearest

if TYPE_CHECKING:
    from samerun.result import Result

NUM_PARAMETERS = "num_parameters"
"""The size of the model: an objective that does not depend on the epoch."""

_CLASSES = ("accuracy", "log_loss", "expected_calibration_error")
_ONE_CLASS = ("precision", "recall", "f1", "auc", "average_precision")
_NUMBERS = ("mean_absolute_error", "root_mean_squared_error", "r2", "skill")
_MEASURED: dict[Task, tuple[str, ...]] = {
    Task.multiclass: (*_CLASSES, *(f"{name}_macro" for name in _ONE_CLASS)),
    Task.binary: (*_CLASSES, *_ONE_CLASS),
    Task.regression: _NUMBERS,
    Task.forecast: _NUMBERS,
    Task.language_model: ("accuracy", "log_loss", "perplexity", "bits_per_token"),
}
"""The metrics that `samerun.evaluation` computes for the final weights."""

_SPLITS = ("train/", "validation/", "test/")
_OF_LOSS = ("training.loss", "training.label_smoothing")
_MOST_INSTANCES = 100  # ends the search for a number at a threshold of 0


@dataclass(frozen=True, kw_only=True)
class Objectives:
    """What trials are compared by.

    Args:
        names: logged names of the objectives.
        directions: `minimize` or `maximize` of each.
        from_best: whether the value of the best epoch counts, not that of the last one.
    """

    names: tuple[str, ...]
    directions: tuple[str, ...]
    from_best: bool

    @classmethod
    def of(cls, sweep: Sweep, cfg: Config) -> "Objectives":
        """Returns the objectives of a sweep, by its settings and the config of a trial."""
        names = objectives_of(sweep, cfg)
        from_best = sweep.objective_from is ObjectiveFrom.best
        return cls(names=names, directions=directions_of(sweep, names), from_best=from_best)


def objectives_of(sweep: Sweep, cfg: Config) -> tuple[str, ...]:
    """Returns the logged names of the objectives."""
    return tuple(sweep.objectives) or (cfg.training.early_stopping.monitor,)


def directions_of(sweep: Sweep, objectives: tuple[str, ...]) -> tuple[str, ...]:
    """Returns `minimize` or `maximize` for each objective.

    Raises:
        UserError: `sweep.direction` is no direction, or has not one for each objective.
    """
    given = sweep.direction
    each = list(given) if isinstance(given, list | tuple) else [given] * len(objectives)
    for one in each:
        if one not in list(Direction):
            raise UserError(
                f"sweep.direction: received '{one}', expected one of {listed(Direction)}."
                f"{nearest(str(one), list(Direction))}"
            )
    if len(each) != len(objectives):
        expected = f"sweep.direction=[{','.join(default_direction(name) for name in objectives)}]"
        raise UserError(
            f"sweep.direction: received {len(each)} directions, expected one for each of "
            f"{listed(objectives)}, such as {expected}."
        )
    return tuple(
        default_direction(name) if one == Direction.auto else str(one)
        for name, one in zip(objectives, each, strict=True)
    )


def value_of(result: "Result", name: str, direction: str, *, from_best: bool) -> float:
    """Returns the value of one objective of a finished run.

    Args:
        result: the run's result.
        name: a metric of every epoch, a final one such as `test/accuracy`, or `num_parameters`.
        direction: `minimize` or `maximize`.
        from_best: whether to take the best epoch's value, not the last one's.
    """
    if name == NUM_PARAMETERS:
        assert result.num_parameters is not None  # each training counts them
        return float(result.num_parameters)
    if name in result.metrics and name not in result.history:
        return result.metrics[name]
    values = [value for value in result.history[name] if math.isfinite(value)]
    if not values:
        return math.nan
    if not from_best:
        return values[-1]
    return min(values) if direction == "minimize" else max(values)


def direction_notes(objectives: Objectives) -> list[str]:
    """Returns a sentence for each objective whose direction is not that of its name."""
    pairs = zip(objectives.names, objectives.directions, strict=True)
    return [
        f"{name} is {direction}d, as sweep.direction says; by its name it would be "
        f"{default_direction(name)}d."
        for name, direction in pairs
        if direction != default_direction(name)
    ]


def loss_keys(keys: Iterable[str], configs: Iterable[Config]) -> list[str]:
    """Returns the keys that change the loss itself, of a validation or test split too.

    Weights of classes are left out: they weigh the training split only. So are `model.l1` and the
    other penalties of weights, which Keras adds to the loss: most sweeps of them compare it anyway.

    Args:
        keys: those of a search space.
        configs: the config of each branch, which names the loss.
    """
    own = tuple({f"training.params.{name_of(cfg.training.loss)}." for cfg in configs})
    return [key for key in keys if key in _OF_LOSS or key.startswith(own)]


def loss_notes(
    searched: Sequence[str], objectives: Objectives, cfg: Config, spec: DataSpec
) -> list[str]:
    """Returns a sentence if trials are compared by the loss that they change.

    Args:
        searched: what `loss_keys` returned.
        objectives: what the trials are compared by.
        cfg: the config of a branch, whose first metric is named instead.
        spec: its data.
    """
    losses = [name for name in objectives.names if name.rpartition("/")[2] == "loss"]
    if not searched or not losses:
        return []
    metric = name_of(metrics_of(cfg, spec.task)[0])
    instead = dict.fromkeys(
        f"{name.rpartition('/')[0]}/{metric}" if name in losses else name
        for name in objectives.names
    )
    return [
        f"{listed(searched)} {'change' if len(searched) > 1 else 'changes'} the loss itself, so "
        f"values of {listed(losses)} cannot be compared between trials: give "
        f"sweep.objectives=[{','.join(instead)}]."
    ]


def default_direction(objective: str) -> str:
    """Returns `minimize` or `maximize`, by the name of an objective."""
    rises = objective != NUM_PARAMETERS and should_rise(objective)
    return "maximize" if rises else "minimize"


def objective_names(cfg: Config, spec: DataSpec) -> tuple[str, ...]:
    """Returns all possible names of an objective."""
    final = "test" if spec.num_test else "validation"
    measured = (*_MEASURED[spec.task], *map(name_of, filter(is_own, cfg.training.metrics)))
    names = [*epoch_metrics(cfg, spec), *(f"{final}/{name}" for name in measured), NUM_PARAMETERS]
    return tuple(dict.fromkeys(names))


def check_objective_names(sweep: Sweep) -> None:
    """Checks the form of the objectives, before anything else of the sweep is composed.

    Raises:
        UserError: one is not the name under which a metric is logged.
    """
    for name in sweep.objectives:
        if name != NUM_PARAMETERS and not name.startswith(_SPLITS):
            known = [f"{split}{metric}" for split in _SPLITS for metric in ("loss", *Metric)]
            raise UserError(
                f"sweep.objectives: received '{name}', expected the logged name of a metric, such "
                f"as validation/loss or test/accuracy, or {NUM_PARAMETERS}.{_meant(name, known)}"
            )


def _meant(name: str, known: Sequence[str]) -> str:
    meant = metric_name(name, known)
    return as_hint(f"sweep.objectives=[{meant}]" if meant else "")


def check_sweep(sweep: Sweep, cfg: Config, spec: DataSpec) -> None:
    """Checks the settings of a sweep against each other and against the config of a branch.

    Raises:
        UserError: a setting does not fit.
    """
    if cfg.workers > 1:
        raise UserError(
            f"workers: received workers={cfg.workers} in a sweep, whose trials run side by side "
            f"and not the runs of a trial: use sweep.workers={cfg.workers}."
        )
    objectives = objectives_of(sweep, cfg)
    known = objective_names(cfg, spec)
    for name in objectives:
        if name not in known:
            raise UserError(
                f"sweep.objectives: received '{name}', expected one of {listed(known)}."
                f"{_meant(name, known)}"
            )
    if len(set(objectives)) < len(objectives):
        raise UserError(
            f"sweep.objectives: received {listed(objectives)}, expected each only once."
        )
    if sweep.promote:
        _check_promotion(sweep, cfg)
    if sweep.pruner is not Pruner.none:
        _check_pruner(sweep, cfg, objectives, epoch_metrics(cfg, spec))
    for name, limit in (
        ("target", sweep.budget.target),
        ("patience_trials", sweep.budget.patience_trials),
    ):
        if limit is not None and len(objectives) > 1:
            raise UserError(
                f"sweep.budget.{name}: received {limit:g} with {len(objectives)} objectives, "
                "expected a single objective: leave it out."
            )


def _check_pruner(
    sweep: Sweep, cfg: Config, objectives: tuple[str, ...], each_epoch: tuple[str, ...]
) -> None:
    pruner, options = sweep.pruner, sweep.patient
    if len(objectives) > 1:
        raise UserError(
            f"sweep.pruner: {pruner} supports one objective, received {len(objectives)}: use "
            "sweep.pruner=none."
        )
    inner = options.pruner if pruner is Pruner.patient else pruner
    if inner is Pruner.wilcoxon:
        _check_wilcoxon(sweep, cfg)
    elif objectives[0] not in each_epoch:
        raise UserError(
            f"sweep.pruner: {pruner} needs a value per epoch, but {objectives[0]} is only known at "
            "the end: use sweep.pruner=none."
        )
    if pruner is Pruner.patient and inner is Pruner.patient:
        raise UserError("sweep.patient.pruner: received patient, expected another pruner, or none.")
    if inner is Pruner.threshold and sweep.threshold.lower is sweep.threshold.upper is None:
        raise UserError(
            "sweep.threshold: received no limit, expected sweep.threshold.lower or "
            "sweep.threshold.upper."
        )
    if inner is Pruner.hyperband and sweep.hyperband.min_epochs > cfg.training.epochs:
        raise UserError(
            f"sweep.hyperband.min_epochs: received {sweep.hyperband.min_epochs}, expected at most "
            f"training.epochs ({cfg.training.epochs})."
        )


def _check_promotion(sweep: Sweep, cfg: Config) -> None:
    """Checks that trials can pause and continue, each as one training from its checkpoint."""
    saves, kind = cfg.checkpoint, kind_of(cfg)
    if sweep.pruner not in (Pruner.successive_halving, Pruner.hyperband):
        raise UserError(
            f"sweep.promote: received true with sweep.pruner={sweep.pruner}, which has no rungs to "
            "promote from: use sweep.pruner=successive_halving or sweep.pruner=hyperband."
        )
    if kind is not None:
        raise UserError(
            f"sweep.promote: received true with {kind}, but a trial that pauses has to be one run: "
            f"leave out {kind}, or use sweep.promote=false."
        )
    if not any((saves.every_epochs, saves.every_steps, saves.every_seconds)):
        raise UserError(
            "sweep.promote: received true without checkpoints, from which a paused trial "
            "continues: give checkpoint.every_epochs=1."
        )
    if sweep.cluster is not None and saves.upload is False:
        raise UserError(
            "sweep.promote: received true with sweep.cluster and checkpoint.upload=false, but a "
            "paused trial may continue on another machine: give checkpoint.upload=true."
        )


def _check_wilcoxon(sweep: Sweep, cfg: Config) -> None:
    """Checks that a trial has enough seeds or folds for the signed-rank test to prune it.

    The smallest p-value of n pairs is 0.5**n, and after the last one there is nothing to save.
    """
    if sweep.pruner is Pruner.patient:
        raise UserError(
            "sweep.patient.pruner: received wilcoxon, whose steps are seeds or folds, expected a "
            "pruner of epochs, such as median, or none."
        )
    kind, threshold = kind_of(cfg), sweep.wilcoxon.p_threshold
    if kind is None:
        raise UserError(
            "sweep.pruner: wilcoxon compares trials seed by seed or fold by fold, but each trial "
            "is one run: add seeds=5 or folds=5, or use sweep.pruner=median."
        )
    received, needed = len(instances_of(cfg)), 2
    while 0.5 ** (needed - 1) >= threshold and needed < _MOST_INSTANCES:
        needed += 1
    if received < needed:
        raise UserError(
            f"sweep.pruner: wilcoxon cannot prune a trial of {received} {kind} at "
            f"sweep.wilcoxon.p_threshold={threshold:g}, expected at least {needed}: "
            f"{kind}={needed}."
        )
