"""Opens the model of a recorded run on raw input; nothing of the store is executed."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from samerun import raw_model, tracking
from samerun import tags as tag
from samerun.errors import UserError
from samerun.process import quiet
from samerun.raw_model import DESCRIPTION, KERAS_FILE, RawModel, RefusedInput
from samerun.replay import recorded
from samerun.serving import logged
from samerun.tracking import LoggedModel, StoredRun

_MOST_BYTES = 200_000_000


def open_model(run: StoredRun, *, trusted: Sequence[str] = (), uri: str | None = None) -> RawModel:
    """Returns the model of a run, which takes raw input.

    The description and the Keras file are read with samerun's own code, never with what the store
    has in the model's `code/`. The Keras file is loaded, and TensorFlow imported, when the model
    predicts for the first time: input that is refused needs neither. Only a model of images imports
    TensorFlow here, which decodes them.

    Args:
        run: the stored run.
        trusted: names of modules of the user's own that may be imported.
        uri: the store, by default that of this folder.

    Raises:
        UserError: the run has no model, or one that cannot be used.
    """
    model = _find(run, uri)

    def load() -> Any:
        with tempfile.TemporaryDirectory(prefix="samerun-") as name:
            file = Path(name, KERAS_FILE.name)
            _download(run, model, file, uri)
            if trusted:
                cfg = recorded.read(run, trusted=trusted, uri=uri).cfg
                logged.import_own(logged.own_functions(cfg, trusted))
            return _loaded(run, file)

    description = _description(run, model, uri)
    if description is None:
        network = load()
        described = _described_earlier(run, network, uri)
        return _made(run, described, _fitting(run, described, network))
    made = _made(run, description, _Later(lambda: _fitting(run, description, load())))
    if "tensorflow" in raw_model.packages_of(description):
        _import_keras()
    return made


def fetch_model(
    run: StoredRun, folder: Path, functions: Mapping[str, str], *, uri: str | None = None
) -> Mapping[str, Any]:
    """Writes the Keras file of a run's model into a folder, and returns the model's description.

    The model is loaded once, to find out here that it can be.

    Args:
        run: the stored run.
        folder: where to write the file, as `KERAS_FILE`.
        functions: the user's own that may be imported.
        uri: the store, by default that of this folder.

    Raises:
        UserError: as `open_model`.
    """
    model, file = _find(run, uri), folder / KERAS_FILE
    description = _description(run, model, uri)
    if description is not None:
        _made(run, description, None)
    file.parent.mkdir(parents=True)
    _download(run, model, file, uri)
    logged.import_own(functions)
    return described(run, model, _loaded(run, file), uri=uri)


def described(
    run: StoredRun, model: LoggedModel, network: Any, *, uri: str | None = None
) -> Mapping[str, Any]:
    """Returns the description of a model's raw input, which fits its Keras model.

    Args:
        run: the stored run.
        model: its model in the store.
        network: its Keras model.
        uri: the store, by default that of this folder.

    Raises:
        UserError: there is none, and none can be made from what the run recorded; or it is of
            another model.
    """
    description = _description(run, model, uri)
    if description is None:
        description = _described_earlier(run, network, uri)
    return _made(run, description, _fitting(run, description, network)).description


class _Later:
    """A Keras model that is loaded when it is first used.

    Args:
        load: returns the Keras model.
    """

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load
        self._model: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._model is None:
            self._model = self._load()
        return getattr(self._model, name)


def _find(run: StoredRun, uri: str | None) -> LoggedModel:
    recorded.check_trained(run)
    if tag.INSTANCES in run.tags:
        raise UserError(
            f"'{recorded.clean(run.name)}' is the run of several seeds or folds, "
            f"expected one of them: `samerun show {run.id[:8]}` lists them."
        )
    model = tracking.find_model(run, uri=uri)
    logged.keras_file(run, model)
    return model


def _download(run: StoredRun, model: LoggedModel, file: Path, uri: str | None) -> None:
    tracking.download_model_file(run, model, logged.keras_file(run, model), file, uri=uri)


def _import_keras() -> None:
    """Imports Keras with TensorFlow, without their messages."""
    with quiet():
        import keras  # noqa: F401


def _loaded(run: StoredRun, file: Path) -> Any:
    _import_keras()
    return logged.load_file(run, file)


def _made(run: StoredRun, description: Mapping[str, Any], network: Any) -> RawModel:
    try:
        raw_model.check(description)
        return RawModel(description, network)
    except RefusedInput as error:
        raise UserError(f"Run {run.id}: {error}") from error


def _fitting(run: StoredRun, description: Mapping[str, Any], network: Any) -> Any:
    try:
        raw_model.check_network(description, network)
    except RefusedInput as error:
        raise UserError(f"Run {run.id}: {error}") from error
    return network


def _described_earlier(run: StoredRun, network: Any, uri: str | None) -> dict[str, Any]:
    from samerun.serving.earlier import describe_earlier  # with Hydra and the datasets

    return describe_earlier(run, network, uri=uri)


def _description(run: StoredRun, model: LoggedModel, uri: str | None) -> Mapping[str, Any] | None:
    """The stored description; `None` if the run was recorded before there was one."""
    if DESCRIPTION not in model.files:
        return None
    with tempfile.TemporaryDirectory(prefix="samerun-") as name:
        file = Path(name, DESCRIPTION)
        tracking.download_model_file(run, model, DESCRIPTION, file, uri=uri, most_bytes=_MOST_BYTES)
        content = file.read_bytes()
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"Run {run.id}: its {DESCRIPTION} is not JSON: it is not used.") from error
    if not isinstance(values, dict):
        raise UserError(f"Run {run.id}: its {DESCRIPTION} is not a JSON object: it is not used.")
    return values
