"""Transforms raw examples into model inputs; fitted to training data only, and storable."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from samerun.config import Layout
from samerun.config.datasets.base import Normalization, Side
from samerun.data.splits import Array
from samerun.data.vocabulary import Vocabulary
from samerun.raw_model.texts import padded


class Preprocessing(ABC):
    """Transforms raw examples into model inputs."""

    @abstractmethod
    def __call__(self, x: Any) -> Any:
        """Applies all of it to a batch of raw examples, `(n, ...)`."""

    @abstractmethod
    def once(self, x: Array) -> Array:
        """Applies the part that runs once per split, in memory, before the pipeline."""

    @abstractmethod
    def each_batch(self, x: Any) -> Any:
        """Applies the rest to a batch, in the graph."""

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """Returns it as plain values, from which `from_dict` restores an equal one."""


@final
@dataclass(frozen=True)
class Scaling(Preprocessing):
    """Scales numbers: `(x - offset) / scale` in float32.

    Args:
        offset: float32, of a shape that broadcasts over a batch of examples.
        scale: float32, as `offset`; never 0.
    """

    offset: Array
    scale: Array

    def __call__(self, x: Any) -> Any:
        """Normalizes a batch.

        Args:
            x: `(n, *input_shape)`: a NumPy array of any number type, or a float32 tensor.
        """
        if isinstance(x, np.ndarray):
            x = x.astype(np.float32, copy=False)
        return (x - self.offset) / self.scale

    def once(self, x: Array) -> Array:
        """Returns the examples unchanged: uint8 takes a quarter of the memory of float32."""
        return x

    def each_batch(self, x: Any) -> Any:
        """Normalizes a tensor of any number type."""
        import tensorflow as tf

        return self(tf.cast(x, tf.float32))

    def undo(self, values: Any) -> Array:
        """Returns scaled numbers in their original units."""
        return np.asarray(values) * self.scale + self.offset

    def as_dict(self) -> dict[str, Any]:
        """Returns it as plain numbers and lists."""
        return {"kind": "scaling", "offset": self.offset.tolist(), "scale": self.scale.tolist()}


@final
@dataclass(frozen=True)
class Tokenization(Preprocessing):
    """Converts texts to int32 ids `(n, length)`, padded with 0; leaves ids unchanged.

    Args:
        vocabulary: maps texts to ids; `None` if the data comes as ids without words.
        length: positions of every example.
        padding: side on which short texts are padded.
        truncating: side on which long texts are truncated.
    """

    vocabulary: Vocabulary | None
    length: int
    padding: Side = Side.pre
    truncating: Side = Side.post

    def __call__(self, x: Any) -> Any:
        """Converts texts to ids.

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
        """Converts all texts of a split to ids."""
        ids: Array = self(x)
        return ids

    def each_batch(self, x: Any) -> Any:
        """Returns the ids unchanged."""
        return x

    def as_dict(self) -> dict[str, Any]:
        """Returns it as plain values, including all tokens."""
        return {
            "kind": "tokenization",
            "vocabulary": self.vocabulary.as_dict() if self.vocabulary else None,
            "length": self.length,
            "padding": self.padding.value,
            "truncating": self.truncating.value,
        }


def _mean_and_deviation(x: Array) -> tuple[Array, Array]:
    """Returns mean and standard deviation of each entry of the last axis, in float64.

    Works in two passes over blocks: all of MNIST in float64 would take 376 MB.
    """
    flat = x.reshape(-1, x.shape[-1])
    blocks = range(0, len(flat), 1 << 16)
    mean = flat.mean(axis=0, dtype=np.float64)
    squares = sum(np.square(flat[i : i + (1 << 16)] - mean).sum(axis=0) for i in blocks)
    return mean, np.sqrt(squares / len(flat))


def _float32_scale(scale: Array) -> Array:
    """Returns a scale in float32, with 1 for constant features."""
    narrow: Array = np.asarray(scale, np.float32)
    return np.where(narrow > 0, narrow, np.float32(1))


def scaling_by(mean: Array, deviation: Array) -> Scaling:
    """Returns the scaling that maps this mean and deviation to 0 and 1."""
    return Scaling(np.asarray(mean, np.float32), _float32_scale(deviation))


def fit(kind: Normalization, x: Array, layout: Layout, largest: float | None = None) -> Scaling:
    """Fits the normalization of a dataset.

    Args:
        kind: how to scale features.
        x: the raw training examples, `(n, *input_shape)`.
        layout: how the axes are to be read.
        largest: largest value of the format; `None` if only the data can tell.
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
