"""The image sets that scikit-learn and Keras bring: digits, MNIST and Fashion-MNIST."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from samerun.config import Digits, FashionMnist, Layout, Mnist, Task, UserError
from samerun.data.outline import Outline, Source, Split

TEN = tuple("0123456789")
GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
# Where Keras 3.15 downloads from, and what it checks: mnist.npz by its SHA-256, Fashion-MNIST not.
ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
MNIST_FILES = ("mnist.npz",)
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
FASHION_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def outline_digits(cfg: Digits) -> Outline:
    """Returns what scikit-learn's digits hold."""
    return Outline(
        task=Task.multiclass,
        layout=Layout.image,
        input_shape=(8, 8, 1),
        num_outputs=10,
        class_names=TEN,
        num_examples=1797,
    )


def _outline_28(class_names: tuple[str, ...]) -> Outline:
    return Outline(
        task=Task.multiclass,
        layout=Layout.image,
        input_shape=(28, 28, 1),
        num_outputs=10,
        class_names=class_names,
        num_examples=60_000,
        num_official_test=10_000,
    )


def outline_mnist(cfg: Mnist) -> Outline:
    """Returns what MNIST is published to hold."""
    return _outline_28(TEN)


def outline_fashion_mnist(cfg: FashionMnist) -> Outline:
    """Returns what Fashion-MNIST is published to hold."""
    return _outline_28(GARMENTS)


def load_digits(cfg: Digits) -> Source:
    """Loads scikit-learn's digits; pixels are whole numbers from 0 to 16."""
    from sklearn.datasets import load_digits as load

    x, y = load(return_X_y=True)
    images = x.reshape(-1, 8, 8, 1).astype(np.uint8)
    return Source(outline=outline_digits(cfg), examples=Split(images, y), largest=16.0)


def cache_folder() -> Path:
    """Returns where Keras keeps data sets: `datasets` in `$KERAS_HOME` or in `~/.keras`."""
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    return Path(home).expanduser() / "datasets"


def _from_keras(outline: Outline, load: Callable[[], Any], missing: str) -> Source:
    try:
        (x, y), (x_test, y_test) = load()
    except MemoryError:
        raise
    except Exception as error:  # Keras raises a bare Exception for a failed download
        raise UserError(f"{missing} (Keras says: {str(error).rstrip('.')}).") from error
    return Source(
        outline=replace(outline, num_examples=len(x), num_official_test=len(x_test)),
        examples=Split(x[..., np.newaxis], y),
        official_test=Split(x_test[..., np.newaxis], y_test),
        largest=255.0,
    )


def load_mnist(cfg: Mnist) -> Source:
    """Loads MNIST from Keras's cache, or downloads it once.

    Raises:
        UserError: it is neither in the cache nor can it be downloaded.
    """
    import keras

    missing = (
        "dataset=mnist: not in Keras's cache and the download failed: connect to the network "
        f"once, or put {ORIGIN}{MNIST_FILES[0]} (SHA-256 {MNIST_SHA256}) into {cache_folder()}"
    )
    return _from_keras(outline_mnist(cfg), keras.datasets.mnist.load_data, missing)


def load_fashion_mnist(cfg: FashionMnist) -> Source:
    """Loads Fashion-MNIST from Keras's cache, or downloads it once.

    Raises:
        UserError: it is neither in the cache nor can it be downloaded.
    """
    import keras

    missing = (
        "dataset=fashion_mnist: not whole in Keras's cache and the download failed: connect to "
        f"the network once, or put {', '.join(FASHION_FILES)} from {ORIGIN} into "
        f"{cache_folder() / 'fashion-mnist'}"
    )
    load = keras.datasets.fashion_mnist.load_data
    return _from_keras(outline_fashion_mnist(cfg), load, missing)
