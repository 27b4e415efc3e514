"""Normalisation: measured on the training split, applied everywhere, able to travel."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from samerun.config import Layout, Normalization
from samerun.data.outline import Array, Source


@dataclass(frozen=True)
class Preprocessing:
    """Turns raw examples into what the model reads: `(x - offset) / scale` in float32.

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

    def as_dict(self) -> dict[str, Any]:
        """Returns it as plain numbers and lists."""
        return {"offset": self.offset.tolist(), "scale": self.scale.tolist()}


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


def fit(kind: Normalization, x: Array, source: Source) -> Preprocessing:
    """Measures the normalisation of a data set.

    Args:
        kind: how features are scaled.
        x: the raw training examples, `(n, *input_shape)`.
        source: says how the axes are to be read and the largest value of the format.
    """
    offset, scale = np.zeros((), np.float32), np.ones((), np.float32)
    if kind is Normalization.standard:
        mean, deviation = _mean_and_deviation(x)
        return Preprocessing(mean.astype(np.float32), _float32_scale(deviation))
    if kind is Normalization.unit and source.largest is not None:
        scale = np.asarray(source.largest, np.float32)
    elif kind is Normalization.unit:
        axis = 0 if source.outline.layout is Layout.table else None
        largest = np.maximum(x.max(axis=axis), -x.min(axis=axis).astype(np.float64))
        scale = _float32_scale(largest)
    return Preprocessing(offset, scale)
