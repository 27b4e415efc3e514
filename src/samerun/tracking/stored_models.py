"""Reads the files of a run's stored model, as untrusted data."""

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from samerun.errors import UserError, first_line
from samerun.tracking import local, store
from samerun.tracking.database import database_file
from samerun.tracking.lookup import existing
from samerun.tracking.stored_run import StoredRun

_MODEL = re.compile("m-[0-9a-f]{32}")
_MOST_BYTES = 20_000_000_000


def download_model(
    run: StoredRun, paths: Sequence[str], target: Path, *, uri: str | None = None
) -> list[str]:
    """Copies files of the model that a run stored; no other file of the store is read.

    Args:
        run: the run.
        paths: of the files, such as `data/model.keras`; the names in the target are theirs.
        target: an existing folder.
        uri: the store, by default that of this folder.

    Returns:
        Those of the paths that the model has.

    Raises:
        UserError: the run stored no model, or the store cannot be read.
    """
    full = existing(uri)
    client = store.connect(full)
    try:
        outputs = client.get_run(run.id).outputs
        ids = [str(one.model_id) for one in outputs.model_outputs] if outputs else []
        model_id = ids[-1] if ids else None
        if model_id is None or not _MODEL.fullmatch(model_id):
            raise UserError(
                f"Run {run.id} stored no model, expected one trained with tracking.log_model=true: "
                f"`samerun reproduce {run.id[:8]} tracking.log_model=true` trains it again."
            )
        there = _there(client, model_id)
        found = [path for path in paths if path in there]
        for path in found:
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            _copy(run, full, model_id, path, target / path)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"Run {run.id}: its model cannot be read: {first_line(error)}") from error
    return found


def _there(client: object, model_id: str) -> set[str]:
    """Paths of a model's files, in its folder and those below that."""
    listed = client.list_logged_model_artifacts  # type: ignore[attr-defined]
    entries = list(listed(model_id))
    folders = [entry.path for entry in entries if entry.is_dir]
    inside = [entry for folder in folders for entry in listed(model_id, folder)]
    return {str(entry.path) for entry in [*entries, *inside] if not entry.is_dir}


def _copy(run: StoredRun, uri: str, model_id: str, path: str, target: Path) -> None:
    root = _local_folder(run, uri, model_id)
    if root is not None:
        shutil.copyfile(local.file_of(root, path), target)
        return
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory(prefix="samerun-") as folder:
        address = f"runs:/{run.id}/model/{path}"
        got = Path(download_artifacts(artifact_uri=address, dst_path=folder, tracking_uri=uri))
        if not got.is_file() or not got.resolve().is_relative_to(Path(folder).resolve()):
            raise FileNotFoundError(f"{path} is no file")
        if got.stat().st_size > _MOST_BYTES:
            raise UserError(f"Run {run.id}: its {path} has {got.stat().st_size} bytes: not read.")
        shutil.move(got, target)


def _local_folder(run: StoredRun, uri: str, model_id: str) -> Path | None:
    """The folder of a model in a local store; the path in the database is not used."""
    if not uri.startswith("sqlite") or not run.experiment_id.isdecimal():
        return None
    for place in (database_file(uri).parent, Path.cwd()):
        inside = Path("mlruns", run.experiment_id, "models", model_id, "artifacts")
        folder = place / inside
        if folder.is_dir() and folder.resolve() == place.resolve() / inside:
            return folder
    return None
