"""The convolutional network."""

import keras

from samerun.config import DataSpec
from samerun.config.models import Cnn
from samerun.models.head import head
from samerun.models.hidden import dense_layers, dropout_layer, kernel_penalty


def cnn(cfg: Cnn, spec: DataSpec) -> keras.Model:
    """Returns a convolutional network: blocks, flatten, dense layers, output.

    A block is Conv2D with padding, BatchNorm if wanted, activation, and 2×2 MaxPool. A side that
    is down to one pixel is not pooled further, so that a search over depth can go on where the
    image ends: 8×8 pixels and four blocks give 4×4, 2×2, 1×1, 1×1.

    Dropout follows the last block once, and then each hidden dense layer. Penalties (`l1`, `l2`)
    are on the kernels of the convolutions and hidden dense layers, not on the output's.
    """
    height, width, _ = spec.input_shape
    layers = []
    for number, num_filters in enumerate(cfg.filters, start=1):
        layers += _convolution(cfg, number, num_filters)
        pool = (min(height, 2), min(width, 2))
        if max(pool) > 1:
            layers.append(keras.layers.MaxPooling2D(pool, name=f"pool_{number}"))
        height, width = height // pool[0], width // pool[1]
    layers.append(keras.layers.Flatten(name="flatten"))
    layers += dropout_layer(cfg, "dropout_conv") if cfg.filters else []
    layers += [*dense_layers(cfg, cfg.dense_units), head(spec)]
    return keras.Sequential([keras.Input(spec.input_shape, name="input"), *layers], name="cnn")


def _convolution(cfg: Cnn, number: int, num_filters: int) -> list[keras.layers.Layer]:
    convolution = keras.layers.Conv2D(
        num_filters,
        cfg.kernel_size,
        padding="same",
        use_bias=not cfg.batch_norm,  # BatchNorm subtracts the mean and has a shift of its own
        kernel_initializer=cfg.initializer.value,
        kernel_regularizer=kernel_penalty(cfg),
        name=f"conv_{number}",
    )
    normalization = keras.layers.BatchNormalization(name=f"batch_norm_{number}")
    activation = keras.layers.Activation(cfg.activation.value, name=f"activation_{number}")
    return [convolution, *([normalization] if cfg.batch_norm else []), activation]
