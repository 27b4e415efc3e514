"""Models of images, tables and anything that can be flattened."""

from typing import ClassVar

from samerun.config.fields import above, added, config
from samerun.config.models.base import Model, Padding, Regularized, too_small_for
from samerun.config.spec import DataSpec, Layout


@config
class Mlp(Model, Regularized):
    """Feed-forward network: the input is flattened and passes `units` dense layers.

    Args:
        units: width of each hidden layer, from first to last.
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
class Cnn(Model, Regularized):
    """Convolutional network: blocks of Conv2D, BatchNorm, activation, MaxPool; then dense layers.

    Args:
        filters: number of filters of each block, from first to last.
        kernel_size: size of the square kernel in pixels.
        padding: what a convolution does at the border.
        batch_norm: use batch normalization in each block (Ioffe and Szegedy, 2015).
        dense_units: width of each dense layer between the blocks and the output.
    """

    layouts: ClassVar[tuple[Layout, ...]] = (Layout.image,)

    kind: str = "cnn"
    filters: list[int] = above(0)
    kernel_size: int = above(0)
    padding: Padding = added("same")
    batch_norm: bool
    dense_units: list[int] = above(0)

    def misfit(self, spec: DataSpec) -> str | None:
        """Returns which of its settings does not fit such data, and why; `None` if all do."""
        sides = spec.input_shape[:2]
        return too_small_for(sides, self.padding, self.kernel_size, len(self.filters))


@config
class LeNet5(Model, Regularized):
    """LeNet-5 (LeCun et al., 1998): 6 and 16 filters of 5×5, average pooling, then 120 and 84."""

    layouts: ClassVar[tuple[Layout, ...]] = (Layout.image,)

    kind: str = "lenet5"


KINDS: tuple[type[Model], ...] = (Mlp, Cnn, LeNet5)
