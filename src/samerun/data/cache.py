"""The folder in which Keras keeps downloaded data sets, guarded against losing what is in it."""

import contextlib
import hashlib
import os
import socket
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from samerun.errors import UserError

_SECONDS_TO_ANSWER = 2.0


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


@dataclass(frozen=True, kw_only=True)
class Download:
    """What Keras 3.15 downloads for a data set.

    Args:
        kind: of the data set.
        origin: URL of the folder that has the files.
        files: their names in the cache.
        checksum: SHA-256 of the file; `None` where Keras checks nothing.
        published: name at the origin of a file that has another one in the cache.
        subfolder: folder inside the cache.
    """

    kind: str
    origin: str
    files: tuple[str, ...]
    checksum: str | None = None
    published: str | None = None
    subfolder: str = ""

    @property
    def is_there(self) -> bool:
        """Whether every file is in the cache; not whether it is the right one."""
        return all((cache_folder() / self.subfolder / name).is_file() for name in self.files)

    def missing(self, reason: str = "the download failed") -> str:
        """Returns the sentence, without its end, that says which files go where."""
        files = f"{', '.join(self.files)} from {self.origin}"
        if self.checksum:
            name = self.published or self.files[0]
            files = f"{self.origin}{name} (SHA-256 {self.checksum})"
        renamed = f" under the name {self.files[0]}" if self.published else ""
        return (
            f"dataset={self.kind}: not whole in Keras's cache and {reason}: connect to the network "
            f"once, or put {files} into {cache_folder() / self.subfolder}{renamed}"
        )

    def check(self) -> None:
        """Looks for the files, and for the way to them where they are not there.

        Raises:
            UserError: they are not in the cache, and nobody answers who could send them.
        """
        if self.is_there:
            return
        try:
            host, port = _server(self.origin)
        except ValueError as error:
            raise UserError(f"{self.missing(f'the proxy is no address ({error})')}.") from error
        if not _answers(host, port):
            raise UserError(f"{self.missing(f'{host} port {port} does not answer')}.")


def _server(url: str) -> tuple[str, int]:
    """Returns the host and port that Keras's urllib connects to: the origin's or a proxy's."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.netloc):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _answers(host: str, port: int) -> bool:
    """Whether a connection comes about in time; looking up a name alone can take 30 s to fail."""
    answered = threading.Event()

    def connect() -> None:
        with contextlib.suppress(OSError, UnicodeError):
            socket.create_connection((host, port), _SECONDS_TO_ANSWER).close()
            answered.set()

    thread = threading.Thread(target=connect, daemon=True)  # not waited for when the program ends
    thread.start()
    thread.join(_SECONDS_TO_ANSWER)
    return answered.is_set()


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
