"""The lock of a run's folder: held by the process that works on the run, released when it ends."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from samerun.errors import UserError
from samerun.privacy import make_folder
from samerun.tracking.recovery.folders import ALIVE_LOCK


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Holds the lock of a run's folder; the system releases it however the process ends."""
    try:
        make_folder(folder)
        lock = FileLock(folder / ALIVE_LOCK)
        lock.acquire(timeout=2)  # `close_dead_runs` of another process may hold it briefly
    except Timeout as error:
        raise UserError(f"{folder} belongs to a running run: wait until it ends.") from error
    except OSError as error:
        raise UserError(
            f"The run's folder {folder} cannot be written ({error.strerror}): choose another one."
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def try_lock_folder(folder: Path) -> Iterator[bool]:
    """Holds the lock of a run's folder if no process does; yields whether it was acquired."""
    lock = FileLock(folder / ALIVE_LOCK)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def is_alive(folder: Path) -> bool:
    """Whether a process of this machine holds the lock of a run's folder."""
    if not (folder / ALIVE_LOCK).exists():
        return False
    lock = FileLock(folder / ALIVE_LOCK)
    try:
        lock.acquire(timeout=2)
    except (Timeout, OSError):
        return True
    lock.release()
    return False
