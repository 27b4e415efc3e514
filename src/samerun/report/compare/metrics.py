"""Metrics of several runs side by side, the headline first."""

from collections.abc import Sequence
from dataclasses import dataclass

from samerun.amounts import short
from samerun.config.training import should_rise
from samerun.report.differences import Differences, format_number
from samerun.report.run_rows import HEADLINES
from samerun.tracking import StoredRun

_SPLITS = ("test/", "validation/", "train/")
_ENDS = ("_low", "_high")


@dataclass(frozen=True, kw_only=True)
class MetricRow:
    """A metric whose last values differ.

    Args:
        name: its logged name.
        cells: its value in each run.
        is_headline: whether it is the main metric of the task.
    """

    name: str
    cells: tuple[str, ...]
    is_headline: bool


def headline_of(runs: Sequence[StoredRun]) -> str:
    """Returns the main metric that all runs have, of the test split where they have one; or ''."""
    for split in _SPLITS[:2]:
        for name in HEADLINES:
            metric = f"{split}{name}"
            if all({metric, f"{metric}_low"} <= run.metrics.keys() for run in runs):
                return metric
    return ""


def best_first(runs: Sequence[StoredRun], metric: str) -> list[int]:
    """Returns the positions of runs, the best by a metric first; one without a number is last."""

    def rank(place: int) -> tuple[bool, float]:
        value = runs[place].metrics.get(metric, float("nan"))
        is_none = value != value
        return is_none, 0.0 if is_none else -value if should_rise(metric) else value

    return sorted(range(len(runs)), key=rank)


def rows(found: Differences, headline: str) -> list[MetricRow]:
    """Returns the metrics that differ, the headline first, then by split."""
    metrics = found.different_metrics

    def place(name: str) -> tuple[bool, int, str]:
        splits = [name.startswith(split) for split in _SPLITS]
        return name != headline, splits.index(True) if any(splits) else len(splits), name

    return [
        MetricRow(
            name=name, cells=tuple(map(format_number, metrics[name])), is_headline=name == headline
        )
        for name in sorted(metrics, key=place)
        if not _is_end(name, found)
    ]


def with_interval(run: StoredRun, name: str) -> str:
    """Returns a run's value of a metric, with its interval where it has one."""
    low, high = (run.metrics.get(name + end) for end in _ENDS)
    value = run.metrics.get(name)
    if value is None or low is None or high is None:
        return format_number(value)
    return f"{short(value)} ({short(low)}–{short(high)})"


def _is_end(name: str, found: Differences) -> bool:
    """Whether it is an end of another metric's interval, which follows from that metric."""
    return any(name.endswith(end) and name.removesuffix(end) in found.metrics for end in _ENDS)
