"""Validates a user's own arrays: the same rules for files and for functions."""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from samerun.config import Layout, Task
from samerun.config.datasets import Dataset
from samerun.config.datasets.base import fold_of
from samerun.data.source import Array, Outline, Source, Split
from samerun.data.splits import Sizes, check_classes, split_sizes
from samerun.errors import UserError, listed

OFFICIAL = ("x_train", "y_train", "x_test", "y_test")
WHOLE = ("x", "y")
_VALIDATION = ("x_validation", "y_validation")
_IN_PARTS = ((*OFFICIAL[:2], *_VALIDATION, *OFFICIAL[2:]), (*OFFICIAL[:2], *_VALIDATION), OFFICIAL)
"""Names of arrays that are split already, those of most arrays first."""
LAYOUTS = {2: Layout.table, 3: Layout.image, 4: Layout.image, 5: Layout.video}
"""Layout by the rank of x, batch axis included; rank 3 is grayscale images."""


@dataclass(frozen=True)
class Header:
    """Name, shape and dtype of an array, as its first bytes state them."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"{self.name} of shape {self.shape} and type {self.dtype}"


def names_of(where: str, found: set[str]) -> tuple[str, ...]:
    """Returns the names of the arrays to use, out of those found.

    Raises:
        UserError: neither form is complete, or both are.
    """
    in_parts = next((names for names in _IN_PARTS if set(names) <= found), None)
    if (in_parts is None) == (not set(WHOLE) <= found):
        raise UserError(
            f"{where}: holds {listed(sorted(found)) or 'nothing'}, expected either "
            f"{listed(OFFICIAL)} (with {listed(_VALIDATION)}, if you like) or {listed(WHOLE)}."
        )
    return in_parts or WHOLE


def _error(where: str, sentence: str) -> UserError:
    return UserError(f"{where}: {sentence}")


def _check_types(where: str, headers: list[Header]) -> None:
    for header in headers:
        if header.dtype.hasobject:
            raise _error(
                where,
                f"{header.name} holds Python objects, which are never unpickled, expected numbers: "
                "convert it with numpy.asarray(..., dtype='float32') or, for labels, 'int64'.",
            )
        if header.dtype.kind not in "biuf" or header.dtype.itemsize > 8:
            raise _error(
                where,
                f"{header.name} is of type {header.dtype}, expected numbers of at most 64 bits.",
            )


def _check_shapes(where: str, x: Header, y: Header) -> None:
    if len(x.shape) not in LAYOUTS or 0 in x.shape:
        raise _error(
            where,
            f"{x}, expected at least one example in (n, features), (n, height, width), "
            "(n, height, width, channels) or (n, frames, height, width, channels).",
        )
    rank = 2 if y.shape[1:] == (1,) or y.dtype.kind == "f" else 1
    if not y.shape or len(y.shape) > rank or 0 in y.shape:
        raise _error(
            where,
            f"{y}, expected (n,) of integers for classes, or (n,) or (n, targets) of "
            "floating-point numbers for a regression.",
        )
    if x.shape[0] != y.shape[0]:
        raise _error(
            where,
            f"{x.name} holds {x.shape[0]} examples and {y.name} {y.shape[0]}, expected as many "
            "targets as examples.",
        )


def check(where: str, headers: list[Header]) -> None:
    """Checks types and shapes.

    Args:
        where: beginning of the error message.
        headers: of x and y, or of x and y of the training split, then of the other splits.

    Raises:
        UserError: an array has an unsupported type or shape.
    """
    _check_types(where, headers)
    for x, y in zip(headers[::2], headers[1::2], strict=True):
        _check_shapes(where, x, y)
    for one, other in zip(itertools.cycle(headers[:2]), headers[2:], strict=False):
        if one.shape[1:] != other.shape[1:]:
            raise _error(where, f"{one}, but {other}: expected examples of equal shape.")
        if (one.dtype.kind == "f") != (other.dtype.kind == "f") and one.name[0] == "y":
            raise _error(where, f"{one}, but {other}: expected classes in both or in neither.")


def _num_classes(where: str, names: list[str], labels: list[Array]) -> int:
    found = np.unique(np.concatenate([np.unique(array).astype(np.int64) for array in labels]))
    known = np.unique(labels[0]).astype(np.int64)
    if len(found) < 2 or not np.array_equal(found, np.arange(len(found))):
        shown = listed(map(str, found[:12])) + (", …" if len(found) > 12 else "")
        raise _error(
            where,
            f"{' and '.join(names)} hold the labels {shown}, expected two or more classes numbered "
            "0, 1, 2, … without gaps (or floating-point numbers for a regression).",
        )
    if len(known) < len(found):
        extra = sorted(set(found.tolist()) - set(known.tolist()))
        raise _error(
            where,
            f"{' or '.join(names[1:])} holds the labels {listed(map(str, extra))}, which "
            f"{names[0]} does not: expected every class to have training examples.",
        )
    return len(found)


def outline(cfg: Dataset, where: str, headers: list[Header], labels: list[Array]) -> Outline:
    """Returns the outline of arrays that passed `check`.

    Args:
        cfg: how to split them.
        where: beginning of the error message.
        headers: as for `check`.
        labels: the classes of each split, empty for a regression.

    Raises:
        UserError: the labels are not classes, a class is too small to be split, or folds are asked
            of data with a validation split of its own.
    """
    made = _outline(where, headers, labels)
    if made.sizes is not None:
        if fold_of(cfg) is not None:
            raise _error(where, "holds a validation split of its own, expected none with folds.")
        return made
    sizes = split_sizes(cfg, made.num_examples, made.num_official_test)
    if labels:
        has_official_test = made.num_official_test is not None
        check_classes(cfg, labels[0], sizes, has_official_test=has_official_test)
    return made


def _outline(where: str, headers: list[Header], labels: list[Array]) -> Outline:
    x, y = headers[:2]
    shape = x.shape[1:]
    num_outputs = y.shape[1] if len(y.shape) == 2 else 1
    names: tuple[str, ...] = ()
    task = Task.regression
    if labels:
        num_classes = _num_classes(where, [h.name for h in headers[1::2]], labels)
        names = tuple(map(str, range(num_classes)))
        task = Task.binary if num_classes == 2 else Task.multiclass
        num_outputs = 1 if num_classes == 2 else num_classes
    num = {header.name: header.shape[0] for header in headers}
    has_validation = _VALIDATION[0] in num
    return Outline(
        task=task,
        layout=LAYOUTS[len(x.shape)],
        input_shape=(*shape, 1) if len(shape) == 2 else shape,
        num_outputs=num_outputs,
        class_names=names,
        num_examples=x.shape[0],
        num_official_test=num.get("x_test"),
        sizes=Sizes(num["x_train"], num[_VALIDATION[0]], num.get("x_test", 0))
        if has_validation
        else None,
    )


def are_labels(header: Header) -> bool:
    """Whether targets of this type are class labels."""
    return header.dtype.kind != "f"


def as_labels(y: Array) -> Array:
    """Returns class labels as `(n,)` of int64."""
    return y.reshape(len(y)).astype(np.int64)


def source(where: str, outline: Outline, arrays: dict[str, Array]) -> Source:
    """Returns the arrays, which are known to hold only numbers, as a source.

    Args:
        where: beginning of the error message.
        outline: of the arrays.
        arrays: by name, in the order that `names_of` returns.

    Raises:
        UserError: a value is not finite.
    """
    for name, array in arrays.items():
        _check_finite(where, name, array)
    splits = {
        name.partition("_")[2]: Split(
            _examples(array, outline), _targets(arrays[f"y{name[1:]}"], outline)
        )
        for name, array in arrays.items()
        if name[0] == "x"
    }
    first = next(iter(splits.values()))
    return Source(
        outline=outline,
        examples=first,
        official_validation=splits.get("validation"),
        official_test=splits.get("test"),
        largest=_largest(first.x.dtype, outline.layout),
    )


def _examples(x: Array, outline: Outline) -> Array:
    return x.reshape(len(x), *outline.input_shape)


def _targets(y: Array, outline: Outline) -> Array:
    return y.reshape(len(y), -1) if outline.task is Task.regression else y.reshape(len(y))


def _check_finite(where: str, name: str, array: Array) -> None:
    """Refuses values that are not finite in float32, the precision of training."""
    if array.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(array.astype(np.float32, copy=False))
    if not bad.any():
        return
    first = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))[0]
    raise _error(
        where,
        f"{name} holds {np.count_nonzero(bad)} values that are NaN or infinite as float32, the "
        f"first in example {first}, expected finite numbers: remove or replace these examples.",
    )


def _largest(dtype: np.dtype[Any], layout: Layout) -> float | None:
    """Largest value of the pixel format; `None` for types that do not imply a range."""
    is_image = layout in (Layout.image, Layout.video) and dtype in (np.uint8, np.uint16)
    return float(np.iinfo(dtype).max) if is_image else None
