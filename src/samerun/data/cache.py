"""The folder in which Keras keeps downloaded data sets, guarded against losing what is in it."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from samerun.config import UserError


def cache_folder() -> Path:
    """Returns where Keras keeps data sets: `datasets` in `$KERAS_HOME` or in `~/.keras`."""
    home = os.environ.get("KERAS_HOME") or os.path.join("~", ".keras")
    return Path(home).expanduser() / "datasets"


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
