"""Opens the model of a recorded run on raw input; nothing of the store is executed."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samerun import raw_model, tracking, user_code
from samerun import tags as tag
from samerun.config import Config
from samerun.config.models.custom import CustomModel
from samerun.errors import UserError
from samerun.process import quiet
from samerun.raw_model import DESCRIPTION, KERAS_FILE, RawModel, RefusedInput
from samerun.replay import recorded
from samerun.replay.trust import check_trusted
from samerun.serving import logged
from samerun.serving.earlier import describe_earlier
from samerun.tracking import StoredRun

_MOST_BYTES = 200_000_000


def open_model(run: StoredRun, *, trusted: Sequence[str] = (), uri: str | None = None) -> RawModel:
    """Returns the model of a run, which takes raw input.

    The description and the Keras file are read with samerun's own code, never with what the store
    has in the model's `code/`.

    Args:
        run: the stored run.
        trusted: names of modules of the user's own that may be imported.
        uri: the store, by default that of this folder.

    Raises:
        UserError: the run has no model, or one that cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="samerun-") as name:
        return fetch_model(run, Path(name), trusted=trusted, uri=uri)


def fetch_model(
    run: StoredRun, folder: Path, *, trusted: Sequence[str] = (), uri: str | None = None
) -> RawModel:
    """Does the same, and leaves the Keras file in a folder, as `KERAS_FILE`.

    Args:
        run: the stored run.
        folder: where to.
        trusted: names of modules of the user's own that may be imported.
        uri: the store, by default that of this folder.

    Raises:
        UserError: as `open_model`.
    """
    recorded.check_trained(run)
    if tag.INSTANCES in run.tags:
        raise UserError(
            f"'{recorded.clean(run.name)}' is the run of several seeds or folds, "
            f"expected one of them: `samerun show {run.id[:8]}` lists them."
        )
    model, file = tracking.find_model(run, uri=uri), folder / KERAS_FILE
    file.parent.mkdir(parents=True)
    tracking.download_model_file(run, model, logged.keras_file(run, model), file, uri=uri)
    if trusted:
        _import_own(recorded.read(run, uri=uri).cfg, trusted)
    with quiet():
        import keras  # noqa: F401
    network = logged.load_file(run, file)
    if DESCRIPTION in model.files:
        path = folder / DESCRIPTION
        tracking.download_model_file(run, model, DESCRIPTION, path, uri=uri)
        description = _description(run, path)
    else:
        description = describe_earlier(run, network, uri=uri)
    try:
        raw_model.check(description)
        raw_model.check_network(description, network)
        return RawModel(description, network)
    except RefusedInput as error:
        raise UserError(f"Run {run.id}: {error}") from error


def _import_own(cfg: Config, trusted: Sequence[str]) -> None:
    """Imports the module of the user's own model, whose classes its file may need."""
    if isinstance(cfg.model, CustomModel):
        check_trusted(cfg, trusted)
        with user_code.working_folder_first():
            user_code.import_function("model.target", cfg.model.target)


def _description(run: StoredRun, file: Path) -> Mapping[str, Any]:
    if file.stat().st_size > _MOST_BYTES:
        raise UserError(f"Run {run.id}: its {DESCRIPTION} has {file.stat().st_size} bytes.")
    try:
        values = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"Run {run.id}: its {DESCRIPTION} is not JSON: it is not used.") from error
    if not isinstance(values, dict):
        raise UserError(f"Run {run.id}: its {DESCRIPTION} is not a JSON object: it is not used.")
    return values
