"""Reads raw input from files in chunks: rows of a CSV file, lines of text, images of a folder."""

import csv
import io
import itertools
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from samerun.csv_header import SEPARATORS, check_columns
from samerun.errors import UserError, listed
from samerun.raw_model.image_files import MOST_BYTES
from samerun.serving.csv_rows import Rows

ROWS = 4096
"""Rows at a time; a multiple of every usual batch size, so that batches are those of one pass."""
_MOST_NUMBERS = 1_000_000
"""Numbers of a chunk of a wide file; a prediction copies them four times."""
_IMAGES = 64
_ENDINGS = (".jpg", ".jpeg", ".png")
_TEXTS = (".txt",)
STDIN = "-"


@dataclass(frozen=True)
class Chunk:
    """Some raw input.

    Args:
        frame: the columns of the model.
        names: for each row its line or the name of its file.
    """

    frame: Any
    names: Sequence[str | int]


def chunks(form: Mapping[str, Any], source: str) -> Iterator[Chunk]:
    """Yields raw input from a file, a folder or the standard input (`-`).

    Args:
        form: the input's description.
        source: where to read.

    Raises:
        UserError: there is nothing, or it is not what the model takes.
    """
    path = Path(source).expanduser()
    if source != STDIN and not path.exists():
        raise UserError(f"received '{source}', expected a file or a folder: there is none there.")
    if form["kind"] == "image":
        yield from _images(form, source, path)
    elif source != STDIN and (path.is_dir() or path.suffix.lower() in _TEXTS):
        yield from _texts(form, path)
    else:
        yield from _csv(form, source)


def key_of(form: Mapping[str, Any], source: str) -> str:
    """Returns the name of the first column of the output: `line` or `file`."""
    path = Path(source).expanduser()
    is_files = form["kind"] == "image" or path.is_dir() or path.suffix.lower() in _TEXTS
    return "file" if is_files and source != STDIN else "line"


def files_in(folder: Path, endings: Sequence[str]) -> list[Path]:
    """Returns the files below a folder by name; links and hidden files are left out."""
    found = []
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            Path(here, name)
            for name in sorted(names)
            if name.lower().endswith(tuple(endings)) and not name.startswith(".")
        ]
    return [file for file in found if file.is_file() and not file.is_symlink()]


def _images(form: Mapping[str, Any], source: str, path: Path) -> Iterator[Chunk]:
    if source == STDIN:
        raise UserError("received '-', expected an image file or a folder of images.")
    if path.suffix.lower() == ".npy":
        yield from _arrays(form, path)
        return
    if not form["encoded"]:
        raise UserError(
            f"received '{source}', expected a .npy file of {form['column']}s, an array of "
            f"(n, {', '.join(map(str, form['shape']))}): the model takes no image files."
        )
    files = files_in(path, _ENDINGS) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{source}: holds no {listed(_ENDINGS)} file, expected some.")
    yield from image_chunks(form, path if path.is_dir() else path.parent, files)


def image_chunks(form: Mapping[str, Any], root: Path, files: Sequence[Path]) -> Iterator[Chunk]:
    """Yields image files.

    Args:
        form: the input's description.
        root: the folder that their names begin at.
        files: the files, below it.

    Raises:
        UserError: one cannot be read.
    """
    import pandas as pd

    for start in range(0, len(files), _IMAGES):
        some = files[start : start + _IMAGES]
        cells = pd.Series([_content(file) for file in some], dtype=object)
        names = [file.relative_to(root).as_posix() for file in some]
        yield Chunk(pd.DataFrame({form["column"]: cells}), names)


def _arrays(form: Mapping[str, Any], path: Path) -> Iterator[Chunk]:
    import pandas as pd

    values = _loaded(path)
    if values.ndim < 1:
        raise UserError(
            f"{path}: holds one number, expected an array of (n, "
            f"{', '.join(map(str, form['shape']))})."
        )
    for start in range(0, len(values), _IMAGES):
        cells = [np.asarray(one) for one in values[start : start + _IMAGES]]
        frame = pd.DataFrame({form["column"]: pd.Series(cells, dtype=object)})
        yield Chunk(frame, [f"{path.name}[{start + place}]" for place in range(len(cells))])


def _loaded(path: Path) -> Any:
    try:
        with path.open("rb") as file:  # NumPy would open an .npz file, and leave it open
            if file.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
                raise ValueError("the signature is missing")
        values = np.load(path, mmap_mode="r", allow_pickle=False)
        if values.dtype.kind not in "biuf":
            raise ValueError("it holds other values than numbers")
    except Exception as error:  # a damaged file raises errors of many types
        raise UserError(f"{path}: is no .npy file of plain numbers.") from error
    return values


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MOST_BYTES:
            return b""  # refused as an empty file, with its name
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}.") from error


