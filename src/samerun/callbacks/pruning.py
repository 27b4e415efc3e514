"""Reports every epoch of a trial to its study."""

from collections.abc import Mapping
from typing import Any

import keras

from samerun.callbacks.naming import keras_name
from samerun.search import CurrentTrial


class Pruning(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports the metric of every epoch to the study and stops if the study prunes the trial."""

    def __init__(self, trial: CurrentTrial) -> None:
        super().__init__()
        self.trial = trial

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Reports, then asks."""
        if self.trial.metric is not None:
            self.trial.report(float((logs or {})[keras_name(self.trial.metric)]), epoch + 1)
        if self.trial.should_stop():
            self.model.stop_training = True
