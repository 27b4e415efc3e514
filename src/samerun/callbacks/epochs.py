"""What happens at the end of every epoch: a NaN is noticed, a rate is cut, numbers are recorded."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import psutil

from samerun import optim
from samerun.callbacks.naming import logged_name
from samerun.callbacks.retries import Retries
from samerun.config.schedules import ReduceOnPlateau
from samerun.errors import NotFinite
from samerun.tracking import Run


class EpochKey(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells the data pipeline which epoch begins: its order is a function of (seed, epoch)."""

    def __init__(self, set_epoch: Callable[[int], None]) -> None:
        super().__init__()
        self.set_epoch_of_data = set_epoch

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Runs before Keras makes the epoch's iterator."""
        self.set_epoch_of_data(epoch)


def has_finite_weights(model: keras.Model) -> bool:
    """Whether every trained weight is a number: the loss of a step is that of those before it."""
    weights = model.trainable_variables
    return all(np.isfinite(keras.ops.convert_to_numpy(weight)).all() for weight in weights)


class NanGuard(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops training at the first value that is not finite, and remembers where it was.

    Placed first, so that a NaN is known before any other callback takes it for a best value. While
    a retry is left it raises `NotFinite` instead, and no other callback learns of the epoch.

    Args:
        retries: what `training.on_nan` asks for.
    """

    def __init__(self, retries: Retries) -> None:
        super().__init__()
        self.retries = retries
        self.found: str | None = None
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Notes the epoch for the message."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Looks at the running loss."""
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            found = f"train/loss is {loss:g} at epoch {self._epoch + 1}, step {batch + 1}"
            self._stop(found, step=batch + 1)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Looks at every metric of the epoch."""
        for name, value in (logs or {}).items():
            if not math.isfinite(float(value)):
                self._stop(f"{logged_name(name)} is {float(value):g} at epoch {epoch + 1}")
        if self.retries.can_restore and not has_finite_weights(self.model):
            self._stop(f"a weight is not finite after epoch {epoch + 1}")

    def _stop(self, found: str, *, step: int = 0) -> None:
        if self.retries.can_restore:
            raise NotFinite(found, epoch=self._epoch + 1, step=step)
        self.found = self.found or f"{found}{self.retries.spent()}"
        self.model.stop_training = True


class Plateau(keras.callbacks.Callback):  # type: ignore[misc]
    """Cuts the learning rate when the monitored metric no longer improves.

    Keras's own `ReduceLROnPlateau` sets a variable that does not exist when the optimizer has a
    schedule (here the warm-up), and takes a NaN for its best value. This one assigns the schedule's
    factor.

    Args:
        schedule: patience, factor and limits.
        monitor: Keras's name of the metric.
        rises: larger is better.
    """

    def __init__(self, schedule: ReduceOnPlateau, monitor: str, *, rises: bool) -> None:
        super().__init__()
        self.schedule, self.monitor, self.sign = schedule, monitor, 1.0 if rises else -1.0
        self.best, self.wait, self.cooldown, self.factor = -math.inf, 0, 0, 1.0

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Counts the epochs without improvement and cuts after too many."""
        value = self.sign * float((logs or {})[self.monitor])
        if self.cooldown:
            self.cooldown -= 1
            self.wait = 0
        if value > self.best + self.schedule.min_delta:
            self.best, self.wait = value, 0
        elif not self.cooldown:
            self.wait += 1
            if self.wait >= self.schedule.patience_epochs:
                self._cut()

    def _cut(self) -> None:
        self.factor = max(self.factor * self.schedule.factor, self.schedule.min_factor)
        factor = optim.plateau_factor(self.model.optimizer)
        if factor is not None:  # None only if the optimizer was exchanged behind our back
            factor.assign(self.factor)
        self.cooldown, self.wait = self.schedule.cooldown_epochs, 0


class Recorder(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes every epoch, and on request every few steps, to the run, and keeps the history.

    Args:
        run: where to write.
        num_examples: training examples an epoch, for the speed.
        log_every_steps: write the mean loss of so many steps, `None` for epochs only.
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
        """Writes the mean loss of the last steps; Keras gives the mean since the epoch began."""
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
        if self.is_whole_epoch:  # of one that went on in another process the time is unknown
            system["speed/epoch_seconds"] = seconds
            system["speed/examples_per_second"] = self.num_examples / seconds
        self.run.log_metrics(values | system, step=epoch + 1)
