"""Compares a run's folder with the store: is everything delivered?

Nothing is changed, neither in the folder nor in the store.
"""

import filecmp
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samerun import tags as tag
from samerun.errors import UserError, first_line
from samerun.tracking import local
from samerun.tracking.delivery.faults import is_unavailable
from samerun.tracking.delivery.lines import Line, read_lines, storable
from samerun.tracking.delivery.sender import ARTIFACTS
from samerun.tracking.delivery.spool import (
    OUTBOX_FILE,
    POSITION_FILE,
    REFUSED_FILE,
    Point,
    read_points,
)
from samerun.tracking.recovery.folders import RunFacts
from samerun.tracking.stored import artifact_sizes, model_sizes, points_of
from samerun.tracking.stored_run import StoredRun, as_stored

# Not only the run sets these: a sweep, a later delivery or another working folder may.
_NOT_COMPARED = {tag.HEARTBEAT, tag.UNDELIVERED, tag.REASON}


@dataclass(frozen=True, kw_only=True)
class Completeness:
    """Whether the store has all records of one kind that the folder has.

    Args:
        kind: such as `points`.
        num_in_folder: how many the folder holds.
        differences: what is missing or differs in the store, one phrase each.
    """

    kind: str
    num_in_folder: int
    differences: tuple[str, ...]


@dataclass(frozen=True)
class _Log:
    """The lines of `outbox.jsonl`, by what they are about."""

    params: dict[str, str]
    tags: dict[str, str]
    artifacts: list[str]
    datasets: list[Line]
    models: list[str]
    end: Line | None


def compare(
    folder: Path, facts: RunFacts, uri: str, connected: Callable[[], Any]
) -> list[Completeness]:
    """Compares a run's folder with its store, point by point and file by file.

    Args:
        folder: the run's folder.
        facts: what it says about its run.
        uri: the complete address of the run's store. Of one in a file of this machine, the content
            of artifacts is compared too, not only their size.
        connected: returns an `MlflowClient` of the store; asked where the store is not such a file.

    Returns:
        One for each kind of record.

    Raises:
        UserError: the run is not in the store.
    """
    log = _read_log(folder)
    stored, datasets = _stored(facts, uri, connected)
    points = local.points(stored, uri, None) if stored.id else []
    return [
        compare_points(
            read_points(folder), points_of(connected(), stored.id) if points is None else points
        ),
        _texts("params", log.params, stored.params),
        _texts("tags", log.tags, stored.tags),
        _artifacts(folder, log, stored, uri, connected),
        _of_names("datasets", (_dataset(line) for line in log.datasets), datasets),
        _models(folder, log, stored, uri, connected),
        _end(log.end, stored.status, stored.end_time),
    ]


def read_refused(folder: Path) -> list[Line]:
    """Returns what the store refused for good; nothing is opened for writing."""
    lines, _ = read_lines(
        folder / REFUSED_FILE, 0, lambda line: {"kind", "key", "reason"} <= line.keys()
    )
    return [line for line, _ in lines]


def _stored(facts: RunFacts, uri: str, connected: Callable[[], Any]) -> tuple[StoredRun, set[str]]:
    """Returns the run in the store and its datasets; one without ID if it is not created."""
    if not uri.startswith("sqlite"):
        connected()  # one that is unavailable lacks nothing
    if facts.id is None:
        name = facts.name
        none = StoredRun(
            id="", name=name, experiment_id="", status="", params={}, metrics={}, tags={}
        )
        return none, set()
    found = local.run_of(facts.id, uri)
    if found is not None:
        return found
    client = connected()
    try:
        run = client.get_run(facts.id)
    except Exception as error:
        if is_unavailable(error):
            raise
        raise UserError(
            f"Run {facts.id} cannot be read in {facts.uri}: {first_line(error)}"
        ) from error
    inputs = run.inputs.dataset_inputs if run.inputs else []
    datasets = {f"{one.dataset.name} {one.dataset.digest}" for one in inputs}
    return as_stored(run), datasets


def _read_log(folder: Path) -> _Log:
    lines, _ = read_lines(folder / OUTBOX_FILE, 0, lambda line: isinstance(line.get("kind"), str))
    log = _Log({}, {}, [], [], [], None)
    end = None
    for line, _ in lines:
        kind = line["kind"]
        if kind == "params":
            for key, value in storable(line["values"]).items():
                log.params.setdefault(key, value)  # the first value is the one that is kept
        elif kind in ("start", "tags"):
            log.tags.update(storable(line["tags" if kind == "start" else "values"]))
        elif kind == "artifact":
            log.artifacts.append(line["path"])
        elif kind == "dataset":
            log.datasets.append(line)
        elif kind == "model":
            log.models.append(line["path"])
        end = line if kind == "end" else None
    for key in _NOT_COMPARED & set(log.tags):
        del log.tags[key]
    return _Log(log.params, log.tags, log.artifacts, log.datasets, log.models, end)


