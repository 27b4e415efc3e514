"""The progress bar of a training."""

import time
from collections.abc import Mapping
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from samerun.callbacks.naming import logged_name
from samerun.console import format_metrics


class ProgressBar(keras.callbacks.Callback):  # type: ignore[misc]
    """A progress bar over all steps, with the metrics of the last epoch and the time left.

    In a pipe or a file there is no bar, but one plain line per epoch.

    Args:
        epochs: number of epochs.
        steps_per_epoch: training steps per epoch.
        out: where to print.
        unit_scale: what errors are multiplied by for display, to be in the units of the targets as
            the score is. The loss, which is what training minimizes, stays in scaled units.
    """

    def __init__(
        self, epochs: int, steps_per_epoch: int, out: Console, *, unit_scale: float = 1.0
    ) -> None:
        super().__init__()
        self._scales = {
            "mean_absolute_error": unit_scale,
            "root_mean_squared_error": unit_scale,
            "mean_squared_error": unit_scale**2,
        }
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.out = out
        self._done = 0
        self._started = 0.0
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=out,
            transient=True,
        )
        self._task = self._bar.add_task(
            "", total=epochs * steps_per_epoch, epoch=f"1/{epochs}", metrics=""
        )

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Shows the bar where there is a terminal."""
        if self.out.is_terminal:
            self._bar.start()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Starts the epoch's clock; the first epoch of a resumed run is not epoch 0."""
        self._started = time.perf_counter()
        self._done = epoch * self.steps_per_epoch
        self._bar.update(self._task, epoch=f"{epoch + 1}/{self.epochs}")

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Moves the bar."""
        if self.out.is_terminal:
            self._bar.update(self._task, completed=self._done + batch + 1)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Shows the epoch's metrics."""
        metrics = format_metrics(
            {
                logged_name(name): float(value) * self._scales.get(name.removeprefix("val_"), 1.0)
                for name, value in (logs or {}).items()
            }
        )
        self._bar.update(self._task, metrics=metrics)
        if not self.out.is_terminal:
            seconds = time.perf_counter() - self._started
            self.out.print(f"epoch {epoch + 1}/{self.epochs}  {metrics}  ({seconds:.1f} s)")

    def close(self) -> None:
        """Removes the bar, also when training was interrupted and no event says so."""
        self._bar.stop()
