"""The model that a run logged, read out of the store as the files that it is.

Nothing is loaded here: a file is copied, its size is bounded, and no link is followed.
"""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samerun.errors import UserError, first_line
from samerun.tracking import local, store
from samerun.tracking.lookup import existing
from samerun.tracking.model import NAME
from samerun.tracking.stored import model_sizes
from samerun.tracking.stored_run import StoredRun

MOST_BYTES = 20_000_000_000


@dataclass(frozen=True, kw_only=True)
class LoggedModel:
    """A model that a run logged.

    Args:
        id: its ID in the store.
        sizes: of its files in bytes, by path; `None` where the store knows none.
    """

    id: str
    sizes: Mapping[str, int | None]

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of its files, sorted."""
        return tuple(sorted(self.sizes))


def find_model(run: StoredRun, *, uri: str | None = None) -> LoggedModel:
    """Returns the model that a run logged.

    Args:
        run: the stored run.
        uri: the store, by default that of this folder.

    Raises:
        UserError: it logged none, or the store does not have all of it.
    """
    full = existing(uri)
    client = store.connect(full)
    condition = f"source_run_id = '{run.id}' AND name = '{NAME}'"
    try:
        found = client.search_logged_models([run.experiment_id], filter_string=condition)
    except Exception as error:
        raise UserError(f"Run {run.id}: its model cannot be read: {first_line(error)}.") from error
    if not found:
        raise UserError(
            f"Run {run.id[:8]} has logged no model: it did not finish, or was trained with "
            f"tracking.log_model=false; `samerun reproduce {run.id[:8]} tracking.log_model=true` "
            "trains it again with one."
        )
    model_id = str(sorted(str(one.model_id) for one in found)[0])
    sizes, is_ready = model_sizes(client, run, model_id)
    if not is_ready:
        raise UserError(
            f"Run {run.id[:8]}: the store does not have all of its model yet: deliver it with "
            f"`samerun sync {run.id[:8]}`."
        )
    return LoggedModel(id=model_id, sizes=sizes)


def download_model_file(
    run: StoredRun,
    model: LoggedModel,
    path: str,
    target: Path,
    *,
    uri: str | None = None,
    most_bytes: int = MOST_BYTES,
) -> None:
    """Copies a file of a logged model.

    Args:
        run: the stored run.
        model: its model.
        path: one of the model's files.
        target: the file to write; its folder exists.
        uri: the store, by default that of this folder.
        most_bytes: its maximum size; a larger one is not downloaded where the store knows its size.

    Raises:
        UserError: there is no such file, it is too large, or it cannot be read.
    """
    full = existing(uri)
    try:
        if path not in model.sizes:
            raise FileNotFoundError(f"{path} is no file of the model")
        _check_size(run, path, model.sizes[path], most_bytes)
        root = local.model_folder(run, model.id, full)
        if root is not None:
            file = local.file_of(root, path)
            _check_size(run, path, file.stat().st_size, most_bytes)
            shutil.copyfile(file, target)
            return
        with tempfile.TemporaryDirectory(prefix="samerun-") as folder:
            got = _download(model, path, Path(folder), full)
            _check_size(run, path, got.stat().st_size, most_bytes)
            shutil.move(got, target)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"Run {run.id}: '{path}' of its model cannot be read: {first_line(error)}."
        ) from error


def _check_size(run: StoredRun, path: str, size: int | None, most: int) -> None:
    if size is not None and size > most:
        raise UserError(
            f"Run {run.id}: '{path}' of its model has {size} bytes, expected at most {most}: it "
            "was not written by samerun and is ignored."
        )


def _download(model: LoggedModel, path: str, folder: Path, uri: str) -> Path:
    import mlflow.artifacts

    address: Any = f"models:/{model.id}/{path}"
    got = Path(mlflow.artifacts.download_artifacts(address, dst_path=str(folder), tracking_uri=uri))
    if not got.is_file() or not got.resolve().is_relative_to(folder.resolve()):
        raise FileNotFoundError(f"{path} is no file")
    return got
