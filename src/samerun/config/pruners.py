"""Config classes of the pruners: when a trial is stopped because others were better."""

from enum import StrEnum

from samerun.config.fields import above, at_least, between, config


class Pruner(StrEnum):
    """When a trial is stopped because others were better at the same epoch."""

    none = "none"
    """Never."""
    median = "median"
    """Worse than the median of the trials before it."""
    percentile = "percentile"
    """Outside the best `percentile.percentile` per cent of the trials before it."""
    successive_halving = "successive_halving"
    """Only one in `reduction_factor` goes on at each rung of epochs (ASHA)."""
    hyperband = "hyperband"
    """Successive halving with several first rungs."""
    patient = "patient"
    """No better for some epochs; with `patient.pruner`, and that pruner agrees."""
    threshold = "threshold"
    """Outside given limits."""
    wilcoxon = "wilcoxon"
    """Worse than the best trial by Wilcoxon's signed-rank test over the epochs."""


@config
class Median:
    """Options of the median pruner.

    Args:
        startup_trials: finished trials before any is pruned.
        warmup_epochs: no trial is pruned before.
        interval_epochs: epochs between two looks.
        min_trials: values at the same epoch that a comparison needs.
    """

    startup_trials: int = at_least(0)
    warmup_epochs: int = at_least(0)
    interval_epochs: int = above(0)
    min_trials: int = above(0)


@config
class Percentile(Median):
    """Options of the percentile pruner; the others as `Median`.

    Args:
        percentile: so many per cent of the trials, the best, go on.
    """

    percentile: float = between(0, 100)


@config
class SuccessiveHalving:
    """Options of asynchronous successive halving (Li et al., 2018).

    Args:
        min_epochs: epochs before the first rung; `null`: by the length of the first trials.
        reduction_factor: one in so many goes on; each rung is so many times as long.
        min_early_stopping_rate: rungs left out at the beginning.
        bootstrap_trials: trials that have to reach a rung before it decides.
    """

    min_epochs: int | None = above(0)
    reduction_factor: int = at_least(2)
    min_early_stopping_rate: int = at_least(0)
    bootstrap_trials: int = at_least(0)


@config
class Hyperband:
    """Options of Hyperband (Li et al., 2018); the most epochs are `training.epochs`.

    Args:
        min_epochs: epochs before the first rung of the first bracket.
        reduction_factor: one in so many goes on; each rung is so many times as long.
        bootstrap_trials: trials that have to reach a rung before it decides.
    """

    min_epochs: int = above(0)
    reduction_factor: int = at_least(2)
    bootstrap_trials: int = at_least(0)


@config
class Patient:
    """Options of the patient pruner.

    Args:
        pruner: another pruner that has to agree; `none` prunes by patience alone.
        patience_epochs: epochs without improvement.
        min_delta: smallest change that counts as an improvement.
    """

    pruner: Pruner
    patience_epochs: int = at_least(0)
    min_delta: float = at_least(0)


@config
class Threshold:
    """Options of the threshold pruner.

    Args:
        lower: a value below is pruned; `null`: no limit.
        upper: a value above is pruned; `null`: no limit.
        warmup_epochs: no trial is pruned before.
        interval_epochs: epochs between two looks.
    """

    lower: float | None
    upper: float | None
    warmup_epochs: int = at_least(0)
    interval_epochs: int = above(0)


@config
class Wilcoxon:
    """Options of the Wilcoxon pruner.

    Args:
        p_threshold: a trial is pruned if it is worse with a p value below this.
        startup_epochs: no trial is pruned before.
    """

    p_threshold: float = between(0, 1)
    startup_epochs: int = at_least(0)


@config
class PrunerSettings:
    """The pruner of a sweep, with the options of each.

    Args:
        pruner: when a trial is stopped early.
        median: options of the pruner `median`.
        percentile: options of the pruner `percentile`.
        successive_halving: options of the pruner `successive_halving`.
        hyperband: options of the pruner `hyperband`.
        patient: options of the pruner `patient`.
        threshold: options of the pruner `threshold`.
        wilcoxon: options of the pruner `wilcoxon`.
    """

    pruner: Pruner
    median: Median
    percentile: Percentile
    successive_halving: SuccessiveHalving
    hyperband: Hyperband
    patient: Patient
    threshold: Threshold
    wilcoxon: Wilcoxon
