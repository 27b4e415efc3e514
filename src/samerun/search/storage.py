"""The storage of a study: a database with Optuna's tables, created once, checked before use."""

import contextlib
import functools
import os
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from samerun.errors import UserError, first_line
from samerun.redaction import HIDDEN, is_redacted_form, redact

if TYPE_CHECKING:
    import optuna

STORAGE_VARIABLE = "SAMERUN_STORAGE"
"""Environment variable with a storage's full address, password included, for the workers."""

_LOCK_SECONDS = 60.0
_BUSY_SECONDS = 60.0  # how long SQLite waits for another process's transaction
_PORTS = {"postgresql": 5432, "mysql": 3306}
_STAYS = ("malformed", "readonly database", "not a database")  # retrying does not help
_TABLES = {"studies", "trials", "version_info"}


def full_url(url: str) -> str:
    """Restores the password, which is never stored."""
    given = os.environ.get(STORAGE_VARIABLE, "")
    if given and HIDDEN in url and is_redacted_form(url, given):
        return given
    has_own = urlsplit(url).password not in (None, HIDDEN)
    return given if given and not has_own and _bare(given) == _bare(url) else url


def _bare(url: str) -> str:
    parts = urlsplit(url)
    user = f"{parts.username}@" if parts.username else ""
    return parts._replace(netloc=user + parts.netloc.rpartition("@")[2]).geturl()


def storage_url(url: str | None) -> str:
    """Returns the full address of a storage: given, from `SAMERUN_STORAGE`, or `optuna.db` here.

    A file's path is made absolute, since workers may have another working folder.

    Raises:
        UserError: such an address cannot hold a study.
    """
    chosen = full_url(url or os.environ.get(STORAGE_VARIABLE) or "sqlite:///optuna.db")
    scheme = urlsplit(chosen).scheme.partition("+")[0]
    if scheme == "sqlite":
        name = chosen.partition("?")[0].partition("://")[2].removeprefix("/")
        if not name or name == ":memory:":
            raise _refused(chosen, "that is not a file, and workers are separate processes")
        return f"sqlite:///{Path(name).absolute()}{chosen[len(chosen.partition('?')[0]) :]}"
    if scheme in (*_PORTS, "grpc"):
        return chosen
    raise _refused(chosen, "expected sqlite:///FILE, postgresql://…, mysql://… or grpc://HOST:PORT")


def open_storage(url: str) -> "optuna.storages.BaseStorage":
    """Opens a storage and creates its tables if they are missing; one process at a time.

    Args:
        url: what `storage_url` returned.

    Raises:
        UserError: it cannot be reached, was created by another version of Optuna, or holds the
            tables of another program.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        if url.startswith("grpc:"):
            return _proxy(url)
        with _lock(url):
            _check_tables(url)
            storage = optuna.storages.RDBStorage(url, engine_kwargs=_engine(url))
            if url.startswith("sqlite:"):
                _write_ahead(url)
            return storage
    except UserError:
        raise
    except Exception as error:
        raise refused(url, error) from error


@functools.lru_cache(maxsize=1)
def worker_storage(url: str) -> "optuna.storages.BaseStorage":
    """Opens a storage that the sweep has created, once per process and not once per trial."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if url.startswith("grpc:"):
        return _proxy(url)
    return optuna.storages.RDBStorage(
        url,
        engine_kwargs=_engine(url),
        skip_table_creation=True,
        skip_compatibility_check=True,
    )


def file_identity(url: str) -> tuple[int, int] | None:
    """Returns what identifies the file of a storage, not just its name; `None` for a server.

    SQLite keeps writing to a deleted file, and what it writes is lost.
    """
    if not url.startswith("sqlite:"):
        return None
    try:
        found = _file(url).stat()
    except FileNotFoundError:
        return (0, 0)
    return found.st_dev, found.st_ino


def _proxy(url: str) -> "optuna.storages.BaseStorage":
    import optuna

    parts = urlsplit(url)
    host, port = parts.hostname or "localhost", parts.port or 13000
    socket.create_connection((host, port), timeout=5).close()
    return optuna.storages.GrpcStorageProxy(host=host, port=port)


def _engine(url: str) -> dict[str, object]:
    if url.startswith("sqlite:"):
        return {"connect_args": {"timeout": _BUSY_SECONDS}}
    return {"pool_pre_ping": True}  # the database may have been restarted


def _file(url: str) -> Path:
    return Path(url.partition("?")[0].removeprefix("sqlite:///"))


