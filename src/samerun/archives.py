"""Reads arrays from untrusted `.npz` files, in no more memory than was allowed.

`numpy.load` trusts the file: a header of 100 bytes, or 4 MB of compressed zeros, allocates
gigabytes before any check is possible. Here the headers are read first, the total size
is compared with a limit, and an array is then filled from its stream, whatever the zip directory
declares. Nothing is unpickled.
"""

import io
import math
import os
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from samerun.errors import ArchiveTooLarge, first_line

Array = NDArray[Any]

ERRORS_OF_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    IndexError,
    OverflowError,
    NotImplementedError,
    RuntimeError,  # it needs a password
)
"""What `zipfile` raises for a damaged archive, besides `ValueError` and `OSError`."""

_MOST_HEADER_BYTES = 20_000  # NumPy itself refuses to evaluate more than 10,000
_COPIED_BYTES = 1 << 20  # at a time


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of an array.

    Args:
        shape: its shape.
        dtype: its type.
        is_fortran: whether its first axis varies fastest.
        start: where its values begin, in bytes.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool
    start: int

    @property
    def num_bytes(self) -> int:
        """The memory it needs; for a type without a size, one byte per element."""
        return math.prod(self.shape) * max(self.dtype.itemsize, 1)


def headers(file: Path | IO[bytes], names: Collection[str] | None = None) -> dict[str, Header]:
    """Returns shape and type of the arrays in an `.npz` file, by name.

    Args:
        file: the file, or one that is open.
        names: the arrays to inspect; `None`: all.

    Raises:
        ValueError: it is no such file, or the header of an array is impossible.
        OSError: it cannot be read.
    """
    with _opened(file) as archive:
        return _headers(archive, names)


def names(file: Path | IO[bytes]) -> set[str]:
    """Returns the names of the arrays in an `.npz` file.

    Args:
        file: the file, or one that is open.

    Raises:
        ValueError: it is no such file.
        OSError: it cannot be read.
    """
    with _opened(file) as archive:
        return set(_members(archive))


def arrays(
    file: Path | IO[bytes], names: Collection[str] | None = None, *, most_bytes: int
) -> dict[str, Array]:
    """Returns the arrays in an `.npz` file, by name.

    Args:
        file: the file, or one that is open.
        names: the arrays to read; `None`: all.
        most_bytes: memory that all of them together may need.

    Raises:
        ArchiveTooLarge: they need more; none was allocated.
        ValueError: it is no such file, is damaged, or holds pickled objects.
        OSError: it cannot be read.
    """
    with _opened(file) as archive:
        found = _headers(archive, names)
        check_size(found, most_bytes)
        members = _members(archive)
        return {name: _array(archive, members[name], header) for name, header in found.items()}


def check_size(found: Mapping[str, Header], most_bytes: int) -> None:
    """Checks the memory that arrays need together.

    Args:
        found: their headers, by name.
        most_bytes: memory that all of them together may need.

    Raises:
        ArchiveTooLarge: they need more.
    """
    total = sum(header.num_bytes for header in found.values())
    if total > most_bytes:
        raise ArchiveTooLarge(
            f"its arrays need {total} bytes of memory, expected at most {most_bytes}"
        )


def unpacked_limit(file: Path, *, at_least: int, times: int) -> int:
    """Returns how much memory the arrays of a file may need: a multiple of its size, or a minimum.

    Args:
        file: the file.
        at_least: what the arrays of a small file may need.
        times: how many times the size of the file.
    """
    return max(at_least, times * file.stat().st_size)


@contextmanager
def _opened(file: Path | IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """Opens an archive; every error of zip files becomes a `ValueError`."""
    try:
        with zipfile.ZipFile(file) as archive:
            yield archive
    except (ValueError, OSError):
        raise
    except ERRORS_OF_ZIP as error:
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise ValueError(f"it is not a complete .npz file: {reason}") from error


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    found: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name in found:
            raise ValueError(f"it holds two arrays named {name[:100]!r}")
        # Python decompresses the other kinds at once, however large, before it checks a limit.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"its array {name[:100]!r} uses a compression that NumPy does not")
        found[name] = info
    return found


def _headers(archive: zipfile.ZipFile, names: Collection[str] | None) -> dict[str, Header]:
    members = _members(archive)
    found = {}
    for name in members if names is None else names:
        with archive.open(members[name]) as member:
            found[name] = _header(name, member.read(_MOST_HEADER_BYTES))
        _check_there(name, found[name], members[name].file_size)
    return found


def _header(name: str, beginning: bytes) -> Header:
    file = io.BytesIO(beginning)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files of Python 2
            version = npy.read_magic(file)
            if version not in ((1, 0), (2, 0), (3, 0)):
                raise ValueError(f"received version {version}, expected 1.0, 2.0 or 3.0")
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, is_fortran, dtype = read(file)
    # The header is a Python literal, and which errors parsing it can raise is not documented.
    except Exception as error:
        raise ValueError(
            f"the header of its array {name[:100]!r} is none: {first_line(error)}"
        ) from error
    if any(length < 0 for length in shape):
        raise ValueError(f"its array {name[:100]!r} has the shape {str(shape)[:100]}")
    return Header(shape=shape, dtype=dtype, is_fortran=is_fortran, start=file.tell())


def _check_there(name: str, header: Header, num_bytes: int) -> None:
    """Checks that a member has as many bytes as its array needs."""
    needed = math.prod(header.shape) * header.dtype.itemsize
    if not header.dtype.hasobject and needed > num_bytes - header.start:
        raise ValueError(
            f"its array {name[:100]!r} of shape {str(header.shape)[:100]} and type "
            f"{str(header.dtype)[:100]} needs {needed} bytes and there are "
            f"{num_bytes - header.start}"
        )


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, header: Header) -> Array:
    name = info.filename[:100]
    if header.dtype.hasobject or header.dtype.kind not in "biufcSUmMV":
        raise ValueError(f"its array {name!r} holds Python objects, which are never unpickled")
    try:
        flat: Array = np.empty(math.prod(header.shape), header.dtype)
        made = (
            flat.reshape(header.shape[::-1]).T if header.is_fortran else flat.reshape(header.shape)
        )
    except (ValueError, TypeError, OverflowError) as error:  # too many axes, for example
        raise ValueError(f"its array {name!r} cannot be created: {error}") from error
    with archive.open(info) as member:
        member.read(header.start)
        _fill(flat.view(np.uint8).data if flat.nbytes else memoryview(b""), member, name)
    return made


def _fill(target: memoryview, member: IO[bytes], name: str) -> None:
    """Reads as many bytes as the buffer holds, whatever the zip directory declares."""
    place = 0
    while place < len(target):
        part = member.read(min(_COPIED_BYTES, len(target) - place))
        if not part:
            raise ValueError(f"its array {name!r} ends after {place} of {len(target)} bytes")
        target[place : place + len(part)] = part
        place += len(part)
    if member.read(1):  # at the end the checksum is compared too
        raise ValueError(f"its array {name!r} has more bytes than it declares")


def size_of(file: IO[bytes]) -> int:
    """Returns the size of an open file, and restores its position."""
    place = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(place)
    return size
