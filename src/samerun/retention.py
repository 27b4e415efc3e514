"""Which checkpoints of a finished run are kept: `checkpoint.after_success`.

Only checkpoints are ever removed: files of known names in a run's own folder, and their copies in
the store. Metrics, predictions, models and configs are not touched. Removing is safe to repeat.
"""

import contextlib
import json
import logging
import os
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

from samerun import checkpoints, tracking
from samerun.config import Config
from samerun.config.checkpoint import AfterSuccess
from samerun.redaction import redact
from samerun.tracking import Status, StoredRun
from samerun.tracking.delivery.spool import OUTBOX_FILE, Spool
from samerun.tracking.recovery.lock import try_lock_folder

CHECKPOINTS = "checkpoints"
"""The folder of checkpoints, in a run's folder and among its artifacts."""

_FILES = (checkpoints.LAST, checkpoints.PREVIOUS, checkpoints.BEST, *checkpoints.UPLOADED)
# Never `start.npz`: without the state that a fork was started from, it cannot be reproduced.

_log = logging.getLogger(__name__)


def after_success(cfg: Config, folder: Path, *, ended: Status = Status.finished) -> None:
    """Removes the checkpoints that a finished run does not keep; never raises.

    Called after the end of the run was recorded. A run that did not finish keeps everything, and
    so does one whose process is running.

    Args:
        cfg: its config.
        folder: its own folder.
        ended: the status of a run that has come to its end; that of a trial that was paused and
            will not continue is `Status.killed`.
    """
    policy = cfg.checkpoint.after_success
    if policy is AfterSuccess.keep or not folder.is_dir():
        return
    try:
        with try_lock_folder(folder) as is_ours:
            if not is_ours or end_of(folder)[0] != ended:
                return
            kept = [checkpoints.BEST] if policy is AfterSuccess.best else []
            if kept and not (folder / CHECKPOINTS / checkpoints.BEST).exists():
                kept = [checkpoints.LAST]  # no checkpoint was due at the end of the best epoch
            remove(folder, kept)
            if has_uploads(folder) and is_delivered(folder):
                run_id = tracking.run_in(folder)
                (run,) = tracking.find_runs([run_id or ""], uri=cfg.tracking.uri)
                empty_uploads(run, folder, uri=cfg.tracking.uri)
    except Exception as error:
        _log.warning(
            "Not all checkpoints in %s could be removed: %s", folder, redact(str(error))[:200]
        )


def after_success_elsewhere(cfg: Config, run_id: str, *, uri: str) -> None:
    """Removes what a run whose folder is on another machine has uploaded; never raises.

    Args:
        cfg: its config.
        run_id: the run, which has ended.
        uri: the store.
    """
    if cfg.checkpoint.after_success is AfterSuccess.keep:
        return
    try:
        (run,) = tracking.find_runs([run_id], uri=uri)
        empty_uploads(run, None, uri=uri)
    except Exception as error:
        _log.warning(
            "Not all checkpoints of run %s could be removed: %s", run_id, redact(str(error))[:200]
        )


def end_of(folder: Path) -> tuple[str | None, int]:
    """Returns how a run ended by its own folder, and when: a status, milliseconds since 1970.

    `None` and 0 where the last record is not its end.
    """
    try:
        lines = (folder / OUTBOX_FILE).read_text(encoding="utf-8").splitlines()
        last = json.loads(lines[-1])
        if last["kind"] == "end":
            return str(last["status"]), int(last["timestamp"])
    except (OSError, ValueError, LookupError, TypeError):
        pass
    return None, 0


def is_delivered(folder: Path) -> bool:
    """Whether the store has everything of a run whose lock the caller holds."""
    spool = Spool(folder)
    try:
        return spool.is_empty()
    finally:
        spool.close()


def files_in(folder: Path) -> list[Path]:
    """Returns the checkpoints in a run's folder, and incomplete ones that a kill left behind."""
    own = folder / CHECKPOINTS
    if own.is_symlink():  # samerun creates no such link: its target is not the run's
        return []
    names = [name for file in _FILES for name in (file, f"{file}.new")]
    return [own / name for name in names if (own / name).is_file()]


def copies_in(folder: Path) -> list[Path]:
    """Returns the copies in a run's folder from which checkpoints are uploaded."""
    own = folder / "artifacts" / CHECKPOINTS
    if own.is_symlink() or own.parent.is_symlink():
        return []
    return [own / name for name in checkpoints.UPLOADED if (own / name).is_file()]


def has_uploads(folder: Path) -> bool:
    """Whether a checkpoint was, or is to be, sent to the store."""
    return bool(copies_in(folder))


def size_of(files: Iterable[Path]) -> int:
    """Returns the bytes of files on the disk; a file with several names counts once."""
    sizes = {}
    for file in files:
        with contextlib.suppress(OSError):
            status = os.lstat(file)
            sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())


def remove(folder: Path, kept: Collection[str] = ()) -> None:
    """Removes the checkpoints in a run's folder, except those that still have to be delivered.

    Args:
        folder: the run's folder, whose lock the caller holds.
        kept: names of checkpoints to keep.
    """
    for file in files_in(folder):
        if file.name not in kept:
            file.unlink(missing_ok=True)


def empty_uploads(run: StoredRun, folder: Path | None, *, uri: str | None = None) -> None:
    """Replaces a run's checkpoints in the store by empty files: not every store can delete one.

    Args:
        run: the run, which no other process works on.
        folder: its folder, whose copies are removed too.
        uri: the store, by default that of this folder.
    """
    client = tracking.connect(tracking.resolve_uri(uri))
    there = tracking.list_artifacts(run, CHECKPOINTS, uri=uri)
    with tempfile.TemporaryDirectory(prefix="samerun-") as empty:
        for name in checkpoints.UPLOADED:
            if f"{CHECKPOINTS}/{name}" in there:
                Path(empty, name).touch()
                client.log_artifact(run.id, str(Path(empty, name)), CHECKPOINTS)
    for file in copies_in(folder) if folder is not None else ():
        file.unlink(missing_ok=True)
