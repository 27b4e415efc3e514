"""The fingerprints of a data set's splits without its pipelines, and so without TensorFlow."""

from samerun.config.datasets import Dataset
from samerun.data.assembly import split_source
from samerun.data.content import fingerprint
from samerun.data.sources import SOURCES, load


def may_download(cfg: Dataset) -> bool:
    """Whether reading the data set imports Keras, and downloads it where it is not there yet."""
    return SOURCES[type(cfg)].download is not None


def digests(cfg: Dataset) -> dict[str, str]:
    """Returns what `build(cfg, seed).fingerprint` would be: SHA-256 of each split's full content.

    Args:
        cfg: the data set.

    Raises:
        UserError: the data is not there or not what is expected, in one sentence.
    """
    return {name: fingerprint(split) for name, split in split_source(cfg, load(cfg)).items()}
