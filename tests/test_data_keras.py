"""MNIST and Fashion-MNIST through Keras's own loaders, from small files of the official format."""

import gzip
import hashlib
import importlib
import struct
import urllib.error
from dataclasses import replace

import numpy as np
import pytest
from keras.src.backend import config as keras_config
from keras.src.utils import file_utils

from samerun import data
from samerun.config import UserError, compose
from samerun.data.images import FASHION_FILES, MNIST_SHA256

NUM, NUM_TEST = 200, 30


def dataset(kind, **changes):
    return replace(compose([f"dataset={kind}"]).config.dataset, **changes)


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    """An empty cache and no network: Keras reads KERAS_HOME when it is imported."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras_config, "_KERAS_DIR", str(tmp_path))

    def refuse(*args):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(file_utils, "urlretrieve", refuse)
    (tmp_path / "datasets" / "fashion-mnist").mkdir(parents=True)
    return tmp_path / "datasets"


def arrays(num):
    random = np.random.default_rng(num)
    return random.integers(0, 256, (num, 28, 28), np.uint8), (np.arange(num) % 10).astype(np.uint8)


def write_idx(path, array):
    """Writes the IDX format: 0, 0, type 8 (uint8), number of axes, their lengths, the bytes."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def write_mnist(folder, monkeypatch):
    """Writes mnist.npz; its real SHA-256 takes the place of the official one, nothing else does."""
    (x, y), (x_test, y_test) = arrays(NUM), arrays(NUM_TEST)
    path = folder / "mnist.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    module = importlib.import_module("keras.src.datasets.mnist")

    def get_file(**arguments):
        assert arguments["file_hash"] == MNIST_SHA256
        return file_utils.get_file(**{**arguments, "file_hash": digest})

    monkeypatch.setattr(module, "get_file", get_file)


def write_fashion_mnist(folder, monkeypatch=None):
    for name, num in (("train", NUM), ("t10k", NUM_TEST)):
        x, y = arrays(num)
        write_idx(folder / "fashion-mnist" / f"{name}-images-idx3-ubyte.gz", x)
        write_idx(folder / "fashion-mnist" / f"{name}-labels-idx1-ubyte.gz", y)


@pytest.mark.parametrize(
    ("kind", "write", "name"),
    [
        pytest.param("mnist", write_mnist, "9", id="mnist"),
        pytest.param("fashion_mnist", write_fashion_mnist, "Ankle boot", id="fashion_mnist"),
    ],
)
def test_files_of_the_official_format_are_loaded(kind, write, name, cache_folder, monkeypatch):
    write(cache_folder, monkeypatch)
    cfg = dataset(kind)
    built = data.build(cfg, 0)
    x_test, y_test = arrays(NUM_TEST)
    np.testing.assert_array_equal(built.examples("test", range(NUM_TEST))[..., 0], x_test)
    np.testing.assert_array_equal(built.labels("test"), y_test)
    assert built.class_counts().tolist() == [18] * 10
    x, _ = next(iter(built.test))
    np.testing.assert_array_equal(x[..., 0], x_test / np.float32(255))
    spec = built.spec
    assert spec.class_names[9] == name
    assert (spec.num_train, spec.num_validation, spec.num_test) == (180, 20, NUM_TEST)
    known = data.describe(cfg)
    sizes = {"num_train": 54_000, "num_validation": 6_000, "num_test": 10_000}
    assert replace(spec, **sizes) == known


@pytest.mark.parametrize(
    ("kind", "files", "where"),
    [
        pytest.param("mnist", ("mnist.npz", MNIST_SHA256), "datasets", id="mnist"),
        pytest.param("fashion_mnist", FASHION_FILES, "datasets/fashion-mnist", id="fashion_mnist"),
    ],
)
def test_without_network_the_sentence_says_which_file_goes_where(kind, files, where, cache_folder):
    data.describe(dataset(kind))  # says nothing about the cache
    with pytest.raises(UserError, match="the download failed") as caught:
        data.build(dataset(kind), 0)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert str(cache_folder.parent / where) in sentence
    assert all(name in sentence for name in files)


def test_a_damaged_file_in_the_cache_is_named_too(cache_folder):
    write_fashion_mnist(cache_folder)
    path = cache_folder / "fashion-mnist" / FASHION_FILES[0]
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"not whole in Keras's cache .*train-images-idx3"):
        data.build(dataset("fashion_mnist"), 0)


def test_the_cache_folder_is_where_keras_looks(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    from samerun.data.images import cache_folder as folder

    assert folder() == tmp_path / ".keras" / "datasets"
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "elsewhere"))
    assert folder() == tmp_path / "elsewhere" / "datasets"
