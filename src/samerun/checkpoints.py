"""The complete state of a run in one file: written atomically, verified before it is used.

Pickles are neither written nor read. A file is an `.npz` with one line after it, the SHA-256 of all
that precedes it; NumPy reads it as any other `.npz`.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from samerun import archives
from samerun.errors import UserError
from samerun.files import replacing, sync_folder

Array = NDArray[Any]

LAST, PREVIOUS, BEST = "last.npz", "previous.npz", "best.npz"
UPLOADED = ("a.npz", "b.npz")
"""Names in the tracking store, used in turns: an interrupted upload leaves the other one intact."""
START = "start.npz"
"""The state that a forked run was started from."""

MOST_BYTES = 50_000_000_000
"""Maximum size of a checkpoint from a tracking store; the weights and the optimizer of 4 billion
parameters do. A larger one is resumed from the run's own folder."""

_VERSION = 1
_META = "meta"
_SEAL = b"\nsamerun sha256 %s\n"
_SEAL_BYTES = len(_SEAL % (b"0" * 64))
_DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainingState:
    """Everything that the rest of a training depends on besides code, config and data.

    Args:
        epoch: epochs that are complete.
        step: steps done in the epoch after them; 0 between epochs.
        arrays: variables by name.
        meta: everything else, as JSON values.
    """

    epoch: int
    step: int
    arrays: dict[str, Array]
    meta: dict[str, Any]

    def has_stopped(self) -> bool:
        """Whether training ended here before its last epoch, as by early stopping."""
        early = self.meta.get("callbacks", {}).get("early_stopping", {})
        return bool(early.get("stopped_epoch") or (not self.step and self.meta.get("stopped")))


def write(folder: Path, state: TrainingState, *, is_best: bool) -> Path:
    """Writes the state as `last.npz`; the last one before becomes `previous.npz`.

    Whenever the process is killed, a complete file exists under one of these names: the new one
    gets its name only when all of it is on the disk.

    Args:
        folder: of the checkpoints; created if missing.
        state: what to write.
        is_best: keep it as `best.npz` too.

    Returns:
        The file.

    Raises:
        UserError: it cannot be written; where the disk is full, even without `previous.npz`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, state, is_best=is_best)
    except OSError as error:
        raise UserError(
            f"checkpoint: {folder / LAST} cannot be written ({error.strerror}): make room for it, "
            "or set checkpoint.every_epochs=null for a run that cannot be resumed."
        ) from error
    return folder / LAST


def write_start(folder: Path, state: TrainingState) -> Path:
    """Writes the state that a forked run starts from; returns the file.

    Args:
        folder: of the checkpoints; created if missing.
        state: what to write.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / START) as new:
        _write_whole(new, state)
    return folder / START


def _write(folder: Path, state: TrainingState, *, is_best: bool) -> None:
    new = folder / f"{LAST}.new"
    try:
        _write_whole(new, state)
    except OSError as error:
        new.unlink(missing_ok=True)
        if error.errno not in _DISK_IS_FULL or not (folder / PREVIOUS).exists():
            raise
        _log.warning("%s: the disk is full: %s is removed to make room", folder / LAST, PREVIOUS)
        (folder / PREVIOUS).unlink()
        _write_whole(new, state)
    before = folder / f"{PREVIOUS}.new"
    if (folder / LAST).exists():
        _copy(folder / LAST, before)
    os.replace(new, folder / LAST)
    if before.exists():
        os.replace(before, folder / PREVIOUS)
    if is_best:
        same = folder / f"{BEST}.new"
        _copy(folder / LAST, same)
        os.replace(same, folder / BEST)
    sync_folder(folder)


def _write_whole(path: Path, state: TrainingState) -> None:
    meta = {"version": _VERSION, "epoch": state.epoch, "step": state.step, **state.meta}
    encoded: Array = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    if any(array.dtype.hasobject for array in state.arrays.values()):
        raise TypeError("objects would be pickled")
    with path.open("w+b") as file:
        members: dict[str, Any] = {_META: encoded, **state.arrays}
        np.savez(file, **members)
        size = file.tell()
        file.write(_SEAL % _digest_of(file, size).encode())
        file.flush()
        os.fsync(file.fileno())


def _digest_of(file: BinaryIO, size: int) -> str:
    """Returns the SHA-256 of the first bytes, and leaves the file positioned after them."""
    total = hashlib.sha256()
    file.seek(0)
    while size:
        part = file.read(min(size, 1 << 20))
        if not part:
            break
        total.update(part)
        size -= len(part)
    return total.hexdigest()


def _copy(source: Path, target: Path) -> None:
    """Gives a file a second name; copies it where the file system has no hard links."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def for_upload(folder: Path, number: int) -> Path:
    """Returns `last.npz` under the name that the checkpoint of this number has in the store."""
    target = folder / UPLOADED[number % len(UPLOADED)]
    _copy(folder / LAST, target)
    return target


def latest(folder: Path) -> TrainingState | None:
    """Returns the newest intact state in a folder; `None` if there is none.

    A truncated or changed file is named in a warning, and the one before it is used.

    Args:
        folder: of the checkpoints, or where those of the store were downloaded to.
    """
    found = [state for name in (LAST, PREVIOUS, *UPLOADED) if (state := _read(folder / name))]
    if not found and (best := _read(folder / BEST)):
        found = [best]
    return max(found, key=lambda state: (state.epoch, state.step), default=None)


def _read(path: Path) -> TrainingState | None:
    if not path.is_file():
        return None
    try:
        return read(path)
    except UserError as error:
        _log.warning("%s The checkpoint before it is used.", error)
        return None


def read(path: Path) -> TrainingState:
    """Returns the state in a file.

    Raises:
        UserError: the file is truncated, was changed, or holds anything but arrays.
    """
    try:
        with path.open("rb") as file:
            _check_seal(file)
            arrays = _arrays(file)
        meta = json.loads(arrays.pop(_META).tobytes())
        if meta.pop("version") != _VERSION:
            raise ValueError("written by another version of samerun")
        epoch, step = int(meta.pop("epoch")), int(meta.pop("step"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"checkpoint: {path} is damaged ({error}).") from error
    return TrainingState(epoch=epoch, step=step, arrays=arrays, meta=meta)


def _check_seal(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END) - _SEAL_BYTES
    if size < 0:
        raise ValueError("it is truncated")
    digest = _digest_of(file, size)
    if file.read() != _SEAL % digest.encode():
        raise ValueError("its SHA-256 is not the one that it ends with")
    file.seek(0)


def _arrays(file: BinaryIO) -> dict[str, Array]:
    # samerun does not compress what it writes, so the arrays need at most the size of the file.
    return archives.arrays(file, most_bytes=archives.size_of(file))


def digest(arrays: Iterable[Array]) -> str:
    """Returns the SHA-256, in hex, of arrays in order: their dtypes, shapes and bytes."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()
