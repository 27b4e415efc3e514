"""The results of a run, and of several runs of one config."""

import html
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samerun.command_line import line


def html_table(headline: str, rows: Iterable[tuple[str, str]]) -> str:
    """Returns a headline and a table of names and values as HTML, escaped."""
    cells = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(text)}</td></tr>'
        for name, text in rows
    )
    return f"<p><b>{html.escape(headline)}</b></p><table>{cells}</table>"


@dataclass(frozen=True, kw_only=True, repr=False)
class Result:
    """The result of a run.

    Args:
        run_id: its ID in the tracking store.
        run_name: its name there.
        folder: the run's own folder.
        metrics: final values by logged name, such as `test/accuracy`, from the weights that were
            kept.
        history: one value per epoch for each logged name.
        best_epoch: number, from 1, of the epoch whose weights were kept.
        weights_digest: SHA-256 of the final weights.
        sentence: the headline in words.
        objective: the best value of `training.early_stopping.monitor`, by which a sweep chooses.
        epoch_seconds: median duration of an epoch; `None` if no whole epoch was measured.
        num_parameters: number of weights of the model; `None` if they were not counted.
        model: the trained `keras.Model`, not compiled; `None` for a trial of a sweep and for one of
            several runs of a config, whose models would fill the memory: the store has them.
        trust: what `--trust` names when the run is reproduced: modules of the user's own.
    """

    run_id: str
    run_name: str
    folder: Path
    metrics: dict[str, float]
    history: dict[str, list[float]]
    best_epoch: int
    weights_digest: str
    sentence: str
    objective: float
    epoch_seconds: float | None
    num_parameters: int | None = None
    model: Any
    trust: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Returns the headline and the run, without histories and weights."""
        return f"<Result of run {self.run_id[:8]}, {self.run_name}: {self.sentence}>"

    def _repr_html_(self) -> str:
        """Returns what a notebook shows: the headline, the metrics and what to type next."""
        rows = [
            ("run", f"{self.run_name} ({self.run_id})"),
            ("best epoch", f"{self.best_epoch} of {self._num_epochs}"),
            ("folder", str(self.folder)),
            ("reproduce", line("reproduce", self.run_id[:8], trust=self.trust)),
            *((name, f"{value:.6g}") for name, value in self.metrics.items()),
        ]
        return html_table(self.sentence, rows)

    @property
    def _num_epochs(self) -> int:
        return max((len(values) for values in self.history.values()), default=0)


@dataclass(frozen=True, kw_only=True, repr=False)
class InstancesResult:
    """The results of the runs of one config, one for each seed or fold (`seeds=5`, `folds=5`).

    Args:
        run_id: ID of the parent run in the tracking store.
        run_name: its name there.
        folder: its folder; those of the children are in it, by number.
        labels: such as `seed 0`, one for each child.
        children: the result of each run, without its model.
        metrics: the mean of each final metric over the children.
        std: their sample standard deviation, by the same names.
        low: lower end of the 95 % t interval of the mean, by the same names.
        high: its upper end.
        history: the mean of each logged name after each epoch that all children trained.
        sentence: the headline in words.
        objective: mean of the children's objectives, by which a sweep chooses.
        trust: what `--trust` names when they are reproduced: modules of the user's own.
    """

    run_id: str
    run_name: str
    folder: Path
    labels: tuple[str, ...]
    children: tuple[Result, ...]
    metrics: dict[str, float]
    std: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    history: dict[str, list[float]]
    sentence: str
    objective: float
    trust: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Returns the headline and the run, without the children and histories."""
        num = len(self.children)
        return f"<Results of {num} runs, {self.run_id[:8]}, {self.run_name}: {self.sentence}>"
