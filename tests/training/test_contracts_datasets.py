"""The contract of every dataset, by its name, with every model: it trains or it is refused."""

import csv
import dataclasses
import functools
import json
import subprocess
import sys

import numpy as np
import pytest

from samerun import config, data
from samerun.config import Task
from samerun.config.models import MODELS
from samerun.config.models.custom import CustomModel
from samerun.errors import UserError
from support.kinds import EXAMPLES, dataset_of, fitting, small_model

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
OWN_CODE = """
import numpy as np


def load():
    x = np.random.default_rng(0).random((40, 4))
    return {"x": x, "y": np.arange(40) % 2}


def build(spec):
    import keras

    from samerun import models

    layers = [keras.layers.Flatten()]
    if spec.layout == "tokens":
        layers = [keras.layers.Embedding(spec.vocabulary_size, 3)]
        if spec.task != "language_model":
            layers.append(keras.layers.GlobalAveragePooling1D())
    return keras.Sequential([keras.Input(spec.input_shape), *layers, models.head(spec)])
"""


def write_rows(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def write_images(folder):
    from PIL import Image

    for number, name in enumerate(("cats", "dogs", "fish") * 14):
        (folder / name).mkdir(parents=True, exist_ok=True)
        picture = np.full((9, 7, 3), 5 * number, np.uint8)
        Image.fromarray(picture).save(folder / name / f"{number}.png")


def write_clips(folder):
    """Clips as folders of frames, which need no decoder of video files."""
    from PIL import Image

    for number, name in enumerate(("fall", "jump", "walk") * 14):
        (folder / name / str(number)).mkdir(parents=True, exist_ok=True)
        for frame in range(2):
            picture = np.full((9, 7, 3), 5 * number + frame, np.uint8)
            Image.fromarray(picture).save(folder / name / str(number) / f"{frame}.png")


def write_texts(folder):
    rows = []
    for number in range(24):
        label, text = ("praise", "blame")[number % 2], f"word{number} word{number % 5} film"
        rows.append([text, label])
        (folder / "texts" / label).mkdir(parents=True, exist_ok=True)
        (folder / "texts" / label / f"{number}.txt").write_text(text)
    write_rows(folder / "texts.csv", ["text", "label"], rows)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a few files of each of a user's own kinds."""
    folder = tmp_path_factory.mktemp("own")
    random = np.random.default_rng(0)
    write_images(folder / "pictures")
    write_clips(folder / "clips")
    write_texts(folder)
    towns = ("Aachen", "Bonn", "Celle")
    table = [[f"{random.normal():.3f}", i % 4, towns[i % 3], f"{i / 7:.2f}"] for i in range(40)]
    write_rows(folder / "table.csv", ["size", "rooms", "town", "price"], table)
    write_rows(folder / "series.csv", ["sales"], [[f"{np.sin(i / 5):.3f}"] for i in range(90)])
    labels = np.arange(40) % 3
    np.savez(folder / "images.npz", x=random.integers(0, 256, (40, 8, 8), np.uint8), y=labels)
    np.savez(folder / "videos.npz", x=random.random((40, 3, 8, 8, 1)), y=labels % 2)
    np.savez(folder / "table.npz", x=random.random((40, 4)), y=random.random((40, 2)))
    (folder / "own_code.py").write_text(OWN_CODE)
    return folder


@pytest.fixture
def here(files, monkeypatch):
    monkeypatch.chdir(files)


@functools.cache
def model_of(kind):
    overrides = small_model(kind)
    if kind is not CustomModel:
        overrides.append("model.activation=tanh")  # of so few ReLUs all may be dead from the start
    return config.compose(overrides).config


def config_of(name, kind):
    return dataclasses.replace(model_of(kind), dataset=dataset_of(name))


@pytest.mark.parametrize("name", EXAMPLES)
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
import json, sys
from samerun import config, data

for overrides in json.load(sys.stdin):
    data.describe(config.compose(overrides).config.dataset)
print(sorted({"tensorflow", "keras", "mlflow", "optuna", "matplotlib"} & set(sys.modules)))
"""


def test_all_are_described_without_tensorflow(files):
    arguments = []
    for example in EXAMPLES.values():
        kind, *settings = example.overrides.split()
        arguments.append([f"dataset={kind}", *(f"dataset.{setting}" for setting in settings)])
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE_ALL],
        input=json.dumps(arguments),
        cwd=files,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.fixture(scope="module")
def loaded(files):
    """Each dataset, loaded once."""
    return functools.cache(lambda name: data.build(dataset_of(name), seed=0))


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
