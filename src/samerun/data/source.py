"""Describes a dataset before its arrays are loaded (`Outline`) and afterwards (`Source`)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from samerun.config import DataSpec, Layout, Task
from samerun.config.datasets import Dataset
from samerun.data.cache import Download
from samerun.data.preprocessing import Preprocessing
from samerun.data.splits import Array, Sizes, split_sizes
from samerun.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Outline:
    """Task, shapes and sizes of a dataset before it is loaded and split.

    Args:
        task: what to predict.
        layout: meaning of the axes of one example.
        input_shape: shape of one example, without the batch axis.
        num_outputs: numbers that the model returns for one example.
        class_names: one name per class; empty without classes.
        num_examples: number of examples to split.
        num_official_test: number of examples of the official test split; `None` without one.
        sizes: of the splits of examples that are ordered, grouped or split already; `None` for
            others, which are split at random by the fractions.
        vocabulary_size: number of different tokens; `None` if the input is not tokens.
        unit: of the targets, such as `$`; may be empty.
        feature_names: name of each input of a table, in order; empty where they have none.
    """

    task: Task
    layout: Layout
    input_shape: tuple[int, ...]
    num_outputs: int
    class_names: tuple[str, ...] = ()
    num_examples: int
    num_official_test: int | None = None
    sizes: Sizes | None = None
    vocabulary_size: int | None = None
    unit: str = ""
    feature_names: tuple[str, ...] = ()

    def spec(self, cfg: Dataset) -> DataSpec:
        """Returns the `DataSpec` of the dataset under this config."""
        sizes = self.sizes or split_sizes(cfg, self.num_examples, self.num_official_test)
        sizes = sizes.capped(cfg.limit)
        return DataSpec(
            task=self.task,
            layout=self.layout,
            input_shape=self.input_shape,
            num_outputs=self.num_outputs,
            class_names=self.class_names,
            num_train=sizes.train,
            num_validation=sizes.validation,
            num_test=sizes.test,
            vocabulary_size=self.vocabulary_size,
            feature_names=self.feature_names,
        )


@dataclass(frozen=True)
class Windows:
    """The steps that overlapping examples are views of, held once in memory.

    Args:
        steps: `(num_steps, ...)`, of a series or of the token ids of a text.
        length: steps per example.
        stride: steps between the starts of two examples; the first starts at the first step.
    """

    steps: Array
    length: int
    stride: int = 1


@dataclass(frozen=True)
class Split:
    """Raw examples and their targets.

    Args:
        x: examples, `(n, *input_shape)` in the source's own dtype; texts are `(n,)` of `str`, and
            streamed examples are `(n,)` of names in bytes.
        y: `(n,)` of integers for classes, `(n, positions)` of integers for the next tokens of a
            language model, `(n, num_outputs)` of floats otherwise.
        times: `(n,)` of datetime64, the time of each (first) target; `None` without dates.
        latest: `(n, num_outputs)`, the last known target before each forecast, for each step.
        raw: original text for the fingerprint, if x and y do not represent all of it.
        windows: the steps behind x, if x is a view of them.
        digests: `(n, 32)` of uint8, SHA-256 of each streamed example.
    """

    x: Array
    y: Array
    times: Array | None = None
    latest: Array | None = None
    raw: str = ""
    digests: Array | None = None
    windows: Windows | None = None

    def __len__(self) -> int:
        return len(self.x)

    def take(self, indices: Array) -> "Split":
        """Returns the examples at these ascending indices; no copy if these are all."""
        if len(indices) == len(self):
            return self
        times = None if self.times is None else self.times[indices]
        latest = None if self.latest is None else self.latest[indices]
        digests = None if self.digests is None else self.digests[indices]
        return Split(self.x[indices], self.y[indices], times, latest, self.raw, digests)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """How to read examples that are not all in memory, by name.

    Args:
        digest: reads the content of a name once and returns its SHA-256 (32 bytes); raises a
            `UserError` if it is damaged.
        decode: turns a string tensor of names `(n,)` into raw examples `(n, *input_shape)`, in the
            graph and without randomness.
        damage: finds which of these names cannot be decoded, after TensorFlow has failed.
    """

    digest: Callable[[bytes], bytes]
    decode: Callable[[Any], Any]
    damage: Callable[[Array], UserError | None]

    def read_once(self, split: Split) -> Split:
        """Returns the split with a digest for each example.

        Raises:
            UserError: the content of an example is damaged.
        """
        digests = b"".join(self.digest(name) for name in split.x.tolist())
        return replace(split, digests=np.frombuffer(digests, np.uint8).reshape(-1, 32))


@dataclass(frozen=True, kw_only=True)
class Source:
    """A loaded dataset, before it is split.

    Args:
        outline: its description.
        examples: the examples to split; `None` if `in_order` has them.
        official_validation: the validation split, if the source has one of its own.
        official_test: the official test split, if there is one.
        in_order: the non-empty splits of an ordered source by name. Examples do not overlap
            between splits.
        groups: `(n,)` group of each example to split; `None` for independent ones.
        largest: largest value of the format; `None` if only the data can tell.
        measured: `(rows, features)` of the training split to fit the scaling to, if examples
            overlap; `None` for the training examples.
        preprocessing: the source's own, if it has one.
        measure: fits the source's own preprocessing to the raw training examples.
        stream: how to read examples that are not in memory; `None` if they are.
    """

    outline: Outline
    examples: Split | None = None
    official_validation: Split | None = None
    official_test: Split | None = None
    in_order: Mapping[str, Split] = field(default_factory=dict)
    groups: Array | None = None
    largest: float | None = None
    measured: Array | None = None
    preprocessing: Preprocessing | None = None
    measure: Callable[[Array], Preprocessing] | None = None
    stream: Stream | None = None


@dataclass(frozen=True, kw_only=True)
class SourceKind:
    """How to describe, load and, for some, download one kind of dataset.

    Args:
        outline: returns its outline from a config, without loading or downloading it.
        load: loads it, not yet split.
        download: files that must be in Keras's cache first; `None` without a download.
    """

    outline: Callable[[Any], Outline]
    load: Callable[[Any], Source]
    download: Callable[[], Download] | None = None
