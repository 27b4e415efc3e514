"""Config classes of the models: names, types and ranges; the values live in `conf/model/`."""

from enum import StrEnum
from typing import ClassVar

from samerun.config.fields import above, at_least, config, fraction
from samerun.config.spec import DataSpec, Layout


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
    """What all models share, under the same names, so that one search space fits all.

    Args:
        kind: which builder; fixed by the class.
        activation: activation of the hidden layers.
        initializer: initial values of the hidden layers' kernels.
        dropout: share of a hidden layer's outputs set to zero in training.
        l1: weight of the sum of absolute kernel values in the loss.
        l2: weight of the sum of squared kernel values in the loss.
    """

    layouts: ClassVar[tuple[Layout, ...]] = ()
    """The layouts of input this model can read."""

    kind: str
    activation: Activation
    initializer: Initializer
    dropout: float = fraction()
    l1: float = at_least(0)
    l2: float = at_least(0)

    @classmethod
    def refusal(cls, spec: DataSpec) -> str | None:
        """Returns why this kind of model cannot read such data, or `None` if it can."""
        if spec.layout in cls.layouts:
            return None
        reads = " or ".join(cls.layouts)
        return f"it reads {reads} data, not {spec.layout} of shape {spec.input_shape}"


@config
class Mlp(Model):
    """Feed-forward network: the input is flattened and passes `units` dense layers.

    Args:
        units: width of each hidden layer, first to last.
    """

    layouts: ClassVar[tuple[Layout, ...]] = (
        Layout.image,
        Layout.table,
        Layout.sequence,
        Layout.video,
    )

    kind: str = "mlp"
    units: list[int] = above(0)


@config
class Cnn(Model):
    """Convolutional network: blocks of Conv2D, BatchNorm, activation, MaxPool; then dense layers.

    Args:
        filters: number of filters of each block, first to last.
        kernel_size: side of the square kernel, in pixels.
        batch_norm: normalise each block's activations over the batch (Ioffe and Szegedy, 2015).
        dense_units: width of each dense layer between the blocks and the output.
    """

    layouts: ClassVar[tuple[Layout, ...]] = (Layout.image,)

    kind: str = "cnn"
    filters: list[int] = above(0)
    kernel_size: int = above(0)
    batch_norm: bool
    dense_units: list[int] = above(0)


MODELS: tuple[type[Model], ...] = (Mlp, Cnn)
"""Every kind of model; `samerun.models.BUILDERS` says how each is built."""
