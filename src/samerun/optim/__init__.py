"""Optimizers: Keras's own, with a learning rate that follows a schedule of epochs."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from samerun import config
from samerun.config.optimizers import (
    Adagrad,
    Adam,
    AdamW,
    Lion,
    Muon,
    Nadam,
    Optimizer,
    RmsProp,
    Sgd,
)
from samerun.config.schedules import Schedule
from samerun.optim.schedules import SHAPES, CosineCycle, Rate, Scaled, WarmUp, at, schedule

PLATEAU_FACTOR, RETRY_FACTOR = "plateau_factor", "retry_factor"
"""Names of the variables that multiply a schedule."""

OPTIMIZERS: dict[type[Optimizer], Callable[..., keras.optimizers.Optimizer]] = {
    Adam: keras.optimizers.Adam,
    AdamW: keras.optimizers.AdamW,
    Sgd: keras.optimizers.SGD,
    RmsProp: keras.optimizers.RMSprop,
    Adagrad: keras.optimizers.Adagrad,
    Nadam: keras.optimizers.Nadam,
    Lion: keras.optimizers.Lion,
    Muon: keras.optimizers.Muon,
}
"""How each kind of optimizer is built; config fields have the names of Keras's arguments."""


def _arguments(cfg: Optimizer) -> dict[str, Any]:
    """Returns the fields of an optimizer's config as Keras's arguments."""
    names = [field.name for field in dataclasses.fields(cfg)]
    values = {name: getattr(cfg, name) for name in names if name not in ("kind", "learning_rate")}
    if isinstance(cfg, AdamW):
        values["weight_decay"] = cfg.weight_decay or 0.0  # Keras's AdamW refuses None
    if isinstance(cfg, Muon):
        values["adam_weight_decay"] = cfg.weight_decay  # one rule for both of its halves
        values["exclude_layers"] = ["(^|/)output/"]  # the output layer is Adam's (Jordan, 2024)
    return values


def build(
    optimizer: Optimizer,
    schedule_cfg: Schedule,
    steps_per_epoch: int,
    epochs: int,
    *,
    can_be_lowered: bool = False,
) -> keras.optimizers.Optimizer:
    """Returns a Keras optimizer whose learning rate follows a schedule.

    Args:
        optimizer: config of the optimizer; its class chooses Keras's.
        schedule_cfg: config of the schedule.
        steps_per_epoch: training steps of one epoch; the schedule's epochs are multiplied by it.
        epochs: epochs of the whole training, where schedules of open length end.
        can_be_lowered: multiply the schedule by `retry_factor`, a variable that begins with 1.
    """
    rate = schedule(schedule_cfg, optimizer.learning_rate, steps_per_epoch, epochs)
    if can_be_lowered:
        rate = Scaled(rate, name=RETRY_FACTOR)
    made = OPTIMIZERS[type(optimizer)]
    return made(learning_rate=rate, name=optimizer.kind, **_arguments(optimizer))


def _rate_of(optimizer: keras.optimizers.Optimizer) -> Rate:
    """The schedule or variable itself: Keras's public `learning_rate` is its present value only."""
    return getattr(optimizer, "inner_optimizer", optimizer)._learning_rate


def factors(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Returns the variables that multiply the schedule: the plateau's, then that of retries."""
    rate, found = _rate_of(optimizer), []
    while isinstance(rate, Scaled):
        found.append(rate.factor)
        rate = rate.shape
    return found[::-1]


def plateau_factor(optimizer: keras.optimizers.Optimizer) -> keras.Variable | None:
    """Returns what `reduce_on_plateau` multiplies the rate by, to be assigned; else `None`."""
    return next((factor for factor in factors(optimizer) if factor.name == PLATEAU_FACTOR), None)


def retry_factor(optimizer: keras.optimizers.Optimizer) -> keras.Variable | None:
    """Returns what retries multiply the rate by, to be assigned; else `None`."""
    return next((factor for factor in factors(optimizer) if factor.name == RETRY_FACTOR), None)


def learning_rate(optimizer: keras.optimizers.Optimizer, step: int) -> float:
    """Returns the learning rate of one training step.

    Args:
        optimizer: what `build` returned, or a `LossScaleOptimizer` around it.
        step: steps taken before it: the first is 0, the last one taken is `iterations - 1`.
    """
    rate = _rate_of(optimizer)
    value = (
        rate(step) if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) else rate
    )
    return float(keras.ops.convert_to_numpy(value))


def curve(
    optimizer: Optimizer, schedule_cfg: Schedule, steps_per_epoch: int, epochs: int
) -> NDArray[np.float64]:
    """Returns the learning rate of every training step, in float32's precision.

    For `reduce_on_plateau` it is the highest that the rate can be: nobody knows the cuts before.

    Returns:
        shape (steps_per_epoch · epochs,).
    """
    rate = schedule(schedule_cfg, optimizer.learning_rate, steps_per_epoch, epochs)
    steps = np.arange(steps_per_epoch * epochs, dtype=np.float32)
    rates = at(rate, steps)
    return np.broadcast_to(keras.ops.convert_to_numpy(rates), steps.shape).astype(np.float64)
