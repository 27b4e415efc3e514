"""Writes a recorded run into one file, which another machine can reproduce it from."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from samerun import __version__, checkpoints, identity, tracking, user_code
from samerun import tags as tag
from samerun.config import Config
from samerun.config.datasets.images import ImageFolder, VideoFolder
from samerun.config.datasets.text import TextFolder
from samerun.config.paths import paths
from samerun.data.class_folders import PARTS, is_of_the_desktop
from samerun.errors import UserError, listed
from samerun.files import replacing, write_atomic
from samerun.replay import bundle_file, crate, data_files, recorded, signature
from samerun.replay.bundle_file import KINDS, METRICS
from samerun.replay.recorded import RecordedRun
from samerun.replay.trust import check_trusted
from samerun.tracking import StoredRun

_CHECKPOINTS = "checkpoints"
_LEFT_OUT = ("tensorboard/", "code/", "bundle/")
"""The same curves as in metrics.jsonl; and what `unbundle` adds, if the run came from a bundle."""
_NOT_SENT = {
    *(tag.FOLDER, tag.HOST, tag.BOOT, tag.PID_NAMESPACE, tag.PID, tag.PROCESS_STARTED),
    *(tag.HEARTBEAT, tag.UNDELIVERED, tag.UID, tag.BUNDLED_FROM),
}
"""Tags that say where the run is, which is another place for each of its copies."""


@dataclass(frozen=True, kw_only=True)
class Bundled:
    """A bundle that was written.

    Args:
        file: the file.
        num_files: how many it holds.
        num_bytes: its size.
        data: paths of the data in it.
        left_out: the run's artifacts that are not in it.
        missing: where the config reads its data, if that is not in it.
    """

    file: Path
    num_files: int
    num_bytes: int
    data: tuple[str, ...]
    left_out: tuple[str, ...]
    missing: tuple[str, ...]


def bundle(
    run: StoredRun,
    file: Path,
    *,
    has_data: bool = False,
    key: Path | None = None,
    trusted: Sequence[str] = (),
) -> Bundled:
    """Writes a run into a bundle.

    Args:
        run: the stored run.
        file: the file to write.
        has_data: put the data into it too; only its digests otherwise.
        key: the SSH key that signs it.
        trusted: modules that its config may import: which files a component of the user's own
            consists of and reads, the module that declares it says.

    Raises:
        UserError: the run has such a component that is not trusted; it is a sweep or has seeds, did
            not end, or has artifacts missing; the file exists, or the data is not below the working
            folder.
    """
    _check(run, file)
    if key is not None:
        signature.check_key(key)
    found = recorded.read(run, trusted=trusted)
    if user_code.components_of(found.cfg):
        check_trusted(found.cfg, trusted)
    data = dict(_data(found.cfg)) if has_data else {}
    code = identity.own_files(found.cfg)
    with tempfile.TemporaryDirectory(prefix="samerun-") as place:
        artifacts, left_out = _artifacts(run, Path(place))
        contents: dict[str, bytes | Path] = {
            METRICS: tracking.points_text(tracking.metric_points(run)).encode(),
            **{f"artifacts/{path}": one for path, one in artifacts.items()},
            **{f"code/{path}": one for path, one in code.items()},
            **{f"data/{path}": one for path, one in data.items()},
        }
        for path in contents:
            _check_name(path)
        manifest = _manifest(found)
        with replacing(file.absolute()) as temporary, temporary.open("w+b") as target:
            bundle_file.write(
                target, manifest, contents, lambda members: crate.metadata(manifest, members)
            )
            target.flush()
            signed = None if key is None else signature.sign(temporary, key)
    if signed is not None:
        _add_signature(file, signed)
    return Bundled(
        file=file,
        num_files=len(contents) + 2,
        num_bytes=file.stat().st_size,
        data=tuple(data),
        left_out=tuple(left_out),
        missing=() if data else tuple(paths(found.cfg.dataset).values()),
    )


def _add_signature(file: Path, signed: bytes) -> None:
    """Writes the signature beside a bundle; if that fails, neither is left."""
    beside = signature.signature_of(file)
    try:
        write_atomic(beside, signed)
    except BaseException:
        for one in (beside, file):
            one.unlink(missing_ok=True)
        raise


def _check(run: StoredRun, file: Path) -> None:
    recorded.check_trained(run)
    if tag.INSTANCES in run.tags:
        raise UserError(
            f"Run {run.id[:8]} consists of several runs (seeds or folds): bundle one of them, "
            f"which `samerun show {run.id[:8]}` lists."
        )
    if run.status not in ("FINISHED", "FAILED", "KILLED"):
        raise UserError(f"Run {run.id[:8]} is {run.status}: wait until it ends.")
    for one in (file, signature.signature_of(file)):
        if one.exists() or one.is_symlink():
            raise UserError(f"{one} exists: choose another name, or remove it.")
    if not file.absolute().parent.is_dir():
        raise UserError(
            f"{file}: the folder {file.parent} does not exist: create it with "
            f"`mkdir -p {file.parent}`."
        )


def _check_name(path: str) -> None:
    """A name that no bundle may hold is refused here, not on the other machine."""
    try:
        bundle_file.check_path(path)
    except UserError as error:
        raise UserError(
            f"'{path}' cannot be in a bundle, whose names are the same on every system: rename it."
        ) from error


def _artifacts(run: StoredRun, place: Path) -> tuple[dict[str, Path], list[str]]:
    """Downloads the artifacts; returns them by path, and those that are left out."""
    kept, left_out = {}, []
    for number, path in enumerate(tracking.list_artifacts(run)):
        is_kind = PurePosixPath(path).suffix.lower() in KINDS and not path.endswith(".py")
        if path.startswith(_LEFT_OUT) or not is_kind:
            left_out.append(path)
            continue
        kept[path] = place / str(number)
        tracking.download_artifact(run, path, kept[path], most_bytes=checkpoints.MOST_BYTES)
    own = tracking.folder_of(run)
    last = own / _CHECKPOINTS / checkpoints.LAST if own else None
    if last is not None and last.is_file() and not last.is_symlink():
        for name in checkpoints.UPLOADED:  # as if it had been uploaded: it is found there
            kept.pop(f"{_CHECKPOINTS}/{name}", None)
        kept[f"{_CHECKPOINTS}/{checkpoints.UPLOADED[0]}"] = last
    return kept, left_out


def _data(cfg: Config) -> Iterator[tuple[str, Path]]:
    """Yields the files of the data, by their path in the working folder."""
    here = Path.cwd().resolve()
    for key, value in paths(cfg.dataset).items():
        given = Path(value)
        if given.is_absolute() or not here.joinpath(given).resolve().is_relative_to(here):
            raise UserError(
                f"--data: dataset.{key} is {value}, outside of the working folder, where another "
                "machine would not look for it: leave --data out and send the data by itself."
            )
        if not given.exists():
            raise UserError(f"--data: dataset.{key} is {value}, which does not exist here.")
        files = [given] if given.is_file() else sorted(given.rglob("*"))
        for file in files:
            if any(is_of_the_desktop(name) for name in file.relative_to(given).parts):
                continue
            if file.is_symlink():
                raise UserError(f"--data: {file} is a link, expected a file.")
            if file.is_file() and not _is_unread(file, given, cfg):
                yield file.as_posix(), file


def _is_unread(file: Path, root: Path, cfg: Config) -> bool:
    """Whether training leaves a file out: one beside the folders of the classes, such as a README.

    Raises:
        UserError: training may read it, and no bundle may hold or write it.
    """
    path = file.as_posix()
    if data_files.is_data(path):
        data_files.check_place(path)
        return False
    beside = {root, *(root / part for part in PARTS)}
    if isinstance(cfg.dataset, ImageFolder | VideoFolder | TextFolder) and file.parent in beside:
        return True
    what = f"ends in '{file.suffix}'" if file.suffix else "has no ending"
    raise UserError(
        f"--data: {path} {what}, and the data of a bundle ends in "
        f"{listed(data_files.ENDINGS)}: rename or move it, or leave --data out and send the data "
        "by itself."
    )


def _manifest(found: RecordedRun) -> dict[str, Any]:
    run = found.run
    experiment = tracking.Catalog(tracking.existing()).experiment_name(run.experiment_id)
    return {
        "samerun": __version__,
        "run": {
            "id": run.tags.get(tag.BUNDLED_FROM) or run.id,
            "name": run.name,
            "experiment": experiment,
            "status": run.status,
            "start_time": run.start_time,
            "end_time": run.end_time,
            "params": run.params,
            "tags": _tags(run.tags),
        },
        "data": dict(found.provenance.data or {}),
        "verdicts": _verdicts(run),
    }


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    kept = ("mlflow.note.content", "mlflow.source.git.")
    return {
        key: value
        for key, value in tags.items()
        if key not in _NOT_SENT and (not key.startswith("mlflow.") or key.startswith(kept))
    }


def _verdicts(run: StoredRun) -> list[dict[str, str]]:
    """Returns the reproductions of a run, in the store that it comes from."""
    return [
        {"run": other.id, "verdict": other.tags.get(tag.VERDICT, "")}
        for other in tracking.Catalog(tracking.existing()).runs
        if other.tags.get(tag.REPRODUCES) == run.id and other.tags.get(tag.VERDICT)
    ]
