"""Learning rate schedules: Keras's own if there is one, with epochs converted to steps.

The step of a schedule is the number of steps already made: the first training step uses the
rate at 0. Steps are counted in float32, which is exact up to 16.7 million.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras.optimizers import schedules

from samerun.config.schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    CustomSchedule,
    Exponential,
    InverseTime,
    OneCycle,
    Polynomial,
    ReduceOnPlateau,
    Schedule,
    Step,
)
from samerun.optim import custom

Rate = Any  # a float, or a LearningRateSchedule


def at(rate: Rate, step: Any) -> Any:
    """Returns the value of a rate at a step.

    Args:
        rate: a schedule, or a float, which is the rate at every step.
        step: number of steps already made; a scalar, or an array of them.

    Returns:
        A tensor of the shape of `step` for a schedule, else the float.
    """
    return rate(step) if callable(rate) else rate


def _serialize(rate: Rate) -> Any:
    return schedules.serialize(rate) if callable(rate) else rate


def _deserialize(rate: Any) -> Rate:
    return schedules.deserialize(rate) if isinstance(rate, dict) else rate


@keras.saving.register_keras_serializable(package="samerun")
class WarmUp(schedules.LearningRateSchedule):  # type: ignore[misc]
    """Linear warm-up from 0 to the start of a schedule, then that schedule (Goyal et al., 2017).

    Args:
        shape: the schedule, whose step 0 is the end of the warm-up, or a constant rate.
        warmup_steps: length of the warm-up; may be fractional.
    """

    def __init__(self, shape: Rate, warmup_steps: float) -> None:
        super().__init__()
        self.shape = shape
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate at a step."""
        step = keras.ops.cast(step, "float32")
        rising = at(self.shape, keras.ops.zeros_like(step)) * (step / self.warmup_steps)
        after = at(self.shape, keras.ops.maximum(step - self.warmup_steps, 0.0))
        return keras.ops.where(step < self.warmup_steps, rising, after)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {"shape": _serialize(self.shape), "warmup_steps": self.warmup_steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "WarmUp":
        """Returns the schedule that `get_config` described."""
        return cls(_deserialize(config["shape"]), config["warmup_steps"])


@keras.saving.register_keras_serializable(package="samerun")
class CosineCycle(schedules.LearningRateSchedule):  # type: ignore[misc]
    """Half a cosine up to the peak rate and half a cosine down (Smith and Topin, 2019).

    Args:
        peak: the highest rate.
        num_steps: length of the cycle; may be fractional.
        rise_fraction: fraction of the cycle in which the rate rises, 0 for none.
        start_factor: first rate, as a fraction of the peak.
        end_factor: last rate, as a fraction of the peak.
    """

    def __init__(
        self,
        peak: float,
        num_steps: float,
        rise_fraction: float,
        start_factor: float,
        end_factor: float,
    ) -> None:
        super().__init__()
        self.peak = peak
        self.num_steps = num_steps
        self.rise_fraction = rise_fraction
        self.start_factor = start_factor
        self.end_factor = end_factor

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate at a step."""
        progress = keras.ops.cast(step, "float32") / self.num_steps
        fall = 1 - self.rise_fraction
        falling = self._between(1.0, self.end_factor, (progress - self.rise_fraction) / fall)
        if not self.rise_fraction:
            return falling
        rising = self._between(self.start_factor, 1.0, progress / self.rise_fraction)
        return keras.ops.where(progress < self.rise_fraction, rising, falling)

    def _between(self, first: float, last: float, progress: Any) -> Any:
        cosine = keras.ops.cos(math.pi * keras.ops.clip(progress, 0.0, 1.0))
        return self.peak * (last + (first - last) * 0.5 * (1 + cosine))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            "peak": self.peak,
            "num_steps": self.num_steps,
            "rise_fraction": self.rise_fraction,
            "start_factor": self.start_factor,
            "end_factor": self.end_factor,
        }


@keras.saving.register_keras_serializable(package="samerun")
class Scaled(schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule multiplied by a factor that can be changed during training.

    Args:
        shape: the schedule, or a constant rate.
        factor: initial value. The attribute `factor` is a float32 variable that the optimizer does
            not own: whoever changes it also stores it in the checkpoint.
        name: of the variable.
    """

    def __init__(self, shape: Rate, factor: float = 1.0, name: str = "plateau_factor") -> None:
        super().__init__()
        self.shape = shape
        self.factor = keras.Variable(factor, trainable=False, dtype="float32", name=name)

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate at a step."""
        return keras.ops.convert_to_tensor(self.factor) * at(self.shape, step)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, with the current factor."""
        return {
            "shape": _serialize(self.shape),
            "factor": float(keras.ops.convert_to_numpy(self.factor)),
            "name": self.factor.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Scaled":
        """Returns the schedule that `get_config` described."""
        return cls(_deserialize(config["shape"]), config["factor"], config["name"])


@keras.saving.register_keras_serializable(package="samerun")
class Table(schedules.LearningRateSchedule):  # type: ignore[misc]
    """A schedule whose rates are listed, one for each step; after the last one it is constant.

    Args:
        rates: the first is that of step 0, each other one that of the steps up to its index.
    """

    def __init__(self, rates: Sequence[float]) -> None:
        super().__init__()
        self.rates = list(rates)

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate at a step."""
        index = keras.ops.cast(keras.ops.ceil(keras.ops.cast(step, "float32")), "int32")
        rates = keras.ops.convert_to_tensor(self.rates, "float32")
        return keras.ops.take(rates, keras.ops.minimum(index, len(self.rates) - 1))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {"rates": self.rates}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Span:
    """Length of a run in steps.

    Args:
        steps_per_epoch: steps of one epoch.
        warmup: steps of the warm-up.
        shape: steps from the end of the warm-up to the end of training.
    """

    steps_per_epoch: int
    warmup: float
    shape: float

    def steps(self, epochs: float | None) -> float:
        """Returns a duration in steps; `None` is everything after the warm-up."""
        return self.shape if epochs is None else _rounded(epochs * self.steps_per_epoch)


def _rounded(steps: float) -> float:
    """Removes rounding errors such as 0.1 × 30 = 3.0000000000000004."""
    nearest = round(steps)
    return float(nearest) if math.isclose(steps, nearest, rel_tol=1e-12) else steps


def _constant(cfg: Constant, rate: float, span: Span) -> Rate:
    return rate


def _step(cfg: Step, rate: float, span: Span) -> Rate:
    """Keras changes the value *after* the boundary step and truncates boundaries to integers.

    The step k at a boundary must have the new value, so Keras receives k - 1/2.
    """
    if not cfg.boundaries_epochs:
        return rate
    starts = [math.ceil(_rounded(span.warmup + span.steps(at))) for at in cfg.boundaries_epochs]
    boundaries = [first - 0.5 - span.warmup for first in starts]
    values = [rate * cfg.factor**number for number in range(len(boundaries) + 1)]
    return schedules.PiecewiseConstantDecay(boundaries, values)


def _stair(steps: float, is_staircase: bool) -> float:
    """Returns the width of a stair, slightly reduced if float32 rounding could miss the edge.

    Step 3k divided by 3 is exactly k, but step 18 divided by a width of 1.2 comes out just below
    15, and floor would be one step late. 2⁻²² is twice float32's relative spacing.
    """
    return steps * (1 - 2**-22) if is_staircase and steps != round(steps) else steps


def _exponential(cfg: Exponential, rate: float, span: Span) -> Rate:
    width = _stair(span.steps(cfg.decay_epochs), cfg.staircase)
    return schedules.ExponentialDecay(rate, width, cfg.decay_rate, staircase=cfg.staircase)


def _inverse_time(cfg: InverseTime, rate: float, span: Span) -> Rate:
    width = _stair(span.steps(cfg.decay_epochs), cfg.staircase)
    return schedules.InverseTimeDecay(rate, width, cfg.decay_rate, staircase=cfg.staircase)


def _polynomial(cfg: Polynomial, rate: float, span: Span) -> Rate:
    steps = span.steps(cfg.decay_epochs)
    return schedules.PolynomialDecay(rate, steps, rate * cfg.end_factor, power=cfg.power)


def _cosine(cfg: Cosine, rate: float, span: Span) -> Rate:
    return schedules.CosineDecay(rate, span.steps(cfg.decay_epochs), alpha=cfg.end_factor)


def _cosine_restarts(cfg: CosineRestarts, rate: float, span: Span) -> Rate:
    """Keras finds the cycle with a float32 logarithm that may be just below an integer.

    The first step of the cycle would then have the lowest rate instead of the peak: 16 of 827
    restarts tested, none with a first cycle shortened by 2⁻²⁰.
    """
    return schedules.CosineDecayRestarts(
        rate,
        span.steps(cfg.first_cycle_epochs) * (1 - 2**-20),
        t_mul=cfg.cycle_factor,
        m_mul=cfg.peak_factor,
        alpha=cfg.end_factor,
    )


def _one_cycle(cfg: OneCycle, rate: float, span: Span) -> Rate:
    return CosineCycle(rate, span.shape, cfg.rise_fraction, cfg.start_factor, cfg.end_factor)


def _reduce_on_plateau(cfg: ReduceOnPlateau, rate: float, span: Span) -> Rate:
    return rate  # constant; `schedule` wraps `Scaled` around the warm-up as well


def _custom(cfg: Any, rate: float, span: Span) -> Rate:
    """The steps after a warm-up that is no whole number of steps lie between whole numbers."""
    offset = math.ceil(span.warmup) - span.warmup
    positions = [0.0] if offset else []
    positions += [number + offset for number in range(max(1, math.ceil(span.shape - offset)))]
    epochs = [position / span.steps_per_epoch for position in positions]
    found = custom.factors(cfg, epochs, span.shape / span.steps_per_epoch)
    return Table([rate * factor for factor in found])


SHAPES: dict[type[Schedule], Callable[[Any, float, Span], Rate]] = {
    Constant: _constant,
    Step: _step,
    Exponential: _exponential,
    InverseTime: _inverse_time,
    Polynomial: _polynomial,
    Cosine: _cosine,
    CosineRestarts: _cosine_restarts,
    OneCycle: _one_cycle,
    ReduceOnPlateau: _reduce_on_plateau,
    CustomSchedule: _custom,
}
"""The builder of each kind of schedule."""


def schedule(cfg: Schedule, rate: float, steps_per_epoch: int, epochs: int) -> Rate:
    """Returns the learning rate over time: a Keras schedule, or a float if it is constant.

    Args:
        cfg: config of the schedule; its class selects the shape.
        rate: the learning rate that the shape multiplies.
        steps_per_epoch: steps of one epoch.
        epochs: total epochs of the training.
    """
    warmup = _rounded(cfg.warmup_epochs * steps_per_epoch)
    span = Span(
        steps_per_epoch=steps_per_epoch, warmup=warmup, shape=epochs * steps_per_epoch - warmup
    )
    shaped = SHAPES.get(type(cfg), _custom)(cfg, rate, span)
    if warmup:
        shaped = WarmUp(shaped, warmup)
    return Scaled(shaped) if isinstance(cfg, ReduceOnPlateau) else shaped
