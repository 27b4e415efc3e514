"""Config classes of the learning-rate schedules; the values are in `conf/schedule/`.

Every schedule is a shape that multiplies `optimizer.learning_rate`. Durations are in epochs and may
be fractions of one. The shape starts when the warm-up has ended.
"""

from typing import Any

from samerun.config.fields import a_path, above, at_least, between, config, fraction


@config
class Schedule:
    """What all schedules share.

    Args:
        kind: name of the option; fixed by the class.
        warmup_epochs: epochs of linear warm-up from 0 before the schedule starts; 0: no warm-up.
    """

    kind: str
    warmup_epochs: float = at_least(0)


@config
class Constant(Schedule):
    """Constant learning rate."""

    kind: str = "constant"


@config
class Step(Schedule):
    """Multiplies the learning rate by `factor` at each boundary.

    Args:
        boundaries_epochs: boundaries in epochs after the warm-up, ascending.
        factor: multiplier.
    """

    kind: str = "step"
    boundaries_epochs: list[float] = above(0)
    factor: float = above(0)


@config
class Exponential(Schedule):
    """rate × decay_rate^(epoch / decay_epochs).

    Args:
        decay_rate: multiplier per `decay_epochs`.
        decay_epochs: epochs after which `decay_rate` applies once.
        staircase: decay in discrete steps, once per `decay_epochs`.
    """

    kind: str = "exponential"
    decay_rate: float = above(0)
    decay_epochs: float = above(0)
    staircase: bool


@config
class InverseTime(Schedule):
    """rate / (1 + decay_rate × epoch / decay_epochs).

    Args:
        decay_rate: decay rate.
        decay_epochs: epochs after which `decay_rate` applies once.
        staircase: decay in discrete steps, once per `decay_epochs`.
    """

    kind: str = "inverse_time"
    decay_rate: float = at_least(0)
    decay_epochs: float = above(0)
    staircase: bool


@config
class Polynomial(Schedule):
    """Polynomial decay to `end_factor` times the learning rate, along (1 - progress)^power.

    Args:
        decay_epochs: epochs of the decay; `null`: all epochs after the warm-up.
        end_factor: final multiplier of the learning rate.
        power: exponent; 1 is linear decay.
    """

    kind: str = "polynomial"
    decay_epochs: float | None = above(0)
    end_factor: float = between(0, 1)
    power: float = above(0)


@config
class Cosine(Schedule):
    """Cosine decay to `end_factor` times the learning rate (Loshchilov and Hutter, 2017).

    Args:
        decay_epochs: epochs of the decay; `null`: all epochs after the warm-up.
        end_factor: final multiplier of the learning rate.
    """

    kind: str = "cosine"
    decay_epochs: float | None = above(0)
    end_factor: float = between(0, 1)


@config
class CosineRestarts(Schedule):
    """Cosine decay with warm restarts, SGDR (Loshchilov and Hutter, 2017).

    Args:
        first_cycle_epochs: length of the first cycle.
        cycle_factor: length of each cycle, relative to the previous cycle.
        peak_factor: height of each peak above the minimum, relative to the previous peak.
        end_factor: multiplier at the end of each cycle.
    """

    kind: str = "cosine_restarts"
    first_cycle_epochs: float = above(0)
    cycle_factor: float = at_least(1)
    peak_factor: float = above(0)
    end_factor: float = between(0, 1)


@config
class OneCycle(Schedule):
    """One cycle: cosine warm-up, then cosine decay to nearly 0 (Smith and Topin, 2019).

    Args:
        rise_fraction: fraction of the training in which the learning rate rises.
        start_factor: initial multiplier of the learning rate.
        end_factor: final multiplier of the learning rate.
    """

    kind: str = "one_cycle"
    rise_fraction: float = fraction()
    start_factor: float = between(0, 1)
    end_factor: float = between(0, 1)


@config
class ReduceOnPlateau(Schedule):
    """Multiplies the learning rate by `factor` when the monitored metric stops improving.

    The metric is `training.early_stopping.monitor`.

    Args:
        factor: multiplier.
        patience_epochs: epochs without improvement before the learning rate is reduced.
        min_delta: minimum change that counts as an improvement.
        cooldown_epochs: epochs to wait after a reduction before counting again.
        min_factor: lower bound of the learning rate, as a fraction of `optimizer.learning_rate`.
    """

    kind: str = "reduce_on_plateau"
    factor: float = between(0, 1)
    patience_epochs: int = above(0)
    min_delta: float = at_least(0)
    cooldown_epochs: int = at_least(0)
    min_factor: float = between(0, 1)


@config
class CustomSchedule(Schedule):
    """A user's own function: `target(epoch, epochs, **params)` returns the shape at an epoch.

    `epoch` is a fraction, counted from the end of the warm-up; `epochs` is where training ends. The
    function is called for every step before training, in plain Python. Using this config imports
    the module: a config from elsewhere is code from elsewhere.

    Args:
        target: `package.module:function`, in the working directory or installed.
        params: its keyword arguments.
    """

    kind: str = "custom"
    target: str
    params: dict[str, Any] = a_path()


SCHEDULES: tuple[type[Schedule], ...] = (
    Constant,
    Step,
    Exponential,
    InverseTime,
    Polynomial,
    Cosine,
    CosineRestarts,
    OneCycle,
    ReduceOnPlateau,
    CustomSchedule,
)
"""Every kind of schedule; `samerun.optim` builds each."""
