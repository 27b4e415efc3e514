"""MNIST, Fashion-MNIST and CIFAR through Keras's own loaders, from files of the official format."""

import hashlib
import importlib
import socket
import sys
import threading
import time
import urllib.error
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from keras.src.backend import config as keras_config
from keras.src.utils import file_utils

from samerun import data
from samerun.config import compose
from samerun.data import cache, images
from samerun.data.images import (
    CIFAR10_FILE,
    CIFAR10_SHA256,
    CIFAR100_FILE,
    CIFAR100_SHA256,
    FASHION_FILES,
    MNIST_SHA256,
)
from samerun.data.keras_text import IMDB, REUTERS
from samerun.errors import UserError
from support import warm
from support.official_files import batch, write_cifar, write_idx
from support.project import PROGRAMS
from support.tables import mostly_slow

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


def accept(path, monkeypatch, module, name):
    """Lets the SHA-256 of a small file take the place of the official one, and nothing else."""
    official = getattr(images, name)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(images, name, digest)
    loader = importlib.import_module(f"keras.src.datasets.{module}")

    def get_file(**arguments):
        assert arguments["file_hash"] == official
        return file_utils.get_file(**{**arguments, "file_hash": digest})

    monkeypatch.setattr(loader, "get_file", get_file)


def write_mnist(folder, monkeypatch):
    (x, y), (x_test, y_test) = arrays(NUM), arrays(NUM_TEST)
    path = folder / "mnist.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    accept(path, monkeypatch, "mnist", "MNIST_SHA256")


def write_fashion_mnist(folder, monkeypatch=None):
    for name, num in (("train", NUM), ("t10k", NUM_TEST)):
        x, y = arrays(num)
        write_idx(folder / "fashion-mnist" / f"{name}-images-idx3-ubyte.gz", x)
        write_idx(folder / "fashion-mnist" / f"{name}-labels-idx1-ubyte.gz", y)


@pytest.mark.parametrize(
    ("kind", "write", "name"),
    mostly_slow(
        [
            pytest.param("mnist", write_mnist, "9", id="mnist"),
            pytest.param("fashion_mnist", write_fashion_mnist, "Ankle boot", id="fashion_mnist"),
        ],
        "fashion_mnist",
    ),
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
        pytest.param("cifar10", (CIFAR10_FILE, CIFAR10_SHA256), "datasets", id="cifar10"),
        pytest.param("cifar100", (CIFAR100_FILE, CIFAR100_SHA256), "datasets", id="cifar100"),
    ],
)
def test_without_a_network_the_message_names_the_file_and_where_to_put_it(
    kind, files, where, cache_folder
):
    data.describe(dataset(kind))  # does not mention the cache
    with pytest.raises(UserError, match="the download failed") as caught:
        data.build(dataset(kind), 0)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert str(cache_folder.parent / where) in sentence
    assert all(name in sentence for name in files)


NO_SERVER = "http://[::1]:9"  # a port without a server, in place of the network


def proxied(monkeypatch, address):
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, address)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")


@pytest.mark.parametrize(
    ("overrides", "parts"),
    mostly_slow(
        [
            pytest.param(["dataset=mnist"], ("mnist.npz", MNIST_SHA256), id="mnist"),
            pytest.param(["dataset=fashion_mnist"], FASHION_FILES, id="fashion_mnist"),
            pytest.param(["dataset=cifar10"], (CIFAR10_FILE, CIFAR10_SHA256), id="cifar10"),
            pytest.param(["dataset=cifar100"], (CIFAR100_FILE, CIFAR100_SHA256), id="cifar100"),
            pytest.param(["dataset=imdb", "model=gru"], ("imdb.npz", IMDB.checksum), id="imdb"),
            pytest.param(
                ["dataset=reuters", "model=gru"], ("reuters.npz", REUTERS.checksum), id="reuters"
            ),
            pytest.param(
                ["-m", "dataset=digits,mnist"], ("mnist.npz", MNIST_SHA256), id="multirun"
            ),
        ],
        "multirun",
    ),
)
def test_without_network_a_missing_file_is_noticed_before_a_run_begins(
    overrides, parts, tmp_path, monkeypatch
):
    proxied(monkeypatch, NO_SERVER)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    command = [sys.executable, PROGRAMS / "quick_answer.py", "train", *overrides]
    done = warm.run(command, cwd=tmp_path, timeout=60, kind=warm.Light)
    assert done.returncode == 2
    sentence, imported = done.stderr.splitlines()
    assert imported == "imported: []"
    assert "and ::1 port 9 does not answer: " in sentence
    assert all(part in sentence for part in (*parts, str(tmp_path / "keras" / "datasets")))
    assert not list(tmp_path.iterdir())  # neither a run nor an empty cache


