"""Assigns whole groups of examples to splits and folds: the rows of one patient stay together.

Folds are those of scikit-learn's `GroupKFold`, held-out splits those of `GroupShuffleSplit`.
Classes are not stratified.
"""

import itertools

import numpy as np

from samerun.config.datasets import Dataset
from samerun.config.datasets.base import Fold, fold_of
from samerun.config.datasets.tables import TableCsv
from samerun.data.splits import Array, Sizes, share
from samerun.errors import UserError


def split_groups(cfg: TableCsv, groups: Array) -> dict[str, Array]:
    """Returns the examples of each split, as ascending indices; no group is in two splits.

    Args:
        cfg: has the fractions or the fold, and the seed. Fractions are those of the groups.
        groups: `(n,)` group of each example.

    Raises:
        UserError: there are too few groups.
    """
    fold, whole = fold_of(cfg), np.arange(len(groups))
    rest, test = _hold_out(cfg, whole, groups, cfg.test_fraction, "test")
    if fold is None:
        train, validation = _hold_out(cfg, rest, groups, cfg.validation_fraction, "validation")
    else:
        train, validation = _divide_by_fold(cfg, rest, groups, fold)
    return {"train": train, "validation": validation, "test": test}


def sizes_of(splits: dict[str, Array]) -> Sizes:
    """Returns the number of examples in each split."""
    return Sizes(**{name: len(indices) for name, indices in splits.items()})


def check_classes_of_groups(cfg: Dataset, labels: Array, train: Array) -> None:
    """Checks that every class can be learned.

    Args:
        cfg: names the dataset.
        labels: `(n,)` class of each example.
        train: indices of the training split.

    Raises:
        UserError: the training split has no example of a class.
    """
    missing = np.setdiff1d(labels, labels[train])
    if len(missing):
        raise UserError(
            f"dataset.group: all examples of class {missing[0]} are in groups outside the training "
            f"split of dataset={cfg.kind}, expected at least one in it: use more groups, or "
            "another dataset.split_seed or number of folds."
        )


def _hold_out(
    cfg: TableCsv, indices: Array, groups: Array, fraction: float, split: str
) -> tuple[Array, Array]:
    """Holds out a fraction of the groups: the kept and the held out indices."""
    from sklearn.model_selection import GroupShuffleSplit

    num_groups = len(np.unique(groups[indices]))
    num_held_out = share(num_groups, fraction)
    if not num_held_out:
        return indices, indices[:0]
    if num_held_out >= num_groups:
        raise UserError(
            f"dataset.group: column {cfg.group} has {num_groups} groups to divide, and {split} "
            f"takes {num_held_out}, expected at least one for training: provide more groups, or "
            f"lower dataset.{split}_fraction."
        )
    splitter = GroupShuffleSplit(
        1,
        train_size=num_groups - num_held_out,
        test_size=num_held_out,
        random_state=cfg.split_seed,
    )
    kept, held_out = next(splitter.split(indices, groups=groups[indices]))
    return indices[np.sort(kept)], indices[np.sort(held_out)]


def _divide_by_fold(
    cfg: TableCsv, indices: Array, groups: Array, fold: Fold
) -> tuple[Array, Array]:
    """Divides indices by `GroupKFold`: those of all other folds, and those of the fold."""
    from sklearn.model_selection import GroupKFold

    num_groups = len(np.unique(groups[indices]))
    if fold.folds > num_groups:
        raise UserError(
            f"dataset.group: received {fold.folds} folds, expected at most {num_groups}, the "
            f"number of groups in column {cfg.group} outside the test split: use fewer folds."
        )
    parts = GroupKFold(fold.folds).split(indices, groups=groups[indices])
    train, validation = next(itertools.islice(parts, fold.number - 1, None))
    return indices[train], indices[validation]
