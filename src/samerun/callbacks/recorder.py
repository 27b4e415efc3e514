"""Metrics of every epoch, learning rate, speed and memory are written to the run."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import psutil

from samerun import optim
from samerun.callbacks.naming import logged_name
from samerun.tracking import Run


class Recorder(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes every epoch, and on request every few steps, to the run, and keeps the history.

    Args:
        run: where to write.
        num_examples: training examples per epoch, for the speed.
        log_every_steps: write the mean loss of this many steps, `None` for epochs only.
        log_step: writes the points of single steps, if not the run itself.
    """

    def __init__(
        self,
        run: Run,
        *,
        num_examples: int,
        log_every_steps: int | None,
        log_step: Callable[[Mapping[str, float], int], None] | None = None,
    ) -> None:
        super().__init__()
        self._log_step = log_step or (lambda metrics, step: run.log_metrics(metrics, step=step))
        self.run, self.num_examples, self.log_every_steps = run, num_examples, log_every_steps
        self.history: dict[str, list[float]] = {}
        self._epoch_seconds: list[float] = []
        self.is_whole_epoch = True
        self._process = psutil.Process()
        self._steps_before, self._last_step, self._last_sum = 0, 0, 0.0
        self._began = time.perf_counter()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._began = time.perf_counter()
        self._last_step, self._last_sum = 0, 0.0
        self.is_whole_epoch = True
        self._process.cpu_percent()  # the next call answers for the time since this one

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Writes the mean loss of the last steps; Keras gives that since the start of the epoch."""
        step = batch + 1
        if self.log_every_steps is None or step - self._last_step < self.log_every_steps:
            return
        total = float((logs or {})["loss"]) * step
        mean = (total - self._last_sum) / (step - self._last_step)
        self._last_step, self._last_sum = step, total
        self._log_step({"train/step_loss": mean}, self._steps_before + step)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Writes the epoch's metrics, learning rate, speed, memory and CPU."""
        seconds = time.perf_counter() - self._began
        iterations = int(self.model.optimizer.iterations)
        self._steps_before = iterations
        values = {logged_name(name): float(value) for name, value in (logs or {}).items()}
        values["learning_rate"] = optim.learning_rate(self.model.optimizer, iterations - 1)
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)
        system = {
            "system/process_memory_megabytes": self._process.memory_info().rss / 1e6,
            "system/process_cpu_percent": self._process.cpu_percent(),
        }
        if self.is_whole_epoch:  # of an epoch that was resumed, the time is unknown
            system["system/epoch_seconds"] = seconds
            self._epoch_seconds.append(seconds)
            system["system/examples_per_second"] = self.num_examples / seconds
        self.run.log_metrics(values | system, step=epoch + 1)

    def median_epoch_seconds(self) -> float | None:
        """Returns the median duration of the whole epochs of this process, if there are any."""
        return statistics.median(self._epoch_seconds) if self._epoch_seconds else None

    def state(self) -> dict[str, Any]:
        """Returns what a resumed run has to restore, by the names that checkpoints hold."""
        return {
            "history": self.history,
            "_steps_before": self._steps_before,
            "_last_step": self._last_step,
            "_last_sum": self._last_sum,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restores what `state` returned."""
        self.history, self._steps_before = state["history"], state["_steps_before"]
        self._last_step, self._last_sum = state["_last_step"], state["_last_sum"]
