"""Assigns examples to splits and folds, as a function of the data and `split_seed` alone.

Folds are scikit-learn's: `StratifiedKFold` for classes, `KFold` for other independent examples,
`TimeSeriesSplit` over the steps of ordered data; each after the test split is set aside.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samerun.config.datasets import Dataset
from samerun.config.datasets.base import Fold, RandomSplit, fold_of
from samerun.config.suggestions import as_hint
from samerun.errors import UserError

Array = NDArray[Any]


@dataclass(frozen=True)
class Sizes:
    """Number of examples in each split."""

    train: int
    validation: int
    test: int

    def capped(self, limit: int | None) -> "Sizes":
        """Returns the sizes with at most `limit` examples each."""
        if limit is None:
            return self
        return Sizes(min(self.train, limit), min(self.validation, limit), min(self.test, limit))


def share(num: int, fraction: float) -> int:
    """Returns the nearest integer, but at least 1 for a fraction above 0."""
    return max(1, math.floor(num * fraction + 0.5)) if fraction else 0


def split_sizes(cfg: Dataset, num_examples: int, num_official_test: int | None = None) -> Sizes:
    """Returns the number of examples of each split, before `limit`.

    Args:
        cfg: has the fractions.
        num_examples: number of examples to split.
        num_official_test: number of examples of the official test split, which replaces
            `test_fraction`.

    Raises:
        UserError: no example is left for training, or there are fewer examples than folds.
    """
    num_test = num_official_test
    if num_test is None:
        num_test = share(num_examples, getattr(cfg, "test_fraction", 0.0))
        num_examples -= num_test
    fold = fold_of(cfg)
    if fold is None:
        num_validation = share(num_examples, cfg.validation_fraction)
    else:
        num_validation = _fold_size(cfg, fold, num_examples)
    if num_examples - num_validation < 1:
        raise UserError(
            f"dataset={cfg.kind}: {num_test} examples for the test and {num_validation} for "
            "validation leave none for training: provide more data, or lower "
            "dataset.validation_fraction or dataset.test_fraction."
        )
    return Sizes(num_examples - num_validation, num_validation, num_test)


def _fold_size(cfg: Dataset, fold: Fold, num_examples: int) -> int:
    """Returns the size of a fold: the first ones have the examples that remain."""
    if fold.folds > num_examples:
        raise UserError(
            f"dataset={cfg.kind}: received {fold.folds} folds, expected at most {num_examples}, "
            "the number of examples outside the test split: use fewer, such as folds=5."
        )
    return num_examples // fold.folds + (fold.number <= num_examples % fold.folds)


def check_classes(cfg: Dataset, labels: Array, sizes: Sizes, *, has_official_test: bool) -> None:
    """Checks, before any example is loaded, that the classes can be split.

    Args:
        cfg: has the fractions or the fold.
        labels: `(n,)` class of every example to split.
        sizes: of the splits.
        has_official_test: whether the test split is not part of these examples.

    Raises:
        UserError: a class is too small.
    """
    fold = fold_of(cfg)
    if not has_official_test:
        check_can_stratify(labels, sizes.test, "test")
    if fold is not None:
        _check_can_fold(cfg, labels, fold)
    else:
        check_can_stratify(labels, sizes.validation, "validation")


def _check_can_fold(cfg: Dataset, labels: Array, fold: Fold) -> None:
    """Checks that every class has an example for each fold.

    Raises:
        UserError: one has fewer.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < fold.folds:
        few = classes[counts.argmin()]
        raise UserError(
            f"dataset={cfg.kind}: received {fold.folds} folds, but class {few} "
            f"has {counts.min()} of the examples to divide, expected at least one for each fold: "
            "use fewer folds, or add examples of it."
        )


