"""Models of video clips."""

from collections.abc import Callable
from typing import Any

import keras

from samerun.config import DataSpec
from samerun.config.models import Model
from samerun.config.models.sequences import Cell
from samerun.config.models.video import CnnRnn, ConvLstm
from samerun.models.head import head
from samerun.models.hidden import (
    convolved,
    dense_layers,
    dropout_layer,
    kernel_penalty,
    recurrent_penalty,
)
from samerun.models.sequences import recurrent_layer


def cnn_rnn(cfg: CnnRnn, spec: DataSpec) -> keras.Model:
    """Returns a CNN for each frame, an LSTM over the frames, dense layers, output.

    Dropout is on the inputs of the LSTM and after each dense layer; without dense layers it also
    follows the LSTM.
    """
    _, height, width, _ = spec.input_shape
    layers: list[keras.layers.Layer] = [keras.Input(spec.input_shape, name="input")]
    for number, filters in enumerate(cfg.filters, start=1):
        convolution = keras.layers.Conv2D(
            filters,
            cfg.kernel_size,
            padding=cfg.padding.value,
            activation=cfg.activation.value,
            kernel_initializer=cfg.initializer.value,
            kernel_regularizer=kernel_penalty(cfg),
            name="frame",
        )
        layers.append(keras.layers.TimeDistributed(convolution, name=f"conv_{number}"))
        height, width = convolved((height, width), cfg)
        pool = (min(height, 2), min(width, 2))
        pooling = keras.layers.MaxPooling2D(pool, name="frame")
        layers.append(keras.layers.TimeDistributed(pooling, name=f"pool_{number}"))
        height, width = height // pool[0], width // pool[1]
    layers += [
        keras.layers.TimeDistributed(keras.layers.Flatten(name="frame"), name="flatten"),
        recurrent_layer(cfg, Cell.lstm, cfg.units, name="lstm", returns_all=False),
    ]
    layers += dense_layers(cfg, cfg.dense_units) or dropout_layer(cfg, "dropout_recurrent")
    return keras.Sequential([*layers, head(spec)], name="cnn_rnn")


def conv_lstm(cfg: ConvLstm, spec: DataSpec) -> keras.Model:
    """Returns stacked ConvLSTM2D layers, 2×2 MaxPool of the last output, dense layers, output.

    Dropout is on the inputs of the recurrent layers and after each dense layer.
    """
    _, height, width, _ = spec.input_shape
    layers: list[keras.layers.Layer] = [keras.Input(spec.input_shape, name="input")]
    for number, filters in enumerate(cfg.filters, start=1):
        layers.append(
            keras.layers.ConvLSTM2D(
                filters,
                cfg.kernel_size,
                padding="same",
                activation=cfg.activation.value,
                kernel_initializer=cfg.initializer.value,
                kernel_regularizer=kernel_penalty(cfg),
                recurrent_regularizer=recurrent_penalty(cfg),
                dropout=cfg.dropout,
                return_sequences=number < len(cfg.filters),
                name=f"conv_lstm_{number}",
            )
        )
    pool = (min(height, 2), min(width, 2))
    layers += [keras.layers.MaxPooling2D(pool, name="pool"), keras.layers.Flatten(name="flatten")]
    layers += [*dense_layers(cfg, cfg.dense_units), head(spec)]
    return keras.Sequential(layers, name="conv_lstm")


BUILDERS: dict[type[Model], Callable[[Any, DataSpec], keras.Model]] = {
    CnnRnn: cnn_rnn,
    ConvLstm: conv_lstm,
}
