"""Whether a difference between runs is more than chance: tests, intervals, a ranking.

SciPy computes them. It is imported when it is needed, since that takes up to 1 s.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samerun.errors import UserError

Floats = NDArray[np.float64]

ALPHA = 0.05
"""How often at most a difference is reported where there is none."""

MCNEMAR = "McNemar's test"
BOOTSTRAP = "paired bootstrap"
PAIRED_T = "paired t test over seeds"
WELCH = "Welch's t test over seeds"
PERMUTATION = "permutation test over seeds"

NUM_RESAMPLES = 9_999
_SEED = 20160401  # any fixed number: the same errors have to give the same interval
_FEWEST_RESAMPLES = 999
_MOST_DRAWS = 40_000_000  # random numbers of one comparison: 1 s
_DRAWN_AT_ONCE = 2_000_000
_FEWEST_BLOCKS = 10  # of fewer, draws of the data alone do not reach as far as chance does


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The difference between two candidates, and whether it may be chance.

    Args:
        test: name of the test.
        difference: mean of the first minus mean of the second, in units of the metric.
        low: lower end of the 95 % interval of the difference; NaN where it has none.
        high: upper end.
        p_value: how often a difference at least as large occurs where there is none.
        num_pairs: examples or seeds that both have; for Welch's test, values of both together.
    """

    test: str
    difference: float
    low: float
    high: float
    p_value: float
    num_pairs: int

    @property
    def is_real(self) -> bool:
        """Whether this difference, were it the only one tested, is more than chance."""
        return self.p_value <= ALPHA

    def sentence(self) -> str:
        """Returns the difference, its interval and its p-value in one line."""
        is_welch = self.test == WELCH
        counted = f"{self.num_pairs:,} {'values' if is_welch else 'pairs'}"
        interval = "" if np.isnan(self.low) else f" (95 % {self.low:+.3g} to {self.high:+.3g})"
        p_value = "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.2g}"
        verdict = "a real difference" if self.is_real else "may be chance"
        return (
            f"difference {self.difference:+.3g}{interval}, {p_value}, {verdict} "
            f"({self.test}, {counted})"
        )


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Several candidates, the best first, each compared with the best.

    Args:
        comparisons: of the best with each of the others, in order.
        p_values: of the statements that the best is better than each of the others, corrected for
            the number of candidates.
        alpha: how often at most any statement of the ranking is false.
    """

    comparisons: tuple[Comparison, ...]
    p_values: tuple[float, ...]
    alpha: float

    @property
    def alike(self) -> tuple[int, ...]:
        """Positions, from 0, of the best and of all that cannot be told apart from it."""
        others = (at for at, p in enumerate(self.p_values, start=1) if not p <= self.alpha)
        return (0, *others)

    @property
    def has_winner(self) -> bool:
        """Whether the best is really better than each of the others."""
        return bool(self.comparisons) and len(self.alike) == 1

    def sentence(self, names: Sequence[str] | None = None) -> str:
        """Returns the verdict in one line.

        Args:
            names: of the candidates, the best first; by default their numbers from 1.
        """
        if not self.comparisons:
            return "nothing to compare: there is one candidate"
        how = f"({self._how()})"
        if self.has_winner:
            better = "1" if names is None else names[0]
            other = "2" if names is None else names[1]
            others = other if len(self.comparisons) == 1 else "all others"
            return f"{better} is better than {others} {how}"
        if names is None:
            alike = _ranges([at + 1 for at in self.alike])
        else:
            alike = _listed([names[at] for at in self.alike])
        return f"{alike} cannot be told apart {how}"

    def _how(self) -> str:
        tests = _listed(list(dict.fromkeys(one.test for one in self.comparisons)))
        level = f"{100 * self.alpha:g} %"
        is_corrected = len(self.p_values) > 1 and not self.has_winner
        return f"{tests}, Holm-corrected, {level}" if is_corrected else f"{tests}, {level}"


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Comparison:
    """Compares two classifiers by the examples that only one of them gets right.

    The test is the exact binomial one for every number of such examples; the interval is its
    inversion: the exact interval of the first one's share of them, as a difference of accuracies.

    Sources: McNemar, Note on the sampling error of the difference between correlated proportions
    or percentages (1947); Clopper and Pearson, The Use of Confidence or Fiducial Limits Illustrated
    in the Case of the Binomial (1934).

    Args:
        first: (examples,) whether the first one is right.
        second: (examples,) whether the second one is, for the same examples.

    Returns:
        The difference of their accuracies.
    """
    from scipy import special  # of the distributions only: `scipy.stats` takes 0.6 s more

    first, second = np.asarray(first, bool), np.asarray(second, bool)
    _check_pairs(first, second)
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    discordant = only_first + only_second
    low, high = (0.0, 1.0) if discordant else (0.5, 0.5)
    if only_first:
        low = special.betaincinv(only_first, only_second + 1, ALPHA / 2)
    if only_second:
        high = special.betaincinv(only_first + 1, only_second, 1 - ALPHA / 2)
    p_value = 2 * special.bdtr(min(only_first, only_second), discordant, 0.5)
    of_all = discordant / len(first)
    return Comparison(
        test=MCNEMAR,
        difference=(only_first - only_second) / len(first),
        low=(2 * float(low) - 1) * of_all,
        high=(2 * float(high) - 1) * of_all,
        p_value=min(1.0, float(p_value)),
        num_pairs=len(first),
    )


def paired_bootstrap(
    first: Floats,
    second: Floats,
    *,
    per: Floats | None = None,
    block_length: int = 1,
    num_resamples: int = NUM_RESAMPLES,
) -> Comparison:
    """Compares two models by their errors on the same examples.

    Examples are drawn with replacement, for both models the same ones. The percentile interval is
    expanded for few examples, and the p-value is that of its inversion. Where errors have heavy
    tails, the bootstrap alone is overconfident, so the wider interval and the larger p-value of
    the bootstrap and of Student's paired t test are returned: in simulations 4 % instead of 6 %
    false differences. With blocks, neighboring examples are drawn together; correlation over longer
    than a block still makes the interval too narrow.

    Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; Hesterberg,
    What Teachers Should Know About the Bootstrap (2015), section 5.3, for the expansion; Carlstein,
    The Use of Subseries Values (1986), for the blocks.

    Args:
        first: (examples,) errors or losses of the first one.
        second: (examples,) those of the second one.
        per: (examples,) what the sum of the errors is divided by the sum of, such as the number of
            tokens; 1 per example where it is `None`.
        block_length: neighboring examples that are drawn together: 1 for independent examples,
            more for a time series.
        num_resamples: most resamples; of many examples fewer are drawn.

    Returns:
        The difference of their mean errors.

    Raises:
        UserError: there are fewer than ten blocks of examples.
    """
    from scipy import stats

    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    _check_pairs(first, second)
    counts = np.ones(len(first)) if per is None else np.asarray(per, np.float64)
    starts = np.arange(0, len(first), block_length)
    gaps, of_blocks = (np.add.reduceat(values, starts) for values in (first - second, counts))
    if (of_blocks > 0).sum() < _FEWEST_BLOCKS:
        raise UserError(
            f"{len(first)} test examples are too few for a comparison of two models' errors: give "
            f"the dataset at least {_FEWEST_BLOCKS * block_length}."
        )
    difference = float(gaps.sum() / of_blocks.sum())
    if not gaps.any():
        return _no_difference(BOOTSTRAP, len(first))
    most = min(num_resamples, max(_FEWEST_RESAMPLES, _MOST_DRAWS // len(starts)))
    expansion = np.sqrt(len(starts) / (len(starts) - 1))
    tail = stats.norm.sf(expansion * stats.t.isf(ALPHA / 2, len(starts) - 1))
    drawn = stats.bootstrap(
        (gaps, of_blocks),
        _ratio,
        paired=True,
        vectorized=True,
        n_resamples=most,
        batch=max(1, _DRAWN_AT_ONCE // len(starts)),
        confidence_level=1 - 2 * float(tail),
        method="percentile",
        rng=np.random.default_rng(_SEED),
    )
    one_sided = _smaller_side(drawn.bootstrap_distribution)
    p_value = 2 * float(stats.t.sf(stats.norm.isf(one_sided) / expansion, len(starts) - 1))
    student = stats.ttest_1samp(gaps, 0)
    ends = student.confidence_interval(1 - ALPHA)
    scale = len(starts) / of_blocks.sum()
    low = min(drawn.confidence_interval.low, ends.low * scale)
    high = max(drawn.confidence_interval.high, ends.high * scale)
    return Comparison(
        test=BOOTSTRAP if block_length == 1 else f"{BOOTSTRAP} of blocks of {block_length}",
        difference=difference,
        low=float(low),
        high=float(high),
        p_value=max(p_value, float(student.pvalue)),
        num_pairs=len(first),
    )


def _smaller_side(drawn: Floats) -> float:
    """The share of draws on the other side of zero than most; never 0, as they are limited."""
    below, above = (drawn <= 0).sum(), (drawn >= 0).sum()
    return min(0.5, float(min(below, above) + 1) / (len(drawn) + 1))


def _ratio(values: Floats, counts: Floats, axis: int = -1) -> Any:
    """The mean of what was drawn; 0 where it has no token, which speaks for no difference."""
    below = counts.sum(axis=axis)
    return np.divide(values.sum(axis=axis), below, out=np.zeros(below.shape), where=below > 0)


def over_seeds(
    first: Sequence[tuple[int, float]], second: Sequence[tuple[int, float]]
) -> Comparison:
    """Compares two configs by a metric of their runs with several seeds.

    The test is the paired t test where both have the same seeds, else Welch's, which assumes no
    equal spread. Where all values agree so much that there is no spread to judge by, it is the
    permutation test, which needs six seeds to find anything.

    Args:
        first: seed and value of each run of the first one.
        second: those of the second one.

    Returns:
        The difference of their means.

    Raises:
        UserError: a seed is repeated, or there are fewer than two.
    """
    from scipy import stats

    for runs in (first, second):
        _check_seeds([seed for seed, _ in runs])
    one, other = (np.array([value for _, value in sorted(runs)]) for runs in (first, second))
    are_paired = {seed for seed, _ in first} == {seed for seed, _ in second}
    if are_paired and (one == other).all():
        return _no_difference(PAIRED_T, len(one))
    spreads = [one - other] if are_paired else [one, other]
    if all(np.allclose(values, values[0], rtol=1e-9, atol=0) for values in spreads):
        return _permuted(one, other, are_paired)
    if are_paired:
        found = stats.ttest_rel(one, other)
    else:
        found = stats.ttest_ind(one, other, equal_var=False)
    low, high = found.confidence_interval(1 - ALPHA)
    return Comparison(
        test=PAIRED_T if are_paired else WELCH,
        difference=float(one.mean() - other.mean()),
        low=float(low),
        high=float(high),
        p_value=float(found.pvalue),
        num_pairs=len(one) if are_paired else len(one) + len(other),
    )


def _permuted(one: Floats, other: Floats, are_paired: bool) -> Comparison:
    """A t test would be certain after two seeds: accuracies on few examples often agree."""
    from scipy import stats

    found = stats.permutation_test(
        (one, other),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        permutation_type="samples" if are_paired else "independent",
        vectorized=True,
        n_resamples=NUM_RESAMPLES,
        rng=np.random.default_rng(_SEED),
    )
    return Comparison(
        test=PERMUTATION,
        difference=float(one.mean() - other.mean()),
        low=np.nan,
        high=np.nan,
        p_value=float(found.pvalue),
        num_pairs=len(one) if are_paired else len(one) + len(other),
    )


def _no_difference(test: str, num_pairs: int) -> Comparison:
    return Comparison(
        test=test, difference=0.0, low=0.0, high=0.0, p_value=1.0, num_pairs=num_pairs
    )


def ranking(comparisons: Sequence[Comparison], *, alpha: float = ALPHA) -> Ranking:
    """Returns which candidates cannot be told apart from the best one.

    That the best is better than all others needs no correction: it has to differ from each of them,
    and a false winner is most likely where only two candidates are good, which is one test.

    That it is better than some of them does. The best was chosen by the same numbers that are
    tested, so each pair of candidates had the chance to be the extreme one: k candidates count as
    k (k - 1) / 2 tests, not as k - 1; the winner is one test more. As in Holm's procedure, fewer
    pairs remain after each rejected hypothesis.

    Sources: Gutmann and Maymin, Is the Selected Population the Best? (1987), and Hung and Fithian,
    Rank Verification for Exponential Families (2019), for the winner; Holm (1979) and Shaffer,
    Modified Sequentially Rejective Multiple Test Procedures (1986), for the others.

    Args:
        comparisons: of the best with each of the others, in their order.
        alpha: how often at most any statement of the ranking is to be false.
    """
    order = np.argsort([one.p_value for one in comparisons], kind="stable")
    corrected, largest = [1.0] * len(comparisons), 0.0
    for step, at in enumerate(order):
        num_left = len(comparisons) - step + 1  # with the best
        num_tests = num_left * (num_left - 1) / 2 + (num_left > 2)
        largest = max(largest, min(1.0, num_tests * comparisons[at].p_value))
        corrected[at] = largest
    of_winner = max((min(1.0, one.p_value) for one in comparisons), default=1.0)  # NaN: 1
    p_values = tuple(min(one, of_winner) for one in corrected)
    return Ranking(comparisons=tuple(comparisons), p_values=p_values, alpha=alpha)


def wilson_interval(num_hits: int, total: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share, which stays within 0 and 1.

    Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference (1927).

    Args:
        num_hits: examples that count.
        total: all examples, at least 1.
    """
    from scipy import stats

    low, high = stats.binomtest(num_hits, total).proportion_ci(1 - ALPHA, method="wilson")
    return float(low), float(high)


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the 95 % t interval of a mean over seeds or folds; NaN for a single value.

    Args:
        values: one per seed or fold.
    """
    from scipy import stats

    if len(values) < 2:
        return np.nan, np.nan
    mean, error = float(np.mean(values)), float(stats.sem(values))
    if error == 0:
        return mean, mean
    low, high = stats.t.interval(1 - ALPHA, len(values) - 1, loc=mean, scale=error)
    return float(low), float(high)


def _check_pairs(first: NDArray[Any], second: NDArray[Any]) -> None:
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"expected two vectors of one length, got {first.shape}, {second.shape}")


def _check_seeds(seeds: Sequence[int]) -> None:
    repeated = [seed for seed, number in Counter(seeds).items() if number > 1]
    if repeated:
        raise UserError(
            f"Seed {repeated[0]} occurs {seeds.count(repeated[0])} times: a repeated run says "
            "nothing about chance, so give runs with different seeds."
        )
    if len(seeds) < 2:
        raise UserError(
            f"Received runs of {len(seeds)} seed, expected 2 or more of each config to compare "
            "over seeds: train with seeds=5."
        )


def _ranges(numbers: Sequence[int]) -> str:
    """`1-3 and 5` for 1, 2, 3, 5."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return _listed([str(a) if a == b else f"{a}-{b}" for a, b in parts])


def _listed(names: Sequence[str]) -> str:
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last
