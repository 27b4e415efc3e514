"""The order of the training data and its augmentation: functions of (seed, epoch, example)."""

import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import tensorflow as tf

from samerun import data
from samerun.config import compose
from samerun.config.datasets import Dataset
from samerun.config.datasets.base import Augmentation
from samerun.data.augmentation import augment, draws

NONE = {
    "flip_horizontal": False,
    "flip_vertical": False,
    "rotation": 0.0,
    "translation": 0.0,
    "zoom": 0.0,
}
ALL = Augmentation(
    flip_horizontal=True, flip_vertical=True, rotation=20.0, translation=0.1, zoom=0.1
)
NUM = 23


def only(**changes) -> Augmentation:
    return Augmentation(**{**NONE, **changes})


@cache
def default(path: str) -> Dataset:
    return compose(["dataset=npz", f"dataset.path={path}"]).config.dataset


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """A table whose one feature is the example's own number."""
    path = tmp_path_factory.mktemp("data") / "numbered.npz"
    x = np.arange(NUM, dtype=np.float32)[:, None]
    np.savez(path, x_train=x, y_train=x * 10, x_test=x, y_test=x)
    return replace(default(str(path)), normalization="none", validation_fraction=0.0, batch_size=5)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Noise images, 12×10×3, whose target is the example's own number."""
    path = tmp_path_factory.mktemp("data") / "pictures.npz"
    x = np.random.default_rng(0).integers(0, 256, (NUM, 12, 10, 3)).astype(np.uint8)
    y = np.arange(NUM, dtype=np.float32)
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    return replace(default(str(path)), validation_fraction=0.0, batch_size=5, augmentation=ALL)


def order(built, epoch):
    built.set_epoch(epoch)
    return [int(value) for x, _ in built.train for value in x[:, 0]]


def images_by_number(built, epoch):
    built.set_epoch(epoch)
    pairs = built.train.unbatch().as_numpy_iterator()
    return {int(y[0]): x for x, y in pairs}


def test_each_example_comes_once_an_epoch_with_its_own_target(numbered):
    built = data.build(numbered, 0)
    for epoch in range(3):
        assert sorted(order(built, epoch)) == list(range(NUM))
        for x, y in built.train:
            np.testing.assert_array_equal(y, x * 10)


def test_the_order_differs_between_epochs_and_between_seeds(numbered):
    built, other = data.build(numbered, 0), data.build(numbered, 1)
    orders = [order(built, 0), order(built, 1), order(other, 0), order(other, 1)]
    assert len({tuple(one) for one in orders}) == 4


def test_the_order_of_an_epoch_does_not_depend_on_what_was_iterated_before(numbered):
    built = data.build(numbered, 3)
    history = [order(built, epoch) for epoch in range(4)]
    assert order(built, 2) == history[2]
    next(iter(built.train))  # an iterator left half way
    assert order(built, 2) == history[2]
    assert order(data.build(numbered, 3), 2) == history[2]


FRESH = """
import sys
import tensorflow as tf
from samerun import config, data
tf.config.experimental.enable_op_determinism()
tf.keras.utils.set_random_seed(99)
cfg = config.compose(["dataset=npz", "dataset.path=" + sys.argv[1], "dataset.batch_size=5",
                      "dataset.normalization=none", "dataset.validation_fraction=0"]).config
built = data.build(cfg.dataset, 3)
built.set_epoch(2)
print([int(value) for x, _ in built.train for value in x[:, 0]])
"""


