"""Measures how often a winner is declared where there is none, and how often a true one is found.

Studies are simulated: candidates whose true quality is known are ranked by what was measured, and
judged by the functions that `samerun compare`, `samerun table` and a sweep use.

    python benchmarks/false_winners.py [--studies 1000] [--only TEST]

Fails if, where all candidates are equal, more than 5 % of the studies say that one differs from
another (up to the error of the simulation itself), or if less than 80 % find a true gap of two
standard deviations between seeds. About 15 minutes on one core.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from samerun import statistics
from samerun.statistics import Comparison

ALLOWED, NEEDED = 0.05, 0.80
SEED = 20160401
SPREAD = 0.01
"""Standard deviation of the accuracy between seeds of one config: one point."""

ACCURACY = 0.90
SHARED = 0.8
"""How alike the examples are that two models get right: correlation of what decides it."""

RESAMPLES = 999
"""Of a bootstrap; the product draws ten times as many, which changes its p-values by little."""

Gaps = Sequence[float]
Draw = Callable[[np.random.Generator, Gaps], tuple[NDArray[np.float64], list[object]]]


@dataclass(frozen=True)
class Study:
    """One kind of study.

    Args:
        test: what is compared.
        gaps: true quality of each candidate below the best, in standard deviations over seeds.
        draw: measured quality and material of each candidate.
        compare: the product's test of the material of two candidates.
    """

    test: str
    gaps: Gaps
    draw: Draw
    compare: Callable[[object, object], Comparison]


def seeds(num_seeds: int, last: float = 1.0) -> Draw:
    """Accuracies of each candidate's runs, all with the same seeds.

    Those of the last candidate scatter more by a factor.
    """

    def draw(random: np.random.Generator, gaps: Gaps) -> tuple[NDArray[np.float64], list[object]]:
        scatter = SPREAD * random.normal(size=(len(gaps), num_seeds))
        scatter[-1] *= last
        values = ACCURACY + scatter
        values -= SPREAD * np.array(gaps)[:, None]
        return values.mean(axis=1), [list(enumerate(row.tolist())) for row in values]

    return draw


def counted(num_seeds: int, num_examples: int) -> Draw:
    """The same as shares of a small test split, where accuracies of several seeds often agree."""

    def draw(random: np.random.Generator, gaps: Gaps) -> tuple[NDArray[np.float64], list[object]]:
        shares = np.clip(ACCURACY - SPREAD * np.array(gaps)[:, None], 0, 1)
        values = random.binomial(num_examples, shares, (len(gaps), num_seeds)) / num_examples
        return values.mean(axis=1), [list(enumerate(row.tolist())) for row in values]

    return draw


def answers(num_examples: int, spread: float = 0.0) -> Draw:
    """Which examples one run of each candidate gets right; most mistakes are shared.

    With a spread, each run is a little better or worse than its config, as another seed would be.
    """

    def draw(random: np.random.Generator, gaps: Gaps) -> tuple[NDArray[np.float64], list[object]]:
        true = ACCURACY - SPREAD * np.array(gaps) + spread * random.normal(size=len(gaps))
        ease = math.sqrt(SHARED) * random.normal(size=num_examples)
        own = math.sqrt(1 - SHARED) * random.normal(size=(len(gaps), num_examples))
        hits = stats.norm.ppf(np.clip(true, 0.01, 0.99))[:, None] + ease + own > 0
        return hits.mean(axis=1), list(hits)

    return draw


def errors(num_examples: int) -> Draw:
    """Skewed errors of one run of each candidate, correlated over the examples."""

    def draw(random: np.random.Generator, gaps: Gaps) -> tuple[NDArray[np.float64], list[object]]:
        hard = random.normal(size=num_examples)
        values = np.exp(hard + random.normal(size=(len(gaps), num_examples)))
        values += SPREAD * np.array(gaps)[:, None]
        return -values.mean(axis=1), list(values)

    return draw


def series(num_examples: int, memory: float) -> Draw:
    """Errors of forecasts, each correlated with the one before."""

    def draw(random: np.random.Generator, gaps: Gaps) -> tuple[NDArray[np.float64], list[object]]:
        values = random.normal(size=(len(gaps), num_examples))
        for at in range(1, num_examples):
            values[:, at] += memory * values[:, at - 1]
        return -values.mean(axis=1), list(values)

    return draw


def bootstrap(one: NDArray[np.float64], other: NDArray[np.float64]) -> Comparison:
    """The bootstrap of independent examples; smaller errors are better."""
    return statistics.paired_bootstrap(one, other, num_resamples=RESAMPLES)


def in_blocks(one: NDArray[np.float64], other: NDArray[np.float64]) -> Comparison:
    """The bootstrap of a time series, with the product's length of blocks."""
    length = round(math.sqrt(len(one)))
    return statistics.paired_bootstrap(one, other, block_length=length, num_resamples=RESAMPLES)


