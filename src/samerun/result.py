"""What a run came to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
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
