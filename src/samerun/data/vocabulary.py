"""Vocabularies: tokens and their ids, built from training text only, and storable."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from samerun.config.datasets.base import Level
from samerun.data.splits import Array
from samerun.errors import UserError
from samerun.raw_model.texts import tokenize

SPECIAL = ("[padding]", "[unknown]")
"""Meaning of the first ids of a vocabulary."""


@final
@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The tokens that a model knows; the id of a token is its index.

    Args:
        tokens: all tokens, special ones first; 0 is padding.
        level: what a token is.
        lowercase: convert to lowercase.
        unknown: id of everything not in `tokens`: 1, but 2 in IMDB and Reuters.
        start: id at the start of every text; `None` without one.
        num_special: number of special tokens, which come first.
    """

    tokens: tuple[str, ...]
    level: Level
    lowercase: bool
    unknown: int = 1
    start: int | None = None
    num_special: int = len(SPECIAL)

    @property
    def size(self) -> int:
        """Number of ids, including padding and unknown."""
        return len(self.tokens)

    @cached_property
    def _ids(self) -> dict[str, int]:
        words = enumerate(self.tokens[self.num_special :], start=self.num_special)
        return {token: number for number, token in words}

    def ids_of(self, tokens: Iterable[str]) -> Array:
        """Returns the int32 id of each token, `(n,)`."""
        ids, unknown = self._ids, self.unknown
        return np.fromiter((ids.get(token, unknown) for token in tokens), np.int32)

    def encode(self, text: str) -> Array:
        """Returns the int32 ids of a text, `(n,)`, neither padded nor truncated."""
        ids = self.ids_of(tokenize(text, self.level, self.lowercase))
        return ids if self.start is None else np.insert(ids, 0, self.start)

    def decode(self, ids: Any) -> str:
        """Returns ids as readable text, without padding; words are separated by spaces.

        Args:
            ids: integers, `(n,)`; ids without a token are shown as unknown.
        """
        between = " " if self.level is Level.word else ""
        known = (int(number) for number in np.asarray(ids).reshape(-1) if number != 0)
        names = (self.tokens[n if 0 <= n < self.size else self.unknown] for n in known)
        return between.join(names)

    def as_dict(self) -> dict[str, Any]:
        """Returns it as plain values, from which `Vocabulary.from_dict` restores an equal one."""
        return {
            "tokens": list(self.tokens),
            "level": self.level.value,
            "lowercase": self.lowercase,
            "unknown": self.unknown,
            "start": self.start,
            "num_special": self.num_special,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Vocabulary":
        """Returns the vocabulary whose `as_dict` returned these values."""
        tokens, level = tuple(values["tokens"]), Level(values["level"])
        return cls(**{**values, "tokens": tokens, "level": level})


def learn(tokens: Iterable[str], size: int, level: Level, lowercase: bool) -> Vocabulary:
    """Builds a vocabulary of the most frequent tokens, alphabetical for equal frequency.

    Args:
        tokens: every token of the training text.
        size: maximum number of ids, including padding and unknown.
        level: what a token is.
        lowercase: whether the tokens were converted to lowercase.
    """
    counts = Counter(tokens)
    ranked = sorted(counts, key=lambda token: (-counts[token], token))
    chosen = ranked[: max(0, size - len(SPECIAL))]
    return Vocabulary(tokens=(*SPECIAL, *chosen), level=level, lowercase=lowercase)


def check_has_words(vocabulary: Vocabulary, kind: str) -> None:
    """Checks that the vocabulary has at least two different tokens.

    Args:
        vocabulary: the vocabulary.
        kind: kind of the dataset, for the error message.

    Raises:
        UserError: it has fewer.
    """
    num_words = vocabulary.size - vocabulary.num_special
    if num_words < 2:
        raise UserError(
            f"dataset={kind}: the vocabulary of the training texts has {num_words} "
            f"{vocabulary.level}, expected at least 2 different ones: provide other texts or "
            "a larger dataset.vocabulary_size."
        )
