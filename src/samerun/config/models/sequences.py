"""Models of tokens, sequences and time series."""

from enum import StrEnum
from typing import ClassVar

from samerun.config.fields import above, added, config, fraction
from samerun.config.models.base import (
    Model,
    Padding,
    RecurrentlyRegularized,
    Regularized,
    too_small_for,
)
from samerun.config.spec import DataSpec, Layout, Task

_SEQUENCES = (Layout.tokens, Layout.sequence)


class Cell(StrEnum):
    """The recurrent layer, by its Keras name in lower case."""

    simple_rnn = "simple_rnn"
    lstm = "lstm"
    gru = "gru"


@config
class Embedded:
    """What sequence models share for token inputs; unused for sequences of numbers.

    Args:
        embedding_dim: size of the embedding vector of each token.
    """

    embedding_dim: int = above(0)


@config
class Recurrent:
    """What the plain recurrent networks share.

    Args:
        units: width of each recurrent layer, from first to last.
        bidirectional: read the sequence in both directions (Schuster and Paliwal, 1997).
        recurrent_dropout: fraction of the recurrent state set to zero during training (Gal and
            Ghahramani, 2016).
        mask_padding: skip padding tokens (ID 0).
        dense_units: width of each dense layer between the recurrent layers and the output.
    """

    units: list[int] = above(0)
    bidirectional: bool
    recurrent_dropout: float = fraction()
    mask_padding: bool
    dense_units: list[int] = above(0)


@config
class Cnn1d(Model, Regularized, Embedded):
    """1D convolutional network: Conv1D and MaxPool blocks, global max pooling, dense layers.

    Args:
        filters: number of filters of each block, from first to last.
        kernel_size: size of the kernel in time steps.
        padding: what a convolution does at the border.
        dense_units: width of each dense layer between the blocks and the output.
    """

    layouts: ClassVar[tuple[Layout, ...]] = _SEQUENCES

    kind: str = "cnn1d"
    filters: list[int] = above(0)
    kernel_size: int = above(0)
    padding: Padding = added("same")
    dense_units: list[int] = above(0)

    def misfit(self, spec: DataSpec) -> str | None:
        """Returns which of its settings does not fit such data, and why; `None` if all do."""
        length = spec.input_shape[:1]
        return too_small_for(length, self.padding, self.kernel_size, len(self.filters))


@config
class SimpleRnn(Model, Regularized, RecurrentlyRegularized, Embedded, Recurrent):
    """Stacked plain recurrent layers (Elman, 1990)."""

    layouts: ClassVar[tuple[Layout, ...]] = _SEQUENCES

    kind: str = "simple_rnn"


@config
class Lstm(Model, Regularized, RecurrentlyRegularized, Embedded, Recurrent):
    """Stacked LSTM layers (Hochreiter and Schmidhuber, 1997)."""

    layouts: ClassVar[tuple[Layout, ...]] = _SEQUENCES

    kind: str = "lstm"


@config
class Gru(Model, Regularized, RecurrentlyRegularized, Embedded, Recurrent):
    """Stacked GRU layers (Cho et al., 2014)."""

    layouts: ClassVar[tuple[Layout, ...]] = _SEQUENCES

    kind: str = "gru"


@config
class ParallelLstm(Model, Regularized, RecurrentlyRegularized, Embedded):
    """Several LSTMs read the same input in parallel; their last outputs are concatenated.

    Args:
        branch_units: width of each branch.
        dense_units: width of each dense layer between the branches and the output.
    """

    layouts: ClassVar[tuple[Layout, ...]] = _SEQUENCES

    kind: str = "parallel_lstm"
    branch_units: list[int] = above(0)
    dense_units: list[int] = above(0)


@config
class LanguageModel(Model, Regularized, RecurrentlyRegularized, Embedded):
    """Embedding and recurrent layers; the output is the logits of the next token at every position.

    Args:
        cell: the recurrent layer.
        units: width of each recurrent layer, from first to last.
    """

    layouts: ClassVar[tuple[Layout, ...]] = (Layout.tokens,)
    tasks: ClassVar[tuple[Task, ...]] = (Task.language_model,)

    kind: str = "language_model"
    cell: Cell
    units: list[int] = above(0)


@config
class Forecaster(Model, Regularized, RecurrentlyRegularized):
    """Encoder-decoder that reads a window and predicts the next steps one by one.

    In training the step before is the true one (teacher forcing; Williams and Zipser, 1989), in
    validation and use its own prediction.

    Args:
        cell: the recurrent layer.
        units: width of each recurrent layer, from first to last; the last one is the decoder.
    """

    layouts: ClassVar[tuple[Layout, ...]] = (Layout.sequence,)
    tasks: ClassVar[tuple[Task, ...]] = (Task.forecast,)

    kind: str = "forecaster"
    cell: Cell
    units: list[int] = above(0)


KINDS: tuple[type[Model], ...] = (
    Cnn1d,
    SimpleRnn,
    Lstm,
    Gru,
    ParallelLstm,
    LanguageModel,
    Forecaster,
)
