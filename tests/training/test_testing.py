"""`samerun.testing` passes sound components and finds the fault planted in each other one."""

import logging
import sys

import pytest

import samerun
from samerun import testing
from samerun.cli.init_command import write_project
from support.tables import mostly_slow

SMALL = ["model=rings_net", "dataset=rings", "dataset.num_points=90", "training.epochs=2"]
MODEL = """
import keras, numpy as np
from samerun.models import head


def build(spec, units, dropout, l2, noise, size=None):
    inputs = keras.Input(spec.input_shape, name="input")
    penalty = keras.regularizers.L2(l2) if l2 else None
    hidden = keras.layers.Dense(units, kernel_regularizer=penalty)(inputs)
    return keras.Model(inputs, head(spec)(noise(hidden, dropout)))


def rings_net(spec, units, dropout, l2):
    return build(spec, units, dropout, l2, lambda x, rate: keras.layers.Dropout(rate)(x))


def of_wrong_shape(spec, units, dropout, l2):
    return keras.Sequential([keras.Input(spec.input_shape), keras.layers.Dense(units + 90)])


def unseeded(spec, units, dropout, l2):
    seed = int(np.random.default_rng().integers(2**31))
    return build(spec, units, dropout, l2, lambda x, rate: keras.layers.Dropout(rate, seed=seed)(x))


def without_penalty(spec, units, dropout, l2):
    return build(spec, units, dropout, 0, lambda x, rate: keras.layers.Dropout(rate)(x))


def without_dropout(spec, units, dropout, l2):
    return build(spec, units, 0, l2, lambda x, rate: x)
"""
DATA = """
import numpy as np


def rings(num_points):
    x = np.random.default_rng(0).normal(size=(num_points, 2)).astype(np.float32)
    return {"x": x, "y": np.arange(num_points) % 3}


def leaking(num_points):
    half = rings(num_points // 2)
    return {name: np.concatenate([array, array]) for name, array in half.items()}


def in_order_of_the_process(num_points):
    names = list({f"name {number}" for number in range(num_points)})
    x = np.array([[float(name.split()[1]), 1.0] for name in names], np.float32)
    return {"x": x, "y": x[:, 0].astype(np.int64) % 3}
"""
OWN = """
import keras
import numpy as np
import tensorflow as tf


def loss(y_true, y_pred):
    return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)


def infinite(y_true, y_pred):
    chosen = keras.ops.take_along_axis(y_pred, keras.ops.reshape(y_true, (-1, 1)), axis=1)
    return -keras.ops.log(chosen[:, 0])


def flat(y_true, y_pred):
    return keras.ops.zeros((7,)) + keras.ops.sum(y_pred)


class Total(keras.metrics.Metric):
    def __init__(self, name, step=1.0):
        super().__init__(name=name)
        self.step = step
        self.total = self.add_weight(name="total", initializer="zeros")
        self.count = self.add_weight(name="count", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(keras.ops.sum(y_pred))
        self.count.assign_add(self.step)

    def result(self):
        return self.total / self.count


class NeverReset(Total):
    def reset_state(self):
        self.count.assign(0.0)


class Backwards(Total):
    def __init__(self, name):
        super().__init__(name, step=-1.0)


def shift(image, seed, size):
    return image + tf.random.stateless_uniform([], seed, 0.0, size)


def unseeded(image, seed, size):
    return image + tf.random.uniform([], 0.0, size)


def of_numpy(image, seed, size):
    return image + np.random.default_rng().uniform(0.0, size)


def of_the_trace(image, seed, size):
    return image + size


def cropped(image, seed, size):
    return image[1:]


class Forgetful(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.best = 0.0


class Remembering(Forgetful):
    def state(self):
        return {"best": self.best}

    def restore(self, state):
        self.best = state["best"]
"""
COMPONENTS = '''
from samerun.components import ArrayDataset, Model, above, at_least, component, fraction


@component("mine.models:MODEL")
class RingsNet(Model):
    """A network."""

    kind: str = "rings_net"
    units: int = above(0)
    dropout: float = fraction()
    l2: float = at_least(0)


@component("mine.data:DATA")
class Rings(ArrayDataset):
    """Points."""

    kind: str = "rings"
    num_points: int = above(0)
'''
SHIFT = '''
from samerun.components import ImageAugmentation


@component("mine.own:SHIFT")
class Shift(ImageAugmentation):
    """Brighter images."""

    kind: str = "shift_values"
    size: float = above(0)
'''


