"""A Keras model in MLflow's format: saved in the run's folder first, then uploaded."""

import contextlib
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from samerun.errors import FileGone
from samerun.tracking.raw_flavor import RawInput, add_raw_input, example_frame

NAME = "model"
_NUM_EXAMPLES = 5  # the example is for reading; a batch of images as JSON would be megabytes

_MOST_POINTS = 1000  # MLflow's limit for one request
_NOT_OF_A_MODEL = ("system/", "speed/")

_log = logging.getLogger(__name__)


def save(model: Any, example: Any, folder: Path, run_id: str, raw: RawInput | None = None) -> None:
    """Saves a model with its signature, an example and what it needs, in a second or less.

    `mlflow.keras` loads the Keras model, a plain `.keras` file; `mlflow.tensorflow` would also
    pickle every class that was ever registered with Keras, samerun's included. `mlflow.pyfunc`
    loads the model of raw input. Requirements are given: inferring them takes MLflow 9 to 14 s.

    Args:
        model: a Keras model that is not compiled.
        example: a few inputs, `(examples, ...)`.
        folder: where to; replaced if it exists.
        run_id: the run that trained it.
        raw: how raw input becomes such inputs; `None` if both flavors take inputs of the model.
    """
    with warnings.catch_warnings():
        # About type hints in MLflow's own classes, when their modules are first imported.
        warnings.filterwarnings("ignore", ".*type hint.* is inferred as AnyType")
        _save(model, example, folder, run_id, raw)


def _save(model: Any, example: Any, folder: Path, run_id: str, raw: RawInput | None) -> None:
    import mlflow.keras
    import numpy as np
    from mlflow.models import Model, infer_signature

    few = np.asarray(example)[:_NUM_EXAMPLES]
    prediction = np.asarray(model(few, training=False))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    described = Model(run_id=run_id, artifact_path=NAME)
    with _requirements_hold():
        mlflow.keras.save_model(
            model,
            str(folder),
            mlflow_model=described,
            signature=infer_signature(few, prediction),
            input_example=few if raw is None else example_frame(raw),
            pip_requirements=requirements(raw),
        )
    if raw is not None:
        add_raw_input(described, raw, folder)


@contextlib.contextmanager
def _requirements_hold() -> Iterator[None]:
    """Spares MLflow the check that the requirements are installed, from which they are taken.

    It reads the files of all installed packages for it, which takes 0.45 s in a new process.
    """
    from mlflow.utils import environment

    check = environment.warn_dependency_requirement_mismatches
    environment.warn_dependency_requirement_mismatches = lambda model_requirements: None
    try:
        yield
    finally:
        environment.warn_dependency_requirement_mismatches = check


def requirements(raw: RawInput | None) -> list[str]:
    """Returns what a stored model needs to load, in the versions that trained it."""
    return pinned(
        ["mlflow", "tensorflow", "keras", "numpy"], {} if raw is None else raw.description
    )


def pinned(packages: Sequence[str], description: Mapping[str, Any]) -> list[str]:
    """Returns packages and those that raw input needs, in the versions that are installed.

    Args:
        packages: their names.
        description: of raw input; empty if there is none.
    """
    from samerun.raw_model import packages_of

    names = dict.fromkeys([*packages, *(packages_of(description) if description else ())])
    return [_pinned(name) for name in names]


def _pinned(name: str) -> str:
    """Returns a package in its version: the one that has the module, such as `onnxruntime-gpu`."""
    from importlib.metadata import (  # not needed to list runs
        PackageNotFoundError,
        packages_distributions,
        version,
    )

    try:
        return f"{name}=={version(name)}"
    except PackageNotFoundError:
        found = packages_distributions().get(name)
        return f"{found[0]}=={version(found[0])}" if found else name


def upload(
    client: Any,
    folder: Path,
    *,
    run_id: str,
    experiment_id: str,
    model_id: str | None,
    created: Callable[[str], None],
) -> None:
    """Uploads a saved model to the store, where the run's page shows it.

    What `mlflow.keras.log_model` does, by public calls with explicit identifiers, and in steps that
    can be repeated after an outage.

    Args:
        client: an `MlflowClient`.
        folder: what `save` wrote.
        run_id: the run that trained it.
        experiment_id: the run's experiment.
        model_id: the store's identifier, if an earlier attempt got that far.
        created: called with the identifier as soon as there is one.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    if not (folder / "MLmodel").exists():
        raise FileGone(f"{folder} is gone")
    if model_id is None:
        model_id = _find_or_create(client, run_id, experiment_id)
        created(model_id)
    description = Model.load(str(folder))
    description.run_id = (
        run_id  # a run that the store did not know had another ID when it was saved
    )
    description.model_id = model_id
    description.model_uuid = model_id
    description.artifact_path = client.get_logged_model(model_id).artifact_location
    description.save(str(folder / "MLmodel"))
    shown = client.get_run(run_id).outputs
    if shown is None or model_id not in [entry.model_id for entry in shown.model_outputs]:
        client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])  # fails the second time
    client.log_model_artifacts(model_id, str(folder))
    client.finalize_logged_model(model_id, "READY")
    _link_metrics(client, run_id, model_id)


def _link_metrics(client: Any, run_id: str, model_id: str) -> None:
    """Gives the model the last value of each metric of its run, by which MLflow lists models.

    The points are those that the run has, with their times, so that it gets none a second time.
    """
    from mlflow.entities import Metric

    points = [
        Metric(one.key, one.value, one.timestamp, one.step, model_id=model_id, run_id=run_id)
        for one in client.get_run(run_id).data._metric_objs  # `metrics` has no times
        if not one.key.startswith(_NOT_OF_A_MODEL)
    ]
    for start in range(0, len(points), _MOST_POINTS):
        client.log_batch(run_id, metrics=points[start : start + _MOST_POINTS])


def _find_or_create(client: Any, run_id: str, experiment_id: str) -> str:
    """Returns the ID of the run's model, created once even if responses or positions are lost."""
    condition = f"source_run_id = '{run_id}' AND name = '{NAME}'"

    def found() -> list[str]:
        models = client.search_logged_models([experiment_id], filter_string=condition)
        return sorted(str(entry.model_id) for entry in models)

    known = found()
    if not known:
        params = client.get_run(run_id).data.params
        client.create_logged_model(
            experiment_id, name=NAME, source_run_id=run_id, params=params, model_type="keras"
        )
        known = found()
    kept, *doubled = known
    for model_id in doubled:  # MLflow's client repeats a request whose response was lost
        client.delete_logged_model(model_id)
    return kept
