"""The Keras model that a run logged, loaded as untrusted data.

Keras's safe mode runs no stored code: it looks for classes in Keras and among those that were
registered, so a class of the user's own is found once its module was imported, which `--trust` has
to allow.
"""

import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from samerun import tracking, user_code
from samerun.archives import ERRORS_OF_ZIP
from samerun.config import Config
from samerun.errors import UserError, first_line, see
from samerun.replay.recorded import clean
from samerun.replay.trust import check_trusted
from samerun.tracking import LoggedModel, StoredRun

_ENDING = ".keras"
_NEEDS_CODE = ("Could not locate", "safe_mode", "register_keras_serializable", "unsafe")
"""What Keras writes where a file needs classes that it does not have, or holds a Lambda."""
_MOST_FILES = 1_000
_LEAST_BYTES, _TIMES = 200_000_000, 20
"""A model may unpack to 200 MB, or to 20 times its file: weights hardly shrink when compressed."""


def keras_file(run: StoredRun, model: LoggedModel) -> str:
    """Returns the path of the Keras file among the files of a logged model.

    Raises:
        UserError: it has none, or several.
    """
    found = [path for path in model.files if path.endswith(_ENDING)]
    if len(found) != 1:
        raise UserError(
            f"Run {run.id[:8]}: its logged model has {len(found)} {_ENDING} files, expected one: "
            "it was not logged by samerun."
        )
    return found[0]


def load(run: StoredRun, cfg: Config, model: LoggedModel, trusted: Sequence[str]) -> Any:
    """Returns the Keras model that a run logged, not compiled.

    Args:
        run: the stored run.
        cfg: its recorded config, for the user's own code.
        model: its model.
        trusted: modules that the config may import.

    Raises:
        UserError: it cannot be loaded, or needs code that is not trusted.
    """
    import_own(own_functions(cfg, trusted))
    with tempfile.TemporaryDirectory(prefix="samerun-") as folder:
        file = Path(folder, "model.keras")
        tracking.download_model_file(run, model, keras_file(run, model), file)
        return load_file(run, file)


def own_functions(cfg: Config, trusted: Sequence[str]) -> Mapping[str, str]:
    """Returns the function that builds the user's own model, if it is one, by its config key.

    Args:
        cfg: the recorded config.
        trusted: modules that the config may import.

    Raises:
        UserError: the function's module is not trusted.
    """
    model: Any = cfg.model
    if not user_code.is_function(model):
        return {}
    check_trusted(cfg, trusted)
    return {user_code.where("model", model): model.target}


def import_own(functions: Mapping[str, str]) -> None:
    """Imports the user's own functions, in whose modules are the classes that a model's file needs.

    Args:
        functions: what `own_functions` returned.

    Raises:
        UserError: one cannot be imported.
    """
    with user_code.working_folder_first():
        for key, target in functions.items():
            user_code.import_function(key, target)


def load_file(run: StoredRun, file: Path) -> Any:
    """Returns the Keras model in a file that a run logged, not compiled.

    Args:
        run: the stored run.
        file: a copy of its Keras file.

    Raises:
        UserError: it is damaged or too large, or cannot be loaded in safe mode.
    """
    import keras

    _check_size(run, file)
    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:
        raise UserError(_refusal(run, error)) from error


def _refusal(run: StoredRun, error: Exception) -> str:
    reason = clean(first_line(error))
    if not any(part in str(error) for part in _NEEDS_CODE):
        return f"Run {run.id[:8]}: its model cannot be loaded: {reason}"
    return (
        f"Run {run.id[:8]}: its model cannot be loaded without running code that it holds "
        f"({reason}): register classes of your own with "
        "@keras.saving.register_keras_serializable() in the module that the config names, and give "
        "--trust MODULE." + see("how-to/use-a-model.md#models-of-other-people")
    )


def _check_size(run: StoredRun, file: Path) -> None:
    """Checks what a file would unpack to, which Keras does not."""
    most = max(_LEAST_BYTES, _TIMES * file.stat().st_size)
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except (OSError, ValueError, *ERRORS_OF_ZIP) as error:
        raise UserError(
            f"Run {run.id[:8]}: its model is not a .keras file, or is damaged: "
            f"{clean(first_line(error))}"
        ) from error
    if len(members) > _MOST_FILES or sum(member.file_size for member in members) > most:
        raise UserError(
            f"Run {run.id[:8]}: its model would unpack to more than {most} bytes or {_MOST_FILES} "
            "files, so it is not loaded."
        )


def check_shapes(run: StoredRun, network: Any) -> None:
    """Checks that a Keras model states the shapes of its one input and its one output.

    Args:
        run: the stored run.
        network: its Keras model.

    Raises:
        UserError: it does not, as a subclass of `keras.Model` does not.
    """
    sides = (getattr(network, "inputs", None), getattr(network, "outputs", None))
    if any(side is None or len(side) != 1 for side in sides):
        raise UserError(
            f"Run {run.id[:8]}: its model does not state the shapes of one input and one output, "
            "expected a keras.Sequential or a keras.Model(inputs, outputs): build it as one and "
            "train it again."
        )