def measure(study: Study, num_studies: int) -> tuple[float, float]:
    """Returns the shares of studies with a winner, and with a statement that is false."""
    random = np.random.default_rng(SEED)
    winners = false = 0
    for _ in range(num_studies):
        quality, material = study.draw(random, study.gaps)
        order = np.argsort(-quality, kind="stable")
        best = order[0]
        comparisons = [study.compare(material[best], material[other]) for other in order[1:]]
        found = statistics.ranking(comparisons)
        told_apart = [order[at] for at in range(1, len(order)) if at not in found.alike]
        winners += int(found.has_winner)
        false += int(any(study.gaps[other] <= study.gaps[best] for other in told_apart))
    return winners / num_studies, false / num_studies


EQUAL = (2, 3, 5, 10)


def equal_studies() -> list[Study]:
    """Studies in which no candidate is better than another."""
    kinds: list[tuple[str, Draw, Callable[..., Comparison], tuple[int, ...]]] = [
        ("t test, 3 seeds", seeds(3), statistics.over_seeds, EQUAL),
        ("t test, 5 seeds", seeds(5), statistics.over_seeds, EQUAL),
        ("t test, 3 seeds, one scatters 5-fold", seeds(3, 5), statistics.over_seeds, (2, 3)),
        ("t test, 3 seeds of 30 examples", counted(3, 30), statistics.over_seeds, EQUAL),
        ("McNemar, 360 examples", answers(360), statistics.mcnemar, EQUAL),
        ("McNemar, 10,000 examples", answers(10_000), statistics.mcnemar, EQUAL),
        ("bootstrap, 200 examples", errors(200), bootstrap, (2, 3)),
        ("bootstrap in blocks, 400 days", series(400, 0.5), in_blocks, (2, 3)),
    ]
    return [Study(name, [0.0] * n, draw, test) for name, draw, test, many in kinds for n in many]


def mixed_studies() -> list[Study]:
    """Studies in which some candidates are equal and others worse."""
    arrangements = ([0, 0, 3, 3, 3], [0, 0, 0, 0, 5], [0, 0.3, 0.6, 0.9, 1.2], [0, 0, 1, 1, 2, 2])
    return [
        *(Study("t test, 5 seeds", gaps, seeds(5), statistics.over_seeds) for gaps in arrangements),
        *(
            Study("McNemar, 2,000 examples", gaps, answers(2_000), statistics.mcnemar)
            for gaps in arrangements
        ),
    ]


def gap_studies() -> list[tuple[Study, bool]]:
    """Studies with one true winner, by two standard deviations; whether a limit holds for them."""
    found = []
    for number in (2, 3, 5):
        gaps = [0.0] + [2.0] * (number - 1)
        found += [
            (Study(f"t test, {count} seeds", gaps, seeds(count), statistics.over_seeds), limited)
            for count, limited in ((3, False), (5, False), (7, False), (9, True))
        ]
        for count, limited in ((500, False), (3_000, True)):
            draw = answers(count)
            found.append(
                (Study(f"McNemar, {count:,} examples", gaps, draw, statistics.mcnemar), limited)
            )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--only", default="", help="only tests whose name contains this")
    chosen = parser.parse_args()
    number, only = chosen.studies, chosen.only
    started, missed = time.perf_counter(), []
    # The 99.9 % quantile of the measured rate if the true rate is 5 %.
    allowed = stats.binom.isf(0.001, number, ALLOWED) / number
    print(f"{number:,} studies each; a line misses its limit above {allowed:.1%}.\n")
    print(f"{'all candidates equal':36} {'candidates':>10} {'a winner':>9} {'any difference':>15}")
    for study in [one for one in equal_studies() if only in one.test]:
        winners, false = measure(study, number)
        print(f"{study.test:36} {len(study.gaps):10} {winners:9.1%} {false:15.1%}", flush=True)
        missed += [study.test] * int(max(winners, false) > allowed)
    print(f"\n{'some worse, by standard deviations':36} {'':22} {'false statement':>15}")
    for study in [one for one in mixed_studies() if only in one.test]:
        _, false = measure(study, number)
        print(f"{study.test:36} {' '.join(f'{gap:g}' for gap in study.gaps):>22} {false:15.1%}")
        missed += [study.test] * int(false > allowed)
    print(f"\n{'one better by 2 standard deviations':36} {'candidates':>9} {'found':>9}")
    for study, is_limited in [one for one in gap_studies() if only in one[0].test]:
        winners, _ = measure(study, number)
        print(f"{study.test:36} {len(study.gaps):10} {winners:9.1%}", flush=True)
        missed += [study.test] * int(is_limited and winners < NEEDED)
    print("\nTwo single runs of equal configs whose seeds scatter by one point of accuracy:")
    for count in (360, 10_000):
        draw = answers(count, spread=SPREAD)
        winners, _ = measure(Study("", [0, 0], draw, statistics.mcnemar), number)
        print(f"  McNemar calls the two models different in {winners:.1%} at {count:,} examples")
    print(f"\n{time.perf_counter() - started:.0f} s")
    for test in missed:
        print(f"LIMIT MISSED: {test}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
