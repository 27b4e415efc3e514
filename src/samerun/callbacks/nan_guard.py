"""Training ends at the first value that is not finite."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from samerun.callbacks.naming import logged_name
from samerun.callbacks.retries import Retries
from samerun.errors import NotFinite


def has_finite_weights(model: keras.Model) -> bool:
    """Whether every trained weight is a number: the loss of a step is that of those before it."""
    weights = model.trainable_variables
    return all(np.isfinite(keras.ops.convert_to_numpy(weight)).all() for weight in weights)


class NanGuard(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops training at the first value that is not finite, and records where it was.

    Placed first, so that a NaN is known before any other callback takes it for a best value. While
    a retry is left it raises `NotFinite` instead, and no other callback learns of the epoch.

    Args:
        retries: the policy of `training.on_nan`.
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

    def state(self) -> dict[str, Any]:
        """Returns what a resumed run has to restore."""
        return {"found": self.found}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restores what `state` returned."""
        self.found = state["found"]
