"""A user's own arrays in one `.npz` file; nothing in it is ever unpickled."""

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from samerun.config import Layout, Npz, Task, UserError, listed
from samerun.data.outline import Array, Outline, Source, Split
from samerun.data.splits import check_can_stratify, split_sizes

OFFICIAL = ("x_train", "y_train", "x_test", "y_test")
WHOLE = ("x", "y")
LAYOUTS = {2: Layout.table, 3: Layout.image, 4: Layout.image, 5: Layout.video}
"""What the number of axes of x, the first of them the examples, says; rank 3 has grey images."""

_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    RuntimeError,  # encrypted, or an unknown compression
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class _Header:
    """What the first bytes of an array tell: its name in the file, its shape and dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"{self.name} of shape {self.shape} and type {self.dtype}"


def _wrong(path: Path, sentence: str) -> UserError:
    return UserError(f"dataset.path: {path}: {sentence}")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise _wrong(
            path,
            f"is not a whole .npz file ({type(error).__name__}: {str(error).rstrip('.')}): write "
            "it again with numpy.savez.",
        ) from error


def _path(cfg: Npz) -> Path:
    path = Path(cfg.path).expanduser()
    if not path.is_file():
        raise UserError(
            f"dataset.path: received '{cfg.path}', expected an .npz file: there is none at "
            f"{path.absolute()}."
        )
    return path


def _read_header(name: str, member: IO[bytes]) -> _Header:
    version = npy.read_magic(member)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(member)
    return _Header(name, shape, dtype)


def _check_size(header: _Header, num_bytes: int) -> None:
    """Refuses an array that says it is larger than it is, before memory is taken for it."""
    promised = math.prod(header.shape) * header.dtype.itemsize
    if not header.dtype.hasobject and promised > num_bytes:
        raise EOFError(f"{header} needs {promised} bytes and there are {num_bytes}")


def _headers(path: Path) -> list[_Header]:
    """Reads names, shapes and types of the arrays that are used, and nothing else."""
    with _reading(path), zipfile.ZipFile(path) as archive:
        found = {name.removesuffix(".npy"): name for name in archive.namelist()}
        complete = [names for names in (OFFICIAL, WHOLE) if set(names) <= set(found)]
        headers = []
        for name in complete[0] if len(complete) == 1 else ():
            with archive.open(found[name]) as member:
                headers.append(_read_header(name, member))
            _check_size(headers[-1], archive.getinfo(found[name]).file_size)
    if not headers:
        raise _wrong(
            path,
            f"holds {listed(sorted(found)) or 'nothing'}, expected either {listed(OFFICIAL)} or "
            f"{listed(WHOLE)}.",
        )
    return headers


def _check_types(path: Path, headers: list[_Header]) -> None:
    for header in headers:
        if header.dtype.hasobject:
            raise _wrong(
                path,
                f"{header.name} holds Python objects, which are never unpickled, expected numbers: "
                "convert it with numpy.asarray(..., dtype='float32') or, for labels, 'int64'.",
            )
        if header.dtype.kind not in "biuf" or header.dtype.itemsize > 8:
            raise _wrong(
                path, f"{header.name} is of type {header.dtype}, expected numbers of up to 64 bits."
            )


def _check_shapes(path: Path, x: _Header, y: _Header) -> None:
    if len(x.shape) not in LAYOUTS or 0 in x.shape:
        raise _wrong(
            path,
            f"{x}, expected at least one example in (n, features), (n, height, width), "
            "(n, height, width, channels) or (n, frames, height, width, channels).",
        )
    rank = 2 if y.shape[1:] == (1,) or y.dtype.kind == "f" else 1
    if not y.shape or len(y.shape) > rank or 0 in y.shape:
        raise _wrong(
            path,
            f"{y}, expected (n,) of integers for classes, or (n,) or (n, targets) of "
            "floating-point numbers for a regression.",
        )
    if x.shape[0] != y.shape[0]:
        raise _wrong(
            path,
            f"{x.name} holds {x.shape[0]} examples and {y.name} {y.shape[0]}, expected as many.",
        )


def _check(path: Path, headers: list[_Header]) -> None:
    _check_types(path, headers)
    for x, y in zip(headers[::2], headers[1::2], strict=True):
        _check_shapes(path, x, y)
    for one, other in zip(headers[:2], headers[2:], strict=False):
        if one.shape[1:] != other.shape[1:]:
            raise _wrong(path, f"{one}, but {other}: expected equal shapes of one example.")
        if (one.dtype.kind == "f") != (other.dtype.kind == "f") and one.name[0] == "y":
            raise _wrong(path, f"{one}, but {other}: expected both to be classes or targets.")


def _num_classes(path: Path, names: list[str], labels: list[Array]) -> int:
    found = np.unique(np.concatenate([np.unique(array).astype(np.int64) for array in labels]))
    known = np.unique(labels[0])
    if len(found) < 2 or not np.array_equal(found, np.arange(len(found))):
        shown = listed(map(str, found[:12])) + (", …" if len(found) > 12 else "")
        raise _wrong(
            path,
            f"{' and '.join(names)} hold the labels {shown}, expected two or more classes numbered "
            "0, 1, 2 and so on without a gap (or floating-point numbers for a regression).",
        )
    if len(known) < len(found):
        extra = sorted(set(found.tolist()) - set(known.tolist()))
        raise _wrong(
            path,
            f"{names[1]} holds the labels {listed(map(str, extra))}, which {names[0]} does not: "
            "expected every class to have training examples.",
        )
    return len(found)


def _outline(path: Path, headers: list[_Header], labels: list[Array]) -> Outline:
    """The rules by which arrays are understood; `labels` is empty for a regression."""
    x, y = headers[:2]
    shape = x.shape[1:]
    num_outputs = y.shape[1] if len(y.shape) == 2 else 1
    names: tuple[str, ...] = ()
    task = Task.regression
    if labels:
        num_classes = _num_classes(path, [h.name for h in headers[1::2]], labels)
        names = tuple(map(str, range(num_classes)))
        task = Task.binary if num_classes == 2 else Task.multiclass
        num_outputs = 1 if num_classes == 2 else num_classes
    return Outline(
        task=task,
        layout=LAYOUTS[len(x.shape)],
        input_shape=(*shape, 1) if len(shape) == 2 else shape,
        num_outputs=num_outputs,
        class_names=names,
        num_examples=x.shape[0],
        num_official_test=headers[2].shape[0] if len(headers) > 2 else None,
    )


def _arrays(path: Path, names: list[str]) -> list[Array]:
    with _reading(path), np.load(path, allow_pickle=False) as archive:
        arrays = [archive[name] for name in names]
    # TensorFlow takes this machine's byte order only.
    return [a.astype(a.dtype.newbyteorder("="), copy=False) for a in arrays]


def _labels(y: Array) -> Array:
    return y.reshape(len(y)).astype(np.int64)


def outline_npz(cfg: Npz) -> Outline:
    """Returns what the file holds, from the headers of its arrays and from integer labels.

    Raises:
        UserError: no such file, not an .npz file, or not the arrays that are expected.
    """
    path = _path(cfg)
    headers = _headers(path)
    _check(path, headers)
    labels = []
    if headers[1].dtype.kind != "f":
        labels = [_labels(y) for y in _arrays(path, [h.name for h in headers[1::2]])]
    outline = _outline(path, headers, labels)
    sizes = split_sizes(cfg, outline.num_examples, outline.num_official_test)
    if labels and outline.num_official_test is None:
        check_can_stratify(labels[0], sizes.test, "test")
    elif labels:
        check_can_stratify(labels[0], sizes.validation, "validation")
    return outline


def load_npz(cfg: Npz) -> Source:
    """Loads the arrays.

    Raises:
        UserError: as `outline_npz`, or a value that is not finite.
    """
    path = _path(cfg)
    outline = outline_npz(cfg)
    names = list(WHOLE if outline.num_official_test is None else OFFICIAL)
    arrays = _arrays(path, names)
    for name, array in zip(names, arrays, strict=True):
        _check_finite(path, name, array)
    splits = [
        Split(_examples(x, outline), _targets(y, outline))
        for x, y in zip(arrays[::2], arrays[1::2], strict=True)
    ]
    return Source(
        outline=outline,
        examples=splits[0],
        official_test=splits[1] if len(splits) == 2 else None,
        largest=_largest(arrays[0].dtype, outline.layout),
    )


def _examples(x: Array, outline: Outline) -> Array:
    return x.reshape(len(x), *outline.input_shape)


def _targets(y: Array, outline: Outline) -> Array:
    return y.reshape(len(y), -1) if outline.task is Task.regression else y.reshape(len(y))


def _check_finite(path: Path, name: str, array: Array) -> None:
    """Refuses what is not a finite float32, which is what training computes in."""
    if array.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(array.astype(np.float32, copy=False))
    if not bad.any():
        return
    first = np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))[0]
    raise _wrong(
        path,
        f"{name} holds {np.count_nonzero(bad)} values that are NaN or infinite as float32, the "
        f"first in example {first}: expected numbers: remove or replace these examples.",
    )


def _largest(dtype: np.dtype[Any], layout: Layout) -> float | None:
    """The largest value of a pixel's format; other types say nothing about a picture's range."""
    is_picture = layout in (Layout.image, Layout.video) and dtype in (np.uint8, np.uint16)
    return float(np.iinfo(dtype).max) if is_picture else None
