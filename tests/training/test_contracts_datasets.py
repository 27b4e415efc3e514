"""The contract of every dataset, by its name, with every model: it trains or it is refused."""

import dataclasses
import functools
import json
import sys

import numpy as np
import pytest

from samerun import config, data
from samerun.config import Task
from samerun.config.models import MODELS
from samerun.config.models.custom import CustomModel
from samerun.errors import UserError
from support import warm
from support.kinds import EXAMPLES, dataset_of, fitting, small_model
from support.tables import mostly_slow

DOWNLOADED = {"mnist", "fashion_mnist", "cifar10", "cifar100", "imdb", "reuters"}


def pairs():
    """Every pair that fits; per change each dataset and each model at least once.

    The others are trained before a release: `test_contracts.py` has each model on each layout and
    task, and a model knows nothing else of a dataset.
    """
    seen = set()
    for name, example in EXAMPLES.items():
        kinds = [kind for kind in MODELS if example.is_for(kind)]
        if example.kind in DOWNLOADED:
            continue
        new = [kind for kind in kinds if kind not in seen]
        for kind in kinds:
            marks = pytest.mark.slow if kind in (new or kinds[:1]) else pytest.mark.gallery
            yield pytest.param(name, kind, id=f"{name}-{kind.kind}", marks=marks)
        seen.update(kinds)


PAIRS = list(pairs())


@functools.cache
def model_of(kind):
    overrides = small_model(kind)
    if kind is not CustomModel:
        overrides.append("model.activation=tanh")  # of so few ReLUs all may be dead from the start
    return config.compose(overrides).config


def config_of(name, kind):
    return dataclasses.replace(model_of(kind), dataset=dataset_of(name))


@pytest.mark.parametrize("name", mostly_slow(EXAMPLES, "digits", "table_csv", "text_csv"))
def test_each_model_takes_a_data_set_or_is_refused_with_those_that_do(name, here):
    spec = data.describe(dataset_of(name))
    assert (spec.layout, spec.task) == (EXAMPLES[name].layout, EXAMPLES[name].task)
    able = fitting(spec)
    for kind in MODELS:
        cfg = config_of(name, kind)
        if kind.kind in able:
            config.check(cfg, spec)
            continue
        with pytest.raises(UserError) as caught:
            config.check(cfg, spec)
        refused, named = str(caught.value).split(". Models that can: ")
        named = named.partition(" Did you mean")[0]
        assert refused.startswith(f"model={kind.kind} cannot take dataset={EXAMPLES[name].kind}: ")
        assert set(named.rstrip(".").replace(" and ", ", ").split(", ")) == able
        assert "\n" not in str(caught.value)


DESCRIBE_ALL = """
import json, sys, time
from samerun import config, data

for overrides in json.loads(sys.argv[1]):
    cfg = config.compose(overrides).config.dataset
    began = time.process_time()
    data.describe(cfg)
    assert time.process_time() - began < 5, overrides
heavy = {"tensorflow", "keras", "mlflow", "optuna", "matplotlib", "sklearn", "scipy", "pandas"}
print(sorted(heavy & set(sys.modules)))
"""


def test_all_are_described_quickly_and_without_heavy_imports(files):
    arguments = []
    for example in EXAMPLES.values():
        kind, *settings = example.overrides.split()
        arguments.append([f"dataset={kind}", *(f"dataset.{setting}" for setting in settings)])
    program = [sys.executable, "-c", DESCRIBE_ALL, json.dumps(arguments)]
    done = warm.run(program, cwd=files, kind=warm.Light)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def trained(cfg, loaded_data):
    """Builds the model from its seed and trains it for one step, untraced: tracing takes 1 s."""
    import keras  # not at the top: the quick tests here do without TensorFlow

    from samerun import losses, models

    keras.utils.set_random_seed(3)
    spec = loaded_data.spec
    model = models.build(cfg.model, spec)
    loss, metrics = losses.loss(cfg, spec), losses.metrics(cfg, spec)
    model.compile("adam", loss, metrics=metrics, run_eagerly=True)
    before = [weight.copy() for weight in model.get_weights()]
    x, y = next(iter(loaded_data.train))
    history = model.fit(x, y, batch_size=len(x), shuffle=False, verbose=0).history
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))
    return model, history


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_pair_trains_repeats_and_comes_back_from_its_file(name, kind, here, loaded, tmp_path):
    import keras

    cfg, loaded_data = config_of(name, kind), loaded(name)
    spec = loaded_data.spec
    assert spec == data.describe(cfg.dataset)
    model, history = trained(cfg, loaded_data)
    assert np.isfinite(list(history.values())).all()
    again, same = trained(cfg, loaded_data)
    assert same == history
    for first, second in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
    x, _ = next(iter(loaded_data.test))
    positions = spec.input_shape if spec.task is Task.language_model else ()
    predicted = model.predict_on_batch(x)
    assert predicted.shape == (len(x), *positions, spec.num_outputs)
    assert np.isfinite(predicted).all()
    model.save(tmp_path / "model.keras")
    back = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(back.predict_on_batch(x), predicted)
