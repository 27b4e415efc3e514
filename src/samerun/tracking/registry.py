"""MLflow's model registry: versions of a model, and the aliases that name one of them."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from samerun.errors import UserError, first_line
from samerun.escaping import one_line
from samerun.tracking import store
from samerun.tracking.logged_model import LoggedModel
from samerun.tracking.lookup import existing
from samerun.tracking.stored_run import StoredRun

LONGEST_DESCRIPTION = 5000
"""Characters that the registry's database keeps of a version's description."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a registered model.

    Args:
        name: of the registered model.
        number: of the version, as text.
        run_id: the run that trained it; empty where the registry does not say.
    """

    name: str
    number: str
    run_id: str


def holder(name: str, alias: str, *, uri: str | None = None) -> Version | None:
    """Returns the version that has an alias; `None` where there is none.

    Args:
        name: of the registered model.
        alias: such as `champion`.
        uri: the store, by default that of this folder.

    Raises:
        UserError: the name or the alias is none that MLflow takes.
    """
    from mlflow.exceptions import MlflowException

    client = store.connect(existing(uri))
    with _refused(name, alias):
        try:
            return _version(client.get_model_version_by_alias(name, alias))
        except MlflowException as error:
            if "not found" in str(error).lower():  # SQL says INVALID_PARAMETER_VALUE for an alias
                return None
            raise


def register(
    run: StoredRun, model: LoggedModel, name: str, description: str, *, uri: str | None = None
) -> Version:
    """Returns the version of a run's model, which is made where there is none yet.

    Args:
        run: the stored run.
        model: its model.
        name: of the registered model; it is made if there is none of that name.
        description: Markdown; it replaces that of an earlier registration.
        uri: the store, by default that of this folder.

    Raises:
        UserError: MLflow refuses.
    """
    client = store.connect(existing(uri))
    text = description[:LONGEST_DESCRIPTION]
    with _refused(name):
        _create_model(client, name)
        of_run = client.search_model_versions(f"name = '{name}' and run_id = '{run.id}'")
        found = [one for one in of_run if _is_of(one, model)]
        if found:
            made = max(found, key=lambda one: int(one.version))
            client.update_model_version(name, made.version, description=text)
        else:
            made = client.create_model_version(
                name,
                f"models:/{model.id}",
                run_id=run.id,
                description=text,
                model_id=model.id,
            )
    return _version(made)


def set_alias(version: Version, alias: str, *, uri: str | None = None) -> None:
    """Gives an alias to a version, and takes it from the one that had it.

    Raises:
        UserError: MLflow refuses.
    """
    client = store.connect(existing(uri))
    with _refused(version.name, alias):
        client.set_registered_model_alias(version.name, alias, version.number)


def _is_of(version: Any, model: LoggedModel) -> bool:
    """Whether a version has this model: anyone can register other files under a run's ID."""
    return bool(version.model_id == model.id or version.source == f"models:/{model.id}")


def _version(found: Any) -> Version:
    return Version(name=str(found.name), number=str(found.version), run_id=str(found.run_id or ""))


def _create_model(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


@contextlib.contextmanager
def _refused(name: str, alias: str = "") -> Iterator[None]:
    """Converts what MLflow refuses into one sentence."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        what = f"--model {one_line(name, 80)}" + (f" --as {one_line(alias, 80)}" if alias else "")
        raise UserError(f"{what}: the model registry refuses: {first_line(error)}") from error
