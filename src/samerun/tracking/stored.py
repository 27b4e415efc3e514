"""Reads the artifacts and metric points of a run in the store, and sets its tags.

The run may come from an untrusted source: a name that leads out of its artifacts is refused, and
nothing here runs or unpickles what it reads.
"""

import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from samerun.errors import UserError, first_line
from samerun.escaping import one_line
from samerun.redaction import redact_value
from samerun.tracking import local, store
from samerun.tracking.delivery.spool import Point
from samerun.tracking.lookup import existing
from samerun.tracking.stored_run import StoredRun, as_logged


def list_artifacts(run: StoredRun, folder: str = "", *, uri: str | None = None) -> list[str]:
    """Returns the paths of all files among a run's artifacts, sorted.

    Args:
        run: the run.
        folder: only those below it.
        uri: the store, by default that of this folder.

    Raises:
        UserError: the store cannot be read, or a name leads out of the run's artifacts.
    """
    full = existing(uri)
    root = local.artifact_folder(run, full)
    if root is not None:
        return list(local.sizes(root, _inside(run, folder) if folder else ""))
    return sorted(artifact_sizes(store.connect(full), run, folder))


def artifact_sizes(client: Any, run: StoredRun, folder: str = "") -> dict[str, int | None]:
    """Returns the size of each file among a run's artifacts; `None` where the store has none.

    Args:
        client: an `MlflowClient`.
        run: the run.
        folder: only those below it.

    Raises:
        UserError: the store cannot be read, or a name leads out of the run's artifacts.
    """
    return _sizes(run, lambda here: client.list_artifacts(run.id, here or None), folder)


def model_sizes(client: Any, run: StoredRun, model_id: str) -> tuple[dict[str, int | None], bool]:
    """Returns the sizes of a stored model's files, and whether the store says it is complete.

    Raises:
        UserError: the store cannot be read, or a name leads out of the model.
    """
    try:
        is_ready = str(client.get_logged_model(model_id).status).rpartition(".")[2] == "READY"
    except Exception as error:
        raise _unreadable(run, model_id, error) from error

    def listed(here: str) -> Any:
        return client.list_logged_model_artifacts(model_id, here or None)

    return _sizes(run, listed, ""), is_ready


def _sizes(run: StoredRun, listed: Callable[[str], Any], folder: str) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        try:
            entries = listed(here)
        except Exception as error:
            raise _unreadable(run, here, error) from error
        for entry in entries:
            path = _inside(run, str(entry.path))
            if here and not path.startswith(f"{here.rstrip('/')}/"):
                raise _climbs(run, path)
            if entry.is_dir:
                waiting.append(path)
            else:
                found[path] = entry.file_size if isinstance(entry.file_size, int) else None
    return found


def read_artifact(
    run: StoredRun, path: str, *, uri: str | None = None, most_bytes: int | None = None
) -> bytes:
    """Returns the content of one of a run's artifacts.

    Args:
        run: the run.
        path: such as `config/resolved.yaml`.
        uri: the store, by default that of this folder.
        most_bytes: its maximum size; a larger one is not downloaded where the store knows its size,
            and not read elsewhere. `None`: any number.

    Raises:
        UserError: there is no such artifact, it is too large, or the path leads out of the run's
            artifacts.
    """
    with tempfile.TemporaryDirectory(prefix="samerun-") as folder:
        target = Path(folder, "content")
        download_artifact(run, path, target, uri=uri, most_bytes=most_bytes)
        return target.read_bytes()


def download_artifact(
    run: StoredRun,
    path: str,
    target: Path,
    *,
    uri: str | None = None,
    most_bytes: int | None = None,
) -> None:
    """Copies one of a run's artifacts to a file, without loading it into memory.

    Args:
        run: the run.
        path: such as `checkpoints/a.npz`.
        target: the file; its folder exists.
        uri: the store, by default that of this folder.
        most_bytes: as for `read_artifact`.

    Raises:
        UserError: as `read_artifact`.
    """
    inside = _inside(run, path)
    full = existing(uri)
    root = local.artifact_folder(run, full)
    if root is not None:
        _copy(run, root, inside, target, most_bytes)
        return
    client = store.connect(full)
    with tempfile.TemporaryDirectory(prefix="samerun-") as folder:
        try:
            if most_bytes is not None:
                _check_size(run, inside, _size_in_store(client, run, inside), most_bytes)
            got = Path(client.download_artifacts(run.id, inside, folder))
            if not got.is_file() or not got.resolve().is_relative_to(Path(folder).resolve()):
                raise FileNotFoundError(f"{inside} is no file")
            if most_bytes is not None:
                _check_size(run, inside, got.stat().st_size, most_bytes)
            shutil.move(got, target)
        except Exception as error:
            raise _unreadable(run, inside, error) from error


