"""Chooses the number of training steps per execution, measured where it can matter."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import keras

from samerun.config.training import Training

_GROUP = 20
# Measured, ms a step, 1 -> 20 steps a call: MLP 1.0 -> 0.33, CNN on 28×28 7.6 -> 6.2, LSTM 7.0 ->
# 5.6, but stacked GRU 20 -> 25. So it has to be measured.

_WORTH_MEASURING_STEPS = 5_000
# At 1 ms gained a step, a shorter run gains less than the 5 s or so that measuring takes.

_MEASURED_STEPS = 3 * _GROUP
_WORTH_CHANGING = 0.95


class _Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """Records when each call into TensorFlow returned, and the number of steps by then."""

    def __init__(self) -> None:
        super().__init__()
        self.ticks: list[tuple[int, float]] = []

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        float((logs or {})["loss"])  # waits for the step
        self.ticks.append((batch + 1, time.perf_counter()))

    def seconds_per_step(self) -> float:
        """The first call is not counted: it includes tracing."""
        (first, began), (last, ended) = self.ticks[0], self.ticks[-1]
        return (ended - began) / (last - first)


def choose(
    training: Training,
    dataset: Any,
    *,
    steps_per_epoch: int,
    compiled: Callable[[int], keras.Model],
) -> int:
    """Returns the requested number, or for `auto` the faster of 1 and 20.

    The number changes the speed and not the result, so a run may be repeated with another one.

    Args:
        training: epochs and `steps_per_execution`.
        dataset: the training data.
        steps_per_epoch: its length, in steps.
        compiled: builds a throwaway model with this many steps per execution.
    """
    if training.steps_per_execution != "auto":
        return int(training.steps_per_execution)
    long_enough = training.epochs * steps_per_epoch >= _WORTH_MEASURING_STEPS
    if not long_enough or steps_per_epoch < _MEASURED_STEPS:
        return 1
    one, many = (_measure(compiled(steps), dataset) for steps in (1, _GROUP))
    return _GROUP if many < one * _WORTH_CHANGING else 1


def _measure(model: keras.Model, dataset: Any) -> float:
    clock = _Clock()
    model.fit(
        dataset,
        epochs=1,
        steps_per_epoch=_MEASURED_STEPS,
        callbacks=[clock],
        shuffle=False,
        verbose=0,
    )
    return clock.seconds_per_step()
