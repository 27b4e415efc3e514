"""Raw examples of one split, for showing them: nothing is normalized, no pipeline is built."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from samerun.config import Layout
from samerun.config.datasets import Dataset
from samerun.data.catalog import load
from samerun.data.dataset import split_source
from samerun.data.fingerprint import fingerprint
from samerun.data.preprocessing import Tokenization
from samerun.data.source import Array, Outline, Source, Split


@dataclass(frozen=True, kw_only=True)
class RawSplit:
    """The raw examples of a split.

    Args:
        outline: description of the dataset.
        digest: SHA-256 in hex of the split's complete content.
        split: its examples.
        source: the dataset.
    """

    outline: Outline
    digest: str
    split: Split
    source: Source

    def examples(self, indices: Sequence[int]) -> Array:
        """Returns raw examples.

        Args:
            indices: positions in the split, `(n,)`.
        """
        chosen: Array = self.split.x[np.asarray(indices, dtype=np.int64)]
        stream = self.source.stream
        return np.asarray(stream.decode(chosen)) if stream else chosen

    def text_of(self, index: int) -> str | None:
        """Returns an example as readable text; `None` if it is not text."""
        example = self.split.x[index]
        if isinstance(example, str):
            return example
        made = self.source.preprocessing
        if self.outline.layout is Layout.tokens and isinstance(made, Tokenization):
            return made.vocabulary.decode(example) if made.vocabulary else None
        return None


def raw_split(cfg: Dataset, name: str) -> RawSplit | None:
    """Loads one split of a dataset, without TensorFlow where the source does not need it.

    Args:
        cfg: which dataset, and how to split it.
        name: `train`, `validation` or `test`.

    Returns:
        The split, `None` if the dataset has none of that name.

    Raises:
        UserError: the data is missing or not as expected.
    """
    source = load(cfg)
    split = split_source(cfg, source).get(name)
    if split is None:
        return None
    return RawSplit(outline=source.outline, digest=fingerprint(split), split=split, source=source)
