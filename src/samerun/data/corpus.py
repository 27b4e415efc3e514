"""Datasets for language models: windows over one long text, split in its own order."""

from dataclasses import dataclass

import numpy as np

from samerun.config import Layout, Task
from samerun.config.datasets import Dataset
from samerun.config.datasets.text import PythonDocs
from samerun.data.preprocessing import Tokenization
from samerun.data.source import Outline, Source, SourceKind, Split, Windows
from samerun.data.splits import Sizes, contiguous, window_starts
from samerun.data.vocabulary import Vocabulary, check_has_words, learn
from samerun.raw_model.texts import tokenize


@dataclass(frozen=True)
class _Corpus:
    """Tokens of a text, its splits, the start of each example, and the training vocabulary."""

    tokens: list[str]
    parts: dict[str, range]
    starts: dict[str, range]
    vocabulary: Vocabulary


def _help_topics() -> str:
    """Every help topic of this CPython (`help('topics')` lists them), in alphabetical order.

    Each paragraph occurs once: topics repeat each other's sections, and 13 % of the 20-word
    sequences in the last tenth would also occur in the rest; without duplicates it is 1 %.
    """
    from pydoc_data.topics import topics

    paragraphs = "\n\n".join(topics[name] for name in sorted(topics)).split("\n\n")
    once: dict[str, str] = {}
    for paragraph in paragraphs:
        once.setdefault(" ".join(paragraph.split()), paragraph)
    return "\n\n".join(once.values())


def _read(cfg: PythonDocs) -> _Corpus:
    tokens = tokenize(_help_topics(), cfg.level, cfg.lowercase)
    parts = contiguous(cfg, len(tokens))
    starts = window_starts(cfg, len(tokens), cfg.context_length + 1, stride=cfg.stride)
    known = parts["train"]
    training = tokens[known.start : known.stop]
    vocabulary = learn(training, cfg.vocabulary_size, cfg.level, cfg.lowercase)
    check_has_words(vocabulary, cfg.kind)
    return _Corpus(tokens, parts, starts, vocabulary)


def _outline(cfg: PythonDocs, corpus: _Corpus) -> Outline:
    sizes = Sizes(**{name: len(places) for name, places in corpus.starts.items()})
    return Outline(
        task=Task.language_model,
        layout=Layout.tokens,
        input_shape=(cfg.context_length,),
        num_outputs=corpus.vocabulary.size,
        num_examples=sizes.train + sizes.validation + sizes.test,
        sizes=sizes,
        vocabulary_size=corpus.vocabulary.size,
    )


def _split(cfg: PythonDocs, corpus: _Corpus, name: str) -> Split:
    part, starts = corpus.parts[name], corpus.starts[name]
    tokens = corpus.tokens[part.start : part.stop]
    ids = corpus.vocabulary.ids_of(tokens)
    windows = np.lib.stride_tricks.sliding_window_view(ids, cfg.context_length + 1)
    windows = windows[:: cfg.stride][: len(starts)]  # views: windows share the memory of the text
    return Split(
        x=windows[:, :-1],
        y=windows[:, 1:],
        raw="\x1f".join(tokens),
        windows=Windows(ids, cfg.context_length, cfg.stride),
    )


def outline_python_docs(cfg: PythonDocs) -> Outline:
    """Returns the outline of the help topics, which are tokenized for it (0.1 s).

    Raises:
        UserError: the context is longer than a split.
    """
    return _outline(cfg, _read(cfg))


def load_python_docs(cfg: PythonDocs) -> Source:
    """Loads the help topics as ids; the vocabulary is built from the training split.

    Raises:
        UserError: see `outline_python_docs`.
    """
    corpus = _read(cfg)
    return Source(
        outline=_outline(cfg, corpus),
        in_order={name: _split(cfg, corpus, name) for name, at in corpus.starts.items() if at},
        preprocessing=Tokenization(corpus.vocabulary, cfg.context_length),
    )


SOURCES: dict[type[Dataset], SourceKind] = {
    PythonDocs: SourceKind(outline=outline_python_docs, load=load_python_docs),
}
