"""Every kind of data set: how it is described without loading it, and how it is loaded."""

from collections.abc import Callable
from typing import Any

from samerun.config import Dataset, DataSpec, Digits, FashionMnist, Mnist, Npz
from samerun.data.images import (
    load_digits,
    load_fashion_mnist,
    load_mnist,
    outline_digits,
    outline_fashion_mnist,
    outline_mnist,
)
from samerun.data.npz import load_npz, outline_npz
from samerun.data.outline import Outline, Source

OUTLINES: dict[type[Dataset], Callable[[Any], Outline]] = {
    Digits: outline_digits,
    Mnist: outline_mnist,
    FashionMnist: outline_fashion_mnist,
    Npz: outline_npz,
}

LOADERS: dict[type[Dataset], Callable[[Any], Source]] = {
    Digits: load_digits,
    Mnist: load_mnist,
    FashionMnist: load_fashion_mnist,
    Npz: load_npz,
}


def describe(cfg: Dataset) -> DataSpec:
    """Returns what a model will see of a data set, without loading or downloading it.

    Raises:
        UserError: the files are not there, or not what is expected.
    """
    return OUTLINES[type(cfg)](cfg).spec(cfg)


def load(cfg: Dataset) -> Source:
    """Loads a data set as its source has it, not yet split.

    Raises:
        UserError: the data is not there, or not what is expected.
    """
    return LOADERS[type(cfg)](cfg)
