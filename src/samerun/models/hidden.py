"""Hidden layers of all models: initializers, penalties and dropout."""

from collections.abc import Sequence

import keras

from samerun.config.models.base import Padding, RecurrentlyRegularized, Regularized
from samerun.config.models.images import Cnn
from samerun.config.models.sequences import Cnn1d
from samerun.config.models.video import CnnRnn


def kernel_penalty(cfg: Regularized) -> keras.regularizers.Regularizer | None:
    """Returns l1 · Σ|w| + l2 · Σw² for one hidden kernel, or `None` if both weights are 0."""
    return _penalty(cfg.l1, cfg.l2)


def recurrent_penalty(cfg: RecurrentlyRegularized) -> keras.regularizers.Regularizer | None:
    """Returns the penalty of one recurrent kernel, or `None` if both weights are 0."""
    return _penalty(cfg.recurrent_l1, cfg.recurrent_l2)


def _penalty(l1: float, l2: float) -> keras.regularizers.Regularizer | None:
    return keras.regularizers.L1L2(l1=l1, l2=l2) if l1 or l2 else None


def convolved(sides: Sequence[int], cfg: Cnn | Cnn1d | CnnRnn) -> list[int]:
    """Returns the lengths of the axes after a convolution with stride 1.

    Args:
        sides: lengths of the axes that the kernel moves along.
        cfg: its kernel and padding.
    """
    lost = cfg.kernel_size - 1 if cfg.padding is Padding.valid else 0
    return [side - lost for side in sides]


def dropout_layer(cfg: Regularized, name: str) -> list[keras.layers.Layer]:
    """Returns one dropout layer, or none if `cfg.dropout` is 0."""
    return [keras.layers.Dropout(cfg.dropout, name=name)] if cfg.dropout else []


def dense_layers(cfg: Regularized, units: Sequence[int]) -> list[keras.layers.Layer]:
    """Returns dense layers of these widths, each followed by dropout.

    Args:
        cfg: activation, initializer, dropout and penalties.
        units: width of each layer; they are named `dense_1`, `dense_2`, ...
    """
    layers = []
    for number, width in enumerate(units, start=1):
        layers.append(
            keras.layers.Dense(
                width,
                activation=cfg.activation.value,
                kernel_initializer=cfg.initializer.value,
                kernel_regularizer=kernel_penalty(cfg),
                name=f"dense_{number}",
            )
        )
        layers += dropout_layer(cfg, f"dropout_{number}")
    return layers
