"""Models of video."""

from typing import ClassVar

from samerun.config.fields import above, added, config
from samerun.config.models.base import (
    Model,
    Padding,
    RecurrentlyRegularized,
    Regularized,
    too_small_for,
)
from samerun.config.spec import DataSpec, Layout


@config
class CnnRnn(Model, Regularized, RecurrentlyRegularized):
    """A small CNN is applied to each frame, and an LSTM reads the sequence of its outputs.

    Args:
        filters: number of filters of each block of the CNN, from first to last.
        kernel_size: size of the square kernel in pixels.
        padding: what a convolution does at the border.
        units: width of the LSTM.
        dense_units: width of each dense layer between the LSTM and the output.
    """

    layouts: ClassVar[tuple[Layout, ...]] = (Layout.video,)

    kind: str = "cnn_rnn"
    filters: list[int] = above(0)
    kernel_size: int = above(0)
    padding: Padding = added("same")
    units: int = above(0)
    dense_units: list[int] = above(0)

    def misfit(self, spec: DataSpec) -> str | None:
        """Returns which of its settings does not fit such data, and why; `None` if all do."""
        sides = spec.input_shape[1:3]
        return too_small_for(sides, self.padding, self.kernel_size, len(self.filters))


@config
class ConvLstm(Model, Regularized, RecurrentlyRegularized):
    """Convolutional LSTM layers (Shi et al., 2015), then dense layers.

    Args:
        filters: number of filters of each ConvLSTM2D layer, from first to last.
        kernel_size: size of the square kernel in pixels.
        dense_units: width of each dense layer between the last ConvLSTM2D layer and the output.
    """

    layouts: ClassVar[tuple[Layout, ...]] = (Layout.video,)

    kind: str = "conv_lstm"
    filters: list[int] = above(0)
    kernel_size: int = above(0)
    dense_units: list[int] = above(0)


KINDS: tuple[type[Model], ...] = (CnnRnn, ConvLstm)
