"""Base class and mixin of the models."""

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar

from samerun.config.fields import Range, added, at_least, config, fraction
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
    """Initializer of the hidden kernels, by its Keras name."""

    glorot_uniform = "glorot_uniform"
    glorot_normal = "glorot_normal"
    he_uniform = "he_uniform"
    he_normal = "he_normal"
    lecun_uniform = "lecun_uniform"
    lecun_normal = "lecun_normal"
    orthogonal = "orthogonal"
    random_normal = "random_normal"
    random_uniform = "random_uniform"


class Padding(StrEnum):
    """What a convolution does at the border, by its Keras name.

    `same` pads with zeros, so that the output has the size of the input; `valid` does not pad: the
    output is smaller by `kernel_size - 1`.
    """

    same = "same"
    valid = "valid"


@config
class Model:
    """What all models share.

    Args:
        kind: name of the option; fixed by the class.
    """

    layouts: ClassVar[tuple[Layout, ...]] = tuple(Layout)
    """The input layouts that the model supports."""
    tasks: ClassVar[tuple[Task, ...]] = (
        Task.multiclass,
        Task.binary,
        Task.regression,
        Task.forecast,
    )
    """The tasks that the model supports."""

    kind: str

    @classmethod
    def refusal(cls, spec: DataSpec) -> str | None:
        """Returns why this kind of model does not fit such data, or `None` if it does."""
        if spec.layout not in cls.layouts:
            reads = " or ".join(cls.layouts)
            return f"it reads {reads} data, not {spec.layout} data of shape {spec.input_shape}"
        if spec.task not in cls.tasks:
            return f"it does {listed(cls.tasks)}, not {spec.task}"
        return None

    def misfit(self, spec: DataSpec) -> str | None:
        """Returns which of its settings does not fit such data, and why; `None` if all do."""
        return None


def too_small_for(
    sides: Sequence[int], padding: Padding, kernel_size: int, num_blocks: int
) -> str | None:
    """Returns why blocks of convolution and pooling do not fit an input; `None` if they do.

    Args:
        sides: lengths of the axes that the kernel moves along.
        padding: of the convolutions; `same` fits every input.
        kernel_size: length of the kernel on each axis.
        num_blocks: convolutions, each followed by a pooling that halves what is longer than 1.
    """
    if padding is Padding.same:
        return None
    for number in range(1, num_blocks + 1):
        if min(sides) < kernel_size:
            size = "×".join(map(str, sides))
            return (
                f"model.padding: received valid, but block {number} of model.filters receives "
                f"{size} values, less than model.kernel_size ({kernel_size}): use "
                "model.padding=same or fewer filters."
            )
        sides = [side - kernel_size + 1 for side in sides]
        sides = [max(side // 2, 1) for side in sides]
    return None


@config
class Regularized:
    """What nearly all models share, under the same names: one search space fits all.

    Args:
        activation: activation of the hidden layers.
        initializer: initializer of the hidden layers' kernels.
        dropout: fraction of a hidden layer's outputs set to zero during training.
        l1: L1 regularization factor of the hidden layers' kernels.
        l2: L2 regularization factor of the hidden layers' kernels.
    """

    activation: Activation
    initializer: Initializer
    dropout: float = fraction()
    l1: float = at_least(0)
    l2: float = at_least(0)


@config
class RecurrentlyRegularized:
    """What all models with recurrent layers share.

    Recurrent kernels read what the network itself produced one step before: the state, and in the
    forecaster's decoder its last output too. `l1` and `l2` do not reach them.

    Args:
        recurrent_l1: L1 regularization factor of the recurrent kernels.
        recurrent_l2: L2 regularization factor of the recurrent kernels.
    """

    recurrent_l1: float = added(0.0, Range(low=0))
    recurrent_l2: float = added(0.0, Range(low=0))