@pytest.fixture
def compose(tmp_path, monkeypatch):
    """Writes a project with these functions, and returns the config of its experiment."""
    write_project(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    before = list(sys.path)

    def composed(*overrides, model="rings_net", dataset="rings", more="", start=SMALL):
        package = tmp_path / "mine" / "src" / "mine"
        text = COMPONENTS.replace("MODEL", model).replace("DATA", dataset) + more
        for name, content in {"components": text, "models": MODEL, "data": DATA}.items():
            (package / f"{name}.py").write_text(content)
        (package / "own.py").write_text(OWN)
        for file, last in {"model/rings_net": "l2: 0.0\n", "dataset/rings": ""}.items():
            path = tmp_path / "mine" / "conf" / f"{file}.yaml"
            lines = [line for line in path.read_text().splitlines() if "num_rings" not in line]
            path.write_text("\n".join(line for line in lines if "noise" not in line) + f"\n{last}")
        return samerun.compose([*start, *overrides]).config

    yield composed
    sys.path[:] = before


@pytest.mark.slow
def test_sound_components_keep_every_contract(compose):
    own = ["training.loss=mine.own:loss", "training.callbacks=[mine.own:Remembering]"]
    cfg = compose(*own)
    testing.check_config(cfg)
    testing.check_dataset(cfg)
    testing.check_model(cfg)
    testing.check_schedule(cfg)
    testing.check_optimizer(cfg)
    testing.check_loss(cfg)
    testing.check_callback(cfg)


@pytest.mark.parametrize(
    ("model", "message"),
    mostly_slow(
        [
            ("of_wrong_shape", r"its output has shape \(batch, 106\), expected \(batch, 3\)"),
            ("unseeded", "answers differently in training with the same seed"),
            ("without_penalty", r"ignores model\.l2"),
            ("without_dropout", r"ignores model\.dropout"),
        ],
        "unseeded",
    ),
)
def test_the_fault_in_a_model_is_found(compose, model, message):
    with pytest.raises((AssertionError, samerun.UserError), match=message):
        testing.check_model(compose("model.dropout=0.2", model=model))


@pytest.mark.parametrize(
    ("dataset", "message"),
    mostly_slow(
        [
            ("leaking", "leaks: [1-9][0-9]* of its test examples"),
            ("in_order_of_the_process", "another one in another process"),
        ],
        "leaking",
    ),
)
def test_the_fault_in_a_dataset_is_found(compose, dataset, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_dataset(compose(dataset=dataset))


def test_a_loss_that_is_not_finite_is_found(compose):
    cfg = compose("training.loss=mine.own:infinite")
    with pytest.raises(AssertionError, match="The loss is inf for predictions"):
        testing.check_loss(cfg)


def test_checks_of_a_loss_make_tensorflow_warn_of_no_retracing(compose, caplog):
    cfg = compose("training.loss=mine.own:loss")
    logger = logging.getLogger("tensorflow")
    logger.addHandler(caplog.handler)
    try:
        for _ in range(8):
            testing.check_loss(cfg)
    finally:
        logger.removeHandler(caplog.handler)
    assert "retracing" not in caplog.text


def test_a_loss_of_a_wrong_shape_is_found(compose):
    with pytest.raises(samerun.UserError, match=r"returned the shape \(7,\)"):
        testing.check_loss(compose("training.loss=mine.own:flat"))


@pytest.mark.parametrize(
    ("name", "message"),
    mostly_slow(
        [
            ("NeverReset", "on the same batch after a reset"),
            ("Backwards", "has a count below 0"),
            ("Total", ""),
        ],
        "NeverReset",
    ),
)
def test_the_fault_in_a_metric_is_found(compose, name, message):
    cfg = compose(f"training.metrics=[accuracy,mine.own:{name}]")
    if not message:
        testing.check_metric(cfg)
        return
    with pytest.raises(AssertionError, match=message):
        testing.check_metric(cfg)


@pytest.mark.parametrize(
    ("function", "message"),
    mostly_slow(
        [
            ("shift", ""),
            ("unseeded", "differently with the same seed"),
            ("of_numpy", "differently with the same seed"),
            ("of_the_trace", "the same image with 16 seeds"),
            ("cropped", r"returned float32 of shape \(7, 8, 1\)"),
        ],
        "shift",
        "of_the_trace",
    ),
)
def test_the_fault_in_an_augmentation_is_found(compose, tmp_path, function, message):
    place = tmp_path / "mine/conf/dataset/augmentation/shift_values.yaml"
    place.parent.mkdir(parents=True)
    place.write_text(
        "defaults: [none, /schema/dataset/augmentation/shift_values@_here_, _self_]\nsize: 0.1\n"
    )
    images = ["dataset=digits", "model=mlp", "dataset/augmentation=shift_values"]
    more = SHIFT.replace("SHIFT", function)
    if not message:
        testing.check_augmentation(compose(*images, more=more, start=[]))
        return
    with pytest.raises((AssertionError, samerun.UserError), match=message):
        testing.check_augmentation(compose(*images, more=more, start=[]))


def test_a_callback_without_state_is_found(compose):
    cfg = compose("training.callbacks=[mine.own:Forgetful]")
    with pytest.raises(AssertionError, match=r"Forgetful has no state\(\).*: give the callback"):
        testing.check_callback(cfg)


def test_a_config_that_does_not_serialize_is_found(compose):
    changing = """
    def __post_init__(self):
        object.__setattr__(self, "l2", self.l2 + 0.1)
"""
    field = "    l2: float = at_least(0)\n"
    text = COMPONENTS.replace(field, f"{field}{changing}")
    cfg = compose(more=text.replace("MODEL", "rings_net").replace("DATA", "rings"))
    with pytest.raises(AssertionError, match="does not serialize"):
        testing.check_config(cfg)
