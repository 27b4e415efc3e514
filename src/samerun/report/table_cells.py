"""A number of a table, and whether the best number of a column is really the best."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from samerun import statistics
from samerun.config.training import should_rise
from samerun.errors import UserError
from samerun.replay import predictions
from samerun.replay.predictions import Kind, Predictions
from samerun.statistics import Ranking
from samerun.tracking import StoredRun

_COMPARED = {
    Kind.classes: ("accuracy",),
    Kind.numbers: ("mean_absolute_error",),
    Kind.tokens: ("log_loss", "perplexity", "bits_per_token"),
}
"""Metrics whose difference between two runs the paired test of their predictions judges."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A number of the table.

    Args:
        metric: its name.
        runs: those it follows from, by seed.
        value: their mean, or the value of a single run.
        low: lower end of the 95 % interval; NaN where there is none.
        high: upper end.
    """

    metric: str
    runs: tuple[StoredRun, ...]
    value: float
    low: float
    high: float

    @property
    def is_mean(self) -> bool:
        """Whether it is a mean over seeds, whose interval is symmetric."""
        return len(self.runs) > 1

    @property
    def numbers(self) -> tuple[float, ...]:
        """What is shown: mean and half of the interval, or value, low and high, or the value."""
        if math.isnan(self.low):
            return (self.value,)
        if self.is_mean:
            return (self.value, (self.high - self.low) / 2)
        return (self.value, self.low, self.high)

    def texts(self) -> tuple[str, ...]:
        """Returns the numbers with as many decimals as the interval's width has two digits."""
        half = (self.high - self.low) / 2
        if half > 0:
            decimals = 1 - math.floor(math.log10(half))
        else:
            decimals = 3 - math.floor(math.log10(abs(self.value))) if self.value else 1
        return tuple(rounded(number, max(0, decimals)) for number in self.numbers)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether the best number of a column is really the best.

    Args:
        best: row of the best number; `None` for an empty column.
        ranking: of the rows, `None` where no test is possible.
        sentence: the result, or why there is none.
    """

    best: int | None
    ranking: Ranking | None
    sentence: str

    @property
    def winner(self) -> int | None:
        """The row that is really better than each other one."""
        return self.best if self.ranking is not None and self.ranking.has_winner else None


def rounded(number: float, decimals: int) -> str:
    """Returns a number rounded to `decimals` decimal places; zero has no sign."""
    text = f"{number:.{decimals}f}"
    return text.lstrip("-") if not float(text) else text


def rank(one: Cell | None, metric: str) -> tuple[bool, float]:
    """Returns what sorts the best number first and a missing one last."""
    if one is None:
        return (True, 0.0)
    return (False, -one.value if should_rise(metric) else one.value)


def cell(runs: Sequence[StoredRun], metric: str) -> Cell | None:
    """Returns the number that a metric of some runs comes to.

    Several runs: the mean over seeds and its t interval. One run: its value with Wilson's interval
    where it is a share of the test examples, else with the interval that it recorded.

    Args:
        runs: of one config, each with another seed.
        metric: its logged name.
    """
    having = [run for run in runs if math.isfinite(run.metrics.get(metric, math.nan))]
    if not having:
        return None
    values = [run.metrics[metric] for run in having]
    if len(having) > 1:
        low, high = statistics.t_interval(values)
    else:
        low, high = _interval(having[0], metric)
    mean = math.fsum(values) / len(values)
    return Cell(metric=metric, runs=tuple(having), value=mean, low=low, high=high)


def _interval(run: StoredRun, metric: str) -> tuple[float, float]:
    if metric.endswith("/accuracy") and isinstance(found := _read(run), Predictions):
        correct = found.correct
        is_evaluated = metric == f"{found.split}/accuracy" and correct is not None
        if is_evaluated and correct is not None:
            return statistics.wilson_interval(int(correct.sum()), len(correct))
    low, high = (run.metrics.get(metric + end, math.nan) for end in ("_low", "_high"))
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (math.nan, math.nan)


def _read(run: StoredRun) -> Predictions | UserError:
    """The predictions of a run, or the sentence that says why there are none."""
    try:
        return predictions.read(run)
    except UserError as error:
        return error


def judge(column: Sequence[Cell | None], names: Sequence[str]) -> Verdict:
    """Tests whether the best number of a column is really the best.

    Over seeds where each row has several runs; by the predictions of the same examples where each
    row has one, which says something about these trained models only.

    Args:
        column: one number per row.
        names: of the rows.
    """
    present = [at for at, one in enumerate(column) if one is not None]
    cells = {at: one for at, one in enumerate(column) if one is not None}
    if not present:
        return Verdict(best=None, ranking=None, sentence="no run has it")
    metric = cells[present[0]].metric
    order = sorted(present, key=lambda at: rank(cells[at], metric))
    best, others = order[0], order[1:]
    if not others:
        return Verdict(best=best, ranking=None, sentence="nothing to compare with")
    try:
        if all(one.is_mean for one in cells.values()):
            seeded = {at: _by_seed(one) for at, one in cells.items()}
            found = [statistics.over_seeds(seeded[best], seeded[at]) for at in others]
            about = ""
        else:
            found = _paired([cells[at] for at in order], [names[at] for at in order])
            about = "; of these trained models, which other seeds may reverse"
    except UserError as error:
        return Verdict(best=best, ranking=None, sentence=f"not tested: {error}")
    ranking = statistics.ranking(found)
    sentence = ranking.sentence([names[at] for at in order]) + about
    return Verdict(best=best, ranking=ranking, sentence=sentence)


def _by_seed(one: Cell) -> list[tuple[int, float]]:
    seeds = [run.params["seed"] for run in one.runs]
    if not all(seed.isdecimal() and len(seed) < 20 for seed in seeds):
        raise UserError("a run has no seed.")
    pairs = zip(seeds, one.runs, strict=True)
    return [(int(seed), run.metrics[one.metric]) for seed, run in pairs]


def _paired(cells: Sequence[Cell], names: Sequence[str]) -> list[statistics.Comparison]:
    """Compares single runs by their predictions, the best of them with each other one."""
    several = [name for one, name in zip(cells, names, strict=True) if one.is_mean]
    alone = [name for one, name in zip(cells, names, strict=True) if not one.is_mean]
    if several:
        raise UserError(
            f"{alone[0]} has one run and {several[0]} has several: train each with several seeds."
        )
    read = []
    for one in cells:
        stored = _read(one.runs[0])
        if isinstance(stored, UserError):
            raise stored
        read.append(stored)
    split, _, name = cells[0].metric.rpartition("/")
    if split != read[0].split or name not in _COMPARED[read[0].kind]:
        raise UserError(
            f"single runs are compared by {read[0].split}/{_COMPARED[read[0].kind][0]} only: train "
            "each with several seeds."
        )
    found = [predictions.paired(read[0], other) for other in read[1:]]
    sign = 1 if should_rise(name) else -1
    if any(sign * one.difference < 0 for one in found):
        raise UserError(f"{names[0]} has the best {cells[0].metric}, but not the best predictions.")
    return found
