"""A user's own arrays in one `.npz` file; nothing in it is ever unpickled."""

import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from samerun.config import Npz, UserError
from samerun.data import arrays
from samerun.data.arrays import Header
from samerun.data.outline import Array, Outline, Source

_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    RuntimeError,  # encrypted, or an unknown compression
    zipfile.BadZipFile,
    zlib.error,
)


def _where(path: Path) -> str:
    return f"dataset.path: {path}"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as error:
        raise UserError(
            f"{_where(path)}: is not a whole .npz file ({type(error).__name__}: "
            f"{str(error).rstrip('.')}): write it again with numpy.savez."
        ) from error


def _path(cfg: Npz) -> Path:
    path = Path(cfg.path).expanduser()
    if not path.is_file():
        raise UserError(
            f"dataset.path: received '{cfg.path}', expected an .npz file: there is none at "
            f"{path.absolute()}."
        )
    return path


def _read_header(name: str, member: IO[bytes]) -> Header:
    version = npy.read_magic(member)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(member)
    return Header(name, shape, dtype)


def _check_size(header: Header, num_bytes: int) -> None:
    """Refuses an array that says it is larger than it is, before memory is taken for it."""
    promised = math.prod(header.shape) * header.dtype.itemsize
    if not header.dtype.hasobject and promised > num_bytes:
        raise EOFError(f"{header} needs {promised} bytes and there are {num_bytes}")


def _headers(path: Path) -> list[Header]:
    """Reads names, shapes and types of the arrays that are used, and nothing else."""
    with _reading(path), zipfile.ZipFile(path) as archive:
        found = {name.removesuffix(".npy"): name for name in archive.namelist()}
        headers = []
        for name in arrays.names_of(_where(path), set(found)):
            with archive.open(found[name]) as member:
                headers.append(_read_header(name, member))
            _check_size(headers[-1], archive.getinfo(found[name]).file_size)
    return headers


def _arrays(path: Path, names: Sequence[str]) -> list[Array]:
    with _reading(path), np.load(path, allow_pickle=False) as archive:
        found = [archive[name] for name in names]
    # TensorFlow takes this machine's byte order only.
    return [a.astype(a.dtype.newbyteorder("="), copy=False) for a in found]


def outline_npz(cfg: Npz) -> Outline:
    """Returns what the file holds, from the headers of its arrays and from integer labels.

    Raises:
        UserError: no such file, not an .npz file, or not the arrays that are expected.
    """
    path = _path(cfg)
    headers = _headers(path)
    arrays.check(_where(path), headers)
    labels = []
    if arrays.are_labels(headers[1]):
        labels = [arrays.as_labels(y) for y in _arrays(path, [h.name for h in headers[1::2]])]
    return arrays.outline(cfg, _where(path), headers, labels)


def load_npz(cfg: Npz) -> Source:
    """Loads the arrays.

    Raises:
        UserError: as `outline_npz`, or a value that is not finite.
    """
    path = _path(cfg)
    outline = outline_npz(cfg)
    names = arrays.WHOLE if outline.num_official_test is None else arrays.OFFICIAL
    found = dict(zip(names, _arrays(path, names), strict=True))
    return arrays.source(_where(path), outline, found)
