"""Texts: the tokens of a vocabulary, padded or truncated."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .encoded import Array, Encoded, accepted, check_columns, listed, shown

_WORD = re.compile(r"\w+|[^\w\s]")
_MOST_SHOWN = 3


def tokenize(text: str, level: str, lowercase: bool) -> list[str]:
    """Returns the tokens of a text: words and punctuation marks, or characters.

    Args:
        text: any text.
        level: what a token is: `word` or `character`.
        lowercase: convert to lowercase.
    """
    text = text.lower() if lowercase else text
    return _WORD.findall(text) if level == "word" else list(text)


def padded(sequences: Sequence[Array], length: int, *, pad_left: bool, cut_left: bool) -> Array:
    """Returns sequences of ids as one int32 array `(n, length)`, padded with 0 or truncated.

    Args:
        sequences: integers, each `(any length,)`.
        length: positions of each row.
        pad_left: pad before the text instead of after it.
        cut_left: truncate at the start instead of at the end.
    """
    rows = np.zeros((len(sequences), length), np.int32)
    for row, sequence in zip(rows, sequences, strict=True):
        kept = sequence[-length:] if cut_left else sequence[:length]
        if len(kept):
            row[length - len(kept) if pad_left else 0 :][: len(kept)] = kept
    return rows


class Words:
    """A stored vocabulary, which maps texts to ids and back.

    Args:
        stored: its description.
    """

    def __init__(self, stored: Mapping[str, Any]) -> None:
        self._stored = stored
        self.tokens: Sequence[str] = stored["tokens"]
        special = stored["num_special"]
        self._ids = {token: at for at, token in enumerate(self.tokens[special:], start=special)}

    def split(self, text: str) -> list[str]:
        """Returns the tokens of a text."""
        return tokenize(text, self._stored["level"], self._stored["lowercase"])

    def ids(self, tokens: Sequence[str]) -> Array:
        """Returns the int32 ids of a text's tokens, neither padded nor truncated."""
        stored, unknown = self._stored, self._stored["unknown"]
        start = [] if stored["start"] is None else [stored["start"]]
        return np.array([*start, *(self._ids.get(token, unknown) for token in tokens)], np.int32)

    def all_unknown(self, tokens: Sequence[str]) -> str:
        """Returns the reason to refuse a text without any known word; empty if it has one.

        Punctuation and spaces count only where a text has nothing else: nearly every vocabulary
        has the full stop at the end of a text that it knows nothing of.
        """
        if any(token in self._ids and _has_letters(token) for token in tokens):
            return ""
        words = [*dict.fromkeys([*filter(_has_letters, tokens)] or tokens)]
        if any(word in self._ids for word in words):
            return ""
        first = [*map(shown, words[:_MOST_SHOWN])]
        unknown = listed(first if len(words) <= _MOST_SHOWN else [*first, "others"])
        level = self._stored["level"]
        return (
            f"holds only unknown {level}s: {unknown}; expected at least one of the "
            f"{len(self._ids)} {level}s that the model knows"
        )

    def frequent(self) -> str:
        """Returns a text of the most frequent words, which come first."""
        known = [token for token in self._ids if _has_letters(token)] or [*self._ids]
        return self._joined(known[:_MOST_SHOWN])

    def text(self, ids: Any) -> str:
        """Returns ids as readable text, without padding; words are separated by spaces."""
        tokens, unknown = self.tokens, self._stored["unknown"]
        known = [int(one) for one in ids if one != 0]
        return self._joined(tokens[one if 0 <= one < len(tokens) else unknown] for one in known)

    def _joined(self, tokens: Iterable[str]) -> str:
        return (" " if self._stored["level"] == "word" else "").join(tokens)


def _has_letters(token: str) -> bool:
    return any(map(str.isalnum, token))


def encode(form: Mapping[str, Any], frame: Any, *, is_labeled: bool = False) -> Encoded:
    """Converts texts to ids as training does; an empty text is refused, as there.

    Args:
        form: the input's description.
        frame: a data frame with the column of the texts.
        is_labeled: as for `ids_of`.
    """
    ids, refused = ids_of(form, frame, is_labeled=is_labeled)
    x = padded(
        ids,
        form["length"],
        pad_left=form["padding"] == "pre",
        cut_left=form["truncating"] == "pre",
    )
    return Encoded(x=x, rows=accepted(len(frame), refused), refused=refused)


def ids_of(
    form: Mapping[str, Any], frame: Any, *, is_labeled: bool = False
) -> tuple[list[Array], dict[int, str]]:
    """Returns the ids of each accepted text, and why the others are refused.

    Args:
        form: the input's description.
        frame: a data frame with the column of the texts.
        is_labeled: accept a text without any known word, as an evaluation does; otherwise it is
            refused like an empty one, since an answer would not depend on what it says.
    """
    column = form["column"]
    check_columns(frame.columns, [column])
    words = Words(form["vocabulary"])
    ids: list[Array] = []
    refused: dict[int, str] = {}
    for row, text in enumerate(frame[column]):
        if not isinstance(text, str):
            is_missing = text is None or text != text
            found = "no value" if is_missing else f"{shown(text)}, which is no text"
            refused[row] = f"column {column} holds {found}, expected a text"
        elif not text.strip():
            refused[row] = f"column {column} holds an empty text, expected one with words"
        else:
            tokens = words.split(text)
            if not is_labeled and (reason := words.all_unknown(tokens)):
                refused[row] = f"column {column} {reason}"
            else:
                ids.append(words.ids(tokens))
    return ids, refused