def compare_points(here: Iterable[Point], there: Iterable[Point]) -> Completeness:
    """Compares the points of a folder with those of a store, by key, value, step and timestamp.

    Args:
        here: the points of the folder.
        there: the points of the store.

    Returns:
        The row of points; a step that has several values in the store is a difference too.
    """
    logged = {_as_stored(point) for point in here}
    stored = {_as_stored(point) for point in there}
    known = {point[:2] for point in logged}
    doubled = [point for point in stored - logged if point[:2] in known]
    differences = [
        *(f"{key} at step {step} is missing" for key, step, *_ in sorted(logged - stored)),
        *(f"{key} at step {step} has a second value" for key, step, *_ in sorted(doubled)),
    ]
    return Completeness(kind="points", num_in_folder=len(logged), differences=tuple(differences))


def _as_stored(point: Point) -> tuple[str, int, int, str]:
    """Returns a point as MLflow keeps it: infinity is the largest float64, -0.0 is 0.0."""
    value = min(max(point.value, -sys.float_info.max), sys.float_info.max) + 0.0
    if point.value != point.value:
        value = point.value
    return point.key, point.step, point.timestamp, str(value)


def _texts(kind: str, here: Mapping[str, str], there: Mapping[str, str]) -> Completeness:
    differences = [
        f"{key} {'differs' if key in there else 'is missing'}"
        for key, value in sorted(here.items())
        if there.get(key) != str(value)
    ]
    return Completeness(kind=kind, num_in_folder=len(here), differences=tuple(differences))


def _of_names(kind: str, here: Iterable[str], there: Iterable[str]) -> Completeness:
    names = set(here)
    missing = tuple(f"{name} is missing" for name in sorted(names - set(there)))
    return Completeness(kind=kind, num_in_folder=len(names), differences=missing)


def _dataset(line: Line) -> str:
    return f"{line['name']}-{line['split']} {line['digest'][:32]}"


def _files(folder: Path, path: str) -> dict[str, Path]:
    """Returns the files of an artifact by their paths; an artifact that is gone stands for one."""
    source = folder / ARTIFACTS / path
    if not source.is_dir():
        return {path: source}
    root = folder / ARTIFACTS
    found = sorted(file for file in source.rglob("*") if file.is_file())
    return {file.relative_to(root).as_posix(): file for file in found}


def _artifacts(
    folder: Path, log: _Log, run: StoredRun, uri: str, connected: Callable[[], Any]
) -> Completeness:
    files: dict[str, Path] = {}
    for path in log.artifacts:
        files |= _files(folder, path)
    root = local.artifact_folder(run, uri) if run.id else None
    sizes: Mapping[str, int | None] = {}
    if root is not None:
        sizes = local.sizes(root)
    elif run.id:
        sizes = artifact_sizes(connected(), run)
    differences = _of_files(files, sizes)
    if uri.startswith("sqlite"):
        for path in sorted(set(files) & set(sizes)):
            if files[path].is_file() and path not in differences:
                there = (
                    connected().download_artifacts(run.id, path)
                    if root is None
                    else local.file_of(root, path)
                )
                if not filecmp.cmp(there, files[path], shallow=False):
                    differences[path] = f"{path} differs"
    return Completeness(
        kind="artifacts", num_in_folder=len(files), differences=tuple(differences.values())
    )


def _of_files(files: Mapping[str, Path], sizes: Mapping[str, int | None]) -> dict[str, str]:
    differences = {}
    for path, file in sorted(files.items()):
        size = sizes.get(path)
        if path not in sizes:
            differences[path] = f"{path} is missing"
        elif size is not None and file.is_file() and file.stat().st_size != size:
            differences[path] = f"{path} has {size} bytes, not {file.stat().st_size}"
    return differences


def _models(
    folder: Path, log: _Log, run: StoredRun, uri: str, connected: Callable[[], Any]
) -> Completeness:
    try:
        known = json.loads((folder / POSITION_FILE).read_bytes())["models"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        known = {}
    differences: list[str] = []
    paths = sorted(set(log.models))
    for path in paths:
        model_id = known.get(path) if isinstance(known, dict) else None
        if not run.id or model_id is None:
            differences.append(f"{path} is missing")
            continue
        known_here = local.model_sizes(run, str(model_id), uri)
        sizes, is_ready = known_here or model_sizes(connected(), run, str(model_id))
        files = {
            Path(name).relative_to(path).as_posix(): file
            for name, file in _files(folder, path).items()
            if name != path
        }
        differences += [f"{path}: {text}" for text in _of_files(files, sizes).values()]
        if not is_ready:
            differences.append(f"{path} is not ready")
    return Completeness(kind="models", num_in_folder=len(paths), differences=tuple(differences))


def _end(end: Line | None, status: str, end_time: int | None) -> Completeness:
    if end is None:
        return Completeness(
            kind="end", num_in_folder=0, differences=("the end of the run was not recorded",)
        )
    difference = (
        ()
        if (end["status"], end["timestamp"]) == (status, end_time)
        else (f"the store says {status or 'nothing'}, not {end['status']}",)
    )
    return Completeness(kind="end", num_in_folder=1, differences=difference)
