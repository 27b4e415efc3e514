"""Artifacts and metric points of a local store, read without MLflow, which takes 3 s to import.

Only where the store is a database file and a run's artifacts are in `mlruns/` beside it or in the
working folder, where MLflow puts them; everything else is MLflow's. The path in the database is not
used, and no link is followed.
"""

import contextlib
import os
import re
import sqlite3
import stat
from collections.abc import Collection
from pathlib import Path

from samerun.tracking.database import database_file
from samerun.tracking.delivery.spool import Point
from samerun.tracking.rows import datasets, is_model_ready, read_runs, reading
from samerun.tracking.stored_run import StoredRun, as_logged

_RUN, _EXPERIMENT = re.compile("[0-9a-f]{32}"), re.compile("[0-9]+")
_MODEL = re.compile("m-[0-9a-f]{32}")


def artifact_folder(run: StoredRun, uri: str) -> Path | None:
    """Returns the folder of a run's artifacts; `None` where MLflow has to be asked.

    Args:
        run: the run.
        uri: the complete address of its store.
    """
    return _inside_mlruns(run, f"{run.id}/artifacts", uri) if _RUN.fullmatch(run.id) else None


def model_folder(run: StoredRun, model_id: str, uri: str) -> Path | None:
    """Returns the folder of a logged model; `None` where MLflow has to be asked.

    Args:
        run: the run that logged it.
        model_id: its ID in the store.
        uri: the complete address of the store.
    """
    known = _MODEL.fullmatch(model_id)
    return _inside_mlruns(run, f"models/{model_id}/artifacts", uri) if known else None


def _inside_mlruns(run: StoredRun, path: str, uri: str) -> Path | None:
    if not uri.startswith("sqlite") or not _EXPERIMENT.fullmatch(run.experiment_id):
        return None
    for place in (database_file(uri).parent, Path.cwd()):
        folder = place / "mlruns" / run.experiment_id / path
        if folder.is_dir() and folder.resolve() == place.resolve() / folder.relative_to(place):
            return folder
    return None


def sizes(root: Path, folder: str = "") -> dict[str, int | None]:
    """Returns the size of each file below a folder of artifacts, by its path.

    Args:
        root: the folder of a run's artifacts.
        folder: only those below it.

    Returns:
        The sizes in the order of the paths.
    """
    found: dict[str, int | None] = {}
    top = root / folder
    if top.resolve() != root.resolve() / folder:  # it is a link, or below one
        return found
    for here, _, names in os.walk(top):
        for name in names:
            path = Path(here, name)
            facts = path.lstat()
            if stat.S_ISREG(facts.st_mode):
                found[path.relative_to(root).as_posix()] = facts.st_size
    return dict(sorted(found.items()))


def file_of(root: Path, path: str) -> Path:
    """Returns the file of an artifact.

    Args:
        root: the folder of a run's artifacts.
        path: one without `..`.

    Raises:
        FileNotFoundError: it is no file, or a link.
    """
    file = root / path
    if not file.is_file() or file.resolve() != root.resolve() / path:
        raise FileNotFoundError(f"{path} is no file")
    return file


def run_of(run_id: str, uri: str) -> tuple[StoredRun, set[str]] | None:
    """Returns a run, and its datasets with digests; `None` where MLflow has to be asked.

    Args:
        run_id: its complete ID.
        uri: the complete address of its store.
    """
    if not uri.startswith("sqlite"):
        return None
    with contextlib.suppress(sqlite3.Error), reading(database_file(uri)) as database:
        for run in read_runs(database, ids=[run_id]):
            return run, datasets(database, run_id)
    return None


def model_sizes(
    run: StoredRun, model_id: str, uri: str
) -> tuple[dict[str, int | None], bool] | None:
    """Returns the sizes of a logged model's files, and whether the store says it is complete.

    Args:
        run: the run that logged it.
        model_id: its ID in the store.
        uri: the complete address of the store.

    Returns:
        `None` where MLflow has to be asked.
    """
    folder = model_folder(run, model_id, uri)
    if folder is None:
        return None
    with contextlib.suppress(sqlite3.Error), reading(database_file(uri)) as database:
        is_ready = is_model_ready(database, model_id)
        return None if is_ready is None else (sizes(folder), is_ready)
    return None


def points(run: StoredRun, uri: str, keys: Collection[str] | None) -> list[Point] | None:
    """Returns a run's metric points; `None` where MLflow has to be asked.

    Args:
        run: the run.
        uri: the complete address of its store.
        keys: of these metrics only; `None`: of all.
    """
    if not uri.startswith("sqlite"):
        return None
    query = """
        select key, case when is_nan then null else value end, step, timestamp
        from metrics where run_uuid = ? order by step, timestamp, key"""
    with contextlib.suppress(sqlite3.Error), reading(database_file(uri)) as database:
        return [
            Point(str(key), as_logged(value), step, timestamp)
            for key, value, step, timestamp in database.execute(query, (run.id,))
            if (keys is None or key in keys)
            and (isinstance(step, int) and isinstance(timestamp, int))  # as MLflow writes them
        ]
    return None
