"""Data sets of time series and video; the values live in `conf/dataset/`."""

from samerun.config.datasets.base import Dataset

KINDS: tuple[type[Dataset], ...] = ()
