"""The order of the training data: a function of (seed, epoch)."""

import gc
import subprocess
import sys
import weakref
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import tensorflow as tf

from samerun import data
from samerun.config import compose
from samerun.config.datasets import Dataset
from samerun.data import pipeline
from samerun.data.source import Windows
from samerun.search.outcome import EndState, TrialOutcome
from samerun.sweeper import worker

NUM = 23


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


def order(built, epoch):
    built.set_epoch(epoch)
    return [int(value) for x, _ in built.train for value in x[:, 0]]


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


def test_a_further_run_on_the_same_data_has_the_same_pipelines_from_the_start(numbered):
    built = data.build(numbered, 3)
    first = order(built, 0)
    built.set_epoch(2)
    again = data.build(numbered, 3)
    assert again.train is built.train
    assert [int(value) for x, _ in again.train for value in x[:, 0]] == first


@pytest.mark.parametrize("change", [{"batch_size": 6}, {"normalization": "standard"}, {"limit": 9}])
def test_other_settings_have_other_pipelines(numbered, change):
    built = data.build(numbered, 3)
    assert data.build(replace(numbered, **change), 3).train is not built.train
    assert data.build(numbered, 4).train is not built.train


def test_a_file_that_has_changed_has_other_pipelines(numbered, tmp_path):
    path = tmp_path / "numbered.npz"
    cfg = replace(numbered, path=str(path))
    x = np.arange(NUM, dtype=np.float32)[:, None]
    for factor in (1, 2):
        np.savez(path, x_train=x * factor, y_train=x, x_test=x, y_test=x)
        built = data.build(cfg, 0)
        assert sorted(order(built, 0)) == [factor * number for number in range(NUM)]


def test_data_that_is_not_small_is_not_kept(numbered, monkeypatch):
    """Four bytes a number: both splits have `NUM` examples of one feature and one target."""
    monkeypatch.setattr(data.dataset, "_MOST_KEPT_BYTES", 4 * 4 * NUM - 1)
    assert data.build(numbered, 3).train is not data.build(numbered, 3).train
    monkeypatch.setattr(data.dataset, "_MOST_KEPT_BYTES", 4 * 4 * NUM)
    assert data.build(numbered, 3).train is data.build(numbered, 3).train


@pytest.mark.parametrize("most", [1_000_000, 0], ids=["kept", "not kept"])
def test_pipelines_hold_neither_the_source_nor_the_splits_taken_from_it(
    numbered, monkeypatch, most
):
    load, loaded = data.dataset.load, []

    def noted(cfg):
        source = load(cfg)
        loaded.append(weakref.ref(source))
        return source

    monkeypatch.setattr(data.dataset, "load", noted)
    monkeypatch.setattr(data.dataset, "_MOST_KEPT_BYTES", most)
    monkeypatch.setattr(data.dataset, "_last", {})
    built = data.build(replace(numbered, limit=9), 3)
    assert len(data.dataset._last) == bool(most)
    gc.collect()
    assert loaded[0]() is None, "while it trains"
    splits = [weakref.ref(split) for split in built.splits.values()]
    train_from, in_order = built.train_from, built.in_order
    del built
    gc.collect()
    assert not any(split() for split in splits), "after the run"
    assert [len(list(one)) for one in (train_from(), in_order("test"))] == [2, 2]


def test_a_reader_of_windows_holds_the_steps_once():
    steps = np.arange(12, dtype=np.float32)[:, None]
    held = weakref.ref(steps)
    read = pipeline.window_reader(Windows(steps, 3, 2), np.arange(5, dtype=np.float32))
    del steps
    assert held() is None
    x, y = read(tf.constant([1, 4], tf.int64))
    np.testing.assert_array_equal(x[:, :, 0], [[2, 3, 4], [8, 9, 10]])
    np.testing.assert_array_equal(y, [1, 4])


def test_a_worker_does_not_keep_the_data_of_its_first_trial_forever(
    numbered, monkeypatch, tmp_path
):
    """What is frozen and refers to itself, as the graphs of pipelines do, is never freed."""
    held, was_freed = [], []

    def trial():
        built = data.build(numbered, 3)
        order(built, 0)
        held.append(weakref.ref(built.train))
        return TrialOutcome(state=EndState.complete)

    first = cache(worker._exempt_imports_of_a_trial.__wrapped__)
    monkeypatch.setattr(worker, "_exempt_imports_of_a_trial", first)
    monkeypatch.setattr(worker, "is_worker", lambda: True)
    monkeypatch.setattr(gc, "freeze", lambda: was_freed.append(held[0]() is None))
    for _ in range(3):
        worker.run_and_record(tmp_path, trial)
    assert was_freed == [True]
    assert held[2]() is held[1]() is not None
