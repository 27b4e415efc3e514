"""Models of tokens, sequences and time series."""

from enum import StrEnum
from typing import ClassVar

from samerun.config.fields import above, config, fraction
from samerun.config.models.base import Model, Regularised
from samerun.config.spec import Layout, Task

_SEQUENCES = (Layout.tokens, Layout.sequence)


class Cell(StrEnum):
    """The recurrent layer, by its Keras name in lower case."""

    simple_rnn = "simple_rnn"
    lstm = "lstm"
    gru = "gru"


@config
class Embedded:
    """What models of sequences share for inputs that are tokens; sequences of numbers need none.

    Args:
        embedding_dim: numbers a token is turned into.
    """

    embedding_dim: int = above(0)


@config
class Recurrent:
    """What the plain recurrent networks share.

    Args:
        units: width of each recurrent layer, first to last.
        bidirectional: read the sequence from both ends (Schuster and Paliwal, 1997).
        recurrent_dropout: share of the state set to zero between steps (Gal and Ghahramani, 2016).
        mask_padding: leave padded tokens (id 0) out of the recurrence.
        dense_units: width of each dense layer between the recurrence and the output.
    """

    units: list[int] = above(0)
    bidirectional: bool
    recurrent_dropout: float = fraction()
    mask_padding: bool
    dense_units: list[int] = above(0)


@config
class Cnn1d(Model, Regularised, Embedded):
    """Convolutions along a text or a series: Conv1D and MaxPool blocks, global maximum, dense.

    Args:
        filters: number of filters of each block, first to last.
        kernel_size: length of the kernel, in positions.
        dense_units: width of each dense layer between the blocks and the output.
    """

    layouts: ClassVar[tuple[Layout, ...]] = _SEQUENCES

    kind: str = "cnn1d"
    filters: list[int] = above(0)
    kernel_size: int = above(0)
    dense_units: list[int] = above(0)


@config
class SimpleRnn(Model, Regularised, Embedded, Recurrent):
    """Stacked plain recurrent layers (Elman, 1990)."""

    layouts: ClassVar[tuple[Layout, ...]] = _SEQUENCES

    kind: str = "simple_rnn"


@config
class Lstm(Model, Regularised, Embedded, Recurrent):
    """Stacked LSTM layers (Hochreiter and Schmidhuber, 1997)."""

    layouts: ClassVar[tuple[Layout, ...]] = _SEQUENCES

    kind: str = "lstm"


@config
class Gru(Model, Regularised, Embedded, Recurrent):
    """Stacked GRU layers (Cho et al., 2014)."""

    layouts: ClassVar[tuple[Layout, ...]] = _SEQUENCES

    kind: str = "gru"


@config
class ParallelLstm(Model, Regularised, Embedded):
    """Several LSTMs read the same input side by side; what they end with is put together.

    Args:
        branch_units: width of each branch.
        dense_units: width of each dense layer between the branches and the output.
    """

    layouts: ClassVar[tuple[Layout, ...]] = _SEQUENCES

    kind: str = "parallel_lstm"
    branch_units: list[int] = above(0)
    dense_units: list[int] = above(0)


@config
class LanguageModel(Model, Regularised, Embedded):
    """Embedding, recurrent layers, and the next token's logits at every position.

    Args:
        cell: the recurrent layer.
        units: width of each recurrent layer, first to last.
    """

    layouts: ClassVar[tuple[Layout, ...]] = (Layout.tokens,)
    tasks: ClassVar[tuple[Task, ...]] = (Task.language_model,)

    kind: str = "language_model"
    cell: Cell
    units: list[int] = above(0)


@config
class Forecaster(Model, Regularised):
    """Reads a window and writes the future step by step, each from the one before.

    In training the step before is the true one (teacher forcing; Williams and Zipser, 1989), in
    validation and use its own prediction.

    Args:
        cell: the recurrent layer.
        units: width of each recurrent layer, first to last; the last one writes.
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
