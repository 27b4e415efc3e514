"""Reports every epoch of a trial to its study."""

from collections.abc import Mapping
from typing import Any

import keras

from samerun.callbacks.naming import keras_name
from samerun.search import CurrentTrial


class Pruning(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports the metric of every epoch to the study, and stops if the study asks for it.

    Args:
        trial: the trial.
        epochs: `training.epochs`.

    Attributes:
        has_stopped: whether the study, and nothing else, has ended training. The trial may
            continue.
    """

    def __init__(self, trial: CurrentTrial, epochs: int) -> None:
        super().__init__()
        self.trial, self.epochs, self.has_stopped = trial, epochs, False

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Reports, then asks."""
        if self.trial.metric is not None:
            self.trial.report(float((logs or {})[keras_name(self.trial.metric)]), epoch + 1)
        ends = self.model.stop_training or epoch + 1 == self.epochs
        if self.trial.should_stop(ends=ends):
            self.has_stopped, self.model.stop_training = not ends, True
