"""IMDB and Reuters through Keras's own loaders, from small files of the official format."""

import hashlib
import importlib
import inspect
import json
import urllib.error
from dataclasses import replace

import numpy as np
import pytest
from keras.src.backend import config as keras_config
from keras.src.utils import file_utils

from samerun import data
from samerun.config import Task, compose
from samerun.data import keras_text
from samerun.data.vocabulary import Vocabulary
from samerun.errors import UserError
from support.tables import mostly_slow


def dataset(kind, **changes):
    return replace(compose([f"dataset={kind}"]).config.dataset, **changes)


def arrays(batches):
    xs, ys = zip(*((np.asarray(x), np.asarray(y)) for x, y in batches), strict=True)
    return np.concatenate(xs), np.concatenate(ys)


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    """An empty cache and no network: Keras reads KERAS_HOME when it is imported."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras_config, "_KERAS_DIR", str(tmp_path))

    def refuse(*args):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(file_utils, "urlretrieve", refuse)
    (tmp_path / "datasets").mkdir()
    return tmp_path / "datasets"


WORDS = {f"word{rank}": rank for rank in range(1, 40)}  # ranks count from 1


def ranks(num, seed):
    """Texts as ranks of words, of different lengths, as the official files hold them."""
    random = np.random.default_rng(seed)
    made = np.empty(num, object)
    made[:] = [random.integers(1, 40, random.integers(1, 9)).tolist() for _ in range(num)]
    return made


def write_keras(kind, folder, monkeypatch, with_words=True):
    """Writes the official format; real checksums take the place of the official ones."""
    num_classes = 2 if kind == "imdb" else 46
    x, y = ranks(460, 0), np.arange(460) % num_classes
    parts = {"x": x, "y": y}
    if kind == "imdb":
        parts = {"x_train": x[:400], "y_train": y[:400], "x_test": x[400:], "y_test": y[400:]}
    np.savez(folder / f"{kind}.npz", **parts)
    if with_words:
        (folder / f"{kind}_word_index.json").write_text(json.dumps(WORDS))
    official = getattr(keras_text, kind.upper())
    content = (folder / f"{kind}.npz").read_bytes()
    found = replace(
        official,
        checksum=hashlib.sha256(content).hexdigest(),
        words_checksum=hashlib.md5(json.dumps(WORDS).encode()).hexdigest(),
    )
    monkeypatch.setattr(keras_text, kind.upper(), found)
    module = importlib.import_module(f"keras.src.datasets.{kind}")

    def get_file(**arguments):
        assert arguments["file_hash"] == official.checksum
        return file_utils.get_file(**{**arguments, "file_hash": found.checksum})

    monkeypatch.setattr(module, "get_file", get_file)
    return x


@pytest.mark.parametrize("kind", mostly_slow(["imdb", "reuters"], "imdb"))
def test_files_of_the_official_format_are_loaded(kind, cache_folder, monkeypatch):
    x = write_keras(kind, cache_folder, monkeypatch)
    cfg = dataset(kind, vocabulary_size=20, max_length=12, validation_fraction=0.2)
    built = data.build(cfg, 0)
    spec = built.spec
    assert (spec.task, spec.num_outputs) == {
        "imdb": (Task.binary, 1),
        "reuters": (Task.multiclass, 46),
    }[kind]
    assert spec.vocabulary_size == built.vocabulary.size == 20
    assert len(spec.class_names) == (2 if kind == "imdb" else 46)
    rows, _ = arrays(built.test)
    assert rows.dtype == np.int32
    expected = {
        tuple([0] * (11 - len(text)) + [1] + [r + 3 if r + 3 < 20 else 2 for r in text])
        for text in x
    }
    assert {tuple(row) for row in rows.tolist()} <= expected
    known = data.describe(cfg)
    sizes = {f"num_{n}": getattr(known, f"num_{n}") for n in ("train", "validation", "test")}
    assert replace(spec, **sizes) == known


@pytest.mark.parametrize("kind", mostly_slow(["imdb", "reuters"], "imdb"))
def test_ids_are_shown_as_words_only_where_the_word_index_is_cached(
    kind, cache_folder, monkeypatch
):
    write_keras(kind, cache_folder, monkeypatch)
    cfg = dataset(kind, vocabulary_size=30, max_length=12, validation_fraction=0.2)
    vocabulary = data.build(cfg, 0).vocabulary
    assert vocabulary.encode("Word1 word26 word27 other").tolist() == [1, 4, 29, 2, 2]
    assert vocabulary.decode([0, 1, 4, 2, 29]) == "[start] word1 [unknown] word26"
    assert Vocabulary.from_dict(vocabulary.as_dict()) == vocabulary
    (cache_folder / f"{kind}_word_index.json").unlink()
    built = data.build(cfg, 0)
    assert built.vocabulary is None
    assert built.text_of("test", 0) is None
    assert built.preprocessing.as_dict()["vocabulary"] is None


def test_a_word_index_that_is_another_file_is_refused(cache_folder, monkeypatch):
    write_keras("imdb", cache_folder, monkeypatch)
    (cache_folder / "imdb_word_index.json").write_text("{}")
    with pytest.raises(UserError, match=r"imdb_word_index.json: received a file of 2 bytes"):
        data.build(dataset("imdb"), 0)


@pytest.mark.parametrize("kind", ["imdb", "reuters"])
def test_without_a_network_the_message_names_the_file_and_where_to_put_it(kind, cache_folder):
    data.describe(dataset(kind))  # does not mention the cache
    with pytest.raises(UserError, match="the download failed") as caught:
        data.build(dataset(kind), 0)
    files = getattr(keras_text, kind.upper())
    assert all(word in str(caught.value) for word in (files.texts, files.checksum))
    assert str(cache_folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["imdb", "reuters"])
def test_a_file_with_a_wrong_checksum_is_refused_and_kept(kind, cache_folder):
    path = cache_folder / f"{kind}.npz"
    path.write_bytes(b"half a file")
    with pytest.raises(UserError, match="expected [0-9a-f]{64}"):
        data.build(dataset(kind), 0)
    assert path.read_bytes() == b"half a file"


@pytest.mark.parametrize("kind", mostly_slow(["imdb", "reuters"], "reuters"))
def test_the_published_numbers_and_checksums_are_those_of_keras(kind):
    import keras

    module = importlib.import_module(f"keras.src.datasets.{kind}")
    source = inspect.getsource(module)
    files = getattr(keras_text, kind.upper())
    assert all(
        word in source for word in (files.texts, files.checksum, files.words, files.words_checksum)
    )
    assert keras.datasets.reuters.get_label_names() == keras_text.TOPICS
    spec = data.describe(dataset(kind))
    sizes = {"imdb": (22_500, 2_500, 25_000), "reuters": (8_084, 898, 2_246)}[kind]
    assert (spec.num_train, spec.num_validation, spec.num_test) == sizes
