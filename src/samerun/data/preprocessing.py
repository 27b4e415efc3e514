"""From raw examples to what a model reads: measured on training data only, able to travel."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from samerun.config import Layout
from samerun.config.datasets.base import Normalization, Side
from samerun.data.splits import Array
from samerun.data.vocabulary import Vocabulary, padded


class Preprocessing(ABC):
    """Turns raw examples into what the model reads."""

    @abstractmethod
    def __call__(self, x: Any) -> Any:
        """Does all of it to a batch of raw examples, `(n, ...)`."""

    @abstractmethod
    def once(self, x: Array) -> Array:
        """Does the part that is done to a whole split once, in memory, before the pipeline."""

    @abstractmethod
    def each_batch(self, x: Any) -> Any:
        """Does the rest, in the graph, to a tensor of a batch."""

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """Returns it as plain values, from which `from_dict` makes an equal one."""


@final
@dataclass(frozen=True)
class Scaling(Preprocessing):
    """Numbers: `(x - offset) / scale` in float32.

    Args:
        offset: float32, of a shape that broadcasts over a batch of examples.
        scale: float32, as `offset`; nowhere 0.
    """

    offset: Array
    scale: Array

    def __call__(self, x: Any) -> Any:
        """Normalises a batch.

        Args:
            x: `(n, *input_shape)`: a NumPy array of any number type, or a float32 tensor.
        """
        if isinstance(x, np.ndarray):
            x = x.astype(np.float32, copy=False)
        return (x - self.offset) / self.scale

    def once(self, x: Array) -> Array:
        """Leaves the examples as they are: uint8 takes a quarter of the memory of float32."""
        return x

    def each_batch(self, x: Any) -> Any:
        """Normalises a tensor of any number type."""
        import tensorflow as tf

        return self(tf.cast(x, tf.float32))

    def undo(self, values: Any) -> Array:
        """Returns scaled numbers in the units they had."""
        return np.asarray(values) * self.scale + self.offset

    def as_dict(self) -> dict[str, Any]:
        """Returns it as plain numbers and lists."""
        return {"kind": "scaling", "offset": self.offset.tolist(), "scale": self.scale.tolist()}


@final
@dataclass(frozen=True)
class Tokenization(Preprocessing):
    """Texts: int32 ids `(n, length)`, padded with 0; what is ids already stays so.

    Args:
        vocabulary: turns a text into ids; `None` where the data comes as ids without their words.
        length: positions of every example.
        padding: on which side short texts are filled up.
        truncating: on which side long texts are cut.
    """

    vocabulary: Vocabulary | None
    length: int
    padding: Side = Side.pre
    truncating: Side = Side.post

    def __call__(self, x: Any) -> Any:
        """Turns texts into ids.

        Args:
            x: `(n,)` of `str`, or `(n, length)` of integer ids.
        """
        x = np.asarray(x)
        if x.dtype.kind in "iu":
            return x.astype(np.int32, copy=False)
        assert self.vocabulary is not None, "texts need a vocabulary"
        return padded(
            [self.vocabulary.encode(text) for text in x],
            self.length,
            pad_left=self.padding is Side.pre,
            cut_left=self.truncating is Side.pre,
        )

    def once(self, x: Array) -> Array:
        """Turns all texts of a split into ids."""
        ids: Array = self(x)
        return ids

    def each_batch(self, x: Any) -> Any:
        """Leaves the ids as they are: int32, which an embedding looks up."""
        return x

    def as_dict(self) -> dict[str, Any]:
        """Returns it as plain values, all tokens among them."""
        return {
            "kind": "tokenization",
            "vocabulary": self.vocabulary.as_dict() if self.vocabulary else None,
            "length": self.length,
            "padding": self.padding.value,
            "truncating": self.truncating.value,
        }


def _mean_and_deviation(x: Array) -> tuple[Array, Array]:
    """Mean and standard deviation along the last axis's entries, in float64.

    In two passes of blocks: MNIST at once as float64 would take 376 MB.
    """
    flat = x.reshape(-1, x.shape[-1])
    blocks = range(0, len(flat), 1 << 16)
    mean = flat.mean(axis=0, dtype=np.float64)
    squares = sum(np.square(flat[i : i + (1 << 16)] - mean).sum(axis=0) for i in blocks)
    return mean, np.sqrt(squares / len(flat))


def _float32_scale(scale: Array) -> Array:
    """A scale in float32 in which what never changes is left as it is."""
    narrow: Array = np.asarray(scale, np.float32)
    return np.where(narrow > 0, narrow, np.float32(1))


def scaling_by(mean: Array, deviation: Array) -> Scaling:
    """Returns the scaling to mean 0 and deviation 1 of what has this mean and deviation."""
    return Scaling(np.asarray(mean, np.float32), _float32_scale(deviation))


def fit(kind: Normalization, x: Array, layout: Layout, largest: float | None = None) -> Scaling:
    """Measures the normalisation of a data set.

    Args:
        kind: how features are scaled.
        x: the raw training examples, `(n, *input_shape)`.
        layout: how the axes are to be read.
        largest: the largest value the format can hold, `None` if only the data can tell.
    """
    offset, scale = np.zeros((), np.float32), np.ones((), np.float32)
    if kind is Normalization.standard:
        return scaling_by(*_mean_and_deviation(x))
    if kind is Normalization.unit and largest is not None:
        scale = np.asarray(largest, np.float32)
    elif kind is Normalization.unit:
        is_by_feature = layout in (Layout.table, Layout.sequence)
        axis = tuple(range(x.ndim - 1)) if is_by_feature else None
        sizes = np.maximum(x.max(axis=axis), -x.min(axis=axis).astype(np.float64))
        scale = _float32_scale(sizes)
    return Scaling(offset, scale)
