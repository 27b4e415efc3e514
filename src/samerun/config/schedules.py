"""Config classes of the learning-rate schedules; the values live in `conf/schedule/`.

Every schedule is a shape that multiplies `optimizer.learning_rate`. Durations are in epochs and may
be fractions of one. The shape starts when the warm-up has ended.
"""

from samerun.config.fields import above, at_least, between, config, fraction


@config
class Schedule:
    """What all schedules share.

    Args:
        kind: which schedule; fixed by the class.
        warmup_epochs: epochs in which the learning rate rises linearly from 0 to where the shape
            begins; 0 for none.
    """

    kind: str
    warmup_epochs: float = at_least(0)


@config
class Constant(Schedule):
    """The learning rate stays as it is."""

    kind: str = "constant"


@config
class Step(Schedule):
    """The learning rate is multiplied by `factor` at each boundary.

    Args:
        boundaries_epochs: when, in epochs after the warm-up, rising.
        factor: by how much.
    """

    kind: str = "step"
    boundaries_epochs: list[float] = above(0)
    factor: float = above(0)


@config
class Exponential(Schedule):
    """rate × decay_rate^(epoch / decay_epochs).

    Args:
        decay_rate: multiplier for one `decay_epochs`.
        decay_epochs: epochs for one multiplication.
        staircase: change only after each whole `decay_epochs`.
    """

    kind: str = "exponential"
    decay_rate: float = above(0)
    decay_epochs: float = above(0)
    staircase: bool


@config
class InverseTime(Schedule):
    """rate / (1 + decay_rate × epoch / decay_epochs).

    Args:
        decay_rate: how fast.
        decay_epochs: unit of time, in epochs.
        staircase: change only after each whole `decay_epochs`.
    """

    kind: str = "inverse_time"
    decay_rate: float = at_least(0)
    decay_epochs: float = above(0)
    staircase: bool


@config
class Polynomial(Schedule):
    """From the full rate to `end_factor` of it along (1 - progress)^power.

    Args:
        decay_epochs: length of the descent, `null` for all epochs after the warm-up.
        end_factor: last multiplier.
        power: 1 is a straight line.
    """

    kind: str = "polynomial"
    decay_epochs: float | None = above(0)
    end_factor: float = between(0, 1)
    power: float = above(0)


@config
class Cosine(Schedule):
    """Half a cosine from the full rate to `end_factor` of it (Loshchilov and Hutter, 2017).

    Args:
        decay_epochs: length of the descent, `null` for all epochs after the warm-up.
        end_factor: last multiplier.
    """

    kind: str = "cosine"
    decay_epochs: float | None = above(0)
    end_factor: float = between(0, 1)


@config
class CosineRestarts(Schedule):
    """Cosines that start again at the top, SGDR (Loshchilov and Hutter, 2017).

    Args:
        first_cycle_epochs: length of the first cosine.
        cycle_factor: each next cosine is so many times as long.
        peak_factor: each next cosine is this share as high above its foot as the last one.
        end_factor: multiplier at the foot of each cosine.
    """

    kind: str = "cosine_restarts"
    first_cycle_epochs: float = above(0)
    cycle_factor: float = at_least(1)
    peak_factor: float = above(0)
    end_factor: float = between(0, 1)


@config
class OneCycle(Schedule):
    """Up along a cosine to the full rate, then down to nearly nothing (Smith and Topin, 2019).

    Args:
        rise_fraction: share of the time that the rise takes.
        start_factor: first multiplier.
        end_factor: last multiplier.
    """

    kind: str = "one_cycle"
    rise_fraction: float = fraction()
    start_factor: float = between(0, 1)
    end_factor: float = between(0, 1)


@config
class ReduceOnPlateau(Schedule):
    """The learning rate is multiplied by `factor` when the monitored metric no longer improves.

    The metric is `training.early_stopping.monitor`.

    Args:
        factor: by how much.
        patience_epochs: epochs without improvement before that.
        min_delta: smallest change that counts as an improvement.
        cooldown_epochs: epochs after a cut in which nothing is counted.
        min_factor: the learning rate never falls below this share of `optimizer.learning_rate`.
    """

    kind: str = "reduce_on_plateau"
    factor: float = between(0, 1)
    patience_epochs: int = above(0)
    min_delta: float = at_least(0)
    cooldown_epochs: int = at_least(0)
    min_factor: float = between(0, 1)


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
)
"""Every kind of schedule; `samerun.optim` says how each is built."""
