"""The store: its address, whether it is available, and the client for it."""

import logging
import os
import socket
import warnings
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from samerun.errors import StoreUnavailable, UserError, see
from samerun.redaction import HIDDEN, is_redacted_form, redact
from samerun.tracking.database import connect_file, database_file
from samerun.tracking.delivery.faults import is_unavailable

if TYPE_CHECKING:
    from samerun import config

SERVERS = ("http", "https")
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def prepare_environment() -> None:
    """Sets what MLflow reads from the environment, unless it is set already.

    By MLflow's own defaults one request to a closed port takes 247 s (seven retries); a server that
    accepts and never answers takes 20 minutes. Our spool retries by itself, so one retry is enough.
    A `Retry-After` of ten minutes would delay a request, and with it the end of a run, for as long.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it sends telemetry at import
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def resolve_uri(uri: str | None) -> str:
    """Returns the tracking URI of a run: the given one, the environment's, or MLflow's default.

    Raises:
        UserError: MLflow 3.17 keeps no runs at such an address, or its password is not known.
    """
    chosen = uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    chosen = full_uri(chosen, None)
    scheme = urlsplit(chosen).scheme.partition("+")[0]
    if scheme == "sqlite":
        file = database_file(chosen)
        return f"sqlite:///{file}{chosen[len(chosen.partition('?')[0]) :]}"
    if scheme in SERVERS or scheme in DATABASES or chosen.startswith("databricks"):
        return chosen.rstrip("/")
    raise UserError(
        f"tracking.uri: received '{redact(chosen)}', expected a database such as "
        "sqlite:///mlflow.db or a server such as http://127.0.0.1:5000; MLflow no longer keeps "
        "runs in plain folders."
    )


def full_uri(stored: str, given: str | None) -> str:
    """Adds the password, which is never recorded.

    Args:
        stored: an address without its password.
        given: the complete address, if it was given; otherwise the environment's is tried.

    Raises:
        UserError: its password is not known.
    """
    if HIDDEN not in stored:
        return stored
    for uri in (given, os.environ.get("MLFLOW_TRACKING_URI")):
        if uri and HIDDEN not in uri and is_redacted_form(stored, uri):
            return uri.rstrip("/")
    raise UserError(
        f"The store {stored} needs its password: set MLFLOW_TRACKING_URI to the complete address."
    )


def connect(uri: str, *, patience: float = 30.0) -> Any:
    """Returns an `MlflowClient` for a store that exists and has MLflow's tables.

    Args:
        uri: what `resolve_uri` returned.
        patience: seconds to wait for a database that another process has locked.

    Raises:
        StoreUnavailable: it does not answer at present.
        UserError: it cannot be written, or belongs to something else.
    """
    prepare_environment()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's mappers use what SQLAlchemy 2.1 deprecates
        return _connect(uri, patience)


def _connect(uri: str, patience: float) -> Any:
    from mlflow import MlflowClient

    _quieten()
    if uri.startswith("sqlite:"):
        return connect_file(uri, patience=patience)
    try:
        if urlsplit(uri).scheme.partition("+")[0] in DATABASES:
            _try_database(uri)
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except Exception as error:
        raise _unreachable(uri, error) from error
    return client


def answers(client: Any) -> bool:
    """Whether a store that existed is available now."""
    try:
        client.search_experiments(max_results=1)
    except Exception:
        return False
    return True


def _try_database(uri: str) -> None:
    """Connects once: MLflow itself would retry for 100 s to reach a missing database."""
    import sqlalchemy

    url = sqlalchemy.make_url(uri)
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)  # finds a missing driver
    if url.host:
        ports = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
        port = url.port or ports[url.get_backend_name()]
        socket.create_connection((url.host, port), timeout=5).close()
    engine.connect().close()


def _unreachable(uri: str, error: Exception) -> UserError:
    message = redact(str(error))
    known = {
        "Connection refused": "nothing listens there",
        "NameResolutionError": "there is no host of that name",
        "Name or service not known": "there is no host of that name",
        "timed out": "it does not answer",
        "CERTIFICATE_VERIFY_FAILED": "its certificate is not trusted",
        "error code 401": "it refuses MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        "error code 403": "it refuses this user or this host name",
        "No module named": "the driver of that database is not installed",
    }
    reason = next((reason for part, reason in known.items() if part in message), None)
    if reason is None:
        reason = f"it does not answer as MLflow 3.17 does ({message.splitlines()[0][:200]})"
    message = (
        f"tracking.uri: received '{redact(uri)}', but {reason}: start the server, correct the "
        "address, or leave tracking.uri out to use sqlite:///mlflow.db."
        + see("how-to/troubleshooting.md#stores")
    )
    if is_unavailable(error):
        return StoreUnavailable(message, reason=f"{redact(uri)}: {reason}")
    return UserError(message)


def _quieten() -> None:
    """Hides log messages that we replace by one line.

    MLflow logs 60 migrations, and each attempt to reach a lost store with a stack trace.
    """
    names = ("mlflow.store.db.utils", "mlflow.utils.environment", "urllib3.connectionpool")
    for name in (*names, "alembic"):
        if logging.getLogger(name).level in (logging.NOTSET, logging.INFO):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def experiment_id(client: Any, name: str) -> str:
    """Returns the identifier of an experiment, which is created if there is none of that name.

    Raises:
        UserError: an experiment of that name was deleted, or cannot be created.
    """
    from mlflow.exceptions import MlflowException

    for _ in range(2):
        found = client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "active":
            return str(found.experiment_id)
        if found is not None:
            raise UserError(
                f"tracking.experiment: '{name}' was deleted: choose another name, or run "
                f"`mlflow experiments restore --experiment-id {found.experiment_id}`."
            )
        try:
            # The kind makes MLflow's pages open on training runs, not on language-model traces.
            kind = {"mlflow.experimentKind": "custom_model_development"}
            return str(client.create_experiment(name, tags=kind))
        except MlflowException as error:
            if error.error_code == "RESOURCE_ALREADY_EXISTS":
                continue  # another process was faster
            if is_unavailable(error):
                raise
            raise UserError(
                f"tracking.experiment: '{name}' cannot be created: {redact(str(error))}"
            ) from error
    raise UserError(
        f"tracking.experiment: '{name}' is being created and deleted by other processes."
    )


def host() -> str:
    """Returns this machine's name."""
    return socket.gethostname()


def run_url(uri: str, experiment: str, run: str) -> str | None:
    """Returns the address of a run in MLflow's pages, if `uri` is a server's."""
    if urlsplit(uri).scheme not in SERVERS:
        return None
    return f"{server_address(uri)}/#/experiments/{experiment}/runs/{run}"


def server_address(uri: str) -> str:
    """Returns the address of a server without name and password."""
    parts = urlsplit(uri)
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}{parts.path}".rstrip("/")


def uri_of(cfg: "config.Config") -> str:
    """Returns the tracking URI of a config."""
    return resolve_uri(cfg.tracking.uri)
