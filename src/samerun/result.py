"""What a run came to."""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True, repr=False)
class Result:
    """What a run came to.

    Args:
        run_id: its ID in the tracking store.
        run_name: its name there.
        folder: the run's own folder.
        metrics: final values by logged name, such as `test/accuracy`, from the weights that were
            kept.
        history: one value an epoch for each logged name.
        best_epoch: number, from 1, of the epoch whose weights were kept.
        weights_digest: SHA-256 of the final weights.
        sentence: the headline in words.
        objective: the best value of `training.early_stopping.monitor`; what a sweep goes by.
        epoch_seconds: median duration of an epoch; `None` if no whole epoch was measured.
        model: the trained `keras.Model`, not compiled.
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
    model: Any

    def __repr__(self) -> str:
        """Returns the headline and the run, without histories and weights."""
        return f"<Result of run {self.run_id[:8]}, {self.run_name}: {self.sentence}>"

    def _repr_html_(self) -> str:
        """Returns what a notebook shows: the headline, the metrics and what to type next."""
        rows = [
            ("run", f"{self.run_name} ({self.run_id})"),
            ("best epoch", f"{self.best_epoch} of {self._num_epochs}"),
            ("folder", str(self.folder)),
            ("reproduce", f"samerun reproduce {self.run_id[:8]}"),
            *((name, f"{value:.6g}") for name, value in self.metrics.items()),
        ]
        cells = "".join(
            f'<tr><th style="text-align:left">{html.escape(name)}</th>'
            f'<td style="text-align:left">{html.escape(text)}</td></tr>'
            for name, text in rows
        )
        return f"<p><b>{html.escape(self.sentence)}</b></p><table>{cells}</table>"

    @property
    def _num_epochs(self) -> int:
        return max((len(values) for values in self.history.values()), default=0)
