"""Files that are written completely or not at all, whenever the process or the machine stops."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Gives the block another name in the same folder to write to; the file then gets its own.

    Args:
        path: the file; one that exists is replaced after the block, and kept if the block raises.
        durable: flush the content and the name to the disk, so that a power failure loses neither.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)  # of a killed process that had the same number
    try:
        yield temporary
        if durable:
            _sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        _sync(path.parent)


def write_atomic(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Writes a small file, so that no reader ever sees a part of it.

    Args:
        path: the file; replaced if it exists.
        content: bytes, or text that is written as UTF-8.
        durable: as for `replacing`.
    """
    with replacing(path, durable=durable) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def sync_folder(folder: Path) -> None:
    """Returns when the names of a folder's files are safe from a power failure."""
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
