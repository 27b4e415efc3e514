"""Data passed in from Python, saved as a file that is named after the digest of its content.

A run on it is therefore one of `dataset=npz` or `dataset=table_csv`: resuming, sweeps, reproducing,
bundles and predictions need nothing else, and its config says that its data was passed in.
"""

import contextlib
import hashlib
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from samerun.config.overrides import Override, parse_overrides
from samerun.config.project import split_config_dirs
from samerun.data import arrays, frames
from samerun.data.fingerprint import fingerprint
from samerun.data.source import Array, Split
from samerun.errors import UserError, first_line, listed
from samerun.files import replacing
from samerun.folders import PASSED_IN, was_passed_in
from samerun.privacy import make_folder

MOST_BYTES = 4_000_000_000
"""Arrays that take more memory are refused, since they are copied to the disk."""
_SPLITS = ("train", "validation", "test")
_EXPECTED = (
    "expected (x, y), a dict of them named train, validation and test, a pandas.DataFrame, or a "
    "tf.data.Dataset of (x, y)"
)


@dataclass(frozen=True)
class _Content:
    """What is to be saved.

    Args:
        kinds: the datasets that can read it, the usual one first.
        name: of the file.
        write: writes it.
        check: checks it against the composed config of the dataset.
        parts: those of `train`, `validation` and `test` that are given apart.
    """

    kinds: tuple[str, ...]
    name: str
    write: Callable[[Path], None]
    check: Callable[[Mapping[str, Any]], None] = lambda chosen: None
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class PassedIn:
    """Data that is read and not saved yet.

    Args:
        overrides: of the run or of the sweep, with those that name the data.
        saved: saves it for a block that checks the run, and takes the file back if the block
            raises; takes the composed config of the dataset, and raises a `UserError` itself if
            the data does not fit it or cannot be saved.
    """

    overrides: list[str]
    saved: Callable[[Mapping[str, Any]], AbstractContextManager[None]]


def prepare(overrides: Sequence[str], data: Any) -> PassedIn:
    """Reads data, and adds the overrides that name it; nothing is written yet.

    Args:
        overrides: of a run or of a sweep.
        data: `(x, y)`, a dict of them, a `pandas.DataFrame` or a `tf.data.Dataset`.

    Raises:
        UserError: the data is of another type or too large, or the overrides name other data.
    """
    rest = split_config_dirs(overrides)[0]
    given = parse_overrides([text for text in rest if not text.startswith("-")])
    content = _content(data)
    added = _kind(given, content)
    path = PASSED_IN / content.name

    @contextmanager
    def saved(chosen: Mapping[str, Any]) -> Iterator[None]:
        content.check(chosen)
        was_there, written = _save(content)  # then other runs were trained on it
        try:
            yield
        except BaseException:
            # Each process that is given the same data writes the file again: then it is another's.
            with contextlib.suppress(OSError):
                if not was_there and os.path.samestat(path.stat(), written):
                    path.unlink()
            raise

    return PassedIn([*overrides, *added, f"dataset.path={path.as_posix()}"], saved)


def _kind(given: Sequence[Override], content: _Content) -> list[str]:
    """Returns the override that chooses the dataset, if there is none yet.

    Raises:
        UserError: the overrides name other data, or leave open which dataset is to read it.
    """
    first = {one.path: one for one in reversed(given)}
    kinds = [f"dataset={name}" for name in content.kinds]
    path, kind = first.get("dataset.path"), first.get("dataset")
    if path is not None:
        raise _refused(path, "no dataset.path where data is passed in")
    if kind is not None:
        if kind.prefix == "~" or kind.value not in content.kinds:
            raise _refused(kind, f"{' or '.join(kinds)} where data is passed in")
        kinds = []
    elif "experiment" in first and len(kinds) > 1:
        raise _refused(first["experiment"], f"{' or '.join(kinds)} with it, which reads the data")
    for part in content.parts:
        unused = first.get(f"dataset.{part}_fraction")
        if unused is not None:
            raise _refused(unused, f"none, since data has a {part} split of its own")
    return kinds[:1]


def _refused(override: Override, expected: str) -> UserError:
    return UserError(f"data: received {override} too, expected {expected}.")


