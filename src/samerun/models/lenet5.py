"""LeNet-5."""

import keras

from samerun.config import DataSpec
from samerun.config.models import LeNet5
from samerun.models.head import head
from samerun.models.hidden import dense_layers, dropout_layer, kernel_penalty


def lenet5(cfg: LeNet5, spec: DataSpec) -> keras.Model:
    """Returns LeNet-5 (LeCun et al., 1998) for images of any size.

    C1 has 6 filters of 5×5 with padding, as the paper pads 28×28 to 32×32; S2 averages 2×2; C3 has
    16 filters of 5×5, S4 averages 2×2, then 120 and 84 dense units. Where the picture is too small
    for a step (digits of 8×8 are 4×4 before C3), C3 is padded and a side of one pixel not pooled.
    C3 is connected to all of S2, and the output is the task's, not the paper's radial basis.

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
