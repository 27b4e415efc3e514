"""A callback list for which several calls of `fit` are one training."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras

Logs = Mapping[str, Any] | None


class ResumableCallbackList(keras.callbacks.CallbackList):  # type: ignore[misc]
    """The callbacks of a training that may resume inside an epoch.

    `fit` cannot start inside an epoch: it would take the length of the first epoch for that of all.
    So the rest of one is a `fit` of its own, and this list signals the start and the end of
    training only once, and counts steps from the start of the epoch.

    Args:
        callbacks: in the order in which they are called.
        model: what is trained.
        steps_per_epoch: of a complete epoch.
        averages: the optimizer keeps an average of the weights. Keras then ends every `fit` by
            writing the average over the weights, which is undone: `SwapEMAWeights` has swapped them
            already, so what Keras takes for the average are the weights of the last step.
    """

    def __init__(
        self,
        callbacks: Sequence[keras.callbacks.Callback],
        model: keras.Model,
        *,
        steps_per_epoch: int,
        averages: bool,
    ) -> None:
        self.first_step = 0
        self._steps_per_epoch, self._averages = steps_per_epoch, averages
        self._weights: list[Any] | None = None
        # In its last epoch, known by the number of epochs, SwapEMAWeights would overwrite the last
        # step's weights, and a training of more epochs could not be resumed from there.
        super().__init__(
            callbacks, add_history=True, model=model, epochs=math.inf, steps=steps_per_epoch
        )

    def begin(self) -> None:
        """Signals the start of training."""
        super().on_train_begin()

    def end(self) -> None:
        """Signals the end of training."""
        super().on_train_end()

    def on_train_begin(self, logs: Logs = None) -> None:
        """Does nothing: one of several calls of `fit` starts."""

    def on_train_end(self, logs: Logs = None) -> None:
        """Undoes how Keras ended this call of `fit`."""
        if self._weights is not None:
            self.model.set_weights(self._weights)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Keeps the weights that the epoch ends with."""
        super().on_epoch_end(epoch, logs)
        self._weights = self.model.get_weights() if self._averages else None

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Passes on the number of the step within the complete epoch."""
        super().on_train_batch_begin(batch + self.first_step, logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Passes on the number of the step; the last execution may have fewer steps than
        Keras assumes.
        """
        step = min(batch + self.first_step, self._steps_per_epoch - 1)
        super().on_train_batch_end(step, logs)
