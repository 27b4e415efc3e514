"""Is the best run really better? One line for each pair with the best, and one for all of them."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from samerun import statistics
from samerun.config.root import has_meaning
from samerun.config.training import should_rise
from samerun.errors import UserError
from samerun.replay.comparison import RowState
from samerun.replay.reproduce import effective
from samerun.report.compare.metrics import best_first
from samerun.report.differences import Differences
from samerun.statistics import Comparison, Ranking

Test = Callable[[int, int], Comparison]
"""Compares two runs by their positions."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What is ranked: a run, or the repeats of one config with several seeds.

    Args:
        label: of its runs, such as `A` or `A–C`.
        runs: positions of its runs.
    """

    label: str
    runs: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Which of the candidates is the best, and whether that may be chance.

    Args:
        metric: logged name of the metric that they are ranked by; may be empty.
        candidates: the best first.
        ranking: each of the others compared with the best; `None` where that is not possible.
        reason: why it is not possible, in one sentence; may be empty.
    """

    metric: str
    candidates: tuple[Candidate, ...]
    ranking: Ranking | None
    reason: str = ""

    @property
    def best(self) -> Candidate | None:
        """The best candidate, if it really is better than all others."""
        is_real = self.ranking is not None and self.ranking.has_winner
        return self.candidates[0] if is_real else None

    def sentences(self) -> list[str]:
        """Returns the verdict on all, then that on each pair with the best."""
        if self.ranking is None:
            return [self.reason]
        labels = [candidate.label for candidate in self.candidates]
        return [f"{self.metric}: {self.ranking.sentence(labels)}.", *self._pairs()]

    def _pairs(self) -> Iterator[str]:
        assert self.ranking is not None
        best, *others = self.candidates
        corrected = zip(self.ranking.comparisons, self.ranking.p_values, strict=True)
        for other, (comparison, p_value) in zip(others, corrected, strict=True):
            shown = dataclasses.replace(comparison, p_value=p_value)
            yield f"{best.label} − {other.label}: {shown.sentence()}"


def judge(found: Differences, labels: Sequence[str], metric: str, test: Test | None) -> Verdict:
    """Compares the best run with each other one, over seeds where the runs are such repeats.

    Args:
        found: the differences among the runs.
        labels: short label of each run.
        metric: logged name of the metric to rank by; may be empty.
        test: compares two runs by their test examples; `None` where that is not possible.
    """
    if not metric:
        reason = "The runs have no main metric in common, so no best run is named."
        return Verdict(metric="", candidates=(), ranking=None, reason=reason)
    repeats = _repeats(found)
    if len(repeats) == 1:
        reason = (
            f"{metric}: the runs are repeats of one config with different seeds, so what differs "
            "between them is chance."
        )
        return Verdict(metric=metric, candidates=(), ranking=None, reason=reason)
    if repeats:
        return _over_seeds(found, labels, metric, repeats)
    order = best_first(found.runs, metric)
    candidates = tuple(Candidate(label=labels[place], runs=(place,)) for place in order)
    if test is None:
        reason = (
            f"{metric}: {candidates[0].label} has the best value; whether that is chance cannot be "
            "tested, see Predictions."
        )
        return Verdict(metric=metric, candidates=candidates, ranking=None, reason=reason)
    try:
        ranking = statistics.ranking([test(order[0], other) for other in order[1:]])
    except UserError as error:
        return Verdict(metric=metric, candidates=candidates, ranking=None, reason=str(error))
    return Verdict(metric=metric, candidates=candidates, ranking=ranking)


def _repeats(found: Differences) -> list[list[int]]:
    """Returns the runs of each config, if the runs are repeats with several seeds; else nothing."""
    groups: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for place, one in enumerate(found.recorded):
        groups.setdefault(_config_without_seed(effective(one.cfg, one.run.tags)), []).append(place)
    seeds = [{found.recorded[place].cfg.seed for place in group} for group in groups.values()]
    are_repeats = all(
        len(seeds_of) == len(group) > 1
        for seeds_of, group in zip(seeds, groups.values(), strict=True)
    )
    is_other_code = any(row.state is RowState.differs for row in found.of("code"))
    return list(groups.values()) if are_repeats and not is_other_code else []


def _label(letters: Sequence[str]) -> str:
    """`A–E` for neighboring letters, else `A+C+E`."""
    is_row = ord(letters[-1]) - ord(letters[0]) == len(letters) - 1
    return f"{letters[0]}–{letters[-1]}" if is_row else "+".join(letters)


def _config_without_seed(leaves: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(one for one in leaves.items() if one[0] != "seed" and has_meaning(one[0])))


def _over_seeds(
    found: Differences,
    labels: Sequence[str],
    metric: str,
    repeats: Sequence[Sequence[int]],
) -> Verdict:
    def values(group: Sequence[int]) -> list[tuple[int, float]]:
        return [(found.recorded[at].cfg.seed, found.runs[at].metrics[metric]) for at in group]

    sign = -1 if should_rise(metric) else 1
    order = sorted(
        repeats, key=lambda group: sign * math.fsum(v for _, v in values(group)) / len(group)
    )
    candidates = tuple(
        Candidate(label=_label([labels[at] for at in group]), runs=tuple(group)) for group in order
    )
    tests = [statistics.over_seeds(values(order[0]), values(other)) for other in order[1:]]
    return Verdict(metric=metric, candidates=candidates, ranking=statistics.ranking(tests))
