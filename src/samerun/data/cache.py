"""Keras's cache of downloaded datasets, protected against losing its files."""

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
    """Whether Keras, which creates its folder when it is imported, can write there."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return (there == folder or there.is_dir()) and os.access(there, os.W_OK)


def cache_folder() -> Path:
    """Returns the folder in which Keras 3.15 caches datasets, without importing Keras.

    That is `datasets` in `$KERAS_HOME`, else in `~/.keras`, or in `/tmp/.keras` if that is not
    writable (`keras.src.backend.config` and `keras.utils.get_file`).
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
    """What Keras 3.15 downloads for a dataset.

    Args:
        kind: name of the dataset's kind.
        origin: URL of the folder with the files.
        files: names in the cache.
        checksum: SHA-256 of the file; `None` if Keras does not verify it.
        published: name at the origin, if it differs from that in the cache.
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
        """Whether every file is in the cache; the contents are not verified."""
        return all((cache_folder() / self.subfolder / name).is_file() for name in self.files)

    def missing(self, reason: str = "the download failed") -> str:
        """Returns an error message, without its period, that names the missing files."""
        files = f"{', '.join(self.files)} from {self.origin}"
        if self.checksum:
            name = self.published or self.files[0]
            files = f"{self.origin}{name} (SHA-256 {self.checksum})"
        renamed = f" under the name {self.files[0]}" if self.published else ""
        return (
            f"dataset={self.kind}: incomplete in Keras's cache, and {reason}: connect to the "
            f"network once, or put {files} into {cache_folder() / self.subfolder}{renamed}"
        )

    def check(self) -> None:
        """Checks that the files are cached or that their host is reachable.

        Raises:
            UserError: the files are not in the cache and their host does not answer.
        """
        if self.is_there:
            return
        try:
            host, port = _server(self.origin)
        except ValueError as error:
            raise UserError(f"{self.missing(f'invalid proxy address ({error})')}.") from error
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
    """Whether a connection succeeds in time; the name lookup alone can take 30 s to fail."""
    answered = threading.Event()

    def connect() -> None:
        with contextlib.suppress(OSError, UnicodeError):
            socket.create_connection((host, port), _SECONDS_TO_ANSWER).close()
            answered.set()

    thread = threading.Thread(target=connect, daemon=True)  # does not delay the exit
    thread.start()
    thread.join(_SECONDS_TO_ANSWER)
    return answered.is_set()


def require(name: str, checksum: str | None, subfolder: str = "") -> Path:
    """Verifies a cached file before Keras does; a missing file is left to Keras.

    `keras.utils.get_file` overwrites a file with a wrong checksum and deletes it if the download
    fails, so a user without a network would lose the only copy.

    Args:
        name: name of the file in the cache.
        checksum: hex digest that Keras verifies: SHA-256 (64 digits) or MD5 (32); `None` if it
            verifies nothing.
        subfolder: folder inside the cache.

    Returns:
        Path of the file, present or not.

    Raises:
        UserError: the file exists with another checksum.
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
            f"expected {checksum}: remove it to download it again, or put the right "
            "file in its place."
        )
    return path


def load(read: Callable[[], Any], missing: str) -> Any:
    """Calls a loader of `keras.datasets` and converts what it raises into a `UserError`.

    Args:
        read: the loader; every file that it reads has been checked with `require`.
        missing: error message without its period, as `Download.missing` returns it.

    Raises:
        UserError: the files are incomplete in the cache and cannot be downloaded.
    """
    try:
        return read()
    except MemoryError:
        raise
    except Exception as error:  # Keras raises a bare Exception for a failed download
        message = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"{missing} (Keras: {message}).") from error
