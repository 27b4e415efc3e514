"""What models have in common; each is a `Model`, and most are `Regularised`."""

from enum import StrEnum
from typing import ClassVar

from samerun.config.fields import at_least, config, fraction
from samerun.config.spec import DataSpec, Layout, Task
from samerun.errors import listed


class Activation(StrEnum):
    """Activation of the hidden layers, by its Keras name."""

    relu = "relu"
    tanh = "tanh"
    sigmoid = "sigmoid"
    elu = "elu"
    selu = "selu"
    gelu = "gelu"
    silu = "silu"
    leaky_relu = "leaky_relu"
    softplus = "softplus"
    linear = "linear"


class Initializer(StrEnum):
    """How hidden kernels start, by the Keras name."""

    glorot_uniform = "glorot_uniform"
    glorot_normal = "glorot_normal"
    he_uniform = "he_uniform"
    he_normal = "he_normal"
    lecun_uniform = "lecun_uniform"
    lecun_normal = "lecun_normal"
    orthogonal = "orthogonal"
    random_normal = "random_normal"
    random_uniform = "random_uniform"


@config
class Model:
    """What all models share.

    Args:
        kind: which builder; fixed by the class.
    """

    layouts: ClassVar[tuple[Layout, ...]] = tuple(Layout)
    """The layouts of input this model can read."""
    tasks: ClassVar[tuple[Task, ...]] = (
        Task.multiclass,
        Task.binary,
        Task.regression,
        Task.forecast,
    )
    """The kinds of task it can do."""

    kind: str

    @classmethod
    def refusal(cls, spec: DataSpec) -> str | None:
        """Returns why this kind of model cannot learn such data, or `None` if it can."""
        if spec.layout not in cls.layouts:
            reads = " or ".join(cls.layouts)
            return f"it reads {reads} data, not {spec.layout} of shape {spec.input_shape}"
        if spec.task not in cls.tasks:
            return f"it does {listed(cls.tasks)}, not {spec.task}"
        return None


@config
class Regularised:
    """What nearly all models share, under the same names, so that one search space fits all.

    Args:
        activation: activation of the hidden layers.
        initializer: initial values of the hidden layers' kernels.
        dropout: share of a hidden layer's outputs set to zero in training.
        l1: weight of the sum of absolute kernel values in the loss.
        l2: weight of the sum of squared kernel values in the loss.
    """

    activation: Activation
    initializer: Initializer
    dropout: float = fraction()
    l1: float = at_least(0)
    l2: float = at_least(0)