def _texts(form: Mapping[str, Any], path: Path) -> Iterator[Chunk]:
    if form["kind"] != "text":
        raise UserError(f"received '{path}', expected a CSV file with the columns of the data.")
    files = files_in(path, _TEXTS) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path}: holds no .txt file, expected some.")
    yield from text_chunks(form, path if path.is_dir() else path.parent, files)


def text_chunks(form: Mapping[str, Any], root: Path, files: Sequence[Path]) -> Iterator[Chunk]:
    """Yields text files.

    Args:
        form: the input's description.
        root: the folder that their names begin at.
        files: the files, below it.

    Raises:
        UserError: one cannot be read as UTF-8.
    """
    import pandas as pd

    for start in range(0, len(files), _IMAGES):
        some = files[start : start + _IMAGES]
        cells = pd.Series([_text(file) for file in some], dtype=object)
        names = [file.relative_to(root).as_posix() for file in some]
        yield Chunk(pd.DataFrame({form["column"]: cells}), names)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: is not UTF-8: save it as UTF-8.") from error
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}.") from error


@contextmanager
def _opened(source: str) -> Iterator[TextIO]:
    try:
        if source == STDIN:
            file = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", newline="")
            try:
                yield file
            finally:
                file.detach()  # or the standard input would be closed
            return
        with Path(source).expanduser().open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: is not UTF-8: save it as UTF-8.") from error
    except OSError as error:
        raise UserError(f"{source}: cannot be read: {error.strerror}.") from error


def _csv(form: Mapping[str, Any], source: str) -> Iterator[Chunk]:
    """Rows of a CSV file; a series is one chunk, since its windows overlap."""
    needed = needed_columns(form)
    with _opened(source) as file:
        first = file.readline()
        lines = itertools.chain([first] if first else [], file)
        rows = Rows(lines, _separator(first, needed), source)
        check_columns(source, rows.header)
        missing = [name for name in needed if name not in rows.header]
        if missing:
            raise UserError(
                f"{source}: its first line names {listed(rows.header) or 'nothing'} and lacks "
                f"{listed(missing)}, expected {listed(needed)}."
            )
        optional = [name for name in _optional_columns(form) if name in rows.header]
        numeric = frozenset(form.get("numeric") or form.get("columns") or ())
        size = sys.maxsize if form["kind"] == "series" else _num_rows(len(rows.header))
        num = 0
        while (chunk := _chunk(rows, size, [*needed, *optional], numeric)) is not None:
            num += len(chunk.names)
            yield chunk
        if not num:
            raise UserError(f"{source}: has no rows below its first line, expected some.")


def _separator(first: str, needed: Sequence[str]) -> str:
    """Returns the separator with which the first line has most of the columns, then most cells."""

    def columns(separator: str) -> tuple[int, int]:
        try:
            cells = [cell.strip() for cell in next(csv.reader([first], delimiter=separator), [])]
        except csv.Error:  # a cell of more letters than csv reads, which is refused later
            return 0, 0
        return len({*needed} & {*cells}), len(cells)

    return max(map(str, SEPARATORS), key=columns)


def needed_columns(form: Mapping[str, Any]) -> list[str]:
    """Returns the columns that the model needs."""
    if form["kind"] == "table":
        return [*form["numeric"], *form["categorical"]]
    return [*form["columns"]] if form["kind"] == "series" else [form["column"]]


def _optional_columns(form: Mapping[str, Any]) -> list[str]:
    if form["kind"] != "series":
        return []
    return [*([form["date"]] if form["date"] else []), "window"]


def _num_rows(width: int) -> int:
    """Returns how many rows of a file are read at a time: a power of two, as `ROWS` is."""
    return min(ROWS, max(1024, 1 << ((_MOST_NUMBERS // width).bit_length() - 1)))


def _chunk(rows: Rows, size: int, names: Sequence[str], numeric: Collection[str]) -> Chunk | None:
    """Rows as columns, of which few are text at a time: a cell of text takes 60 bytes or more."""
    import pandas as pd

    lines: list[int] = []
    parts: dict[str, list[Any]] = {name: [] for name in names}
    while len(lines) < size and (block := rows.block(size - len(lines), names, numeric)):
        lines += block.lines
        for name, values in block.columns.items():
            parts[name].append(values)
    if not lines:
        return None
    columns = {name: np.concatenate(parts.pop(name)) for name in names}
    frame = {
        name: pd.Series(values, dtype=values.dtype, copy=False) for name, values in columns.items()
    }
    return Chunk(pd.DataFrame(frame), lines)
