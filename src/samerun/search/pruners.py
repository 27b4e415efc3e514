"""Pruners: a table of builders. Their steps are epochs, counted from 1.

Those of `wilcoxon` are the seeds or folds of a trial, counted from 1.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from samerun.config.pruners import Pruner
from samerun.config.sweep import Sweep
from samerun.errors import UserError

if TYPE_CHECKING:
    import optuna


def build_pruner(cfg: Sweep, direction: str, max_epochs: int) -> "optuna.pruners.BasePruner":
    """Builds the pruner of a sweep.

    Args:
        cfg: the sweep; `objectives.check_sweep` has checked it.
        direction: `minimize` or `maximize`. Optuna's pruners take it from the study.
        max_epochs: `training.epochs`.
    """
    import optuna

    with warnings.catch_warnings():  # that an option may change in a later version of Optuna
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return _BUILDERS[cfg.pruner](cfg, max_epochs)


def check_options(cfg: Sweep, directions: Sequence[str], max_epochs: int) -> None:
    """Builds the pruner once, so that Optuna checks its options.

    Raises:
        UserError: it refuses the options.
    """
    try:
        build_pruner(cfg, directions[0], max_epochs)
    except ValueError as error:
        message = " ".join(str(error).split()).rstrip(".")
        raise UserError(
            f"sweep.{cfg.pruner}: Optuna rejects these options ({message}): correct them."
        ) from error


def _none(cfg: Sweep, max_epochs: int) -> "optuna.pruners.BasePruner":
    from optuna.pruners import NopPruner

    return NopPruner()


def _median(cfg: Sweep, max_epochs: int) -> "optuna.pruners.BasePruner":
    from optuna.pruners import MedianPruner

    return MedianPruner(
        n_startup_trials=cfg.median.startup_trials,
        n_warmup_steps=cfg.median.warmup_epochs,
        interval_steps=cfg.median.interval_epochs,
        n_min_trials=cfg.median.min_trials,
    )


def _percentile(cfg: Sweep, max_epochs: int) -> "optuna.pruners.BasePruner":
    from optuna.pruners import PercentilePruner

    return PercentilePruner(
        cfg.percentile.percentile,
        n_startup_trials=cfg.percentile.startup_trials,
        n_warmup_steps=cfg.percentile.warmup_epochs,
        interval_steps=cfg.percentile.interval_epochs,
        n_min_trials=cfg.percentile.min_trials,
    )


def _successive_halving(cfg: Sweep, max_epochs: int) -> "optuna.pruners.BasePruner":
    from optuna.pruners import SuccessiveHalvingPruner

    options = cfg.successive_halving
    return SuccessiveHalvingPruner(
        min_resource="auto" if options.min_epochs is None else options.min_epochs,
        reduction_factor=options.reduction_factor,
        min_early_stopping_rate=options.min_early_stopping_rate,
        bootstrap_count=options.bootstrap_trials,
    )


def _hyperband(cfg: Sweep, max_epochs: int) -> "optuna.pruners.BasePruner":
    from optuna.pruners import HyperbandPruner

    return HyperbandPruner(
        min_resource=cfg.hyperband.min_epochs,
        max_resource=max_epochs,
        reduction_factor=cfg.hyperband.reduction_factor,
        bootstrap_count=cfg.hyperband.bootstrap_trials,
    )


def _patient(cfg: Sweep, max_epochs: int) -> "optuna.pruners.BasePruner":
    from optuna.pruners import PatientPruner

    inner = cfg.patient.pruner
    return PatientPruner(
        None if inner is Pruner.none else _BUILDERS[inner](cfg, max_epochs),
        patience=cfg.patient.patience_epochs,
        min_delta=cfg.patient.min_delta,
    )


def _threshold(cfg: Sweep, max_epochs: int) -> "optuna.pruners.BasePruner":
    from optuna.pruners import ThresholdPruner

    return ThresholdPruner(
        lower=cfg.threshold.lower,
        upper=cfg.threshold.upper,
        n_warmup_steps=cfg.threshold.warmup_epochs,
        interval_steps=cfg.threshold.interval_epochs,
    )


def _wilcoxon(cfg: Sweep, max_epochs: int) -> "optuna.pruners.BasePruner":
    from samerun.search.wilcoxon import Wilcoxon

    return Wilcoxon(cfg.wilcoxon.p_threshold, cfg.wilcoxon.startup_instances)


_BUILDERS: dict[Pruner, Callable[[Sweep, int], "optuna.pruners.BasePruner"]] = {
    Pruner.none: _none,
    Pruner.median: _median,
    Pruner.percentile: _percentile,
    Pruner.successive_halving: _successive_halving,
    Pruner.hyperband: _hyperband,
    Pruner.patient: _patient,
    Pruner.threshold: _threshold,
    Pruner.wilcoxon: _wilcoxon,
}
