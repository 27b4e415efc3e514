"""The table of all kinds of datasets: how to describe and to load each."""

from samerun.config import DataSpec
from samerun.config.datasets import Dataset
from samerun.data import (
    corpus,
    custom,
    folder,
    images,
    keras_text,
    npz,
    series,
    tables,
    text,
    video,
    video_folder,
)
from samerun.data.source import Source, SourceKind

SOURCES: dict[type[Dataset], SourceKind] = {
    **corpus.SOURCES,
    **custom.SOURCES,
    **folder.SOURCES,
    **images.SOURCES,
    **keras_text.SOURCES,
    **npz.SOURCES,
    **series.SOURCES,
    **tables.SOURCES,
    **text.SOURCES,
    **video.SOURCES,
    **video_folder.SOURCES,
}
"""How to describe and to load each kind of dataset."""


def _kind(cfg: Dataset) -> SourceKind:
    return SOURCES.get(type(cfg), custom.OWN)


def describe(cfg: Dataset) -> DataSpec:
    """Returns the `DataSpec` of a dataset, without loading or downloading it.

    Raises:
        UserError: the files are missing or not as expected.
    """
    return _kind(cfg).outline(cfg).spec(cfg)


def may_download(cfg: Dataset) -> bool:
    """Whether loading the dataset imports Keras, which downloads it if it is not cached."""
    return _kind(cfg).download is not None


def check_download(cfg: Dataset) -> None:
    """Checks within three seconds that a dataset is cached or downloadable; most need no download.

    Raises:
        UserError: it is not in Keras's cache and its host does not answer.
    """
    download = _kind(cfg).download
    if download is not None:
        download().check()


def load(cfg: Dataset) -> Source:
    """Loads a dataset, not yet split.

    Raises:
        UserError: the data is missing or not as expected.
    """
    return _kind(cfg).load(cfg)