def check_can_stratify(labels: Array, num_held_out: int, split: str) -> None:
    """Checks that a stratified split is possible.

    Args:
        labels: `(n,)` class of every example to split.
        num_held_out: number of examples to hold out; 0 is always possible.
        split: name of the split that is held out.

    Raises:
        UserError: a class is too small, or a part has fewer examples than there are classes.
    """
    if not num_held_out:
        return
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        few = classes[counts.argmin()]
        raise UserError(
            f"dataset: class {few} has {counts.min()} example left when the {split} split is "
            f"held out, expected at least 2 in every class, one for each part: add "
            f"examples of it, or set dataset.{split}_fraction=0."
        )
    smaller = min(num_held_out, len(labels) - num_held_out)
    if smaller < len(classes):
        raise UserError(
            f"dataset.{split}_fraction: divides {len(labels)} examples into {num_held_out} for the "
            f"{split} split and {len(labels) - num_held_out} others, expected at least one for "
            f"each of the {len(classes)} classes in both parts: change the fraction or set it to 0."
        )


def _divide(indices: Array, labels: Array | None, num_held_out: int, seed: int) -> list[Array]:
    """Splits indices at random and stratified: [kept, held out], both ascending."""
    if not num_held_out:
        return [indices, indices[:0]]
    from sklearn.model_selection import train_test_split

    parts = train_test_split(
        indices,
        train_size=len(indices) - num_held_out,
        test_size=num_held_out,
        random_state=seed,
        stratify=None if labels is None else labels[indices],
    )
    return [np.sort(part) for part in parts]


def _divide_by_fold(
    cfg: Dataset, indices: Array, labels: Array | None, fold: Fold, seed: int
) -> list[Array]:
    """Splits indices by scikit-learn's folds: [all others, the fold], both ascending."""
    from sklearn.model_selection import KFold, StratifiedKFold

    if labels is None:
        parts = KFold(fold.folds, shuffle=True, random_state=seed).split(indices)
    else:
        _check_can_fold(cfg, labels[indices], fold)
        splitter = StratifiedKFold(fold.folds, shuffle=True, random_state=seed)
        parts = splitter.split(indices, labels[indices])
    chosen = next(itertools.islice(parts, fold.number - 1, None))
    return [indices[part] for part in chosen]


def limit_randomly(indices: Array, limit: int | None, seed: int) -> Array:
    """Chooses examples at random, because a file sorted by class would start with one class.

    Uses RandomState, whose stream NumPy guarantees never to change (NEP 19).
    """
    if limit is None or len(indices) <= limit:
        return indices
    chosen = np.random.RandomState(seed).permutation(len(indices))[:limit]
    return indices[np.sort(chosen)]


def contiguous(cfg: Dataset, num_steps: int, gap: int = 0) -> dict[str, range]:
    """Splits ordered data into training, validation and test part, in this order.

    Args:
        cfg: has the fractions.
        num_steps: number of time steps or tokens.
        gap: steps omitted at the end of the training and of the validation part.

    Raises:
        UserError: no example is left for training.
    """
    fold = fold_of(cfg)
    if fold is not None:
        return _contiguous_fold(cfg, fold, num_steps, gap)
    sizes = split_sizes(cfg, num_steps)
    test = num_steps - sizes.test
    is_followed = {"train": sizes.validation or sizes.test, "validation": sizes.test}
    ends = {"train": (0, sizes.train), "validation": (sizes.train, test), "test": (test, num_steps)}
    return {
        name: range(begin, max(begin, end - gap) if is_followed.get(name) else end)
        for name, (begin, end) in ends.items()
    }


def _contiguous_fold(cfg: Dataset, fold: Fold, num_steps: int, gap: int) -> dict[str, range]:
    """Splits ordered data by scikit-learn's `TimeSeriesSplit`: a fold is trained on earlier steps.

    Of `folds` + 1 parts before the test split, fold i validates on part i + 1 and trains on
    all parts before it.
    """
    from sklearn.model_selection import TimeSeriesSplit

    num_test = share(num_steps, getattr(cfg, "test_fraction", 0.0))
    before = num_steps - num_test - (gap if num_test else 0)
    try:
        parts = [*TimeSeriesSplit(fold.folds, gap=gap).split(np.empty((max(before, 0), 0)))]
    except ValueError as error:
        raise UserError(
            f"dataset={cfg.kind}: received {fold.folds} folds, but {max(before, 0)} steps before "
            f"the test split cannot be divided into {fold.folds + 1} parts: use fewer folds, or "
            "provide more data."
        ) from error
    train, validation = parts[fold.number - 1]
    return {
        "train": range(len(train)),
        "validation": range(int(validation[0]), int(validation[-1]) + 1),
        "test": range(num_steps - num_test, num_steps),
    }


