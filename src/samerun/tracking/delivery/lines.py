"""A file to which lines are appended; delivery continues reading where it stopped."""

import errno
import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, final

Line = dict[str, Any]

Waiting = tuple[Line, int | None]
"""A line, and where it ends in its file; `None` if the disk was full."""

_UNSTORABLE = re.compile("[\ud800-\udfff\0]")

_log = logging.getLogger(__name__)


def storable(value: Any) -> Any:
    """Returns a value with U+FFFD in its texts where a store does not accept a character.

    A name that is not UTF-8 reaches Python with lone surrogates in it, which cannot be encoded;
    PostgreSQL accepts no NUL.
    """
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {storable(key): storable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [storable(entry) for entry in value]
    return value


def read_lines(
    path: Path, start: int, is_valid: Callable[[Any], bool]
) -> tuple[list[tuple[Line, int]], bool]:
    """Returns the complete lines from byte `start` on, and whether some could not be read.

    Args:
        path: the file; a missing one has no lines.
        start: where a line begins.
        is_valid: whether a line is accepted; others are skipped.

    Returns:
        Each line with the byte where it ends, and whether lines were skipped.
    """
    try:
        with path.open("rb") as file:
            file.seek(start)
            text = file.read()
    except FileNotFoundError:
        return [], False
    lines, end, is_damaged = [], start, False
    for raw in text[: text.rfind(b"\n") + 1].split(b"\n")[:-1]:
        end += len(raw) + 1
        try:
            line = json.loads(raw)
        except (ValueError, RecursionError):
            line = None
        if isinstance(line, dict) and is_valid(line):
            lines.append((line, end))
        else:
            is_damaged = True
    return lines, is_damaged


@final
class Lines:
    """One file of a run's spool.

    A line for which the disk is full is kept in memory and delivered from there.

    Args:
        path: the file.
        position: how many of its bytes were delivered. One beyond the file's end, or inside a line,
            was written before a power failure truncated the file: delivery starts over.
        is_valid: whether a line is delivered.
    """

    def __init__(self, path: Path, position: int, is_valid: Callable[[Any], bool]) -> None:
        self._path = path
        self._is_valid = is_valid
        self._file: BinaryIO | None = None
        self._unwritten: list[Line] = []
        self._warned: set[str] = set()
        self._lock = Lock()
        self._cut_torn_tail()
        self.position = position if self._begins_line(position) else 0
        self.starts_over = self.position != position

    def _cut_torn_tail(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb+") as file:
            if _byte_before(file, file.seek(0, os.SEEK_END)) != b"\n":
                text = self._path.read_bytes()
                file.truncate(text.rfind(b"\n") + 1)

    def _begins_line(self, position: int) -> bool:
        if position <= 0 or not self._path.exists():
            return position == 0
        with self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            return position <= size and _byte_before(file, position) == b"\n"

    def append(self, lines: list[Line]) -> None:
        """Writes lines at the end; warns once if that fails."""
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        with self._lock:
            try:
                self._write(text.encode())
            except OSError as error:
                self._unwritten += lines
                self._warn_once(f"Cannot write {self._path}: {error}. Training continues.")

    def _write(self, text: bytes) -> None:
        if self._file is None:
            self._file = self._path.open("ab", buffering=0)
        before = self._file.seek(0, os.SEEK_END)
        if self._file.write(text) != len(text):
            os.truncate(self._path, before)  # a full disk accepts part of a line
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _warn_once(self, message: str) -> None:
        kind = message[:30]
        if kind not in self._warned:
            _log.warning("%s", message)
        self._warned.add(kind)

    def sync_to_disk(self) -> None:
        """Returns when all lines are on the disk, safe from a power failure."""
        with self._lock:
            if self._file is None:
                return
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                self._warn_once(f"Cannot flush {self._path} to the disk: {error}.")

    def read(self) -> list[tuple[Line, int]]:
        """Returns all complete lines of the file, delivered or not."""
        return read_lines(self._path, 0, self._is_valid)[0]

    def waiting(self) -> list[Waiting]:
        """Returns the lines that were not delivered yet."""
        with self._lock:
            written, is_damaged = read_lines(self._path, self.position, self._is_valid)
            if is_damaged:
                self._warn_once(f"{self._path} has a line that cannot be read, which is skipped.")
            return [*written, *((line, None) for line in self._unwritten)]

    def delivered(self, batch: list[Waiting]) -> None:
        """Marks the first lines of `waiting()` as delivered."""
        with self._lock:
            ends = [end for _, end in batch if end is not None]
            self.position = max([self.position, *ends])
            del self._unwritten[: len(batch) - len(ends)]

    def close(self) -> None:
        """Closes the file; the next line opens it again."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


def _byte_before(file: BinaryIO, position: int) -> bytes:
    """Returns the byte that ends at a position; the start of a file counts as a new line."""
    if position == 0:
        return b"\n"
    file.seek(position - 1)
    return file.read(1)
