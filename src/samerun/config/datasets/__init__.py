"""Config classes of the datasets: names, types and ranges; the values are in `conf/dataset/`."""

from samerun.config.datasets import images, series, tables, text
from samerun.config.datasets.base import Dataset

DATASETS: tuple[type[Dataset], ...] = (
    *images.KINDS,
    *text.KINDS,
    *series.KINDS,
    *tables.KINDS,
)
"""Every kind of dataset; `samerun.data.SOURCES` describes and loads each."""
