"""Image datasets of scikit-learn and Keras: digits, MNIST, Fashion-MNIST and CIFAR."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from samerun.config import Layout, Task
from samerun.config.datasets import Dataset
from samerun.config.datasets.images import (
    Cifar10,
    Cifar100,
    Cifar100Label,
    Digits,
    FashionMnist,
    Mnist,
    View,
)
from samerun.data import cache
from samerun.data.cache import Download
from samerun.data.class_names import CIFAR10, CIFAR100_COARSE, CIFAR100_FINE, GARMENTS, TEN
from samerun.data.source import Array, Outline, Source, SourceKind, Split

# Download locations and checksums of Keras 3.15; it does not verify Fashion-MNIST.
ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
CIFAR_ORIGIN = "https://www.cs.toronto.edu/~kriz/"
MNIST_FILES = ("mnist.npz",)
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
FASHION_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
CIFAR10_FILE = "cifar-10-batches-py-target_archive"
CIFAR10_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
CIFAR100_FILE = "cifar-100-python-target_archive"
CIFAR100_SHA256 = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"


def _gray(view: View, side: int, class_names: tuple[str, ...], **sizes: int) -> Outline:
    is_image = view is View.image
    return Outline(
        task=Task.multiclass,
        layout=Layout.image if is_image else Layout.sequence,
        input_shape=(side, side, 1) if is_image else (side, side),
        num_outputs=len(class_names),
        class_names=class_names,
        num_examples=sizes["num_examples"],
        num_official_test=sizes.get("num_official_test"),
    )


def _color(class_names: tuple[str, ...]) -> Outline:
    return Outline(
        task=Task.multiclass,
        layout=Layout.image,
        input_shape=(32, 32, 3),
        num_outputs=len(class_names),
        class_names=class_names,
        num_examples=50_000,
        num_official_test=10_000,
    )


def outline_digits(cfg: Digits) -> Outline:
    """Returns the outline of scikit-learn's digits."""
    return _gray(cfg.view, 8, TEN, num_examples=1797)


def outline_mnist(cfg: Mnist) -> Outline:
    """Returns the outline of MNIST, as published."""
    return _gray(cfg.view, 28, TEN, num_examples=60_000, num_official_test=10_000)


def outline_fashion_mnist(cfg: FashionMnist) -> Outline:
    """Returns the outline of Fashion-MNIST, as published."""
    return _gray(cfg.view, 28, GARMENTS, num_examples=60_000, num_official_test=10_000)


def outline_cifar10(cfg: Cifar10) -> Outline:
    """Returns the outline of CIFAR-10, as published."""
    return _color(CIFAR10)


def outline_cifar100(cfg: Cifar100) -> Outline:
    """Returns the outline of CIFAR-100, as published."""
    return _color(CIFAR100_FINE if cfg.label is Cifar100Label.fine else CIFAR100_COARSE)


def digit_images() -> tuple[Array, Array]:
    """Returns scikit-learn's digits, `(1797, 8, 8)` of integers from 0 to 16, and their labels."""
    from sklearn.datasets import load_digits as load

    x, y = load(return_X_y=True)
    return x.reshape(-1, 8, 8).astype(np.uint8), y


def load_digits(cfg: Digits) -> Source:
    """Loads scikit-learn's digits; pixels are integers from 0 to 16."""
    images, y = digit_images()
    outline = outline_digits(cfg)
    x = images.reshape(-1, *outline.input_shape)
    return Source(outline=outline, examples=Split(x, y), largest=16.0)


def download_mnist() -> Download:
    """Returns the files that Keras downloads for MNIST."""
    return Download(kind="mnist", origin=ORIGIN, files=MNIST_FILES, checksum=MNIST_SHA256)


def download_fashion_mnist() -> Download:
    """Returns the files that Keras downloads for Fashion-MNIST."""
    return Download(
        kind="fashion_mnist", origin=ORIGIN, files=FASHION_FILES, subfolder="fashion-mnist"
    )


def download_cifar10() -> Download:
    """Returns the files that Keras downloads for CIFAR-10."""
    return Download(
        kind="cifar10",
        origin=CIFAR_ORIGIN,
        files=(CIFAR10_FILE,),
        checksum=CIFAR10_SHA256,
        published="cifar-10-python.tar.gz",
    )


def download_cifar100() -> Download:
    """Returns the files that Keras downloads for CIFAR-100."""
    return Download(
        kind="cifar100",
        origin=CIFAR_ORIGIN,
        files=(CIFAR100_FILE,),
        checksum=CIFAR100_SHA256,
        published="cifar-100-python.tar.gz",
    )


def _from_keras(outline: Outline, load: Callable[[], Any], download: Download) -> Source:
    (x, y), (x_test, y_test) = cache.load(load, download.missing())
    return Source(
        outline=replace(outline, num_examples=len(x), num_official_test=len(x_test)),
        examples=Split(x.reshape(-1, *outline.input_shape), y.reshape(-1)),
        official_test=Split(x_test.reshape(-1, *outline.input_shape), y_test.reshape(-1)),
        largest=255.0,
    )


def load_mnist(cfg: Mnist) -> Source:
    """Loads MNIST from Keras's cache, after downloading it once.

    Raises:
        UserError: it is incomplete in the cache and cannot be downloaded.
    """
    cache.require(MNIST_FILES[0], MNIST_SHA256)
    import keras

    return _from_keras(outline_mnist(cfg), keras.datasets.mnist.load_data, download_mnist())


def load_fashion_mnist(cfg: FashionMnist) -> Source:
    """Loads Fashion-MNIST from Keras's cache, after downloading it once.

    Raises:
        UserError: it is incomplete in the cache and cannot be downloaded.
    """
    import keras

    load = keras.datasets.fashion_mnist.load_data
    return _from_keras(outline_fashion_mnist(cfg), load, download_fashion_mnist())


def load_cifar10(cfg: Cifar10) -> Source:
    """Loads CIFAR-10 from Keras's cache, after downloading it once.

    Raises:
        UserError: it is incomplete in the cache and cannot be downloaded.
    """
    cache.require(CIFAR10_FILE, CIFAR10_SHA256)
    import keras

    return _from_keras(outline_cifar10(cfg), keras.datasets.cifar10.load_data, download_cifar10())


def load_cifar100(cfg: Cifar100) -> Source:
    """Loads CIFAR-100 from Keras's cache, after downloading it once.

    Raises:
        UserError: it is incomplete in the cache and cannot be downloaded.
    """
    cache.require(CIFAR100_FILE, CIFAR100_SHA256)
    import keras

    def load() -> Any:
        return keras.datasets.cifar100.load_data(label_mode=cfg.label.value)

    return _from_keras(outline_cifar100(cfg), load, download_cifar100())


SOURCES: dict[type[Dataset], SourceKind] = {
    Digits: SourceKind(outline=outline_digits, load=load_digits),
    Mnist: SourceKind(outline=outline_mnist, load=load_mnist, download=download_mnist),
    FashionMnist: SourceKind(
        outline=outline_fashion_mnist, load=load_fashion_mnist, download=download_fashion_mnist
    ),
    Cifar10: SourceKind(outline=outline_cifar10, load=load_cifar10, download=download_cifar10),
    Cifar100: SourceKind(outline=outline_cifar100, load=load_cifar100, download=download_cifar100),
}
