"""Config classes of the pruners: which trials are stopped early."""

from enum import StrEnum

from samerun.config.fields import above, at_least, between, config


class Pruner(StrEnum):
    """Which trials are stopped early."""

    none = "none"
    """No pruning."""
    median = "median"
    """Trials worse than the median of earlier trials at the same epoch."""
    percentile = "percentile"
    """Trials outside the best `percentile.percentile` percent of earlier trials."""
    successive_halving = "successive_halving"
    """Asynchronous successive halving: one in `reduction_factor` trials continues at each rung."""
    hyperband = "hyperband"
    """Successive halving with several brackets."""
    patient = "patient"
    """Trials without improvement for some epochs, if `patient.pruner` agrees."""
    threshold = "threshold"
    """Trials outside given limits."""
    wilcoxon = "wilcoxon"
    """Trials that are significantly worse than the best one, seed by seed or fold by fold."""


@config
class Median:
    """Options of the median pruner.

    Args:
        startup_trials: finished trials before pruning starts.
        warmup_epochs: epochs before a trial can be pruned.
        interval_epochs: epochs between pruning checks.
        min_trials: minimum number of values at the same epoch.
    """

    startup_trials: int = at_least(0)
    warmup_epochs: int = at_least(0)
    interval_epochs: int = above(0)
    min_trials: int = above(0)


@config
class Percentile(Median):
    """Options of the percentile pruner; the others as `Median`.

    Args:
        percentile: percentage of trials to keep, the best ones.
    """

    percentile: float = between(0, 100)


@config
class SuccessiveHalving:
    """Options of asynchronous successive halving (Li et al., 2018).

    Args:
        min_epochs: epochs before the first rung; `null`: estimated from the first trials.
        reduction_factor: one in n trials continues at each rung, and each rung is n times as long.
        min_early_stopping_rate: number of first rungs to skip.
        bootstrap_trials: trials that must reach a rung before it prunes.
    """

    min_epochs: int | None = above(0)
    reduction_factor: int = at_least(2)
    min_early_stopping_rate: int = at_least(0)
    bootstrap_trials: int = at_least(0)


@config
class Hyperband:
    """Options of Hyperband (Li et al., 2018); the maximum of epochs is `training.epochs`.

    Args:
        min_epochs: epochs before the first rung of the first bracket.
        reduction_factor: one in n trials continues at each rung, and each rung is n times as long.
        bootstrap_trials: trials that must reach a rung before it prunes.
    """

    min_epochs: int = above(0)
    reduction_factor: int = at_least(2)
    bootstrap_trials: int = at_least(0)


@config
class Patient:
    """Options of the patient pruner.

    Args:
        pruner: another pruner that must agree; `none`: patience only.
        patience_epochs: epochs without improvement before a trial is pruned.
        min_delta: minimum change that counts as an improvement.
    """

    pruner: Pruner
    patience_epochs: int = at_least(0)
    min_delta: float = at_least(0)


@config
class Threshold:
    """Options of the threshold pruner.

    Args:
        lower: prune below this value; `null`: no limit.
        upper: prune above this value; `null`: no limit.
        warmup_epochs: epochs before a trial can be pruned.
        interval_epochs: epochs between pruning checks.
    """

    lower: float | None
    upper: float | None
    warmup_epochs: int = at_least(0)
    interval_epochs: int = above(0)


@config
class Wilcoxon:
    """Options of the Wilcoxon pruner: a signed-rank test of a trial against the best one.

    Its steps are the seeds or folds of a trial, which are independent results, not epochs.

    Args:
        p_threshold: p-value below which a trial is pruned.
        startup_instances: least number of seeds or folds of a trial that is pruned.
    """

    p_threshold: float = between(0, 1)
    startup_instances: int = at_least(0)


@config
class PrunerSettings:
    """The pruner of a sweep, with the options of each.

    Args:
        pruner: which trials are stopped early.
        promote: with `successive_halving` and `hyperband`: pause a trial that is not among the best
            at its rung, and continue it from its checkpoint when it is, instead of pruning it. At
            the first rung one in 2 `reduction_factor` trials continues, to have a result sooner.
        median: options of the pruner `median`.
        percentile: options of the pruner `percentile`.
        successive_halving: options of the pruner `successive_halving`.
        hyperband: options of the pruner `hyperband`.
        patient: options of the pruner `patient`.
        threshold: options of the pruner `threshold`.
        wilcoxon: options of the pruner `wilcoxon`.
    """

    pruner: Pruner
    promote: bool
    median: Median
    percentile: Percentile
    successive_halving: SuccessiveHalving
    hyperband: Hyperband
    patient: Patient
    threshold: Threshold
    wilcoxon: Wilcoxon
