"""Mean, spread and interval of the children of a parent run: in the store and on the screen."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from typing import TYPE_CHECKING

from samerun import config
from samerun import tags as tag
from samerun.config.instances import instances_of, kind_of
from samerun.escaping import markdown
from samerun.launch import table
from samerun.result import InstancesResult, Result
from samerun.user_code import trust_names

if TYPE_CHECKING:
    from rich.console import Console

    from samerun.tracking import Run


@dataclass(frozen=True)
class Spread:
    """Mean, sample standard deviation and 95 % t interval of the mean of a few numbers."""

    mean: float
    std: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Returns those of two or more numbers; all NaN if one of them is not finite."""
        if not all(map(math.isfinite, values)):
            return cls(math.nan, math.nan, math.nan, math.nan)
        from samerun.statistics import t_interval  # imports NumPy, not needed before training

        low, high = t_interval(values)
        return cls(math.fsum(values) / len(values), stdev(values), low, high)

    def as_metrics(self, name: str) -> dict[str, float]:
        """Returns the values under the names that the parent run logs them by."""
        return {
            name: self.mean,
            f"{name}_std": self.std,
            f"{name}_low": self.low,
            f"{name}_high": self.high,
        }


def record(
    run: "Run", cfg: config.Config, results: Sequence[Result], out: "Console"
) -> InstancesResult:
    """Logs mean, spread and interval of the children's results on their parent run, and a table.

    Args:
        run: the parent run, open.
        cfg: the config of all children.
        results: of the children, in order.
        out: where to print the table.
    """
    monitor = cfg.training.early_stopping.monitor
    # An end of a child's own interval is no metric: the parent's interval has its name.
    ends = {f"{name}{end}" for name in results[0].metrics for end in ("_low", "_high", "_std")}
    shared = [name for name in results[0].metrics if all(name in one.metrics for one in results)]
    names = [name for name in shared if name not in ends]  # one may be undefined for some folds
    values = {name: [one.metrics[name] for one in results] for name in names}
    objectives = [one.objective for one in results]
    found = {name: Spread.of(one) for name, one in {monitor: objectives, **values}.items()}
    for name, spread in found.items():
        run.log_metrics(spread.as_metrics(name), step=0)
    labels = [instance.label for instance in instances_of(cfg)]
    headline = next(iter(values))
    sentence = _sentence(headline, found[headline], f"{len(results)} {kind_of(cfg)}")
    run.set_tags({tag.RESULT: sentence})
    rows = _rows(labels, results, monitor, headline, found)
    table.show(rows, out)
    table.record(run, rows, heading=f"**{markdown(sentence)}**\n\n")
    histories = [one.history for one in results]
    curves = table.draw_curves(dict(zip(labels, histories, strict=True)), run.folder)
    if curves is not None:
        run.log_file(curves, "plots")
    means = {name: found[name] for name in values}
    return InstancesResult(
        run_id=run.id,
        run_name=run.name,
        folder=run.folder,
        labels=tuple(labels),
        children=tuple(results),
        metrics={name: spread.mean for name, spread in means.items()},
        std={name: spread.std for name, spread in means.items()},
        low={name: spread.low for name, spread in means.items()},
        high={name: spread.high for name, spread in means.items()},
        history=_mean_history(histories),
        sentence=sentence,
        objective=found[monitor].mean,
        trust=trust_names(cfg),
    )


def _sentence(name: str, spread: Spread, over: str) -> str:
    split, _, metric = name.partition("/")
    return (
        f"{split} {metric.replace('_', ' ')} {spread.mean:.4g} (95 % {spread.low:.4g} to "
        f"{spread.high:.4g}, standard deviation {spread.std:.2g}) over {over}"
    )


def _rows(
    labels: Sequence[str],
    results: Sequence[Result],
    monitor: str,
    headline: str,
    found: Mapping[str, Spread],
) -> list[list[str]]:
    """Returns the table of the children: a header, a row for each, and their mean and spread."""
    columns = {monitor: [one.objective for one in results]}
    columns[headline] = [one.metrics[headline] for one in results]
    rows = [["", "run", *columns]]
    for number, (label, one) in enumerate(zip(labels, results, strict=True)):
        shown = [f"{values[number]:.4g}" for values in columns.values()]
        rows.append([label, one.run_id[:8], *shown])
    spreads = [found[name] for name in columns]
    rows.append(["mean", "", *(f"{one.mean:.4g}" for one in spreads)])
    rows.append(["standard deviation", "", *(f"{one.std:.2g}" for one in spreads)])
    rows.append(["95 % of the mean", "", *(f"{one.low:.4g} to {one.high:.4g}" for one in spreads)])
    return rows


def _mean_history(histories: Sequence[dict[str, list[float]]]) -> dict[str, list[float]]:
    """Returns the mean of each metric after each epoch that all runs trained."""
    shared = [name for name in histories[0] if all(name in one for one in histories)]
    return {
        name: [math.fsum(v) / len(v) for v in zip(*(one[name] for one in histories), strict=False)]
        for name in shared
    }
