"""Optimizers: Keras's own, with a learning rate that follows a schedule of epochs."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from samerun import config, user_code
from samerun.config.optimizers import (
    Adagrad,
    Adam,
    AdamW,
    CustomOptimizer,
    Lion,
    Muon,
    Nadam,
    Optimizer,
    RmsProp,
    Sgd,
)
from samerun.config.schedules import Schedule
from samerun.optim import custom
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
    CustomOptimizer: custom.optimizer,
}
"""Keras's class for each kind of optimizer; config fields are named like its arguments."""


def _arguments(cfg: Optimizer) -> dict[str, Any]:
    """Returns the fields of an optimizer's config as Keras's arguments."""
    names = [field.name for field in dataclasses.fields(cfg)]
    values = {name: getattr(cfg, name) for name in names if name not in ("kind", "learning_rate")}
    if isinstance(cfg, AdamW):
        values["weight_decay"] = cfg.weight_decay or 0.0  # Keras's AdamW refuses None
    if isinstance(cfg, Muon):
        values["adam_weight_decay"] = cfg.weight_decay  # one value for both of its parts
        values["exclude_layers"] = ["(^|/)output/"]  # optimized by Adam (Jordan, 2024)
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
        optimizer: config of the optimizer; its class selects Keras's class.
        schedule_cfg: config of the schedule.
        steps_per_epoch: training steps of one epoch; the schedule's epochs are multiplied by it.
        epochs: total epochs of the training, where schedules without a length end.
        can_be_lowered: multiply the schedule by `retry_factor`, a variable that is initially 1.
    """
    rate = schedule(schedule_cfg, optimizer.learning_rate, steps_per_epoch, epochs)
    if can_be_lowered:
        rate = Scaled(rate, name=RETRY_FACTOR)
    if type(optimizer) not in OPTIMIZERS:
        return _own(optimizer, rate)
    made = OPTIMIZERS[type(optimizer)]
    return made(learning_rate=rate, name=optimizer.kind, **_arguments(optimizer))


def _own(cfg: Any, rate: Rate) -> keras.optimizers.Optimizer:
    """Returns the optimizer of a component of the user's own."""
    shared = {name: value for name, value in _arguments(cfg).items() if name not in cfg.params}
    key = user_code.where("optimizer", cfg)
    return custom.optimizer(
        target=cfg.target, params=cfg.params, learning_rate=rate, key=key, name=cfg.kind, **shared
    )


def _rate_of(optimizer: keras.optimizers.Optimizer) -> Rate:
    """Returns the schedule or variable; Keras's `learning_rate` is only its current value."""
    return getattr(optimizer, "inner_optimizer", optimizer)._learning_rate


def factors(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Returns the variables that multiply the schedule: for the plateau, then for retries."""
    rate, found = _rate_of(optimizer), []
    while isinstance(rate, Scaled):
        found.append(rate.factor)
        rate = rate.shape
    return found[::-1]


def plateau_factor(optimizer: keras.optimizers.Optimizer) -> keras.Variable | None:
    """Returns the variable by which `reduce_on_plateau` multiplies the rate, or `None`."""
    return next((factor for factor in factors(optimizer) if factor.name == PLATEAU_FACTOR), None)


def retry_factor(optimizer: keras.optimizers.Optimizer) -> keras.Variable | None:
    """Returns the variable by which retries multiply the rate, or `None`."""
    return next((factor for factor in factors(optimizer) if factor.name == RETRY_FACTOR), None)


def learning_rate(optimizer: keras.optimizers.Optimizer, step: int) -> float:
    """Returns the learning rate at one training step.

    Args:
        optimizer: what `build` returned, or a `LossScaleOptimizer` around it.
        step: number of steps before it: the first step is 0, the latest is `iterations - 1`.
    """
    rate = _rate_of(optimizer)
    value = (
        rate(step) if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) else rate
    )
    return float(keras.ops.convert_to_numpy(value))


def curve(
    optimizer: Optimizer, schedule_cfg: Schedule, steps_per_epoch: int, epochs: int
) -> NDArray[np.float64]:
    """Returns the learning rate at every training step, in float32 precision.

    For `reduce_on_plateau` it is the maximum: the reductions are not known in advance.

    Returns:
        shape (steps_per_epoch · epochs,).
    """
    rate = schedule(schedule_cfg, optimizer.learning_rate, steps_per_epoch, epochs)
    steps = np.arange(steps_per_epoch * epochs, dtype=np.float32)
    rates = at(rate, steps)
    return np.broadcast_to(keras.ops.convert_to_numpy(rates), steps.shape).astype(np.float64)
