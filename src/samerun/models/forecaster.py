"""The forecaster: a subclassed model with its own training step."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from samerun.config import DataSpec, as_dict
from samerun.config.fields import added_fields
from samerun.config.models import Model
from samerun.config.models.base import Activation, Initializer
from samerun.config.models.sequences import Cell, Forecaster
from samerun.models.hidden import dropout_layer, recurrent_penalty
from samerun.models.sequences import recurrent_layer

_CELLS: dict[Cell, type[keras.layers.Layer]] = {
    Cell.simple_rnn: keras.layers.SimpleRNNCell,
    Cell.lstm: keras.layers.LSTMCell,
    Cell.gru: keras.layers.GRUCell,
}


@keras.saving.register_keras_serializable(package="samerun")
class TeacherForced(keras.Model):  # type: ignore[misc]
    """Trains with teacher forcing, predicts from its own outputs (Williams and Zipser, 1989).

    The forward pass of training needs the targets, which `fit` does not provide. Therefore the
    model has its own training step, while validation and prediction use `inference`.

    Args:
        settings: the fields of a `config.Forecaster`.
        window_shape: (steps, features) of the input.
        horizon: steps to predict.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        window_shape: Sequence[int],
        horizon: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"name": "forecaster", **kwargs})
        self._recipe = {
            "settings": dict(settings),
            "window_shape": list(window_shape),
            "horizon": horizon,
        }
        made = _layers(settings)
        window = keras.Input(window_shape, name="input")
        future = keras.Input((horizon,), name="future")
        state = _encode(made, window)
        self.inference = keras.Model(
            window, _decode(made, state, window, [None] * horizon), name="inference"
        )
        # Step k reads the target of step k - 1; the first step has none.
        truth = [None, *(future[:, step : step + 1] for step in range(horizon - 1))]
        self.teaching = keras.Model(
            [window, future], _decode(made, state, window, truth), name="teaching"
        )
        self.build((None, *window_shape))

    def call(self, window: Any, training: bool | None = None) -> Any:
        """Predicts the future step by step, each from the previous one."""
        return self.inference(window, training=training)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Trains on one batch with teacher forcing."""
        window, future, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            predicted = self.teaching([window, future], training=True)
            loss = self.compute_loss(
                x=window, y=future, y_pred=predicted, sample_weight=sample_weight, training=True
            )
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=tf.shape(window)[0])
            else:
                metric.update_state(future, predicted)
        return dict(self.get_metrics_result())

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**self._recipe, "name": self.name}


def _layers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Creates the layers that both decoders share."""
    cfg = _config(settings)
    *below, last = cfg.units
    encoders = [
        recurrent_layer(cfg, cfg.cell, width, name=f"{cfg.cell}_{number}", returns_all=True)
        for number, width in enumerate(below, start=1)
    ]
    reader = recurrent_layer(cfg, cfg.cell, last, name="reader", returns_all=False)
    reader.return_state = True
    writer = _CELLS[cfg.cell](
        last,
        activation=cfg.activation.value,
        kernel_initializer=cfg.initializer.value,
        kernel_regularizer=recurrent_penalty(cfg),  # it reads its own last output
        recurrent_regularizer=recurrent_penalty(cfg),
        name="writer",
    )
    return {
        "encoders": encoders,
        "reader": reader,
        "writer": writer,
        "dropout": dropout_layer(cfg, "dropout_writer"),
        "output": keras.layers.Dense(1, dtype="float32", name="output"),
        "join": keras.layers.Concatenate(name="horizon", dtype="float32"),
    }


def _config(settings: Mapping[str, Any]) -> Forecaster:
    kinds = {"cell": Cell, "activation": Activation, "initializer": Initializer}
    values: dict[str, Any] = {
        key: kinds[key](value) if key in kinds else value for key, value in settings.items()
    }
    return Forecaster(**added_fields(Forecaster) | values)  # an older file lacks the added ones


def _encode(made: Mapping[str, Any], window: Any) -> list[Any]:
    values = window
    for layer in made["encoders"]:
        values = layer(values)
    return list(made["reader"](values))[1:]


def _decode(made: Mapping[str, Any], state: Any, window: Any, before: Sequence[Any]) -> Any:
    """Decodes one step after another.

    Args:
        made: the layers.
        state: final state of the reader.
        window: the input, for the batch size.
        before: for each step the value to read, or `None` for the previous output, which is 0 at
            the first step.
    """
    value = keras.ops.zeros_like(window[:, 0, :1])
    written = []
    for truth in before:
        answer, state = made["writer"](value if truth is None else truth, state)
        for layer in made["dropout"]:
            answer = layer(answer)
        value = made["output"](answer)
        written.append(value)
    return written[0] if len(written) == 1 else made["join"](written)


def forecaster(cfg: Forecaster, spec: DataSpec) -> keras.Model:
    """Returns an encoder of the window and a decoder that predicts the horizon step by step.

    Dropout is on the inputs of the encoder's layers and before the output. `l1` and `l2` are on the
    input kernels of the encoder; `recurrent_l1` and `recurrent_l2` on its recurrent kernels and on
    both kernels of the decoder, which reads its own last output.
    """
    return TeacherForced(as_dict(cfg), spec.input_shape, spec.num_outputs)


BUILDERS: dict[type[Model], Callable[[Any, DataSpec], keras.Model]] = {
    Forecaster: forecaster,
}
