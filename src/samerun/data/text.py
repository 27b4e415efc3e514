"""Text classification: a user's own texts, and the standard library's docstrings."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from samerun.config import Layout, Task
from samerun.config.datasets import Dataset
from samerun.config.datasets.base import Level
from samerun.config.datasets.text import PythonDocstrings, TextCsv, TextFolder
from samerun.data.csv_file import read_csv, read_text
from samerun.data.docstrings import docstrings, packages
from samerun.data.preprocessing import Tokenization
from samerun.data.source import Array, Outline, Source, SourceKind, Split
from samerun.data.splits import check_classes, split_sizes
from samerun.data.vocabulary import check_has_words, learn
from samerun.errors import UserError
from samerun.raw_model.texts import tokenize

OwnWords = PythonDocstrings | TextFolder | TextCsv
"""The kinds whose vocabulary is built from the training texts."""


def measure(cfg: OwnWords, texts: Array) -> Tokenization:
    """Builds the vocabulary of the training texts.

    Args:
        cfg: the size of the vocabulary, and how to pad and truncate texts.
        texts: `(n,)` of `str`, of the training split only.

    Raises:
        UserError: they contain fewer than two different words.
    """
    tokens = (token for text in texts for token in tokenize(text, Level.word, cfg.lowercase))
    vocabulary = learn(tokens, cfg.vocabulary_size, Level.word, cfg.lowercase)
    check_has_words(vocabulary, cfg.kind)
    return Tokenization(vocabulary, cfg.max_length, cfg.padding, cfg.truncating)


def _outline(cfg: OwnWords, labels: Sequence[int], names: Sequence[str]) -> Outline:
    num_classes = len(names)
    return Outline(
        task=Task.binary if num_classes == 2 else Task.multiclass,
        layout=Layout.tokens,
        input_shape=(cfg.max_length,),
        num_outputs=1 if num_classes == 2 else num_classes,
        class_names=tuple(names),
        num_examples=len(labels),
        vocabulary_size=cfg.vocabulary_size,
    )


def _source(
    cfg: OwnWords, texts: Sequence[str], labels: Sequence[int], names: Sequence[str]
) -> Source:
    array = np.empty(len(texts), object)
    array[:] = texts
    return Source(
        outline=_outline(cfg, labels, names),
        examples=Split(array, np.asarray(labels, np.int64)),
        measure=partial(measure, cfg),
    )


def _check_classes(
    cfg: TextFolder | TextCsv, labels: Sequence[int], names: Sequence[str], where: str
) -> None:
    if len(names) < 2:
        raise UserError(f"{where} '{names[0]}', expected two or more classes.")
    by_name = np.array(names)[np.asarray(labels)]
    sizes = split_sizes(cfg, len(labels))
    check_classes(cfg, by_name, sizes, has_official_test=False)


def _files(cfg: TextFolder) -> tuple[list[Path], list[int], list[str]]:
    """Returns the files of all classes, sorted by name, their classes, and the class names.

    Raises:
        UserError: the folder is missing, has fewer than two classes, or a class has no files.
    """
    files, labels, names = text_files(cfg)
    where = f"dataset.path: {Path(cfg.path).expanduser()}: has only the class"
    _check_classes(cfg, labels, names, where)
    return files, labels, names


def text_files(cfg: TextFolder) -> tuple[list[Path], list[int], list[str]]:
    """Returns the files of a folder, sorted by name, their classes, and the class names.

    Args:
        cfg: the dataset.

    Raises:
        UserError: the folder is missing or has no subfolder, or a class has no files.
    """
    root = Path(cfg.path).expanduser()
    if not root.is_dir():
        raise UserError(
            f"dataset.path: received '{cfg.path}', expected a folder with a subfolder for each "
            f"class: there is none at {root.absolute()}."
        )
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise UserError(
            f"dataset.path: {root}: has no subfolder, expected one with .txt files for each class."
        )
    files: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        found = sorted(path for path in folder.glob("*.txt") if path.is_file())
        if not found:
            raise UserError(
                f"dataset.path: {folder}: has no .txt file, expected the texts of its class: add "
                "some or remove the folder."
            )
        files += found
        labels += [label] * len(found)
    return files, labels, [folder.name for folder in folders]


def outline_text_folder(cfg: TextFolder) -> Outline:
    """Returns the outline of the folder, from its file names; no file is opened.

    Raises:
        UserError: the folder is not as expected.
    """
    _, labels, names = _files(cfg)
    return _outline(cfg, labels, names)


def load_text_folder(cfg: TextFolder) -> Source:
    """Reads all texts.

    Raises:
        UserError: see `outline_text_folder`, or a file is empty or not UTF-8.
    """
    files, labels, names = _files(cfg)
    texts = [read_text(path) for path in files]
    for path, text in zip(files, texts, strict=True):
        if not text.strip():
            raise UserError(f"{path}: is empty, expected a text: add its text or remove it.")
    return _source(cfg, texts, labels, names)


def _cells(cfg: TextCsv) -> tuple[list[str], list[int], list[str]]:
    """Returns texts, classes, and class names, sorted as numbers if all are numbers."""
    table = read_csv(cfg.path, cfg.separator)
    texts = table.column(cfg.text_column, "dataset.text_column")
    words = [word.strip() for word in table.column(cfg.label_column, "dataset.label_column")]
    for line, text, word in zip(table.lines, texts, words, strict=True):
        for cell, column in ((text, cfg.text_column), (word, cfg.label_column)):
            if not cell.strip():
                raise UserError(
                    f"{table.path}: line {line}: column '{column}' is empty, expected a text and "
                    "its class: fill it in or remove the line."
                )
    # Python refuses to convert more than 4,300 digits.
    are_numbers = all(word.isdecimal() and len(word) < 20 for word in words)
    names = sorted(set(words), key=lambda word: (int(word) if are_numbers else 0, word))
    places = {name: place for place, name in enumerate(names)}
    labels = [places[word] for word in words]
    where = f"dataset.label_column: {table.path}: column '{cfg.label_column}' holds only the class"
    _check_classes(cfg, labels, names, where)
    return texts, labels, names


def outline_text_csv(cfg: TextCsv) -> Outline:
    """Returns the outline of the file, by reading all of it.

    Raises:
        UserError: the file or a column is missing, a cell is empty, or there are fewer than two
            classes.
    """
    _, labels, names = _cells(cfg)
    return _outline(cfg, labels, names)


def load_text_csv(cfg: TextCsv) -> Source:
    """Loads the texts.

    Raises:
        UserError: see `outline_text_csv`.
    """
    return _source(cfg, *_cells(cfg))


def outline_python_docstrings(cfg: PythonDocstrings) -> Outline:
    """Returns the outline of the docstrings; the sources are read once per process.

    Raises:
        UserError: this Python lacks the sources of its standard library.
    """
    names = packages(cfg.binary)
    return _outline(cfg, [label for _, label in docstrings(names)], names)


def load_python_docstrings(cfg: PythonDocstrings) -> Source:
    """Loads the docstrings.

    Raises:
        UserError: see `outline_python_docstrings`.
    """
    names = packages(cfg.binary)
    texts, labels = zip(*docstrings(names), strict=True)
    return _source(cfg, texts, labels, names)


SOURCES: dict[type[Dataset], SourceKind] = {
    PythonDocstrings: SourceKind(outline=outline_python_docstrings, load=load_python_docstrings),
    TextFolder: SourceKind(outline=outline_text_folder, load=load_text_folder),
    TextCsv: SourceKind(outline=outline_text_csv, load=load_text_csv),
}
