"""Every kind of data set: how it is described without loading it, and how it is loaded."""

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
}
"""How each kind of data set is described and loaded."""


def describe(cfg: Dataset) -> DataSpec:
    """Returns what a model will see of a data set, without loading or downloading it.

    Raises:
        UserError: the files are not there, or not what is expected.
    """
    return SOURCES[type(cfg)].outline(cfg).spec(cfg)


def may_download(cfg: Dataset) -> bool:
    """Whether loading the dataset imports Keras, which downloads it if it is not cached."""
    return SOURCES[type(cfg)].download is not None


def check_download(cfg: Dataset) -> None:
    """Looks in less than three seconds whether a data set can be had; most need no download.

    Raises:
        UserError: it is neither in Keras's cache nor does anybody answer who could send it.
    """
    download = SOURCES[type(cfg)].download
    if download is not None:
        download().check()


def load(cfg: Dataset) -> Source:
    """Loads a data set as its source has it, not yet split.

    Raises:
        UserError: the data is not there, or not what is expected.
    """
    return SOURCES[type(cfg)].load(cfg)
