"""Every kind of data set: how it is described without loading it, and how it is loaded."""

from collections.abc import Callable
from typing import Any

from samerun.config import DataSpec
from samerun.config.datasets import (
    Cifar10,
    Cifar100,
    CustomDataset,
    Dataset,
    Diabetes,
    Digits,
    FashionMnist,
    GoogleStock,
    ImageFolder,
    Imdb,
    Mnist,
    MovingDigits,
    Npz,
    PythonDocs,
    PythonDocstrings,
    Reuters,
    SeriesCsv,
    TableCsv,
    TextCsv,
    TextFolder,
)
from samerun.data.cache import Download
from samerun.data.corpus import (
    load_python_docs,
    outline_python_docs,
)
from samerun.data.custom import load_custom, outline_custom
from samerun.data.folder import load_image_folder, outline_image_folder
from samerun.data.images import (
    download_cifar10,
    download_cifar100,
    download_fashion_mnist,
    download_mnist,
    load_cifar10,
    load_cifar100,
    load_digits,
    load_fashion_mnist,
    load_mnist,
    outline_cifar10,
    outline_cifar100,
    outline_digits,
    outline_fashion_mnist,
    outline_mnist,
)
from samerun.data.keras_text import (
    download_imdb,
    download_reuters,
    load_imdb,
    load_reuters,
    outline_imdb,
    outline_reuters,
)
from samerun.data.npz import load_npz, outline_npz
from samerun.data.outline import Outline, Source
from samerun.data.series import (
    load_google_stock,
    load_series_csv,
    outline_google_stock,
    outline_series_csv,
)
from samerun.data.tables import (
    load_diabetes,
    load_table_csv,
    outline_diabetes,
    outline_table_csv,
)
from samerun.data.text import (
    load_python_docstrings,
    load_text_csv,
    load_text_folder,
    outline_python_docstrings,
    outline_text_csv,
    outline_text_folder,
)
from samerun.data.video import load_moving_digits, outline_moving_digits

OUTLINES: dict[type[Dataset], Callable[[Any], Outline]] = {
    Digits: outline_digits,
    Mnist: outline_mnist,
    FashionMnist: outline_fashion_mnist,
    Cifar10: outline_cifar10,
    Cifar100: outline_cifar100,
    MovingDigits: outline_moving_digits,
    ImageFolder: outline_image_folder,
    Npz: outline_npz,
    CustomDataset: outline_custom,
    Diabetes: outline_diabetes,
    TableCsv: outline_table_csv,
    GoogleStock: outline_google_stock,
    SeriesCsv: outline_series_csv,
    PythonDocs: outline_python_docs,
    PythonDocstrings: outline_python_docstrings,
    TextFolder: outline_text_folder,
    TextCsv: outline_text_csv,
    Imdb: outline_imdb,
    Reuters: outline_reuters,
}

LOADERS: dict[type[Dataset], Callable[[Any], Source]] = {
    Digits: load_digits,
    Mnist: load_mnist,
    FashionMnist: load_fashion_mnist,
    Cifar10: load_cifar10,
    Cifar100: load_cifar100,
    MovingDigits: load_moving_digits,
    ImageFolder: load_image_folder,
    Npz: load_npz,
    CustomDataset: load_custom,
    Diabetes: load_diabetes,
    TableCsv: load_table_csv,
    GoogleStock: load_google_stock,
    SeriesCsv: load_series_csv,
    PythonDocs: load_python_docs,
    PythonDocstrings: load_python_docstrings,
    TextFolder: load_text_folder,
    TextCsv: load_text_csv,
    Imdb: load_imdb,
    Reuters: load_reuters,
}

DOWNLOADS: dict[type[Dataset], Callable[[], Download]] = {
    Mnist: download_mnist,
    FashionMnist: download_fashion_mnist,
    Cifar10: download_cifar10,
    Cifar100: download_cifar100,
    Imdb: download_imdb,
    Reuters: download_reuters,
}


def describe(cfg: Dataset) -> DataSpec:
    """Returns what a model will see of a data set, without loading or downloading it.

    Raises:
        UserError: the files are not there, or not what is expected.
    """
    return OUTLINES[type(cfg)](cfg).spec(cfg)


def check_download(cfg: Dataset) -> None:
    """Looks in less than three seconds whether a data set can be had; most need no download.

    Raises:
        UserError: it is neither in Keras's cache nor does anybody answer who could send it.
    """
    if type(cfg) in DOWNLOADS:
        DOWNLOADS[type(cfg)]().check()


def load(cfg: Dataset) -> Source:
    """Loads a data set as its source has it, not yet split.

    Raises:
        UserError: the data is not there, or not what is expected.
    """
    return LOADERS[type(cfg)](cfg)
