"""From a config to data that a model can be trained on."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from samerun.config import Dataset, DataSpec, Normalization, Pictures, Scaled, Task
from samerun.data.outline import Array, Source, Split
from samerun.data.preprocessing import Preprocessing, fit
from samerun.data.sources import load
from samerun.data.splits import split_indices


@dataclass(frozen=True, kw_only=True)
class Data:
    """A data set that is loaded, split and ready for `fit`.

    Args:
        spec: what a model has to know of it; counted on the arrays that were loaded.
        train: `tf.data.Dataset` of (x, y) batches, in the order of (seed, epoch). x is float32
            `(batch, *input_shape)`; y is int32 `(batch,)` class indices for `multiclass`, float32
            `(batch, 1)` of 0 and 1 for `binary`, float32 `(batch, num_outputs)` otherwise.
        validation: the same without shuffling and augmentation, `None` where the split is empty.
        test: as `validation`.
        fingerprint: SHA-256 in hex of the full content of each split that is not empty.
        steps_per_epoch: training batches an epoch.
        preprocessing: the normalisation, as measured on the training split.
        splits: the raw arrays of each split.
        epoch: the variable behind `set_epoch`.
    """

    spec: DataSpec
    train: Any
    validation: Any
    test: Any
    fingerprint: Mapping[str, str]
    steps_per_epoch: int
    preprocessing: Preprocessing
    splits: Mapping[str, Split]
    epoch: Any

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order and the augmentation of the next pass over `train`.

        Args:
            epoch: number of the epoch, from 0; to be set before the pass begins.
        """
        self.epoch.assign(epoch)

    def labels(self, split: str) -> Array:
        """Returns the truth of a split, in the order of the split.

        Returns:
            int32 `(n,)` class indices where there are classes (for `binary` too), float32
            `(n, num_outputs)` targets otherwise.
        """
        y = self.splits[split].y
        return y.astype(np.int32 if self.spec.is_classification else np.float32)

    def examples(self, split: str, indices: Any) -> Array:
        """Returns raw examples of a split, not normalised, for pictures.

        Args:
            split: `train`, `validation` or `test`.
            indices: places in the split, `(n,)`.
        """
        chosen: Array = self.splits[split].x[np.asarray(indices, dtype=np.int64)]
        return chosen

    def class_counts(self) -> Array:
        """Returns how many training examples each class has; empty where there are no classes."""
        if not self.spec.is_classification:
            return np.zeros(0, np.int64)
        return np.bincount(self.labels("train"), minlength=len(self.spec.class_names))


def fingerprint(split: Split) -> str:
    """Returns the SHA-256 in hex of the types, shapes and bytes of a split's raw arrays."""
    digest = hashlib.sha256()
    for array in (split.x, split.y):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _targets(y: Array, task: Task) -> Array:
    if task is Task.multiclass:
        return y.astype(np.int32)
    return y.astype(np.float32).reshape(len(y), -1)


def _split(cfg: Dataset, source: Source) -> dict[str, Split]:
    outline = source.outline
    has_classes = outline.task in (Task.multiclass, Task.binary)
    labels = source.examples.y if has_classes else None
    chosen = split_indices(cfg, outline.num_examples, outline.num_official_test, labels)
    tested = source.official_test or source.examples
    return {
        name: (tested if name == "test" else source.examples).take(indices)
        for name, indices in chosen.items()
        if len(indices)
    }


def build(cfg: Dataset, seed: int) -> Data:
    """Loads, checks, splits and normalises a data set and makes its tf.data pipelines.

    Args:
        cfg: which data set, and how it is split, scaled and batched.
        seed: seed of the order and of the augmentation of the training data. The splits do not
            depend on it.

    Raises:
        UserError: the data is not there or not what is expected, in one sentence.
    """
    source = load(cfg)
    splits = _split(cfg, source)
    kind = cfg.normalization if isinstance(cfg, Scaled) else Normalization.none
    preprocessing = fit(kind, splits["train"].x, source)
    from samerun.data import pipeline  # TensorFlow only after everything a user may have to mend

    readers = {
        name: pipeline.in_memory(split.x, _targets(split.y, source.outline.task))
        for name, split in splits.items()
    }
    epoch = pipeline.epoch_variable()
    train = pipeline.training(
        readers["train"],
        len(splits["train"]),
        seed=seed,
        epoch=epoch,
        batch_size=cfg.batch_size,
        drop_remainder=cfg.drop_remainder,
        preprocessing=preprocessing,
        augmentation=cfg.augmentation if isinstance(cfg, Pictures) else None,
    )
    held_out = {
        name: pipeline.evaluation(
            readers[name], len(split), batch_size=cfg.batch_size, preprocessing=preprocessing
        )
        for name, split in splits.items()
        if name != "train"
    }
    return Data(
        spec=source.outline.spec(cfg),
        train=train,
        validation=held_out.get("validation"),
        test=held_out.get("test"),
        fingerprint={name: fingerprint(split) for name, split in splits.items()},
        steps_per_epoch=int(train.cardinality()),
        preprocessing=preprocessing,
        splits=splits,
        epoch=epoch,
    )