def _copy(run: StoredRun, root: Path, path: str, target: Path, most_bytes: int | None) -> None:
    """Copies an artifact that is a file of this machine."""
    try:
        file = local.file_of(root, path)
        if most_bytes is not None:
            _check_size(run, path, file.stat().st_size, most_bytes)
        shutil.copyfile(file, target)
    except (OSError, UserError) as error:
        raise _unreadable(run, path, error) from error


def _size_in_store(client: Any, run: StoredRun, path: str) -> int | None:
    """Returns the size of an artifact by the store, which not every store knows."""
    folder = str(PurePosixPath(path).parent)
    for entry in client.list_artifacts(run.id, None if folder == "." else folder):
        if str(entry.path) == path:
            if entry.is_dir:
                raise FileNotFoundError(f"{path} is no file")
            return entry.file_size if isinstance(entry.file_size, int) else None
    return None


def _check_size(run: StoredRun, path: str, size: int | None, most: int) -> None:
    if size is not None and size > most:
        raise UserError(
            f"Run {run.id}: its {path} has {size} bytes, expected at most {most}: it was not "
            "written by samerun and is ignored."
        )


def _inside(run: StoredRun, path: str) -> str:
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or ".." in parts.parts or "\\" in path or "\0" in path:
        raise _climbs(run, path)
    return str(parts)


def _climbs(run: StoredRun, path: str) -> UserError:
    return UserError(
        f"Run {run.id}: the path {path!r} leads out of the run's artifacts, expected one inside: "
        "it is ignored."
    )


def _unreadable(run: StoredRun, path: str, error: Exception) -> UserError:
    if isinstance(error, UserError):
        return error
    which = f"Run {one_line(run.id)} ({one_line(run.name)})"
    why = one_line(first_line(error))
    return UserError(f"{which}: its artifact '{one_line(path)}' cannot be read: {why}.")


def points_of(client: Any, run_id: str, keys: Collection[str] | None = None) -> list[Point]:
    """Returns the metric points that the store has of a run, in the order of their steps.

    Args:
        client: an `MlflowClient`.
        run_id: of the run.
        keys: of these metrics only; `None`: of all.
    """
    points = []
    for key in sorted(client.get_run(run_id).data.metrics if keys is None else keys):
        for metric in client.get_metric_history(run_id, key):
            value = as_logged(metric.value)
            points.append(Point(key, value, int(metric.step), int(metric.timestamp)))
    return sorted(points, key=lambda point: (point.step, point.timestamp, point.key))


def metric_points(
    run: StoredRun, *, keys: Collection[str] | None = None, uri: str | None = None
) -> list[Point]:
    """Returns the metric points of a run.

    Args:
        run: the run.
        keys: of these metrics only; `None`: of all.
        uri: the store, by default that of this folder.
    """
    full = existing(uri)
    points = local.points(run, full, keys)
    return points_of(store.connect(full), run.id, keys) if points is None else points


def metric_histories(
    run: StoredRun, *, keys: Collection[str] | None = None, uri: str | None = None
) -> dict[str, dict[int, float]]:
    """Returns the values of each metric by step; of several at one step, the last.

    Args:
        run: the run.
        keys: of these metrics only; `None`: of all.
        uri: the store, by default that of this folder.
    """
    histories: dict[str, dict[int, float]] = {}
    for point in metric_points(run, keys=keys, uri=uri):
        histories.setdefault(point.key, {})[point.step] = point.value
    return histories


def tag_run(run: StoredRun, tags: Mapping[str, str], *, uri: str | None = None) -> None:
    """Sets tags of a run that is not open.

    Args:
        run: the run.
        tags: a tag of the same name is replaced.
        uri: the store, by default that of this folder.
    """
    client = store.connect(existing(uri))
    for key, value in tags.items():
        client.set_tag(run.id, key, str(redact_value(key, str(value))))