def test_what_is_in_the_cache_needs_no_network(cache_folder, monkeypatch):
    proxied(monkeypatch, NO_SERVER)
    write_fashion_mnist(cache_folder)
    data.check_download(dataset("fashion_mnist"))
    (cache_folder / "fashion-mnist" / FASHION_FILES[3]).unlink()
    with pytest.raises(UserError, match="does not answer"):
        data.check_download(dataset("fashion_mnist"))


def test_with_a_network_the_download_is_left_to_keras(cache_folder, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for address in (f"http://me:secret@127.0.0.1:{port}", f"127.0.0.1:{port}"):
            proxied(monkeypatch, address)
            data.check_download(dataset("mnist"))
    with pytest.raises(UserError, match=f"and 127.0.0.1 port {port} does not answer") as caught:
        data.check_download(dataset("mnist"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["http://proxy:http", "http://[::1"])
def test_a_proxy_that_is_no_address_gets_the_sentence_too(address, cache_folder, monkeypatch):
    proxied(monkeypatch, address)
    with pytest.raises(UserError, match=r"invalid proxy address \(.*mnist\.npz"):
        data.check_download(dataset("mnist"))


def test_a_silent_network_is_not_waited_for(cache_folder, monkeypatch):
    proxied(monkeypatch, "")
    silence = threading.Event()

    def wait(*overrides):
        silence.wait(60)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", wait)
    began = time.monotonic()
    with pytest.raises(UserError, match="storage.googleapis.com port 443 does not answer"):
        data.check_download(dataset("mnist"))
    silence.set()
    assert time.monotonic() - began < 10  # 2 s, and what a busy machine adds


def test_a_damaged_file_in_the_cache_is_named_too(cache_folder):
    write_fashion_mnist(cache_folder)
    path = cache_folder / "fashion-mnist" / FASHION_FILES[0]
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"incomplete in Keras's cache, .*train-images-idx3"):
        data.build(dataset("fashion_mnist"), 0)


def test_the_cache_folder_is_where_keras_looks(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / ".keras" / "datasets"
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "elsewhere"))
    assert cache.cache_folder() == tmp_path / "elsewhere" / "datasets"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("HOME", "not/there", id="no home folder"),
        pytest.param("KERAS_HOME", "file/keras", id="below a file"),
        pytest.param("KERAS_HOME", None, id="empty"),
    ],
)
def test_keras_falls_back_to_tmp_where_its_folder_cannot_be_written(
    name, value, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv(name, str(tmp_path / value) if value else "")
    assert cache.cache_folder() == Path("/tmp/.keras/datasets")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param("mnist", "mnist.npz", id="mnist"),
        pytest.param("cifar10", CIFAR10_FILE, id="cifar10"),
        pytest.param("cifar100", CIFAR100_FILE, id="cifar100"),
    ],
)
def test_another_file_under_the_right_name_is_refused_and_kept(kind, name, cache_folder):
    path = cache_folder / name
    path.write_bytes(b"the only copy")
    with pytest.raises(UserError, match="received a file of 13 bytes whose sha256 is") as caught:
        data.build(dataset(kind), 0)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"the only copy"


