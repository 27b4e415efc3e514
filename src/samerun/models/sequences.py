"""Models of sequences: tokens, rows of an image, time steps."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from samerun.config import DataSpec, Layout
from samerun.config.models import Model
from samerun.config.models.sequences import (
    Cell,
    Cnn1d,
    Embedded,
    Forecaster,
    Gru,
    LanguageModel,
    Lstm,
    ParallelLstm,
    SimpleRnn,
)
from samerun.config.models.video import CnnRnn
from samerun.models.head import head
from samerun.models.hidden import (
    convolved,
    dense_layers,
    dropout_layer,
    kernel_penalty,
    recurrent_penalty,
)

LAYERS: dict[Cell, type[keras.layers.RNN]] = {
    Cell.simple_rnn: keras.layers.SimpleRNN,
    Cell.lstm: keras.layers.LSTM,
    Cell.gru: keras.layers.GRU,
}


def recurrent_layer(
    cfg: SimpleRnn | Lstm | Gru | ParallelLstm | LanguageModel | Forecaster | CnnRnn,
    cell: Cell,
    width: int,
    *,
    name: str,
    returns_all: bool,
    recurrent_dropout: float = 0.0,
    is_masked: bool = False,
) -> keras.layers.RNN:
    """Returns one recurrent layer.

    `dropout` acts on its inputs, with the same mask at every step (Gal and Ghahramani, 2016);
    `l1` and `l2` act on the kernel of the inputs, `recurrent_l1` and `recurrent_l2` on that of the
    state. With masked padding the layer does not use cuDNN, which fails on texts that are empty or
    padded at the start.
    """
    off_cudnn = {"use_cudnn": False} if is_masked and cell is not Cell.simple_rnn else {}
    return LAYERS[cell](
        width,
        activation=cfg.activation.value,
        kernel_initializer=cfg.initializer.value,
        kernel_regularizer=kernel_penalty(cfg),
        recurrent_regularizer=recurrent_penalty(cfg),
        dropout=cfg.dropout,
        recurrent_dropout=recurrent_dropout,
        return_sequences=returns_all,
        name=name,
        **off_cudnn,
    )


def input_layers(
    cfg: Embedded, spec: DataSpec, *, mask_padding: bool = False
) -> list[keras.layers.Layer]:
    """Returns the input layer, followed by an embedding for tokens."""
    if spec.layout is not Layout.tokens:
        return [keras.Input(spec.input_shape, name="input")]
    assert spec.vocabulary_size is not None
    layer = keras.layers.Embedding(
        spec.vocabulary_size, cfg.embedding_dim, mask_zero=mask_padding, name="embedding"
    )
    return [keras.Input(spec.input_shape, dtype="int32", name="input"), layer]


def recurrent(cfg: SimpleRnn | Lstm | Gru, spec: DataSpec) -> keras.Model:
    """Returns stacked recurrent layers, dense layers and the output.

    Dropout is inside the recurrent layers (on their inputs) and after each dense layer; without
    dense layers it also follows the recurrence.
    """
    layers = input_layers(cfg, spec, mask_padding=cfg.mask_padding)
    for number, width in enumerate(cfg.units, start=1):
        layer = recurrent_layer(
            cfg,
            Cell(cfg.kind),
            width,
            name=f"{cfg.kind}_{number}",
            returns_all=number < len(cfg.units),
            recurrent_dropout=cfg.recurrent_dropout,
            is_masked=cfg.mask_padding,
        )
        if cfg.bidirectional:
            layer = keras.layers.Bidirectional(layer, name=f"bidirectional_{number}")
        layers.append(layer)
    layers += dense_layers(cfg, cfg.dense_units) or dropout_layer(cfg, "dropout_recurrent")
    return keras.Sequential([*layers, head(spec)], name=cfg.kind)


def cnn1d(cfg: Cnn1d, spec: DataSpec) -> keras.Model:
    """Returns blocks of Conv1D and MaxPool, the maximum over all positions, dense layers, output.

    A length of one position is not pooled further. Dropout follows the global maximum
    once, and then each dense layer.
    """
    layers = input_layers(cfg, spec)
    length = spec.input_shape[0]
    for number, filters in enumerate(cfg.filters, start=1):
        layers.append(
            keras.layers.Conv1D(
                filters,
                cfg.kernel_size,
                padding=cfg.padding.value,
                activation=cfg.activation.value,
                kernel_initializer=cfg.initializer.value,
                kernel_regularizer=kernel_penalty(cfg),
                name=f"conv_{number}",
            )
        )
        (length,) = convolved([length], cfg)
        if length > 1:
            layers.append(keras.layers.MaxPooling1D(2, name=f"pool_{number}"))
            length //= 2
    layers.append(keras.layers.GlobalMaxPooling1D(name="global_pool"))
    layers += [*dropout_layer(cfg, "dropout_conv"), *dense_layers(cfg, cfg.dense_units)]
    return keras.Sequential([*layers, head(spec)], name="cnn1d")


def parallel_lstm(cfg: ParallelLstm, spec: DataSpec) -> keras.Model:
    """Returns parallel LSTMs on one input, concatenated, then dense layers and the output."""
    inputs, *embedding = input_layers(cfg, spec)
    features = _apply(embedding, inputs)
    branches = [
        recurrent_layer(cfg, Cell.lstm, width, name=f"branch_{number}", returns_all=False)(features)
        for number, width in enumerate(cfg.branch_units, start=1)
    ]
    merged = branches[0]
    if len(branches) > 1:
        merged = keras.layers.Concatenate(name="merged")(branches)
    outputs = _apply([*dense_layers(cfg, cfg.dense_units), head(spec)], merged)
    return keras.Model(inputs, outputs, name="parallel_lstm")


def language_model(cfg: LanguageModel, spec: DataSpec) -> keras.Model:
    """Returns embedding, recurrent layers with an output at every position, dropout, logits."""
    layers = input_layers(cfg, spec)
    for number, width in enumerate(cfg.units, start=1):
        name = f"{cfg.cell.value}_{number}"
        layers.append(recurrent_layer(cfg, cfg.cell, width, name=name, returns_all=True))
    layers += dropout_layer(cfg, "dropout_recurrent")
    return keras.Sequential([*layers, head(spec)], name="language_model")


def _apply(layers: Sequence[keras.layers.Layer], values: Any) -> Any:
    for layer in layers:
        values = layer(values)
    return values


BUILDERS: dict[type[Model], Callable[[Any, DataSpec], keras.Model]] = {
    Cnn1d: cnn1d,
    SimpleRnn: recurrent,
    Lstm: recurrent,
    Gru: recurrent,
    ParallelLstm: parallel_lstm,
    LanguageModel: language_model,
}