@pytest.mark.slow
def test_a_fresh_process_with_op_determinism_sees_the_same_order(numbered):
    done = subprocess.run(
        [sys.executable, "-c", FRESH, numbered.path], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(order(data.build(numbered, 3), 2))


@pytest.mark.parametrize(
    ("batch_size", "drop_remainder", "num_steps", "static"),
    [
        pytest.param(5, False, 5, None, id="smaller last batch"),
        pytest.param(5, True, 4, 5, id="last batch dropped"),
        pytest.param(23, False, 1, 23, id="no remainder"),
    ],
)
def test_cardinality_and_batch_shape_are_known(
    numbered, batch_size, drop_remainder, num_steps, static
):
    cfg = replace(numbered, batch_size=batch_size, drop_remainder=drop_remainder)
    built = data.build(cfg, 0)
    assert built.steps_per_epoch == len(built.train) == len(list(built.train)) == num_steps
    for spec in built.train.element_spec:
        assert spec.shape.as_list() == [static, 1]
    assert sum(len(x) for x, _ in built.test) == NUM, "only training drops examples"


def test_other_examples_are_dropped_in_other_epochs(numbered):
    built = data.build(replace(numbered, drop_remainder=True), 0)
    dropped = [tuple(sorted(set(range(NUM)) - set(order(built, epoch)))) for epoch in range(4)]
    assert all(len(one) == 3 for one in dropped)
    assert len(set(dropped)) > 1


def test_held_out_splits_keep_their_order_in_every_epoch(numbered):
    built = data.build(numbered, 0)
    for epoch in (0, 1):
        built.set_epoch(epoch)
        seen = [int(value) for x, _ in built.test for value in x[:, 0]]
        assert seen == list(range(NUM))


def test_keras_takes_exactly_the_steps_it_was_promised_and_new_orders(numbered):
    import keras

    seen = []

    class Setter(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            built.set_epoch(epoch)

    class Recorder(keras.layers.Layer):
        def call(self, x):
            tf.py_function(lambda v: seen.append(v.numpy()[:, 0].astype(int).tolist()), [x], [])
            return x

    built = data.build(numbered, 0)
    model = keras.Sequential([keras.Input((1,)), Recorder(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(built.train, epochs=3, verbose=0, shuffle=False, callbacks=[Setter()])
    assert int(model.optimizer.iterations) == 3 * built.steps_per_epoch
    per_epoch = [sum(seen[i : i + 5], []) for i in range(0, 15, 5)]
    assert per_epoch == [order(built, epoch) for epoch in range(3)]


def test_an_augmented_picture_depends_on_seed_epoch_and_example_not_on_its_batch(pictures):
    built = data.build(pictures, 0)
    first, second = images_by_number(built, 0), images_by_number(built, 1)
    other_batches = images_by_number(data.build(replace(pictures, batch_size=7), 0), 0)
    other_seed = images_by_number(data.build(pictures, 1), 0)
    for number in range(NUM):
        np.testing.assert_array_equal(first[number], other_batches[number])
        assert not np.array_equal(first[number], second[number])
        assert not np.array_equal(first[number], other_seed[number])
    again = images_by_number(built, 0)
    assert all(np.array_equal(first[number], again[number]) for number in range(NUM))


def test_each_picture_is_changed_by_its_own_row_of_the_epochs_numbers(pictures):
    built = data.build(pictures, 4)
    plain = built.preprocessing(built.examples("train", range(NUM)))
    rows = draws(NUM, tf.constant([4, 2], tf.int64))
    expected = augment(ALL, tf.constant(plain), rows).numpy()
    for number, image in images_by_number(built, 2).items():
        np.testing.assert_allclose(image, expected[number], atol=1e-6)


def test_only_the_training_split_is_augmented(pictures):
    built = data.build(pictures, 0)
    plain = built.preprocessing(built.examples("test", range(NUM)))
    np.testing.assert_array_equal(np.concatenate([x for x, _ in built.test]), plain)
    changed = images_by_number(built, 0)
    assert all(not np.array_equal(changed[number], plain[number]) for number in range(NUM))
    assert built.train.element_spec[0].shape.as_list() == [None, 12, 10, 3]


@pytest.mark.parametrize(
    "cfg",
    [
        pytest.param(only(rotation=45.0), id="rotation"),
        pytest.param(only(translation=0.3), id="translation"),
        pytest.param(only(zoom=0.5), id="zoom"),
        pytest.param(only(flip_horizontal=True), id="flip"),
        pytest.param(ALL, id="all"),
    ],
)
def test_shape_and_range_of_values_are_kept(cfg):
    images = np.random.default_rng(0).uniform(-2, 3, (64, 9, 7, 2)).astype(np.float32)
    numbers = draws(64, tf.constant([0, 0], tf.int64))
    changed = augment(cfg, tf.constant(images), numbers).numpy()
    assert changed.shape == images.shape
    for before, after in zip(images, changed, strict=True):
        assert before.min() - 1e-5 <= after.min() <= after.max() <= before.max() + 1e-5
    share_changed = np.mean(
        [not np.array_equal(*pair) for pair in zip(images, changed, strict=True)]
    )
    assert share_changed > (0.3 if cfg.flip_horizontal else 0.95)


IMAGE = np.arange(5 * 4, dtype=np.float32).reshape(1, 5, 4, 1)


@pytest.mark.parametrize(
    ("cfg", "place", "number", "expected"),
    [
        pytest.param(only(flip_horizontal=True), 0, 0.0, IMAGE[:, :, ::-1], id="mirror"),
        pytest.param(only(flip_horizontal=True), 0, 0.9, IMAGE, id="no mirror"),
        pytest.param(only(flip_vertical=True), 1, 0.0, IMAGE[:, ::-1], id="upside down"),
        pytest.param(only(translation=0.25), 4, 1.0, IMAGE[:, :, [1, 2, 3, 3]], id="x shift"),
        pytest.param(only(translation=0.2), 5, 0.0, IMAGE[:, [0, 0, 1, 2, 3]], id="y shift"),
        pytest.param(only(zoom=0.5), 3, 0.5, IMAGE, id="no zoom"),
    ],
)
def test_a_change_of_known_size_moves_pixels_where_it_should(cfg, place, number, expected):
    numbers = np.full((1, 6), 0.5, np.float32)
    numbers[0, place] = number
    changed = augment(cfg, tf.constant(IMAGE), tf.constant(numbers))
    np.testing.assert_allclose(changed, expected, atol=1e-5)


def test_a_quarter_turn_is_a_quarter_turn_and_a_zoom_by_two_doubles():
    square = np.random.default_rng(0).normal(size=(1, 7, 7, 1)).astype(np.float32)
    numbers = np.full((1, 6), 0.5, np.float32)
    numbers[0, 2] = 1.0
    turned = augment(only(rotation=90.0), tf.constant(square), tf.constant(numbers)).numpy()
    np.testing.assert_allclose(turned[0], np.rot90(square[0]), atol=1e-4)
    numbers[0, 2:4] = 0.5, 0.0
    halved = augment(only(zoom=0.5), tf.constant(square), tf.constant(numbers)).numpy()
    np.testing.assert_allclose(halved[0, 2:5, 2:5], square[0, 1:6:2, 1:6:2], atol=1e-5)


def test_flips_happen_half_of_the_time_and_both_kinds_are_independent():
    numbers = draws(4000, tf.constant([5, 6], tf.int64)).numpy()
    flips = numbers[:, :2] < 0.5
    assert np.abs(flips.mean(axis=0) - 0.5).max() < 0.04  # 5 standard deviations
    assert abs(np.mean(flips[:, 0] == flips[:, 1]) - 0.5) < 0.04
    assert (numbers >= 0).all()
    assert (numbers < 1).all()
