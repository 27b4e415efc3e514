"""An MLflow database in a file: created once, checked before use, safe for many processes."""

import contextlib
import logging
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from samerun.errors import StoreUnavailable, UserError, see
from samerun.files import replacing
from samerun.privacy import restrict
from samerun.tracking import schema
from samerun.tracking.delivery.faults import is_locked

_QUOTED = re.compile("%[0-9A-Fa-f]{2}")
_log = logging.getLogger(__name__)
_LOCK_SECONDS = 60.0  # migrations of another MLflow take 2 s, 30 s on a very busy machine


def database_file(uri: str) -> Path:
    """Returns the absolute path of an SQLite URI.

    Raises:
        UserError: the URI names no file, or one whose path cannot be part of a URI: SQLAlchemy and
            MLflow would create the database, or the artifacts, in another folder.
    """
    name = uri.partition("?")[0].partition("://")[2].removeprefix("/")
    if not name or name == ":memory:":
        raise UserError(
            f"tracking.uri: received '{uri}', expected a file, such as sqlite:///mlflow.db: a "
            "database in memory would lose the run."
        )
    file = Path(name).absolute()
    if "?" in str(file) or "\0" in str(file) or _QUOTED.search(str(file)):
        raise UserError(
            f"tracking.uri: {str(file)!r} cannot be the path of MLflow's database: '?', and '%' "
            "with two hex digits, mean something else in a URI. Rename that folder, or work in "
            "another one."
        )
    return file


def connect_file(uri: str, *, patience: float = 30.0) -> Any:
    """Opens an SQLite store; one process at a time, since four at once break a fresh one.

    Args:
        uri: the address of a file.
        patience: seconds to wait while another process holds the database locked.

    Raises:
        StoreUnavailable: it is still locked after that.
        UserError: it cannot be used.
    """
    from mlflow import MlflowClient

    file = database_file(uri)
    with _database_lock(file):
        _wait_until_free(file, patience)
        check_database(file)
        if _tables(file):
            _follow_move(file)
        else:
            _make_tables(file)
        schema.expected()  # MLflow asks for it when it opens a store
        try:
            client = MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
        except Exception as error:
            if is_locked(error):
                raise _locked(file, 0) from error
            raise UserError(
                f"tracking.uri: received '{uri}', which cannot be used as MLflow's database "
                f"({str(error).splitlines()[0][:200]}): move the file away or name another one."
            ) from error
    return client


def _wait_until_free(file: Path, patience: float) -> None:
    """Waits while another process holds a database locked, as a backup or a long migration does."""
    deadline, has_warned = time.monotonic() + patience, False
    while file.is_file():
        try:
            with contextlib.closing(sqlite3.connect(file, timeout=1)) as database:
                database.execute("begin immediate")
            return
        except sqlite3.DatabaseError as error:
            if not is_locked(error):
                return  # `check_database` reports what it is instead
            if time.monotonic() >= deadline:
                raise _locked(file, patience) from error
        if not has_warned:
            _log.warning("%s is locked by another process; waiting up to %g s.", file, patience)
        has_warned = True


def _locked(file: Path, seconds: float) -> StoreUnavailable:
    waited = f" for {seconds:g} s" if seconds else ""
    return StoreUnavailable(
        f"tracking.uri: {file} has been locked by another process{waited}: end that process (a "
        "backup, a database browser), then try again.",
        reason=f"{file}: locked by another process",
    )


@contextlib.contextmanager
def _database_lock(file: Path) -> Iterator[None]:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{file}.lock")
        lock.acquire(timeout=_LOCK_SECONDS)
    except Timeout as error:
        raise UserError(
            f"Another process has been preparing {file} for {_LOCK_SECONDS:.0f} s: end it, then "
            "start again."
        ) from error
    except OSError as error:
        raise UserError(
            f"tracking.uri: received 'sqlite:///{file}', but its folder cannot be written "
            f"({error.strerror}): choose a file in a folder that you may write to."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _tables(file: Path) -> dict[str, str]:
    """Returns the names of the tables in a database file and its schema version under ''."""
    if not file.exists() or not file.stat().st_size:
        return {}
    with contextlib.closing(sqlite3.connect(file, timeout=20)) as database:
        rows = database.execute("select name from sqlite_master where type = 'table'")
        tables = {name: name for (name,) in rows}
        if "alembic_version" in tables:
            version = database.execute("select version_num from alembic_version").fetchone()
            tables[""] = version[0] if version else ""
    return tables


def check_database(file: Path) -> None:
    """Checks that a database file can be written and is MLflow's, of the installed version.

    MLflow itself would change the tables of an older version without asking, and answers a newer
    one with a stack trace.

    Raises:
        UserError: it is not.
    """
    if file.is_dir() or (file.exists() and not os.access(file, os.W_OK)):
        raise UserError(f"tracking.uri: {file} cannot be written: name another database file.")
    try:
        tables = _tables(file)
    except sqlite3.DatabaseError as error:
        if is_locked(error):
            raise _locked(file, 0) from error
        raise UserError(
            f"tracking.uri: {file} is not an SQLite database ({error}): name another file."
        ) from error
    if not tables:
        return
    if "experiments" not in tables or "runs" not in tables:
        raise UserError(
            f"tracking.uri: {file} holds the tables of another program, expected MLflow's: name "
            "another file; a study of Optuna's needs one of its own too."
        )
    expected = schema.expected()
    if tables.get("") != expected:
        import mlflow

        raise UserError(
            f"tracking.uri: {file} was made by another version of MLflow (schema "
            f"{tables.get('') or 'unknown'}, expected {expected}): copy the file, then run "
            f"`mlflow db upgrade sqlite:///{file}`, or name another file; this is MLflow "
            f"{mlflow.__version__}." + see("how-to/upgrade.md#before-you-update-a-shared-store")
        )


def _make_tables(file: Path) -> None:
    """Creates a database under another name and renames it: a kill leaves no incomplete one."""
    try:
        with replacing(file) as fresh:
            schema.fill(fresh)
            restrict(fresh)
    except Exception as error:
        raise UserError(
            f"tracking.uri: MLflow's tables cannot be made in {file} "
            f"({str(error).splitlines()[0][:200]}): make room on the disk or name another file."
        ) from error


_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
)


def _follow_move(file: Path) -> None:
    """Corrects the paths of artifacts after the folder of a project was moved.

    MLflow stores absolute paths: after a move it would not find the artifacts of old runs, and
    would recreate the old folder for those of new ones. Only done where `mlruns` is gone from the
    old place and lies here, or that place is gone too, so nothing that can be reached is touched.
    """
    with contextlib.closing(sqlite3.connect(file, timeout=20)) as database:
        query = "select artifact_location from experiments where experiment_id = 0"
        row = database.execute(query).fetchone()
        old = Path(row[0].removesuffix("/0")) if row and row[0].endswith("/mlruns/0") else None
        new = file.parent / "mlruns"
        if old is None or not old.is_absolute() or old == new or old.exists():
            return
        if not new.is_dir() and old.parent.exists():
            return  # there is no artifact yet, here or there
        for table, column in _PLACES:
            database.execute(
                f"update {table} set {column} = ? || substr({column}, ?) "
                f"where substr({column}, 1, ?) = ?",
                (str(new), len(str(old)) + 1, len(str(old)) + 1, f"{old}/"),
            )
        database.commit()
    _log.warning("The project was moved: %s now names its artifacts in %s.", file.name, new)