def window_starts(
    cfg: Dataset, num_steps: int, span: int, *, stride: int = 1, gap: int = 0
) -> dict[str, range]:
    """Returns the steps at which the examples of each split start, all within their part.

    Args:
        cfg: has the fractions.
        num_steps: number of time steps or tokens.
        span: steps per example, from its first input to its last target.
        stride: steps between the starts of two examples.
        gap: steps omitted between two parts.

    Raises:
        UserError: a requested part is shorter than one example.
    """
    parts = contiguous(cfg, num_steps, gap)
    shares = {
        "train": 1.0,
        "validation": 1.0 if cfg.fold else cfg.validation_fraction,
        "test": getattr(cfg, "test_fraction", 0.0),
    }
    advice = "or change dataset.validation_fraction or dataset.test_fraction"
    for name, part in parts.items():
        if shares[name] and len(part) < span:
            shortest = min(len(parts[name]) for name, share in shares.items() if share)
            raise UserError(
                f"dataset={cfg.kind}: the {name} split has {len(part)} of {num_steps} steps, "
                f"expected at least {span} for one example with its target: provide more "
                f"data, shorten the window, {'or use fewer folds' if cfg.fold else advice}"
                f".{as_hint(_shorter(cfg, span - shortest))}"
            )
    return {
        name: range(part.start, max(part.start, part.stop - span + 1), stride)
        for name, part in parts.items()
    }


def _shorter(cfg: Dataset, excess: int) -> str:
    """Returns the setting that shortens the examples by this number of steps, or ''."""
    for key in ("window", "context_length"):
        length = getattr(cfg, key, 0) - excess
        if length >= 1:
            return f"dataset.{key}={length}"
    return ""


def first_or_last(split: str, num_examples: int, limit: int | None) -> slice:
    """Returns which examples of an ordered split remain under a limit.

    These are the last ones of the training split, directly before the first ones of the others.
    """
    few = num_examples if limit is None else min(limit, num_examples)
    return slice(num_examples - few, None) if split == "train" else slice(0, few)


def split_indices(
    cfg: Dataset, num_examples: int, num_official_test: int | None, labels: Array | None
) -> dict[str, Array]:
    """Returns the examples of each split, as ascending indices.

    Args:
        cfg: has the fractions or the fold, the seed and the limit.
        num_examples: number of examples to split.
        num_official_test: number of examples of the official test split; the indices of `test`
            then refer to that split.
        labels: `(num_examples,)` class of each example, for a stratified split; `None` for a
            plain random split.

    Raises:
        UserError: a class is too small to be split, or no example is left for training.
    """
    assert isinstance(cfg, RandomSplit)
    seed = cfg.split_seed
    sizes = split_sizes(cfg, num_examples, num_official_test)
    rest = np.arange(num_examples)
    if num_official_test is None:
        if labels is not None:
            check_can_stratify(labels, sizes.test, "test")
        rest, test = _divide(rest, labels, sizes.test, seed)
    else:
        test = np.arange(num_official_test)
    fold = fold_of(cfg)
    if fold is not None:
        train, validation = _divide_by_fold(cfg, rest, labels, fold, seed)
    else:
        if labels is not None:
            check_can_stratify(labels[rest], sizes.validation, "validation")
        train, validation = _divide(rest, labels, sizes.validation, seed)
    splits = {"train": train, "validation": validation, "test": test}
    return {name: limit_randomly(indices, cfg.limit, seed) for name, indices in splits.items()}
