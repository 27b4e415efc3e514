"""Config classes of the data sets: names, types and ranges; the values live in `conf/dataset/`."""

from samerun.config.datasets import images, series, tables, text
from samerun.config.datasets.base import (
    Augmentation,
    Dataset,
    HeldOut,
    LearntWords,
    Level,
    Normalization,
    Pictures,
    RandomSplit,
    Scaled,
    ScaledTarget,
    Side,
    Texts,
)
from samerun.config.datasets.images import (
    Cifar10,
    Cifar100,
    Cifar100Label,
    ClipLabel,
    CustomDataset,
    Digits,
    FashionMnist,
    ImageFolder,
    Mnist,
    MovingDigits,
    Npz,
    View,
)
from samerun.config.datasets.series import GoogleStock, Series, SeriesCsv
from samerun.config.datasets.tables import Diabetes, Missing, TableCsv, TargetType
from samerun.config.datasets.text import (
    Imdb,
    PythonDocs,
    PythonDocstrings,
    Reuters,
    TextCsv,
    TextFolder,
)

DATASETS: tuple[type[Dataset], ...] = (
    *images.KINDS,
    *text.KINDS,
    *series.KINDS,
    *tables.KINDS,
)
"""Every kind of data set; `samerun.data` says how each is described and loaded."""
