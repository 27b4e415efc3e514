"""The folder in which Keras keeps downloaded data sets, guarded against losing what is in it."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from samerun.config import UserError


def _can_be_written(folder: Path) -> bool:
    """Whether Keras, which makes its folder when it is imported, can write there."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return (there == folder or there.is_dir()) and os.access(there, os.W_OK)


def cache_folder() -> Path:
    """Returns where Keras 3.15 keeps data sets, without importing it.

    That is `datasets` in `$KERAS_HOME`, else in `~/.keras`, and in `/tmp/.keras` where that cannot
    be written (`keras.src.backend.config` and `keras.utils.get_file`).
    """
    home = os.environ.get("KERAS_HOME")
    if home is None:
        user = os.path.expanduser("~")
        home = os.path.join(user if os.access(user, os.W_OK) else "/tmp", ".keras")
    folder = Path(home).expanduser()
    if not home or not _can_be_written(folder.absolute()):
        folder = Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir(), ".keras")
    return folder / "datasets"


def require(name: str, checksum: str | None, subfolder: str = "") -> Path:
    """Checks a file of the cache before Keras does; one that is not there is left to Keras.

    `keras.utils.get_file` downloads over a file whose checksum is wrong and deletes it where the
    download fails, so someone without a network would lose the only copy.

    Args:
        name: the file's name in the cache.
        checksum: what Keras checks, in hex: SHA-256 (64 digits) or MD5 (32); `None` where Keras
            checks nothing.
        subfolder: folder inside the cache.

    Returns:
        Where the file is or will be.

    Raises:
        UserError: the file is there and is another one.
    """
    path = cache_folder() / subfolder / name
    if checksum is None or not path.is_file():
        return path
    algorithm = "sha256" if len(checksum) == 64 else "md5"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found != checksum:
        raise UserError(
            f"{path}: received a file of {path.stat().st_size} bytes whose {algorithm} is {found}, "
            f"expected {checksum}: move it away so that it is downloaded again, or put the right "
            "file in its place."
        )
    return path


def load(read: Callable[[], Any], missing: str) -> Any:
    """Calls a loader of `keras.datasets` and turns whatever it raises into one sentence.

    Args:
        read: the loader; every file it reads went through `require`.
        missing: the sentence, without its end, that says which files go where.

    Raises:
        UserError: the files are neither whole in the cache nor could they be downloaded.
    """
    try:
        return read()
    except MemoryError:
        raise
    except Exception as error:  # Keras raises a bare Exception for a failed download
        said = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"{missing} (Keras says: {said}).") from error
