"""The networks of the tutorials in plain Keras: an experiment named after one is that network.

Each function below is what a tutorial's reader types. The experiment has to have the same layer
shapes, parameters, loss and optimizer, and with equal initial weights and the same batches the same
losses. The batches are random, in the shape that the experiment's dataset declares: no downloads.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import pytest

from samerun import config, data, experiments, losses, models, optim
from samerun.config import Task
from support.tables import mostly_slow

layers = keras.layers
NUM_STEPS, BATCH_SIZE = 3, 4


@dataclass(frozen=True)
class Tutorial:
    """A network as its tutorial writes it.

    Args:
        network: returns its layers, given the description of the dataset.
        loss: as `compile` takes it.
        parameters: how many the tutorial prints; 0 where they follow from the installed data.
        rate: of Adam, whose other settings are Keras's defaults.
        is_cosine: whether the rate falls as a cosine to 0, over all steps of the experiment.
        is_one_hot: whether the tutorial turns labels into vectors.
        run_eagerly: train without compiling, which takes longer than three steps of most networks.
    """

    network: Callable
    loss: str
    parameters: int = 0
    rate: float = 0.001
    is_cosine: bool = False
    is_one_hot: bool = False
    run_eagerly: bool = True


def mnist_cnn(width):
    def network(spec):
        return [
            layers.Conv2D(32, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(64, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Flatten(),
            layers.Dense(width, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]

    return network


def lstm_rows(spec):
    return [layers.LSTM(50, activation="relu"), layers.Dense(10, activation="softmax")]


def imdb(recurrent):
    def network(spec):
        embedding = layers.Embedding(10_000, 128)
        return [embedding, recurrent(), layers.Dense(1, activation="sigmoid")]

    return network


def stock(*recurrent):
    return lambda spec: [*(layer() for layer in recurrent), layers.Dense(1)]


def next_word(recurrent):
    """The tutorial learns a softmax over the words; ours are its logits."""

    def network(spec):
        num_words = spec.vocabulary_size
        embedding = layers.Embedding(num_words, 64)
        return [embedding, recurrent(), layers.Dense(num_words, activation="softmax")]

    return network


def regression(spec):
    return [layers.Dense(16, activation="relu"), layers.Dense(1)]


def cifar10_cnn(spec):
    made = []
    for filters in (32, 64, 64):
        made.append(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        made.append(layers.MaxPooling2D())
    return [
        *made,
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ]


def regularised_cnn(spec):
    made = []
    for filters in (32, 64):
        made.append(layers.Conv2D(filters, 3, padding="same", use_bias=False))
        made += [layers.BatchNormalization(), layers.Activation("relu"), layers.MaxPooling2D()]
    return [
        *made,
        layers.Flatten(),
        layers.Dropout(0.4),
        layers.Dense(64, activation="relu"),
        layers.Dropout(0.4),
        layers.Dense(10, activation="softmax"),
    ]


def cnn_of_frames(spec):
    made = []
    for filters in (16, 32):
        convolution = layers.Conv2D(filters, 3, padding="same", activation="relu")
        made.append(layers.TimeDistributed(convolution))
        made.append(layers.TimeDistributed(layers.MaxPooling2D()))
    made.append(layers.TimeDistributed(layers.Flatten()))
    return [*made, layers.LSTM(64, activation="relu"), layers.Dense(8, activation="softmax")]


def conv_lstm(spec):
    return [
        layers.ConvLSTM2D(16, 3, padding="same"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(8, activation="softmax"),
    ]


def parallel_lstms(spec):
    """Functional: the only tutorial with branches."""
    inputs = keras.Input(spec.input_shape)
    merged = layers.Concatenate()([layers.LSTM(width)(inputs) for width in (64, 32, 16)])
    return keras.Model(inputs, layers.Dense(1)(merged))


SPARSE, ONE_HOT = "sparse_categorical_crossentropy", "categorical_crossentropy"
BINARY, SQUARED = "binary_crossentropy", "mean_squared_error"
TUTORIALS = {
    "mnist_cnn": Tutorial(mnist_cnn(64), SPARSE, 121_930),
    "mnist_cnn_dense128": Tutorial(mnist_cnn(128), ONE_HOT, 225_034, is_one_hot=True),
    "mnist_lstm_rows": Tutorial(lstm_rows, ONE_HOT, 16_310, is_one_hot=True),
    "imdb_simple_rnn": Tutorial(
        imdb(lambda: layers.SimpleRNN(128)), BINARY, 1_313_025, run_eagerly=False
    ),
    "google_stacked_lstm": Tutorial(
        stock(lambda: layers.LSTM(50, return_sequences=True), lambda: layers.LSTM(50)),
        SQUARED,
        30_651,
    ),
    "language_model_rnn": Tutorial(
        next_word(lambda: layers.SimpleRNN(128, return_sequences=True)), SPARSE
    ),
    "regression_mlp": Tutorial(regression, SQUARED, 113),
}
"""The networks that the tutorials write down."""

ASSUMED = {
    "google_lstm": Tutorial(stock(lambda: layers.LSTM(50)), SQUARED, 10_451),
    "google_gru": Tutorial(stock(lambda: layers.GRU(50)), SQUARED, 8_001),
    "cifar10_cnn": Tutorial(cifar10_cnn, SPARSE),
    "cifar10_cnn_augmented": Tutorial(cifar10_cnn, SPARSE),
    "image_cnn_regularised": Tutorial(regularised_cnn, SPARSE, is_cosine=True),
    "parallel_lstm_forecast": Tutorial(parallel_lstms, SQUARED, rate=0.003, is_cosine=True),
    "video_cnn_lstm": Tutorial(cnn_of_frames, SPARSE, rate=0.003, is_cosine=True),
    "video_conv_lstm": Tutorial(conv_lstm, SPARSE, rate=0.003, is_cosine=True),
}
"""The networks whose kind a tutorial names; what it leaves open is our assumption."""

NAMES = mostly_slow((*TUTORIALS, *ASSUMED), "mnist_cnn_dense128", "language_model_rnn")


def plain_network(tutorial, spec):
    made = tutorial.network(spec)
    if isinstance(made, keras.Model):
        return made
    return keras.Sequential([keras.Input(spec.input_shape), *made])


def plain_adam(tutorial, num_steps):
    rate = tutorial.rate
    if tutorial.is_cosine:
        rate = keras.optimizers.schedules.CosineDecay(rate, num_steps)
    return keras.optimizers.Adam(rate)


def batches_of(spec):
    draw = np.random.default_rng(0)
    for _ in range(NUM_STEPS):
        size = (BATCH_SIZE, *spec.input_shape)
        if spec.vocabulary_size:
            x = draw.integers(1, spec.vocabulary_size, size).astype(np.int32)
        else:
            x = draw.normal(size=size).astype(np.float32)
        if spec.task is Task.language_model:
            yield x, draw.integers(1, spec.vocabulary_size, size).astype(np.int32)
        elif spec.is_classification:
            y = draw.integers(0, max(spec.num_outputs, 2), BATCH_SIZE)
            yield x, y if spec.task is Task.multiclass else y[:, None].astype(np.float32)
        else:
            yield x, draw.normal(size=(BATCH_SIZE, spec.num_outputs)).astype(np.float32)


def shapes(model):
    """Output shapes of the layers that have one of their own, and shapes of the weights."""
    same = (layers.Activation, layers.Dropout, layers.InputLayer)
    outputs = [layer.output.shape for layer in model.layers if not isinstance(layer, same)]
    return outputs, [tuple(weight.shape) for weight in model.weights]


def settings(optimizer):
    given = dict(optimizer.get_config())
    return {key: given[key] for key in given if key not in ("name", "learning_rate")}


def test_every_experiment_with_a_tutorial_as_its_source_has_its_network_here():
    entries = experiments.load_experiments()
    named = {one.name for one in entries if one.source.startswith("tutorial") and not one.runs}
    assert named == {*TUTORIALS, *ASSUMED}


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_is_the_network_of_its_tutorial(name):
    tutorial = (TUTORIALS | ASSUMED)[name]
    cfg = config.compose([f"experiment={name}"]).config
    spec = data.describe(cfg.dataset)
    steps_per_epoch = -(-spec.num_train // cfg.dataset.batch_size)
    keras.utils.set_random_seed(0)
    ours = models.build(cfg.model, spec)
    keras.utils.set_random_seed(0)
    plain = plain_network(tutorial, spec)
    assert shapes(ours) == shapes(plain)
    assert ours.count_params() == plain.count_params()
    if tutorial.parameters:
        assert ours.count_params() == tutorial.parameters

    adam = plain_adam(tutorial, steps_per_epoch * cfg.training.epochs)
    optimizer = optim.build(cfg.optimizer, cfg.schedule, steps_per_epoch, cfg.training.epochs)
    assert settings(optimizer) == settings(adam)
    for step in (0, 1, steps_per_epoch, 2 * steps_per_epoch):
        rate = optim.learning_rate(adam, step)
        assert optim.learning_rate(optimizer, step) == pytest.approx(rate, rel=1e-6)

    plain.set_weights(ours.get_weights())
    ours.compile(optimizer, losses.loss(cfg, spec), run_eagerly=tutorial.run_eagerly)
    plain.compile(adam, tutorial.loss, run_eagerly=tutorial.run_eagerly)
    for x, y in batches_of(spec):
        targets = keras.utils.to_categorical(y, spec.num_outputs) if tutorial.is_one_hot else y
        expected = plain.train_on_batch(x, targets)
        assert ours.train_on_batch(x, y) == pytest.approx(expected, abs=1e-6)