def put_back(data: Any, path: str, run_id: str) -> None:
    """Saves the data of a recorded run again, after comparing its digest.

    Args:
        data: as for `prepare`.
        path: `dataset.path` of the run, as recorded.
        run_id: of the run, for the message.

    Raises:
        UserError: the run was trained on other data, or on none that was passed in.
    """
    if not was_passed_in(path):
        raise UserError(
            f"data: run {run_id[:8]} was not trained on data passed in from Python: leave it out."
        )
    content = _content(data)
    if content.name != Path(path).name:
        raise UserError(
            f"data: its digest is {content.name}, and run {run_id[:8]} was trained on "
            f"{Path(path).name[:40]}: expected the same values, types and order."
        )
    _save(content)


def hint(path: str | Path) -> str:
    """Returns what to do where a file with data that was passed in is missing; else nothing."""
    if not was_passed_in(path):
        return ""
    return (
        " It was passed in from Python: pass it in again, as in samerun.reproduce(ID, data=...) or "
        "samerun.resume(ID, data=...)."
    )


def _save(content: _Content) -> tuple[bool, os.stat_result]:
    """Writes the file, or writes it again; returns whether it was there, and which one this is."""
    path = PASSED_IN / content.name
    try:
        make_folder(PASSED_IN)
        ignored = PASSED_IN / ".gitignore"
        if not ignored.exists():
            ignored.write_text("*\n", encoding="utf-8")
        with replacing(path, durable=False) as temporary:
            content.write(temporary)
            written = temporary.stat()  # a rename keeps the inode
            was_there = path.exists()  # only now: another process may have written it meanwhile
    except OSError as error:
        raise UserError(f"data: {path} cannot be written: {error.strerror}.") from error
    return was_there, written


def _content(data: Any) -> _Content:
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(data, pandas.DataFrame):
        return _table(data)
    return _arrays(data)


# ---- a table


def _table(frame: Any) -> _Content:
    content, digest = frames.csv_of(frame)
    if len(content) > MOST_BYTES:
        raise _too_large(f"as CSV takes {len(content)} bytes")

    def write(file: Path) -> None:
        file.write_bytes(content)

    def check(chosen: Mapping[str, Any]) -> None:
        if chosen["kind"] == "table_csv":
            frames.check_table(frame, chosen)

    return _Content(frames.KINDS, f"{digest[:16]}.csv", write, check)


# ---- arrays


def _arrays(data: Any) -> _Content:
    parts = _parts(data)
    found: dict[str, Array] = {}
    for name, (x, y) in parts.items():
        found |= {f"x{name}": x, f"y{name}": y}
    arrays.check("data", [arrays.Header(n, a.shape, a.dtype) for n, a in found.items()])
    total = sum(array.nbytes for array in found.values())
    if total > MOST_BYTES:
        raise _too_large(f"takes {total} bytes")
    digest = hashlib.sha256()
    for name, (x, y) in parts.items():
        digest.update(f"{name} {fingerprint(Split(x, y))} ".encode())

    def write(file: Path) -> None:
        with file.open("wb") as opened:  # or NumPy would add an ending to the name
            np.savez(opened, **found)  # type: ignore[arg-type]  # its stubs forget the dict

    name = f"{digest.hexdigest()[:16]}.npz"
    return _Content(("npz",), name, write, parts=tuple(part[1:] for part in parts))


def _parts(data: Any) -> dict[str, tuple[Array, Array]]:
    """Returns x and y of each part, by `_train` and so on, or of all under an empty name."""
    if not isinstance(data, Mapping):
        return {"": _pair("", data)}
    if "train" not in data or not set(data) <= set(_SPLITS):
        raise UserError(
            f"data: received a dict of {listed(map(str, data)) or 'nothing'}, {_EXPECTED}."
        )
    if len(data) == 1:
        return {"": _pair("", data["train"])}
    return {f"_{name}": _pair(f"_{name}", data[name]) for name in _SPLITS if name in data}


def _pair(name: str, data: Any) -> tuple[Array, Array]:
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and isinstance(data, tensorflow.data.Dataset):
        return _read(data, tensorflow)
    if not isinstance(data, tuple | list) or len(data) != 2:
        received = f"a {type(data).__name__}"
        received += f" of {len(data)}" if isinstance(data, tuple | list) else ""
        raise UserError(f"data: received {received}, {_EXPECTED}.")
    return _array(f"x{name}", data[0]), _array(f"y{name}", data[1])


