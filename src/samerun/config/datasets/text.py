"""Data sets of text; the values live in `conf/dataset/`."""

from samerun.config.datasets.base import Dataset

KINDS: tuple[type[Dataset], ...] = ()
