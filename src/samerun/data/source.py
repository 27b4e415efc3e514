"""What a data set is known to hold before and after its arrays are loaded."""

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
    """The shape of a data set as its source has it, before it is split.

    Args:
        task: what is to be predicted.
        layout: how the axes of one example are to be read.
        input_shape: shape of one example, without the batch axis.
        num_outputs: numbers the model has to give for one example.
        class_names: one name a class, empty where there are none.
        num_examples: examples to be split.
        num_official_test: examples of the source's own test split, `None` where it has none.
        in_order: examples in each split of a source that is divided in the order of time, `None`
            for independent examples, which are divided at random.
        vocabulary_size: number of different tokens, `None` where the input is not tokens.
        unit: of the targets, such as `$`; empty where they have none.
    """

    task: Task
    layout: Layout
    input_shape: tuple[int, ...]
    num_outputs: int
    class_names: tuple[str, ...] = ()
    num_examples: int
    num_official_test: int | None = None
    in_order: Sizes | None = None
    vocabulary_size: int | None = None
    unit: str = ""

    def spec(self, cfg: Dataset) -> DataSpec:
        """Returns what a model will see of it under this config."""
        sizes = self.in_order or split_sizes(cfg, self.num_examples, self.num_official_test)
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
        )


@dataclass(frozen=True)
class Windows:
    """What overlapping examples are cut out of, so that memory holds each step once.

    Args:
        steps: `(num_steps, ...)` of a series or of the ids of a text.
        length: steps an example has.
        stride: steps between the beginnings of two examples; the first begins with the first step.
    """

    steps: Array
    length: int
    stride: int = 1


@dataclass(frozen=True)
class Split:
    """Examples and their targets, as the source has them.

    Args:
        x: examples, `(n, *input_shape)` in the source's own dtype; texts are `(n,)` of `str`, and
            what is read while training is `(n,)` of names in bytes.
        y: `(n,)` of integers for classes, `(n, positions)` of integers for the next tokens of a
            language model, `(n, num_outputs)` of floats otherwise.
        times: `(n,)` of datetime64, when each (first) target is; `None` where the source has no
            dates.
        latest: `(n, num_outputs)`, the last known target before each forecast, once for each step.
        raw: text behind x and y where they hold less than all of it, for the fingerprint.
        windows: what all of x is cut out of, where x is only a view of it.
        digests: `(n, 32)` of uint8, SHA-256 of the content of each example that x only names.
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
        """Returns the examples at these rising indices, without a copy if that is all of them."""
        if len(indices) == len(self):
            return self
        times = None if self.times is None else self.times[indices]
        latest = None if self.latest is None else self.latest[indices]
        digests = None if self.digests is None else self.digests[indices]
        return Split(self.x[indices], self.y[indices], times, latest, self.raw, digests)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """How to read examples that are not all held in memory, from the names that stand for them.

    Args:
        digest: reads the content behind a name once and returns its SHA-256 (32 bytes), or raises
            a UserError where it is damaged.
        decode: turns a string tensor of names `(n,)` into raw examples `(n, *input_shape)`, in the
            graph and without randomness.
        damage: says which of these names could not be decoded, after TensorFlow could not.
    """

    digest: Callable[[bytes], bytes]
    decode: Callable[[Any], Any]
    damage: Callable[[Array], UserError | None]

    def read_once(self, split: Split) -> Split:
        """Returns the split with the digest of every example.

        Raises:
            UserError: the content of an example is damaged.
        """
        digests = b"".join(self.digest(name) for name in split.x.tolist())
        return replace(split, digests=np.frombuffer(digests, np.uint8).reshape(-1, 32))


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set as loaded, before it is split.

    Args:
        outline: what it holds.
        examples: what is to be split; `None` where `in_order` has it.
        official_test: the source's own test split, if it has one.
        in_order: the splits of a source that is divided in the order of time, by name and without
            empty ones. No example of one reaches into another.
        largest: the largest value its format can hold, `None` if only the data can tell.
        measured: `(rows, features)` of the training split for scaling to be measured on, where
            examples overlap; `None` for the training examples.
        preprocessing: where the source brings its own.
        measure: where the source measures its own on the raw training examples.
        stream: how to read examples that are not all held in memory, `None` where they are.
    """

    outline: Outline
    examples: Split | None = None
    official_test: Split | None = None
    in_order: Mapping[str, Split] = field(default_factory=dict)
    largest: float | None = None
    measured: Array | None = None
    preprocessing: Preprocessing | None = None
    measure: Callable[[Array], Preprocessing] | None = None
    stream: Stream | None = None


@dataclass(frozen=True, kw_only=True)
class SourceKind:
    """How one kind of data set is described, loaded and, for some, downloaded.

    Args:
        outline: describes it from its config, without loading or downloading it.
        load: loads it as its source has it, not yet split.
        download: what has to be in Keras's cache first; `None` where nothing is downloaded.
    """

    outline: Callable[[Any], Outline]
    load: Callable[[Any], Source]
    download: Callable[[], Download] | None = None