def test_md5_is_checked_where_keras_knows_no_other(cache_folder):
    path = cache_folder / "index.json"
    path.write_bytes(b"{}")
    digest = hashlib.md5(b"{}").hexdigest()
    assert cache.require("index.json", digest) == path
    with pytest.raises(UserError, match=f"whose md5 is {digest}, expected {'0' * 32}"):
        cache.require("index.json", "0" * 32)
    assert cache.require("not_there.json", digest) == cache_folder / "not_there.json"


def check_pictures(built, num, labels):
    pictures = built.examples("test", range(num))
    assert pictures.shape == (num, 32, 32, 3)
    np.testing.assert_array_equal(pictures[:, 5, 7, 0], labels)
    np.testing.assert_array_equal(pictures[:, 5, 7, 1], 100)
    np.testing.assert_array_equal(pictures[:, 5, 7, 2], 5)


def test_cifar10_of_the_official_format_is_loaded(cache_folder, monkeypatch):
    labels = np.arange(10_000) % 10  # the loader takes batches of 10,000 only
    batches = {f"data_batch_{i}": batch(labels, b"labels") for i in range(1, 6)}
    batches["test_batch"] = batch(labels[:NUM_TEST], b"labels")
    write_cifar(cache_folder / CIFAR10_FILE, "cifar-10-batches-py", batches)
    accept(cache_folder / CIFAR10_FILE, monkeypatch, "cifar10", "CIFAR10_SHA256")
    cfg = dataset("cifar10", limit=100)
    built = data.build(cfg, 0)
    check_pictures(built, NUM_TEST, labels[:NUM_TEST])
    np.testing.assert_array_equal(built.labels("test"), labels[:NUM_TEST])
    assert replace(built.spec, num_test=100) == data.describe(cfg)
    assert data.describe(dataset("cifar10")).num_train == 45_000
    assert built.spec.class_names[::9] == ("airplane", "truck")


@pytest.mark.parametrize(
    ("label", "num_classes", "last"),
    mostly_slow(
        [
            pytest.param("fine", 100, "worm", id="fine"),
            pytest.param("coarse", 20, "vehicles_2", id="coarse"),
        ],
        "coarse",
    ),
)
def test_cifar100_of_the_official_format_is_loaded(
    label, num_classes, last, cache_folder, monkeypatch
):
    labels = np.arange(2_000) % num_classes
    key, other = f"{label}_labels", "coarse_labels" if label == "fine" else "fine_labels"
    batches = {"train": batch(labels, key.encode()), "test": batch(labels, key.encode())}
    for content in batches.values():
        content[other.encode()] = [0] * len(labels)
    write_cifar(cache_folder / CIFAR100_FILE, "cifar-100-python", batches)
    accept(cache_folder / CIFAR100_FILE, monkeypatch, "cifar100", "CIFAR100_SHA256")
    cfg = compose(["dataset=cifar100", f"dataset.label={label}"]).config.dataset
    built = data.build(cfg, 0)
    check_pictures(built, 200, labels[:200])
    sizes = {"num_train": 1_800, "num_validation": 200, "num_test": 2_000}
    assert built.spec == replace(data.describe(cfg), **sizes)
    assert (built.spec.num_outputs, built.spec.class_names[-1]) == (num_classes, last)


def test_a_cifar_archive_with_code_in_it_is_refused(cache_folder, monkeypatch, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    write_cifar(cache_folder / CIFAR100_FILE, "cifar-100-python", {"train": Trap(), "test": Trap()})
    accept(cache_folder / CIFAR100_FILE, monkeypatch, "cifar100", "CIFAR100_SHA256")
    with pytest.raises(UserError, match="Refusing to deserialize"):
        data.build(dataset("cifar100"), 0)
    assert not (tmp_path / "sprung").exists()
