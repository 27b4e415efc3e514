"""Datasets of text; the values are in `conf/dataset/`."""

from samerun.config.datasets.base import (
    Cells,
    Dataset,
    HeldOut,
    LearnedWords,
    Level,
    RandomSplit,
    Texts,
)
from samerun.config.fields import a_path, above, at_least, config


@config
class PythonDocs(Dataset, HeldOut):
    """Language modeling on the help topics of Python's documentation, part of every CPython.

    The text is split into training, validation and test, in this order; the vocabulary is built
    from the training split, and the model is built for its actual size.

    Args:
        level: the unit of a token.
        lowercase: convert text to lowercase.
        vocabulary_size: maximum number of tokens, including padding and unknown.
        context_length: tokens per example; the model predicts the next token at each position.
        stride: tokens between the starts of two consecutive examples.
    """

    kind: str = "python_docs"
    level: Level
    lowercase: bool
    vocabulary_size: int = at_least(3)
    context_length: int = above(0)
    stride: int = above(0)


@config
class PythonDocstrings(Dataset, RandomSplit, HeldOut, LearnedWords):
    """Which package of Python's standard library a docstring comes from.

    Args:
        binary: distinguish only two packages.
    """

    kind: str = "python_docstrings"
    binary: bool


@config
class Imdb(Dataset, RandomSplit, Texts):
    """IMDB: 25,000 training and 25,000 test movie reviews, 2 classes, from Keras's cache."""

    kind: str = "imdb"


@config
class Reuters(Dataset, RandomSplit, Texts):
    """Reuters: 8,982 training and 2,246 test newswires of 46 topics, from Keras's cache."""

    kind: str = "reuters"


@config
class TextFolder(Dataset, RandomSplit, HeldOut, LearnedWords):
    """A user's own texts: a folder with one subfolder of `.txt` files per class.

    Args:
        path: path of the folder.
    """

    kind: str = "text_folder"
    path: str = a_path()


@config
class TextCsv(Dataset, RandomSplit, HeldOut, LearnedWords, Cells):
    """A user's own texts and their classes in two columns of a CSV file.

    Args:
        path: path of the file, whose first line holds the column names.
        text_column: name of the text column.
        label_column: name of the class column.
    """

    kind: str = "text_csv"
    path: str = a_path()
    text_column: str
    label_column: str


KINDS: tuple[type[Dataset], ...] = (
    PythonDocs,
    PythonDocstrings,
    Imdb,
    Reuters,
    TextFolder,
    TextCsv,
)
