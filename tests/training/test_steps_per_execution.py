"""Steps for one execution: measured where it can matter, and without any effect on the result."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from samerun import config, steps_per_execution

STEPS = 80


def dataset():
    x = np.random.default_rng(0).normal(size=(STEPS * 2, 3)).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((x, x[:, :1])).batch(2)


def compiled(made, steps):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", steps_per_execution=steps)
    made.append(steps)
    return model


@pytest.mark.parametrize(
    ("overrides", "measured"),
    [
        pytest.param(["training.epochs=1"], [], id="short-run"),
        pytest.param(["training.epochs=1000"], [1, 20], id="long-run"),
        pytest.param(
            ["training.epochs=1000", "training.steps_per_execution=7"], [], id="number-given"
        ),
    ],
)
def test_only_a_long_run_is_measured(overrides, measured):
    made = []
    training = config.compose(overrides).config.training
    chosen = steps_per_execution.choose(
        training,
        dataset(),
        steps_per_epoch=STEPS,
        compiled=lambda steps: compiled(made, steps),
    )
    assert made == measured
    asked = training.steps_per_execution
    assert chosen in ((1, 20) if measured else (1,) if asked == "auto" else (int(asked),))


def test_the_faster_number_is_chosen(monkeypatch):
    seconds = {1: 0.010, 20: 0.004}
    monkeypatch.setattr(steps_per_execution, "_measure", lambda steps, data: seconds[steps])
    training = config.compose(["training.epochs=1000"]).config.training
    options = {"steps_per_epoch": STEPS, "compiled": lambda steps: steps}
    assert steps_per_execution.choose(training, None, **options) == 20
    seconds[20] = 0.012
    assert steps_per_execution.choose(training, None, **options) == 1
