"""A user's own arrays in one `.npz` file; nothing in it is unpickled."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from samerun import archives
from samerun.config.datasets import Dataset
from samerun.config.datasets.images import Npz
from samerun.data import arrays, passed
from samerun.data.arrays import Header
from samerun.data.source import Array, Outline, Source, SourceKind
from samerun.errors import ArchiveTooLarge, UserError

_SMALL_FILE_BYTES = 1 << 30
_PACKED_TIMES = 20
"""Limit for a compressed file: 1 GiB, or 20 times its size. Data usually compresses 2 to 10 times;
a ratio of 100 is meant to exhaust memory."""


def _where(path: Path) -> str:
    return f"dataset.path: {path}"


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except ArchiveTooLarge as error:
        raise UserError(
            f"{_where(path)}: {error}, which is 1 GiB or {_PACKED_TIMES} times the size of the "
            "file: if this is intended, save it uncompressed with numpy.savez."
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"{_where(path)}: is not a complete .npz file ({_reason(error)}): save it again with "
            "numpy.savez."
        ) from error


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)[:300]


def _path(cfg: Npz) -> Path:
    path = Path(cfg.path).expanduser()
    if not path.is_file():
        raise UserError(
            f"dataset.path: received '{cfg.path}', expected an .npz file: there is none at "
            f"{path.absolute()}.{passed.hint(cfg.path)}"
        )
    return path


def _headers(path: Path) -> list[Header]:
    """Reads only the names, shapes and types of the arrays that are used."""
    with _reading(path):
        names = arrays.names_of(_where(path), archives.names(path))
        found = archives.headers(path, names)
        limit = archives.unpacked_limit(path, at_least=_SMALL_FILE_BYTES, times=_PACKED_TIMES)
        archives.check_size(found, limit)
    return [Header(name, header.shape, header.dtype) for name, header in found.items()]


def _arrays(path: Path, names: Sequence[str]) -> list[Array]:
    with _reading(path):
        limit = archives.unpacked_limit(path, at_least=_SMALL_FILE_BYTES, times=_PACKED_TIMES)
        found = archives.arrays(path, names, most_bytes=limit)
    # TensorFlow accepts only the byte order of this machine.
    return [a.astype(a.dtype.newbyteorder("="), copy=False) for a in found.values()]


def outline_npz(cfg: Npz) -> Outline:
    """Returns the outline of the file, from the headers of its arrays and integer labels.

    Raises:
        UserError: the file is missing, not an .npz file, or lacks the expected arrays.
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
        UserError: see `outline_npz`, or a value that is not finite.
    """
    path = _path(cfg)
    outline = outline_npz(cfg)
    names = [header.name for header in _headers(path)]
    found = dict(zip(names, _arrays(path, names), strict=True))
    return arrays.source(_where(path), outline, found)


SOURCES: dict[type[Dataset], SourceKind] = {
    Npz: SourceKind(outline=outline_npz, load=load_npz),
}
