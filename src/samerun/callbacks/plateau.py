"""The learning rate is cut when the monitored metric no longer improves."""

import math
from collections.abc import Mapping
from typing import Any

import keras

from samerun import optim
from samerun.config.schedules import ReduceOnPlateau


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
        if factor is not None:  # None only if user code replaced the optimizer
            factor.assign(self.factor)
        self.cooldown, self.wait = self.schedule.cooldown_epochs, 0

    def state(self) -> dict[str, Any]:
        """Returns what a resumed run has to restore."""
        return {
            "best": self.best,
            "wait": self.wait,
            "cooldown": self.cooldown,
            "factor": self.factor,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restores what `state` returned."""
        self.best, self.wait = state["best"], state["wait"]
        self.cooldown, self.factor = state["cooldown"], state["factor"]