@contextlib.contextmanager
def _lock(url: str) -> Iterator[None]:
    """Lets one process at a time create a file's tables; a database server does that itself."""
    if not url.startswith("sqlite:"):
        yield
        return
    if _file(url).exists() and not os.access(_file(url), os.W_OK):
        raise _refused(url, "the file cannot be written")
    file = Path(f"{_file(url)}.lock")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()  # the lock itself would retry until its timeout
        lock = FileLock(file)
        lock.acquire(timeout=_LOCK_SECONDS)
    except Timeout as error:
        message = f"another process has been preparing it for {_LOCK_SECONDS:.0f} s"
        raise _refused(url, message) from error
    except OSError as error:
        message = f"no file can be created in {file.parent} ({error.strerror})"
        raise _refused(url, message) from error
    try:
        yield
    finally:
        lock.release()


def _check_tables(url: str) -> None:
    """Refuses a database of another program, to which Optuna would add its tables."""
    import sqlalchemy

    if not url.startswith("sqlite:"):
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme.partition("+")[0]]
        # The drivers themselves wait minutes for a host that does not respond.
        socket.create_connection((parts.hostname or "localhost", port), timeout=5).close()
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    try:
        found = set(sqlalchemy.inspect(engine).get_table_names())
    finally:
        engine.dispose()
    if found and not found >= _TABLES:
        raise _refused(url, "it holds the tables of another program")


def _write_ahead(url: str) -> None:
    """Lets readers continue while another process writes: workers ask and report concurrently.

    The mode stays with the file. Where it is not supported (a network folder) the default stays.
    """
    with contextlib.closing(sqlite3.connect(_file(url), timeout=_BUSY_SECONDS)) as database:
        database.execute("pragma journal_mode=wal")


def is_unavailable(error: BaseException) -> bool:
    """Whether a store raised this because it is unavailable for now, like a server that restarts.

    By class name, so that no database package has to be imported.
    """
    if is_broken(error):
        return not any(sign in _root_message(error) for sign in _STAYS)
    return _is_a(error, {"ConnectionError", "TimeoutError", "Timeout", "RetryError"})


def was_unavailable(error: BaseException) -> bool:
    """Whether an unavailable store caused an error, however it was wrapped."""
    behind: BaseException | None = error
    while behind is not None and not is_unavailable(behind):
        behind = behind.__cause__ or behind.__context__
    return behind is not None


def is_broken(error: BaseException) -> bool:
    """Whether a storage raised this because it cannot be read or written."""
    databases = {"OperationalError", "InterfaceError", "DatabaseError"}
    return _is_a(error, {"StorageInternalError", "RpcError", *databases})


def _is_a(error: BaseException, names: set[str]) -> bool:
    return any(kind.__name__ in names for kind in type(error).__mro__)


def _root_message(error: BaseException) -> str:
    """Returns the database's own message; Optuna's does not say what happened."""
    return redact(str(_root(error)))


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def refused(url: str, error: Exception) -> UserError:
    """Returns the message for what a storage raised."""
    text = f"{redact(str(error))} {_root_message(error)}"
    known = {
        "no longer compatible": "it was created by another version of Optuna: copy it, then run "
        "`optuna storage upgrade --storage URL`",
        "not a database": "it is not an SQLite database",
        "Connection refused": "nothing listens there",
        "Name or service not known": "there is no host of that name",
        "timed out": "it does not respond",
        "authentication failed": f"it refuses the password: set {STORAGE_VARIABLE} to its full "
        "address",
        "no password supplied": f"it needs a password: set {STORAGE_VARIABLE} to its full address",
        "No module named": "the driver of that database is not installed",
        "Failed to import DB access module": "the driver of that database is not installed",
        "unable to open database file": "the file cannot be opened",
        "readonly database": "the file cannot be written",
        "malformed": "the file is damaged",
    }
    reason = next((reason for sign, reason in known.items() if sign in text), None)
    return _refused(url, reason or f"it cannot be used ({root_reason(error)})")


@contextlib.contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Translates the errors of a storage that cannot be read or written.

    Raises:
        UserError: the storage raised one of them.
    """
    try:
        yield
    except Exception as error:
        if not is_broken(error):
            raise
        raise refused(url, error) from error


def root_reason(error: BaseException) -> str:
    """Returns the first line of the message of a store, without passwords."""
    return first_line(_root(error))


def _refused(url: str, why: str) -> UserError:
    return UserError(
        f"sweep.storage: received '{redact(url)}', but {why}: correct it, or leave it out to use "
        "sqlite:///optuna.db."
    )
