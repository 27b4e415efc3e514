"""Models of images, tables and anything that can be flattened."""

from collections.abc import Callable
from typing import Any

import keras

from samerun.config import DataSpec
from samerun.config.models import Model
from samerun.config.models.images import Cnn, LeNet5, Mlp
from samerun.models.head import head
from samerun.models.hidden import convolved, dense_layers, dropout_layer, kernel_penalty


def mlp(cfg: Mlp, spec: DataSpec) -> keras.Model:
    """Returns a feed-forward network: flatten, dense layers with dropout after each, output.

    Penalties (`l1`, `l2`) are on the kernels of the hidden layers, not on the output's.
    """
    flatten = [keras.layers.Flatten(name="flatten")] if len(spec.input_shape) > 1 else []
    layers = [*flatten, *dense_layers(cfg, cfg.units), head(spec)]
    return keras.Sequential([keras.Input(spec.input_shape, name="input"), *layers], name="mlp")


def cnn(cfg: Cnn, spec: DataSpec) -> keras.Model:
    """Returns a convolutional network: blocks, flatten, dense layers, output.

    A block is Conv2D, optional BatchNorm, activation, and 2×2 MaxPool. A side of one pixel is not
    pooled further, so with `padding=same` a search over depth can exceed what the image allows:
    8×8 pixels and four blocks give 4×4, 2×2, 1×1, 1×1.

    Dropout follows the last block once, and then each hidden dense layer. Penalties (`l1`, `l2`)
    are on the kernels of the convolutions and hidden dense layers, not on the output's.
    """
    height, width, _ = spec.input_shape
    layers = []
    for number, num_filters in enumerate(cfg.filters, start=1):
        layers += _convolution(cfg, number, num_filters)
        height, width = convolved((height, width), cfg)
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
        padding=cfg.padding.value,
        use_bias=not cfg.batch_norm,  # BatchNorm subtracts the mean and has its own shift
        kernel_initializer=cfg.initializer.value,
        kernel_regularizer=kernel_penalty(cfg),
        name=f"conv_{number}",
    )
    normalization = keras.layers.BatchNormalization(name=f"batch_norm_{number}")
    activation = keras.layers.Activation(cfg.activation.value, name=f"activation_{number}")
    return [convolution, *([normalization] if cfg.batch_norm else []), activation]


def lenet5(cfg: LeNet5, spec: DataSpec) -> keras.Model:
    """Returns LeNet-5 (LeCun et al., 1998) for images of any size.

    C1 has 6 filters of 5×5 with padding, as the paper pads 28×28 to 32×32; S2 averages 2×2; C3 has
    16 filters of 5×5, S4 averages 2×2, then 120 and 84 dense units. If the image is too small
    for a step (digits of 8×8 are 4×4 before C3), C3 is padded and a side of one pixel not pooled.
    C3 is connected to all of S2, and the output is that of the task, not a radial basis.

    Dropout follows S4 once, and then each dense layer.
    """
    height, width, _ = spec.input_shape
    layers: list[keras.layers.Layer] = []
    for number, (filters, padding) in enumerate(((6, "same"), (16, "valid")), start=1):
        if min(height, width) < 5:
            padding = "same"
        layers.append(
            keras.layers.Conv2D(
                filters,
                5,
                padding=padding,
                activation=cfg.activation.value,
                kernel_initializer=cfg.initializer.value,
                kernel_regularizer=kernel_penalty(cfg),
                name=f"conv_{number}",
            )
        )
        if padding == "valid":
            height, width = height - 4, width - 4
        pool = (min(height, 2), min(width, 2))
        layers.append(keras.layers.AveragePooling2D(pool, name=f"pool_{number}"))
        height, width = height // pool[0], width // pool[1]
    layers += [keras.layers.Flatten(name="flatten"), *dropout_layer(cfg, "dropout_conv")]
    layers += [*dense_layers(cfg, [120, 84]), head(spec)]
    return keras.Sequential([keras.Input(spec.input_shape, name="input"), *layers], name="lenet5")


BUILDERS: dict[type[Model], Callable[[Any, DataSpec], keras.Model]] = {
    Mlp: mlp,
    Cnn: cnn,
    LeNet5: lenet5,
}
