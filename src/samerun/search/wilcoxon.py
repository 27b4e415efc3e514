"""Optuna's Wilcoxon pruner, without the seconds in which SciPy permutes equal differences.

SciPy's test is exact for up to 50 pairs. If some of up to 13 pairs differ by the same amount, or by
nothing, it evaluates every change of signs in Python: 8,192 of them for 13 pairs.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, final

import numpy as np
from optuna.pruners import BasePruner, WilcoxonPruner
from optuna.study import StudyDirection

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

_MOST_PERMUTED = 8
"""Pairs up to which every change of signs is evaluated: 256 of them."""

_MOST_PERMUTED_BY_SCIPY = 13
"""With more pairs SciPy uses the normal approximation by default."""


@final
class Wilcoxon(BasePruner):
    """Prunes a trial whose seeds or folds are worse than those of the best trial.

    Args:
        p_threshold: p-value below which a trial is pruned.
        startup_instances: least number of seeds or folds of a trial that is pruned.
    """

    def __init__(self, p_threshold: float, startup_instances: int) -> None:
        """Checks the options, as Optuna does."""
        self._p_threshold = p_threshold
        self._startup_instances = startup_instances
        self._exact = WilcoxonPruner(p_threshold=p_threshold, n_startup_steps=startup_instances)

    def prune(self, study: "Study", trial: "FrozenTrial") -> bool:
        """Returns whether Optuna's pruner stops the trial.

        With 9 to 13 pairs and equal differences among them, the p-value is that of SciPy's
        normal approximation with correction for continuity and ties.

        Args:
            study: the study.
            trial: the trial, with the value of each seed or fold as an intermediate value.
        """
        try:
            best = study.best_trial.intermediate_values
        except ValueError:  # no trial is complete
            return False
        if not best:  # a lent trial has no values by seed or fold
            return False
        own = trial.intermediate_values
        sign = 1.0 if study.direction is StudyDirection.MINIMIZE else -1.0
        worse = sign * np.array([own[step] - best[step] for step in own if step in best])
        if not _would_permute(worse):
            return self._exact.prune(study, trial)
        is_worse = sign * (_mean(own) - _mean(best)) > 0  # Optuna's safeguard
        if not is_worse or len(worse) < self._startup_instances:
            return False
        from scipy import stats

        found = stats.wilcoxon(
            worse, alternative="greater", zero_method="zsplit", correction=True, method="asymptotic"
        )
        return bool(found.pvalue < self._p_threshold)


def _would_permute(differences: "np.ndarray") -> bool:
    """Whether SciPy would evaluate too many changes of signs of these differences."""
    if not _MOST_PERMUTED < len(differences) <= _MOST_PERMUTED_BY_SCIPY:
        return False
    if not np.isfinite(differences).all():
        return False
    sizes = np.abs(differences)
    return len(np.unique(sizes)) < len(sizes) or not sizes.all()


def _mean(values: Mapping[int, float]) -> float:
    return sum(values.values()) / len(values)
