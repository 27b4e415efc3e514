"""The description of a dataset that a model is built from."""

from dataclasses import dataclass
from enum import StrEnum


class Task(StrEnum):
    """What to predict; it determines the loss, the metrics and the evaluation."""

    multiclass = "multiclass"
    """One of several classes; labels are the integers 0 to `num_classes` - 1."""
    binary = "binary"
    """One of two classes; labels are 0 and 1, the model has one sigmoid output."""
    regression = "regression"
    """One or more real numbers of an independent example."""
    forecast = "forecast"
    """The next value or values of a time series."""
    language_model = "language_model"
    """The next token at every position of a text."""


class Layout(StrEnum):
    """Meaning of the axes of one example, without the batch axis."""

    image = "image"
    """(height, width, channels)"""
    table = "table"
    """(features,)"""
    tokens = "tokens"
    """(positions,) of integers, 0 is padding"""
    sequence = "sequence"
    """(time steps, features)"""
    video = "video"
    """(frames, height, width, channels)"""


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """What a model needs to know of a dataset: enough to build it, or to refuse a wrong pair.

    Known before any array is loaded wherever the data's own files or documentation say it, so that
    a wrong pair of model and dataset is refused before TensorFlow is imported.

    Args:
        task: what to predict.
        layout: meaning of the axes of one example.
        input_shape: shape of one example, without the batch axis.
        num_outputs: number of outputs per example: the number of classes for `multiclass`, 1 for
            `binary`, the size of the vocabulary (at every position) for `language_model`, the
            length of the target otherwise.
        class_names: name of each class, in label order; empty if there are no classes.
        num_train: examples in the training split.
        num_validation: examples in the validation split; 0 if there is none.
        num_test: examples in the test split; 0 if there is none.
        vocabulary_size: number of different tokens; `None` if the input is not tokens.
        feature_names: name of each input of a table, in order; empty where they have none.
    """

    task: Task
    layout: Layout
    input_shape: tuple[int, ...]
    num_outputs: int
    class_names: tuple[str, ...] = ()
    num_train: int
    num_validation: int
    num_test: int
    vocabulary_size: int | None = None
    feature_names: tuple[str, ...] = ()

    @property
    def is_classification(self) -> bool:
        """Whether an example belongs to one of a few classes."""
        return self.task in (Task.multiclass, Task.binary)