def _array(name: str, values: Any) -> Array:
    if isinstance(values, np.ma.MaskedArray):
        raise UserError(
            f"data: {name} is a masked array, whose mask would be lost, expected an array: fill it "
            "in, as with x.filled(0), or leave out the masked examples."
        )
    try:
        array = np.asarray(values)
    except Exception as error:  # lists of several lengths, an object with its own __array__
        raise UserError(f"data: {name} is no array: {first_line(error)}") from error
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _too_large(takes: str) -> UserError:
    return UserError(
        f"data: {takes} of memory, expected at most {MOST_BYTES}, since it is copied into "
        f"{PASSED_IN.as_posix()}: write a file of your own with numpy.savez and use dataset=npz "
        "dataset.path=FILE, or a folder that dataset=image_folder streams."
    )


# ---- tf.data


def _read(dataset: Any, tensorflow: Any) -> tuple[Array, Array]:
    """Reads a `tf.data.Dataset` of examples or of batches."""
    spec = dataset.element_spec
    are_tensors = isinstance(spec, tuple) and all(
        isinstance(one, tensorflow.TensorSpec) for one in spec
    )
    if not are_tensors or len(spec) != 2:
        raise UserError(
            f"data: its elements are {' '.join(str(spec).split())[:200]}, expected (x, y) of one "
            "tensor each, such as dataset.map(lambda x, y: (tf.stack([x['a'], x['b']], -1), y))."
        )
    if int(dataset.cardinality()) == tensorflow.data.INFINITE_CARDINALITY:
        raise UserError("data: the tf.data.Dataset never ends: leave out repeat(), or add take(n).")
    elements = list(_up_to_the_limit(_elements(dataset, tensorflow)))
    if not elements:
        raise UserError("data: the tf.data.Dataset has no elements, expected some.")
    _check_again(elements, _elements(dataset, tensorflow))
    join = np.concatenate if _are_batches(spec) else np.stack
    try:
        x, y = (join(values) for values in zip(*elements, strict=True))
    except ValueError as error:
        raise UserError(
            f"data: elements of the tf.data.Dataset differ in shape: {first_line(error)}"
        ) from error
    return _array("x", x), _array("y", y)


def _elements(dataset: Any, tensorflow: Any) -> Iterator[tuple[Array, Array]]:
    """Yields x and y of each element; an error of the user's own code becomes a sentence."""
    number = 0
    try:
        for x, y in dataset.as_numpy_iterator():
            yield np.asarray(x), np.asarray(y)
            number += 1
    except tensorflow.errors.OpError as error:
        raise UserError(
            f"data: the tf.data.Dataset fails at element {number}: {first_line(error)}"
        ) from error


def _check_again(
    elements: Sequence[tuple[Array, Array]], again: Iterable[tuple[Array, Array]]
) -> None:
    """Checks that a second pass gives the same elements in the same order."""
    for number, (one, other) in enumerate(itertools.zip_longest(elements, again)):
        if one is None or other is None or any(map(_differ, one, other)):
            raise UserError(
                f"data: element {number} of the tf.data.Dataset is another one in a second pass, "
                "expected one order: leave out shuffle() and random map(): every epoch of a run is "
                "shuffled anyway."
            )


def _differ(one: Array, other: Array) -> bool:
    return one.shape != other.shape or one.tobytes() != other.tobytes()


def _up_to_the_limit(elements: Iterable[tuple[Array, Array]]) -> Iterator[tuple[Array, Array]]:
    total = 0
    for element in elements:
        total += sum(value.nbytes for value in element)
        if total > MOST_BYTES:
            raise _too_large(f"takes more than {MOST_BYTES} bytes")
        yield element


def _are_batches(spec: tuple[Any, Any]) -> bool:
    """Whether elements are batches: the number of examples comes first, in both shapes.

    Raises:
        UserError: the shapes leave it open.
    """
    x, y = (one.shape for one in spec)
    if y.rank == 0:
        return False
    if x.rank is None or y.rank is None:
        raise UserError("data: the tf.data.Dataset does not say its shapes, expected some.")
    if x.rank and x[0] is None and y[0] is None:
        return True
    if x.rank > 1 and x[0] == y[0]:
        raise UserError(
            f"data: elements of shapes {x} and {y} are examples or batches: use unbatch(), or "
            "batch(n) without drop_remainder."
        )
    return False
