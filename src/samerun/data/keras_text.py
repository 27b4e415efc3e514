"""Text datasets that Keras provides as ids: IMDB reviews and Reuters newswires."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from samerun.config import Layout, Task
from samerun.config.datasets import Dataset
from samerun.config.datasets.base import Level, Side, Texts
from samerun.config.datasets.text import Imdb, Reuters
from samerun.data import cache
from samerun.data.cache import Download
from samerun.data.preprocessing import Tokenization
from samerun.data.source import Array, Outline, Source, SourceKind, Split
from samerun.data.vocabulary import Vocabulary
from samerun.errors import UserError
from samerun.raw_model.texts import padded

ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
SPECIAL = ("[padding]", "[start]", "[unknown]", "[unused]")
"""Meaning of Keras's ids below 4: start_char=1, oov_char=2, words from index_from + 1."""

OPINIONS = ("negative", "positive")
TOPICS = (
    "cocoa",
    "grain",
    "veg-oil",
    "earn",
    "acq",
    "wheat",
    "copper",
    "housing",
    "money-supply",
    "coffee",
    "sugar",
    "trade",
    "reserves",
    "ship",
    "cotton",
    "carcass",
    "crude",
    "nat-gas",
    "cpi",
    "money-fx",
    "interest",
    "gnp",
    "meal-feed",
    "alum",
    "oilseed",
    "gold",
    "tin",
    "strategic-metal",
    "livestock",
    "retail",
    "ipi",
    "iron-steel",
    "rubber",
    "heat",
    "jobs",
    "lei",
    "bop",
    "zinc",
    "orange",
    "pet-chem",
    "dlr",
    "gas",
    "silver",
    "wpi",
    "hog",
    "lead",
)
"""The 46 topics in the order of Keras's labels (`keras.datasets.reuters.get_label_names`)."""


@dataclass(frozen=True)
class _Files:
    """Files that Keras 3.15 downloads, and the checksums that it verifies: SHA-256 and MD5."""

    texts: str
    checksum: str
    words: str
    words_checksum: str


IMDB = _Files(
    "imdb.npz",
    "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f",
    "imdb_word_index.json",
    "bfafd718b763782e994055a2d397834f",
)
REUTERS = _Files(
    "reuters.npz",
    "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916",
    "reuters_word_index.json",
    "4d44cc38712099c9e383dc6e5f11a921",
)


def download_imdb() -> Download:
    """Returns the files that Keras downloads for IMDB; the word index is optional."""
    return Download(kind="imdb", origin=ORIGIN, files=(IMDB.texts,), checksum=IMDB.checksum)


def download_reuters() -> Download:
    """Returns the files that Keras downloads for Reuters; the word index is optional."""
    return Download(
        kind="reuters", origin=ORIGIN, files=(REUTERS.texts,), checksum=REUTERS.checksum
    )


def _outline(
    cfg: Texts, task: Task, class_names: tuple[str, ...], sizes: tuple[int, int]
) -> Outline:
    return Outline(
        task=task,
        layout=Layout.tokens,
        input_shape=(cfg.max_length,),
        num_outputs=1 if task is Task.binary else len(class_names),
        class_names=class_names,
        num_examples=sizes[0],
        num_official_test=sizes[1],
        vocabulary_size=cfg.vocabulary_size,
    )


def outline_imdb(cfg: Imdb) -> Outline:
    """Returns the outline of IMDB, as published."""
    return _outline(cfg, Task.binary, OPINIONS, (25_000, 25_000))


def outline_reuters(cfg: Reuters) -> Outline:
    """Returns the outline of Reuters, as published and as Keras splits it."""
    return _outline(cfg, Task.multiclass, TOPICS, (8_982, 2_246))


def _vocabulary(files: _Files, size: int) -> Vocabulary | None:
    """The word index of the ids; `None` if its file was never downloaded."""
    path = cache.require(files.words, files.words_checksum)
    if not path.is_file():
        return None
    try:
        ranks = json.loads(path.read_text("utf-8"))
        by_rank = {int(rank): str(word) for word, rank in ranks.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{path}: is not a word index: move it elsewhere.") from error
    offset = len(SPECIAL) - 1  # ranks count from 1
    words = tuple(by_rank.get(number - offset, "[unused]") for number in range(len(SPECIAL), size))
    last = max((place for place, word in enumerate(words) if word != "[unused]"), default=-1)
    return Vocabulary(
        tokens=(*SPECIAL, *words[: last + 1]),
        level=Level.word,
        lowercase=True,
        unknown=2,
        start=1,
        num_special=len(SPECIAL),
    )


def _split(cfg: Texts, x: Sequence[Sequence[int]], y: Array) -> Split:
    sequences = [np.asarray(ids, np.int32) for ids in x]
    rows = padded(
        sequences,
        cfg.max_length,
        pad_left=cfg.padding is Side.pre,
        cut_left=cfg.truncating is Side.pre,
    )
    return Split(rows, np.asarray(y, np.int64))


def _load(cfg: Imdb | Reuters, outline: Outline, files: _Files, download: Download) -> Source:
    cache.require(files.texts, files.checksum)
    vocabulary = _vocabulary(files, cfg.vocabulary_size)
    import keras

    loaders = {Imdb: keras.datasets.imdb.load_data, Reuters: keras.datasets.reuters.load_data}
    (x, y), (x_test, y_test) = cache.load(
        lambda: loaders[type(cfg)](num_words=cfg.vocabulary_size), download.missing()
    )
    return Source(
        outline=replace(outline, num_examples=len(x), num_official_test=len(x_test)),
        examples=_split(cfg, x, y),
        official_test=_split(cfg, x_test, y_test),
        preprocessing=Tokenization(vocabulary, cfg.max_length, cfg.padding, cfg.truncating),
    )


def load_imdb(cfg: Imdb) -> Source:
    """Loads IMDB from Keras's cache, after downloading it once.

    Raises:
        UserError: it is not in the cache and cannot be downloaded.
    """
    return _load(cfg, outline_imdb(cfg), IMDB, download_imdb())


def load_reuters(cfg: Reuters) -> Source:
    """Loads Reuters from Keras's cache, after downloading it once.

    Raises:
        UserError: it is not in the cache and cannot be downloaded.
    """
    return _load(cfg, outline_reuters(cfg), REUTERS, download_reuters())


SOURCES: dict[type[Dataset], SourceKind] = {
    Imdb: SourceKind(outline=outline_imdb, load=load_imdb, download=download_imdb),
    Reuters: SourceKind(outline=outline_reuters, load=load_reuters, download=download_reuters),
}
