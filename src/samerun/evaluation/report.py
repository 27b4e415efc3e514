"""What all evaluations have in common: metrics, an interval, a baseline, a sentence."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from samerun.amounts import short
from samerun.config.training import should_rise

NUM_RESAMPLES = 1000
_SEED = 20160401  # any fixed number: the same predictions have to give the same interval
_CHUNK = 4_000_000  # random indices held at once: 32 MB, where 10,000 examples would need 80 MB
_CONFIDENCE = 0.95
_BASELINES = {"persistence": 'persistence baseline ("tomorrow = today")'}


@dataclass(frozen=True, kw_only=True)
class Report(ABC):
    """An evaluated split.

    Args:
        metrics: flat names without a split, such as `accuracy`. One that is not defined for the
            split, such as the area under a ROC curve of one class only, is left out.
        headline: name of the main metric; `<headline>_low` and
            `<headline>_high` are its 95 % interval, `baseline_<headline>` is that of the baseline.
        baseline: what the baseline predicts: `majority`, `mean`, `persistence`, `unigram`, or an
            empty string without one.
    """

    metrics: dict[str, float]
    headline: str
    baseline: str

    @property
    @abstractmethod
    def errors(self) -> NDArray[np.float64]:
        """One error per example, in the data's order; two reports can be compared pair by pair."""

    @property
    def num_examples(self) -> int:
        """Examples in the split."""
        return len(self.errors)

    @property
    def beats_baseline(self) -> bool | None:
        """Whether the complete 95 % interval is better than the baseline; `None` without one.

        Where model and baseline were compared example by example, it is the interval of `skill`,
        which is narrower: what is hard for one is hard for the other.
        """
        reference = self.metrics.get(f"baseline_{self.headline}")
        if reference is None:
            return None
        if "skill_low" in self.metrics:
            return self.metrics["skill_low"] > 0
        if should_rise(self.headline):
            return self.metrics[f"{self.headline}_low"] > reference
        return self.metrics[f"{self.headline}_high"] < reference

    def sentence(self, split: str = "test", *, target: str = "", unit: str = "") -> str:
        """Returns one line: the headline, its interval, and how it compares to the baseline.

        Args:
            split: name of the split that was evaluated.
            target: name of what is predicted, such as a column; may be empty.
            unit: of the headline's values, such as `$`; may be empty.
        """
        name = self.headline
        value, low, high = (self.metrics[name + end] for end in ("", "_low", "_high"))
        label = name.replace("_", " ") + (f" of {target}" if target else "")
        unit = f" {unit}" if unit else ""
        line = f"{split} {label} {short(value)}{unit} (95 % {short(low)}-{short(high)})"
        reference = self.metrics.get(f"baseline_{name}")
        if reference is None:
            return line
        better = value > reference if should_rise(name) else value < reference
        if not better:
            standing = ", NOT better than the "
        elif not self.beats_baseline:
            standing = ", not clearly better than the "
        else:
            standing = ", "
        baseline = _BASELINES.get(self.baseline, f"{self.baseline} baseline")
        return f"{line}{standing}{baseline} {short(reference)}{unit}"


def mean_interval(
    values: NDArray[np.float64],
    block_length: int = 1,
    num_resamples: int = NUM_RESAMPLES,
    *,
    per: NDArray[np.float64] | None = None,
) -> tuple[float, float]:
    """Returns the 95 % percentile bootstrap interval of a mean, or of a ratio of two sums.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; with blocks,
    Politis and Romano, A Circular Block-Resampling Procedure for Stationary Data (1992).

    Args:
        values: one number per example.
        block_length: how many neighboring examples are drawn together. 1 for independent examples;
            more for a time series, whose neighboring errors are correlated.
        num_resamples: number of resamples.
        per: what the sum of the drawn values is divided by the sum of, such as each example's
            number of tokens; 1 per example where it is `None`.
    """
    block_length = min(block_length, len(values))
    num_blocks = -(-len(values) // block_length)
    of_blocks = _block_means(values, block_length)
    per_blocks = None if per is None else _block_means(per, block_length)
    random = np.random.default_rng(_SEED)
    rows = max(1, _CHUNK // num_blocks)
    drawn = []
    for at in range(0, num_resamples, rows):
        size = (min(rows, num_resamples - at), num_blocks)
        blocks = random.integers(len(values), size=size)
        means = of_blocks[blocks].mean(axis=1)
        if per_blocks is not None:
            below = per_blocks[blocks].mean(axis=1)
            means = means[below > 0] / below[below > 0]
        drawn.append(means)
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(drawn), [tail, 1 - tail])
    return float(low), float(high)


def _block_means(values: NDArray[np.float64], block_length: int) -> NDArray[np.float64]:
    """The mean of the block that starts at each example; the last ones continue at the first."""
    if block_length == 1:
        return values
    wrapped = np.concatenate([values, values[: block_length - 1]])
    sums = np.concatenate([[0.0], np.cumsum(wrapped)])
    return np.asarray((sums[block_length:] - sums[:-block_length]) / block_length)


def share_interval(
    hits: NDArray[np.bool_], num_resamples: int = NUM_RESAMPLES
) -> tuple[float, float]:
    """Returns the 95 % interval of a share.

    It is the bootstrap's, except where all examples agree: resampling them would always return the
    same value and claim certainty. There the exact bound is used (Clopper and Pearson, 1934).

    Args:
        hits: whether each example counts.
        num_resamples: number of resamples.
    """
    bound = ((1 - _CONFIDENCE) / 2) ** (1 / len(hits))
    if hits.all():
        return bound, 1.0
    if not hits.any():
        return 0.0, 1 - bound
    return mean_interval(hits.astype(np.float64), num_resamples=num_resamples)


def best_epoch(values: Sequence[float], metric: str) -> int | None:
    """Returns the epoch, counted from 1, with the best value; `None` where no value is finite.

    Args:
        values: one value per epoch.
        metric: its name, which determines whether it should rise or fall.
    """
    array = np.asarray(values, np.float64)
    if not np.isfinite(array).any():
        return None
    worst = -np.inf if should_rise(metric) else np.inf
    array = np.where(np.isfinite(array), array, worst)
    return int(array.argmax() if should_rise(metric) else array.argmin()) + 1
