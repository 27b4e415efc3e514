"""Builds the `tf.data` pipelines of a dataset from its config."""

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from samerun.config import DataSpec, Layout, Task
from samerun.config.datasets import Dataset
from samerun.config.datasets.base import (
    Normalization,
    Pictures,
    RandomSplit,
    Scaled,
    ScaledTarget,
)
from samerun.config.datasets.images import CustomDataset
from samerun.config.datasets.tables import TableCsv
from samerun.config.own import is_component
from samerun.data.catalog import load
from samerun.data.fingerprint import fingerprint, num_leaked
from samerun.data.groups import split_groups
from samerun.data.preprocessing import Preprocessing, Scaling, Tokenization, fit
from samerun.data.source import Array, Outline, Source, Split, Stream
from samerun.data.splits import first_or_last, limit_randomly, split_indices
from samerun.data.vocabulary import Vocabulary

if TYPE_CHECKING:
    from samerun.data import pipeline

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Data:
    """A dataset, loaded, split and ready for `fit`.

    Args:
        spec: what a model needs to know; counted on the loaded arrays.
        fingerprint: SHA-256 in hex of the complete content of each non-empty split.
        steps_per_epoch: training batches per epoch.
        preprocessing: the normalization or vocabulary, fitted to the training split.
        target_scaling: scaling of the targets; `None` if they are not scaled.
        unit: of the targets, such as `$`; may be empty.
        largest: largest value of the format of the examples; `None` if only the data can tell.
        num_leaked: number of test examples whose raw input is also a training example; in a
            table, with the same target.
        splits: raw examples and targets of each split.
        stream: how to read the examples, if `splits` only holds their names; else `None`.
        epoch: the variable that `set_epoch` assigns.
        train_from: called as `train_from(start=n)`, returns `train` without the first n batches of
            every epoch; the rest are the same batches as in `train`.
        in_order: called with the name of a split, returns what `validation` and `test` are.
    """

    spec: DataSpec
    fingerprint: Mapping[str, str]
    steps_per_epoch: int
    preprocessing: Preprocessing
    target_scaling: Scaling | None
    unit: str
    largest: float | None
    num_leaked: int
    splits: Mapping[str, Split]
    stream: Stream | None
    epoch: Any
    train_from: Callable[..., Any]
    in_order: Callable[[str], Any]

    @property
    def train(self) -> Any:
        """`tf.data.Dataset` of batches (x, y) in the order of (seed, epoch), built when first used.

        x is float32 `(batch, *input_shape)`, int32 for tokens; y is int32 `(batch,)` class indices
        for `multiclass`, float32 `(batch, 1)` of 0 and 1 for `binary`, int32 `(batch, positions)`
        next tokens for `language_model`, float32 `(batch, num_outputs)` otherwise, in scaled units
        that `to_units` converts back. With mix-up, `multiclass` is float32 `(batch, num_classes)`,
        the share of each class, here and in no other split.
        """
        return self.train_from()

    @property
    def validation(self) -> Any:
        """The same without shuffling and augmentation; `None` for an empty split."""
        return self.in_order("validation")

    @property
    def test(self) -> Any:
        """As `validation`."""
        return self.in_order("test")

    def set_epoch(self, epoch: int) -> None:
        """Selects the order and the augmentation of the next pass over `train`.

        Args:
            epoch: number of the epoch, from 0; set it before the pass starts.
        """
        self.epoch.assign(epoch)

    def labels(self, split: str) -> Array:
        """Returns the true labels or targets of a split, in its order.

        Returns:
            int32 `(n,)` class indices for classification (`binary` included), int32
            `(n, positions)` next tokens for a language model, float32 `(n, num_outputs)` targets
            in their original units otherwise.
        """
        y = self.splits[split].y
        is_integer = self.spec.is_classification or self.spec.task is Task.language_model
        return y.astype(np.int32 if is_integer else np.float32)

    def examples(self, split: str, indices: Any) -> Array:
        """Returns raw examples of a split, not normalized, for figures.

        Args:
            split: `train`, `validation` or `test`.
            indices: positions in the split, `(n,)`.
        """
        chosen: Array = self.splits[split].x[np.asarray(indices, dtype=np.int64)]
        if self.stream:
            chosen = np.asarray(self.stream.decode(chosen))
        return chosen

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Converts a failure to read an example during an epoch into a `UserError`.

        Raises:
            UserError: names the file; TensorFlow's error does not.
        """
        import tensorflow as tf

        try:
            yield
        except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
            for split in self.splits.values() if self.stream else ():
                if self.stream and (damage := self.stream.damage(split.x)):
                    raise damage from error
            raise

    def class_counts(self) -> Array:
        """Returns the number of training examples of each class; empty without classes."""
        if not self.spec.is_classification:
            return np.zeros(0, np.int64)
        return np.bincount(self.labels("train"), minlength=len(self.spec.class_names))

    @property
    def vocabulary(self) -> Vocabulary | None:
        """Tokens and their ids; `None` if the input is not text or its words are unknown."""
        made = self.preprocessing
        return made.vocabulary if isinstance(made, Tokenization) else None

    def text_of(self, split: str, index: int) -> str | None:
        """Returns an example as readable text; `None` if it is not text."""
        example = self.splits[split].x[index]
        if isinstance(example, str):
            return example
        is_text = self.spec.layout is Layout.tokens and self.vocabulary is not None
        return self.vocabulary.decode(example) if is_text and self.vocabulary else None

    def to_units(self, values: Any) -> Array:
        """Returns targets or predictions in the original units of the data.

        Args:
            values: `(n, num_outputs)`, from the batches or from the model.
        """
        return self.target_scaling.undo(values) if self.target_scaling else np.asarray(values)

    @property
    def unit_scale(self) -> float:
        """What an error in the batches is multiplied by to be in the original units.

        1 where the targets are not scaled, or each output has a scale of its own.
        """
        scale = self.target_scaling.scale if self.target_scaling else np.ones(())
        return float(scale.reshape(-1)[0]) if scale.size == 1 else 1.0

    def baseline_predictions(self, split: str) -> Array | None:
        """Returns the last known target for each forecast step, `(n, num_outputs)`, in units."""
        return self.splits[split].latest

    def times(self, split: str) -> Array | None:
        """Returns the time of each first target, datetime64 `(n,)`; `None` without dates."""
        return self.splits[split].times


def _targets(y: Array, task: Task, scaling: Scaling | None) -> Array:
    if task in (Task.multiclass, Task.language_model):
        return y.astype(np.int32)
    y = y.reshape(len(y), -1)
    scaled: Array = y.astype(np.float32) if scaling is None else scaling(y)
    return scaled


def split_source(cfg: Dataset, source: Source) -> dict[str, Split]:
    """Returns the raw examples of each non-empty split; streamed ones are read once.

    Raises:
        UserError: the content of an example is damaged.
    """
    splits = _split(cfg, source)
    if source.stream:
        splits = {name: source.stream.read_once(split) for name, split in splits.items()}
    return splits


def _split(cfg: Dataset, source: Source) -> dict[str, Split]:
    outline = source.outline
    if source.in_order:
        return {
            name: split.take(np.arange(len(split))[first_or_last(name, len(split), cfg.limit)])
            for name, split in source.in_order.items()
        }
    assert source.examples is not None
    if source.official_validation is not None:
        return _limited(cfg, source)
    has_classes = outline.task in (Task.multiclass, Task.binary)
    labels = source.examples.y if has_classes else None
    if source.groups is None:
        chosen = split_indices(cfg, outline.num_examples, outline.num_official_test, labels)
    else:
        assert isinstance(cfg, TableCsv)
        grouped = split_groups(cfg, source.groups)
        chosen = {n: limit_randomly(one, cfg.limit, cfg.split_seed) for n, one in grouped.items()}
    tested = source.official_test or source.examples
    return {
        name: (tested if name == "test" else source.examples).take(indices)
        for name, indices in chosen.items()
        if len(indices)
    }


def _limited(cfg: Dataset, source: Source) -> dict[str, Split]:
    """Returns the splits of a source that is split already."""
    assert isinstance(cfg, RandomSplit)
    parts = {
        "train": source.examples,
        "validation": source.official_validation,
        "test": source.official_test,
    }
    return {
        name: split.take(limit_randomly(np.arange(len(split)), cfg.limit, cfg.split_seed))
        for name, split in parts.items()
        if split is not None
    }


def digests(cfg: Dataset) -> dict[str, str]:
    """Returns what `build(cfg, seed).fingerprint` would be, without TensorFlow.

    Args:
        cfg: the dataset.

    Returns:
        SHA-256 in hex of the complete content of each split that is not empty.

    Raises:
        UserError: the data is missing or not as expected.
    """
    return {name: fingerprint(split) for name, split in split_source(cfg, load(cfg)).items()}


def _preprocessing(cfg: Dataset, source: Source, train: Split) -> Preprocessing:
    """Fits the preprocessing to the training split."""
    if source.preprocessing is not None:
        return source.preprocessing
    if source.measure is not None:
        return source.measure(train.x)
    kind = cfg.normalization if isinstance(cfg, Scaled) else Normalization.none
    measured = train.x if source.measured is None else source.measured
    return fit(kind, measured, source.outline.layout, source.largest)


def _target_scaling(cfg: Dataset, task: Task, train: Split) -> Scaling | None:
    if not (isinstance(cfg, ScaledTarget) and cfg.standardize_target):
        return None
    if task not in (Task.regression, Task.forecast):  # the target of a table may be classes
        return None
    # All steps of a forecast belong to one series, so they share one scale.
    y = train.y.reshape(-1, 1) if task is Task.forecast else train.y.reshape(len(train), -1)
    return fit(Normalization.standard, y, Layout.table)


def _num_leaked(cfg: Dataset, splits: Mapping[str, Split], layout: Layout) -> int:
    num = num_leaked(splits["train"], splits.get("test"), layout)
    if num:
        _log.warning(
            "dataset=%s: %d of %d test examples are also training examples, so the test score is "
            "better than it would be on new data",
            cfg.kind,
            num,
            len(splits["test"]),
        )
    return num


def _reader(
    source: Source, split: Split, preprocessing: Preprocessing, scaling: Scaling | None
) -> "pipeline.Reader":
    """Returns a reader of a copy of the split, which holds neither the split nor its source."""
    from samerun.data import pipeline

    y = _targets(split.y, source.outline.task, scaling)
    if source.stream:
        return pipeline.stream_reader(split.x, y, source.stream.decode)
    if split.windows:
        steps = preprocessing.once(split.windows.steps)
        return pipeline.window_reader(replace(split.windows, steps=steps), y)
    return pipeline.memory_reader(preprocessing.once(split.x), y)


def _training(
    cfg: Dataset,
    reader: "pipeline.Reader",
    num_examples: int,
    seed: int,
    epoch: Any,
    preprocessing: Preprocessing,
    outline: Outline,
    *,
    start: int = 0,
) -> Any:
    from samerun.data import pipeline

    return pipeline.training(
        reader,
        num_examples,
        seed=seed,
        epoch=epoch,
        batch_size=cfg.batch_size,
        drop_remainder=cfg.drop_remainder,
        preprocessing=preprocessing,
        augmentation=cfg.augmentation if isinstance(cfg, Pictures) else None,
        num_classes=outline.num_outputs if outline.task is Task.multiclass else None,
        start=start,
    )


def _in_order(
    cfg: Dataset,
    readers: "Mapping[str, pipeline.Reader]",
    sizes: Mapping[str, int],
    preprocessing: Preprocessing,
    name: str,
) -> Any:
    from samerun.data import pipeline

    if name not in readers:
        return None
    return pipeline.evaluation(
        readers[name],
        sizes[name],
        batch_size=cfg.batch_size,
        preprocessing=preprocessing,
    )


def build(cfg: Dataset, seed: int) -> Data:
    """Loads, checks, splits and normalizes a dataset, whose pipelines are built when first used.

    Args:
        cfg: which dataset, and how to split, scale and batch it.
        seed: seed of the order and the augmentation of the training data. The splits do not
            depend on it.

    Raises:
        UserError: the data is missing or not as expected.
    """
    source = load(cfg)
    splits = split_source(cfg, source)
    preprocessing = _preprocessing(cfg, source, splits["train"])
    target_scaling = _target_scaling(cfg, source.outline.task, splits["train"])
    digests = {name: fingerprint(split) for name, split in splits.items()}
    made = _pipelines(cfg, seed, source, splits, (preprocessing, target_scaling), digests)
    return Data(
        spec=source.outline.spec(cfg),
        fingerprint=digests,
        steps_per_epoch=made.steps_per_epoch,
        preprocessing=preprocessing,
        target_scaling=target_scaling,
        unit=source.outline.unit,
        largest=source.largest,
        num_leaked=_num_leaked(cfg, splits, source.outline.layout),
        splits=splits,
        stream=source.stream,
        epoch=made.epoch,
        train_from=made.train_from,
        in_order=made.in_order,
    )


@dataclass(frozen=True, kw_only=True)
class _Pipelines:
    """What `fit` and the evaluation read, as functions of (seed, epoch) without any other state."""

    steps_per_epoch: int
    epoch: Any
    train_from: Callable[..., Any]
    in_order: Callable[[str], Any]


_MOST_KEPT_BYTES = 64_000_000
_last: dict[str, _Pipelines] = {}
"""The pipelines that were built last in this process, by all that they depend on."""


def _pipelines(
    cfg: Dataset,
    seed: int,
    source: Source,
    splits: Mapping[str, Split],
    fitted: tuple[Preprocessing, Scaling | None],
    digests: Mapping[str, str],
) -> _Pipelines:
    """Returns the pipelines of these splits; those of the last run, if they are the same.

    The trials of a sweep mostly have the same data, and tracing its functions takes longer than
    reading them. The content of all splits was read and digested again, so that a file that has
    changed makes others.
    """
    from samerun.data import (
        pipeline,  # TensorFlow only after everything that a user may have to fix
    )

    key = _key(cfg, seed, source, splits, fitted, digests)
    if key is not None and key in _last:
        _last[key].epoch.assign(0)
        return _last[key]
    _last.clear()
    # What is kept holds only these copies: the source of a limited dataset may be much larger.
    readers = {name: _reader(source, split, *fitted) for name, split in splits.items()}
    sizes = {name: len(split) for name, split in splits.items()}
    epoch, num_train, preprocessing = pipeline.epoch_variable(), sizes["train"], fitted[0]
    of_train = (cfg, readers["train"], num_train, seed, epoch, preprocessing, source.outline)
    made = _Pipelines(
        steps_per_epoch=pipeline.num_batches(num_train, cfg.batch_size, cfg.drop_remainder),
        epoch=epoch,
        train_from=cache(partial(_training, *of_train)),
        in_order=cache(partial(_in_order, cfg, readers, sizes, preprocessing)),
    )
    if key is not None:
        _last[key] = made
    return made


def release_pipelines() -> None:
    """Releases the pipelines that a further run on the same data would have again."""
    _last.clear()


def _key(
    cfg: Dataset,
    seed: int,
    source: Source,
    splits: Mapping[str, Split],
    fitted: tuple[Preprocessing, Scaling | None],
    digests: Mapping[str, str],
) -> str | None:
    """Returns all that pipelines depend on; `None` for large ones and those with a user's code."""
    is_own = isinstance(cfg, CustomDataset) or is_component(cfg)
    is_own |= is_component(getattr(cfg, "augmentation", None))
    numbers = math.prod(source.outline.spec(cfg).input_shape) * sum(map(len, splits.values()))
    width = 8 if splits["train"].x.itemsize == 8 else 4  # at most: pixels take one byte
    num_bytes = width * numbers + 4 * sum(split.y.size for split in splits.values())
    if is_own or source.stream or num_bytes > _MOST_KEPT_BYTES:
        return None
    scaled = [None if one is None else one.as_dict() for one in fitted]
    return json.dumps([repr(cfg), seed, dict(digests), scaled])
