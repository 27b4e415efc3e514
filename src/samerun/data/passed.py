"""Data passed in from Python, saved as a file that is named after the digest of its content.

A run on it is thereby one of `dataset=npz` or `dataset=table_csv`: resuming, sweeps, reproducing,
bundles and predictions need nothing else, and its config says that its data was passed in.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from samerun.data import arrays
from samerun.data.fingerprint import fingerprint
from samerun.data.source import Array, Split
from samerun.errors import UserError, first_line, listed
from samerun.files import replacing
from samerun.privacy import make_folder

FOLDER = Path("data", "from_python")
"""Below the working folder; git ignores it, and a run's folder may be removed without it."""
MOST_BYTES = 4_000_000_000
"""Arrays that take more memory are refused, since they are copied to the disk."""
_SPLITS = ("train", "validation", "test")
_EXPECTED = (
    "expected (x, y), a dict of them named train, validation and test, a pandas.DataFrame, or a "
    "tf.data.Dataset of (x, y)"
)
_KINDS_OF_FRAMES = ("table_csv", "series_csv", "text_csv")


@dataclass(frozen=True)
class _Content:
    """What is to be saved.

    Args:
        kinds: the datasets that can read it, the usual one first.
        name: of the file.
        write: writes it.
    """

    kinds: tuple[str, ...]
    name: str
    write: Callable[[Path], None]


def with_data(overrides: Sequence[str], data: Any) -> list[str]:
    """Saves data and returns the overrides with those that name it.

    Args:
        overrides: of a run or of a sweep.
        data: `(x, y)`, a dict of them, a `pandas.DataFrame` or a `tf.data.Dataset`.

    Raises:
        UserError: the data is of another type, too large or cannot be saved, or the overrides name
            other data.
    """
    content = _content(data)
    path = next((text for text in overrides if text.startswith("dataset.path=")), None)
    kind = next((text for text in overrides if text.startswith("dataset=")), None)
    kinds = [f"dataset={name}" for name in content.kinds]
    if path is not None or kind not in (None, *kinds):
        raise UserError(
            f"data: received {path or kind} too, expected "
            f"{'no dataset.path' if path else ' or '.join(kinds)} where data is passed in."
        )
    added = [f"dataset.path={_save(content).as_posix()}"]
    return [*overrides, *([kinds[0]] if kind is None else []), *added]


def put_back(data: Any, path: str, run_id: str) -> None:
    """Saves the data of a recorded run again, after comparing its digest.

    Args:
        data: as for `with_data`.
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


def was_passed_in(path: str | Path) -> bool:
    """Whether a `dataset.path` is one that `with_data` makes."""
    return Path(path).parent == FOLDER


def hint(path: str | Path) -> str:
    """Returns what to do where a file with data that was passed in is missing; else nothing."""
    if not was_passed_in(path):
        return ""
    return (
        " It was passed in from Python: pass it in again, as in samerun.reproduce(ID, data=...) or "
        "samerun.resume(ID, data=...)."
    )


def _save(content: _Content) -> Path:
    path = FOLDER / content.name
    try:
        make_folder(FOLDER)
        ignored = FOLDER / ".gitignore"
        if not ignored.exists():
            ignored.write_text("*\n", encoding="utf-8")
        with replacing(path, durable=False) as temporary:
            content.write(temporary)
    except OSError as error:
        raise UserError(f"data: {path} cannot be written: {error.strerror}.") from error
    return path


def _content(data: Any) -> _Content:
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(data, pandas.DataFrame):
        return _table(data)
    return _arrays(data)


# ---- a table


def _table(frame: Any) -> _Content:
    _check_cells(frame)
    content: bytes = frame.to_csv(index=False, lineterminator="\n").encode("utf-8")
    if len(content) > MOST_BYTES:
        raise _too_large(f"as CSV takes {len(content)} bytes")
    digest = hashlib.sha256(content).hexdigest()

    def write(file: Path) -> None:
        file.write_bytes(content)

    return _Content(_KINDS_OF_FRAMES, f"{digest[:16]}.csv", write)


def _check_cells(frame: Any) -> None:
    if not all(isinstance(name, str) for name in frame.columns):
        raise UserError("data: its columns are not all named by text, expected names.")
    if not frame.columns.is_unique:
        raise UserError("data: two of its columns have the same name, expected unique names.")
    for name, dtype in zip(frame.columns, frame.dtypes, strict=True):
        if dtype.kind != "O":  # text too may be of this kind
            continue
        column = frame[name].dropna()
        plain = str | int | float | np.number | np.bool_
        strange = next((cell for cell in column if not isinstance(cell, plain)), None)
        if strange is not None:
            raise UserError(
                f"data: column {name} holds a {type(strange).__name__}, expected numbers or text."
            )


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

    return _Content(("npz",), f"{digest.hexdigest()[:16]}.npz", write)


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
    try:
        array = np.asarray(values)
    except Exception as error:  # lists of several lengths, an object with its own __array__
        raise UserError(f"data: {name} is no array: {first_line(error)}") from error
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _too_large(takes: str) -> UserError:
    return UserError(
        f"data: {takes} of memory, expected at most {MOST_BYTES}, since it is copied into "
        f"{FOLDER.as_posix()}: write a file of your own with numpy.savez and use dataset=npz "
        "dataset.path=FILE, or a folder that dataset=image_folder streams."
    )


# ---- tf.data


def _read(dataset: Any, tensorflow: Any) -> tuple[Array, Array]:
    """Reads a `tf.data.Dataset` of examples or of batches."""
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) != 2:
        raise UserError(f"data: its elements are {str(spec)[:200]}, expected (x, y).")
    if int(dataset.cardinality()) == tensorflow.data.INFINITE_CARDINALITY:
        raise UserError("data: the tf.data.Dataset never ends: leave out repeat(), or add take(n).")
    elements = list(_up_to_the_limit(dataset.as_numpy_iterator()))
    if not elements:
        raise UserError("data: the tf.data.Dataset has no elements, expected some.")
    again = next(dataset.as_numpy_iterator())
    if [np.asarray(one).tobytes() for one in elements[0]] != [
        np.asarray(one).tobytes() for one in again
    ]:
        raise UserError(
            "data: the tf.data.Dataset begins with another element in each pass, expected one "
            "order: leave out shuffle() and random map(): every epoch of a run is shuffled anyway."
        )
    join = np.concatenate if _are_batches(spec) else np.stack
    try:
        x, y = (join(values) for values in zip(*elements, strict=True))
    except ValueError as error:
        raise UserError(
            f"data: elements of the tf.data.Dataset differ in shape: {first_line(error)}"
        ) from error
    return _array("x", x), _array("y", y)


def _up_to_the_limit(elements: Iterable[Any]) -> Iterable[Any]:
    total = 0
    for element in elements:
        total += sum(np.asarray(value).nbytes for value in element)
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
