"""Runs in the store: find them by ID, by name, by MLflow's filter language or by tags."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from samerun import tags as tag
from samerun.errors import UserError
from samerun.redaction import redact
from samerun.tracking import filters, store
from samerun.tracking.catalog import Catalog
from samerun.tracking.database import database_file
from samerun.tracking.stored_run import StoredRun, as_stored

if TYPE_CHECKING:
    from samerun.config import Config

_log = logging.getLogger(__name__)

_LATEST = 10


def find_runs(names: Sequence[str] = (), *, uri: str | None = None) -> list[StoredRun]:
    """Returns the runs that are named, or the latest ten.

    A database file is read without MLflow, which takes 3 s to import.

    Args:
        names: each as in `samerun.tracking.ids.choose`: an ID or its start, a name, `latest~2`,
            `best:METRIC` or `STUDY/7`.
        uri: the store, by default that of this folder.

    Raises:
        UserError: the store is empty, or a name fits no run, or more than one.
    """
    catalog = Catalog(existing(uri))
    found = [catalog.choose(name) for name in names] if names else catalog.search("", _LATEST)
    for run in found if names else ():
        newer = tag.newer_schema(run.tags)
        if newer:
            _log.warning("Run %s was %s", run.id, newer)
    return found


def search_runs(
    filter: str, *, uri: str | None = None, max_results: int | None = None
) -> list[StoredRun]:
    r"""Returns the runs of all experiments that a filter fits, the newest first.

    Args:
        filter: in MLflow's filter language, such as `metrics."test/accuracy" > 0.9 and
            params.model = "cnn"`. Empty: all runs.
        uri: the store, by default that of this folder.
        max_results: most runs that are returned; `None`: all.

    Raises:
        UserError: there is no store, or MLflow does not understand the filter.
    """
    return Catalog(existing(uri)).search(filter, max_results)


def is_filter(text: str) -> bool:
    """Whether an argument is a filter, and not the ID or name of a run of this folder's store.

    Raises:
        UserError: there is no store, and only its runs could tell.
    """
    found = filters.is_filter(text)
    if found is None:
        return all(run.name != text for run in Catalog(existing()).runs)
    return found


def find_by_tags(cfg: "Config", tags: Mapping[str, str]) -> list[StoredRun]:
    """Returns the runs that have all these tags, the latest first; none where there is no store.

    Args:
        cfg: the config that names the store.
        tags: their names and values.
    """
    full = store.uri_of(cfg)
    if full.startswith("sqlite") and not database_file(full).exists():
        return []
    client = store.connect(full)
    experiments = [e.experiment_id for e in client.search_experiments()]
    return [as_stored(run) for run in search(client, experiments, tags)]


def search(client: Any, experiments: Sequence[str], tags: Mapping[str, str]) -> list[Any]:
    """Returns MLflow's own objects of the runs that have all these tags, the latest first."""
    quoted = {key: f'"{value}"' if "'" in value else f"'{value}'" for key, value in tags.items()}
    condition = " and ".join(f"tags.`{key}` = {value}" for key, value in quoted.items())
    found = client.search_runs(
        list(experiments), condition, max_results=1000, order_by=["attributes.start_time DESC"]
    )
    # An SQL database may ignore case; a value with both kinds of quotes never gets this far.
    return [run for run in found if all(run.data.tags.get(k) == v for k, v in tags.items())]


def existing(uri: str | None = None) -> str:
    """Returns the store's URI, if there is a store.

    Raises:
        UserError: there is no database in this folder.
    """
    full = store.resolve_uri(uri)
    if full.startswith("sqlite") and not database_file(full).exists():
        raise UserError(
            f"There are no runs here: {database_file(full)} does not exist. Train one with "
            "`samerun train`, or change to the folder where you did."
        )
    return full


def ui_command(*, host: str, port: int, uri: str | None = None) -> tuple[list[str], dict[str, str]]:
    """Returns the arguments of `python` that start MLflow's UI on the store, and its environment.

    The store's URI may hold a password, and every user of a machine can read command lines.

    Raises:
        UserError: there is no database in this folder, or the store already is a server.
    """
    full = existing(uri)
    if full.startswith("http"):
        raise UserError(f"The runs are on a server that has its own UI: open {redact(full)}.")
    arguments = ["-m", "mlflow", "ui", "--host", host, "--port", str(port)]
    arguments += ["--workers", "1"]  # for one person; four take four times as long to start
    arguments += ["--uvicorn-opts", "--log-level warning"]  # not a line for each request
    environment = {"PYTHONWARNINGS": "ignore", **os.environ, "MLFLOW_BACKEND_STORE_URI": full}
    return arguments, environment


def url_of(run_id: str, *, uri: str | None = None) -> str | None:
    """Returns the address of a run in MLflow's pages, if its store is a server."""
    full = store.resolve_uri(uri)
    if not full.startswith(store.SERVERS):
        return None
    found = store.connect(full).get_run(run_id)
    return store.run_url(full, str(found.info.experiment_id), run_id)
