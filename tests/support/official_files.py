"""Small files in the official formats of datasets that are downloaded, without a network."""

import gzip
import hashlib
import importlib
import io
import json
import pickle
import struct
import tarfile
from dataclasses import replace

import numpy as np
from keras.src.backend import config as keras_config

from samerun.data import cache, images, keras_text
from samerun.data.images import CIFAR10_FILE

LAST = 9_996  # rank of the last word whose ID, 3 more, is below the 10,000 of vocabulary_size


def write_idx(path, array):
    """Writes the IDX format: 0, 0, type 8 (uint8), number of axes, their lengths, the bytes."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes()))


def batch(labels, key):
    """Pictures whose red is their label, whose green is 100 and whose blue is their row."""
    red = np.repeat(labels[:, None], 1024, axis=1)
    green = np.full_like(red, 100)
    blue = np.tile(np.repeat(np.arange(32), 32), (len(labels), 1))
    rows = np.concatenate([red, green, blue], axis=1).astype(np.uint8)
    return {b"batch_label": b"a batch", key: labels.tolist(), b"data": rows}


def write_cifar(path, folder, batches):
    """Writes an archive of pickled batches: rows of 3,072 bytes, all red, then green, then blue."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, batch in batches.items():
            content = pickle.dumps(batch, protocol=4)
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def official_mnist(folder):
    """Pictures whose label is the height of a bright bar."""
    parts = {}
    for num, part in ((1500, "train"), (300, "test")):
        y = (np.arange(num) % 10).astype(np.uint8)
        x = np.random.default_rng(num).integers(0, 60, (num, 28, 28)).astype(np.uint8)
        for row in (4, 5):
            x[np.arange(num), row + 2 * y, 4:24] = 250
        parts |= {f"x_{part}": x, f"y_{part}": y}
    np.savez(folder / "mnist.npz", **parts)


def official_fashion_mnist(folder):
    """Garments in four files, each of the form that `write_idx` knows."""
    for name, num in (("train", 1500), ("t10k", 300)):
        x = np.random.default_rng(num).integers(0, 256, (num, 28, 28)).astype(np.uint8)
        y = (np.arange(num) % 10).astype(np.uint8)
        (folder / "fashion-mnist").mkdir(exist_ok=True)
        write_idx(folder / "fashion-mnist" / f"{name}-images-idx3-ubyte.gz", x)
        write_idx(folder / "fashion-mnist" / f"{name}-labels-idx1-ubyte.gz", y)


def official_cifar10(folder):
    """Pictures whose label is how red they are."""
    labels = np.arange(10_000) % 10  # Keras's loader takes batches of 10,000 only
    pictures = batch(labels, b"labels")
    pictures[b"data"][:, :1024] *= 28
    batches = {f"data_batch_{number}": pictures for number in range(1, 6)}
    batches["test_batch"] = {
        **pictures,
        b"data": pictures[b"data"][:500],
        b"labels": labels[:500].tolist(),
    }
    write_cifar(folder / CIFAR10_FILE, "cifar-10-batches-py", batches)


def official_imdb(folder):
    """Reviews whose second word determines their class; ranks of words, as in the official file."""
    parts = {}
    for num, part in ((600, "train"), (100, "test")):
        y = np.arange(num) % 2
        x = np.empty(num, object)
        x[:] = [[1, 2 + label, LAST, LAST + 1] for label in y.tolist()]
        parts |= {f"x_{part}": x, f"y_{part}": y}
    np.savez(folder / "imdb.npz", **parts)
    overrides = {f"word{rank}": rank for rank in range(1, 11_000)}
    (folder / "imdb_word_index.json").write_text(json.dumps(overrides))


WRITERS = {
    "mnist": official_mnist,
    "fashion_mnist": official_fashion_mnist,
    "cifar10": official_cifar10,
    "imdb": official_imdb,
}


def _checksum(name, algorithm="sha256"):
    return hashlib.new(algorithm, (cache.cache_folder() / name).read_bytes()).hexdigest()


def _accept(kind, official, found, put):
    """Lets Keras's loader expect what was found where it names the official checksum."""
    loader = importlib.import_module(f"keras.src.datasets.{kind}")
    get_file = loader.get_file

    def patched(**arguments):
        assert arguments["file_hash"] == official
        return get_file(**{**arguments, "file_hash": found})

    put(loader, "get_file", patched)


def accept_files(kind, put):
    """Puts the checksums of the files that are there in the place of the official ones.

    Args:
        kind: of the dataset.
        put: `monkeypatch.setattr`.
    """
    if kind == "fashion_mnist":  # Keras has no checksums of these
        return
    if kind == "imdb":
        files = keras_text.IMDB
        found = replace(
            files, checksum=_checksum(files.texts), words_checksum=_checksum(files.words, "md5")
        )
        put(keras_text, "IMDB", found)
        _accept(kind, files.checksum, found.checksum, put)
        return
    name = {"mnist": images.MNIST_FILES[0], "cifar10": images.CIFAR10_FILE}[kind]
    constant = f"{kind.upper()}_SHA256"
    official = getattr(images, constant)
    put(images, constant, _checksum(name))
    _accept(kind, official, getattr(images, constant), put)


def prepare(kind, home, monkeypatch):
    """Puts official files of our own making where Keras keeps datasets, without a network."""
    monkeypatch.setenv("KERAS_HOME", str(home))
    monkeypatch.setattr(keras_config, "_KERAS_DIR", str(home))  # Keras reads it when imported
    folder = home / "datasets"
    folder.mkdir(parents=True)
    WRITERS[kind](folder)
    accept_files(kind, monkeypatch.setattr)
