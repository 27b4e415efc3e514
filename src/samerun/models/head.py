"""The output layer, which depends only on the task."""

import keras

from samerun.config import DataSpec, Task

ACTIVATIONS: dict[Task, str] = {
    Task.multiclass: "softmax",
    Task.binary: "sigmoid",
    Task.regression: "linear",
    Task.forecast: "linear",
    Task.language_model: "linear",
}
"""Output activation: probabilities, values, or logits (language models)."""


def head(spec: DataSpec) -> keras.layers.Layer:
    """Returns the output layer for a task.

    `multiclass` gives one probability per class, `binary` the probability of class 1, `regression`
    and `forecast` the values themselves, `language_model` one logit per token of the vocabulary at
    every position. It computes in float32 under every dtype policy: a float16 softmax rounds
    probabilities below 6e-8 to 0, and the loss to infinity.
    """
    num_units = spec.num_outputs
    if spec.task is Task.language_model and spec.vocabulary_size is not None:
        num_units = spec.vocabulary_size
    return keras.layers.Dense(
        num_units, activation=ACTIVATIONS[spec.task], dtype="float32", name="output"
    )
