"""Passes the epoch to the data pipeline."""

from collections.abc import Callable, Mapping
from typing import Any

import keras


class EpochKey(keras.callbacks.Callback):  # type: ignore[misc]
    """Passes the epoch to the data pipeline, whose order is a function of (seed, epoch)."""

    def __init__(self, set_epoch: Callable[[int], None]) -> None:
        super().__init__()
        self.set_epoch_of_data = set_epoch

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Runs before Keras creates the epoch's iterator."""
        self.set_epoch_of_data(epoch)
