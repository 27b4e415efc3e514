"""Which example belongs to which split: a function of the data and `split_seed` alone."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samerun.config.datasets import Dataset
from samerun.config.datasets.base import RandomSplit
from samerun.errors import UserError

Array = NDArray[Any]


@dataclass(frozen=True)
class Sizes:
    """Examples in each split."""

    train: int
    validation: int
    test: int

    def capped(self, limit: int | None) -> "Sizes":
        """Returns the sizes with at most `limit` examples each."""
        if limit is None:
            return self
        return Sizes(min(self.train, limit), min(self.validation, limit), min(self.test, limit))


def _share(num_examples: int, fraction: float) -> int:
    """Examples in a share: the nearest whole number, but at least one where a share is asked."""
    return max(1, math.floor(num_examples * fraction + 0.5)) if fraction else 0


def split_sizes(cfg: Dataset, num_examples: int, num_official_test: int | None = None) -> Sizes:
    """Returns how many examples each split gets, before `limit`.

    Args:
        cfg: names the shares.
        num_examples: examples to be split.
        num_official_test: examples of the source's own test split, which then needs no share.

    Raises:
        UserError: nothing is left to train on.
    """
    num_test = num_official_test
    if num_test is None:
        num_test = _share(num_examples, getattr(cfg, "test_fraction", 0.0))
        num_examples -= num_test
    num_validation = _share(num_examples, cfg.validation_fraction)
    if num_examples - num_validation < 1:
        raise UserError(
            f"dataset={cfg.kind}: {num_test} examples for the test and {num_validation} for "
            "validation leave none for training: give more data, or lower "
            "dataset.validation_fraction or dataset.test_fraction."
        )
    return Sizes(num_examples - num_validation, num_validation, num_test)


def check_can_stratify(labels: Array, num_held_out: int, split: str) -> None:
    """Checks that a split with the classes in equal shares can be cut off.

    Args:
        labels: `(n,)` class of every example that is to be divided.
        num_held_out: examples to cut off; 0 is always possible.
        split: name of the split that is cut off.

    Raises:
        UserError: a class is too small, or there are more classes than examples in a part.
    """
    if not num_held_out:
        return
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        few = classes[counts.argmin()]
        raise UserError(
            f"dataset: class {few} has {counts.min()} example left when the {split} split is cut "
            f"off, expected at least 2 in every class so that each part gets its share: add "
            f"examples of it, or set dataset.{split}_fraction=0."
        )
    smaller = min(num_held_out, len(labels) - num_held_out)
    if smaller < len(classes):
        raise UserError(
            f"dataset.{split}_fraction: cuts {len(labels)} examples into {num_held_out} for the "
            f"{split} split and {len(labels) - num_held_out} others, expected at least one for "
            f"each of the {len(classes)} classes in both parts: change the fraction or set it to 0."
        )


def _cut(indices: Array, labels: Array | None, num_held_out: int, seed: int) -> list[Array]:
    """Divides indices at random, each class in its share: [kept, held out], both rising."""
    from sklearn.model_selection import train_test_split

    if not num_held_out:
        return [indices, indices[:0]]
    parts = train_test_split(
        indices,
        train_size=len(indices) - num_held_out,
        test_size=num_held_out,
        random_state=seed,
        stratify=None if labels is None else labels[indices],
    )
    return [np.sort(part) for part in parts]


def _limited(indices: Array, limit: int | None, seed: int) -> Array:
    """A random choice, since a file sorted by class would begin with one class only.

    RandomState, because NumPy keeps its stream as it is for ever (NEP 19).
    """
    if limit is None or len(indices) <= limit:
        return indices
    chosen = np.random.RandomState(seed).permutation(len(indices))[:limit]
    return indices[np.sort(chosen)]


def contiguous(cfg: Dataset, num_steps: int, gap: int = 0) -> dict[str, range]:
    """Cuts what has an order into training, validation and test part, in this order.

    Args:
        cfg: names the shares.
        num_steps: steps of time, or tokens.
        gap: steps left out at the end of the training and of the validation part.

    Raises:
        UserError: nothing is left to train on.
    """
    sizes = split_sizes(cfg, num_steps)
    test = num_steps - sizes.test
    is_followed = {"train": sizes.validation or sizes.test, "validation": sizes.test}
    ends = {"train": (0, sizes.train), "validation": (sizes.train, test), "test": (test, num_steps)}
    return {
        name: range(begin, max(begin, end - gap) if is_followed.get(name) else end)
        for name, (begin, end) in ends.items()
    }


def window_starts(
    cfg: Dataset, num_steps: int, span: int, *, stride: int = 1, gap: int = 0
) -> dict[str, range]:
    """Returns at which steps the examples of each split begin, so that none leaves its part.

    Args:
        cfg: names the shares.
        num_steps: steps of time, or tokens.
        span: steps an example takes, from its first input to its target.
        stride: steps between the beginnings of two examples.
        gap: steps left out between two parts.

    Raises:
        UserError: a part that is asked for is shorter than one example.
    """
    parts = contiguous(cfg, num_steps, gap)
    shares = {
        "train": 1.0,
        "validation": cfg.validation_fraction,
        "test": getattr(cfg, "test_fraction", 0.0),
    }
    for name, part in parts.items():
        if shares[name] and len(part) < span:
            raise UserError(
                f"dataset={cfg.kind}: the {name} split has {len(part)} of {num_steps} steps, "
                f"expected at least the {span} that one example takes with its target: give more "
                "data, make the window shorter, or change dataset.validation_fraction or "
                "dataset.test_fraction."
            )
    return {
        name: range(part.start, max(part.start, part.stop - span + 1), stride)
        for name, part in parts.items()
    }


def first_or_last(split: str, num_examples: int, limit: int | None) -> slice:
    """Returns which examples of a split in the order of time a limit leaves.

    The last ones of the training split, which come right before the first ones of the others.
    """
    few = num_examples if limit is None else min(limit, num_examples)
    return slice(num_examples - few, None) if split == "train" else slice(0, few)


def split_indices(
    cfg: Dataset, num_examples: int, num_official_test: int | None, labels: Array | None
) -> dict[str, Array]:
    """Returns which examples each split gets, as rising indices.

    Args:
        cfg: names the shares, the seed and the limit.
        num_examples: examples to be split.
        num_official_test: examples of the source's own test split; the indices of `test` then
            count within that split.
        labels: `(num_examples,)` class of each example, in equal shares in all splits; `None` for
            a plain random choice.

    Raises:
        UserError: a class is too small to be divided, or nothing is left to train on.
    """
    assert isinstance(cfg, RandomSplit)
    seed = cfg.split_seed
    sizes = split_sizes(cfg, num_examples, num_official_test)
    rest = np.arange(num_examples)
    if num_official_test is None:
        if labels is not None:
            check_can_stratify(labels, sizes.test, "test")
        rest, test = _cut(rest, labels, sizes.test, seed)
    else:
        test = np.arange(num_official_test)
    if labels is not None:
        check_can_stratify(labels[rest], sizes.validation, "validation")
    train, validation = _cut(rest, labels, sizes.validation, seed)
    splits = {"train": train, "validation": validation, "test": test}
    return {name: _limited(indices, cfg.limit, seed) for name, indices in splits.items()}
