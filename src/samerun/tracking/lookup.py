"""Runs in the store: find them by ID, by the start of an ID, by name or by tags."""

import contextlib
import logging
import os
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samerun import tags as tag
from samerun.config import Config
from samerun.errors import UserError
from samerun.redaction import redact
from samerun.tracking import store
from samerun.tracking.database import count_named, database_file

_log = logging.getLogger(__name__)

_LATEST = 10
_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class StoredRun:
    """A run as it is in the store.

    Args:
        id: its ID.
        name: its name.
        experiment_id: ID of its experiment.
        status: RUNNING, FINISHED, FAILED or KILLED.
        params: the flattened config.
        metrics: the last value of each metric.
        tags: its tags.
    """

    id: str
    name: str
    experiment_id: str
    status: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]

    @property
    def folder(self) -> Path:
        """The folder in which it ran; on another machine it does not exist."""
        return Path(self.tags.get(tag.FOLDER, ""))

    @property
    def is_started(self) -> bool:
        """Whether a process has opened it, which a run created for a worker waits for."""
        return tag.FOLDER in self.tags

    @property
    def num_resumed(self) -> int:
        """How many times it was resumed."""
        number = self.tags.get(tag.RESUMED, "0")
        return int(number) if number.isdecimal() else 0


def find_runs(names: Sequence[str] = (), *, uri: str | None = None) -> list[StoredRun]:
    """Returns the runs that are named, or the latest ten.

    Args:
        names: IDs, their starts, or names; the ID that a run had before the store created it
            (its tag `samerun.uid`) is one too.
        uri: the store, by default that of this folder.

    Raises:
        UserError: the store is empty, or a name fits no run, or more than one.
    """
    full = existing(uri)
    if full.startswith("sqlite"):
        _check_names(names, full)
    client = store.connect(full)
    experiments = [e.experiment_id for e in client.search_experiments()]
    if not names:
        latest = client.search_runs(
            experiments, max_results=_LATEST, order_by=["attributes.start_time DESC"]
        )
        return [as_stored(run) for run in latest]
    return [_one(client, experiments, name, full) for name in names]


def find_by_tags(cfg: Config, tags: Mapping[str, str]) -> list[StoredRun]:
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
    return arguments, {**os.environ, "MLFLOW_BACKEND_STORE_URI": full}


def _one(client: Any, experiments: Sequence[str], name: str, uri: str) -> StoredRun:
    run = _search_one(client, experiments, name, uri)
    newer = tag.newer_schema(run.tags)
    if newer:
        _log.warning("Run %s was %s", run.id, newer)
    return run


def _search_one(client: Any, experiments: Sequence[str], name: str, uri: str) -> StoredRun:
    if _ID.fullmatch(name):  # the usual case needs no search over all runs
        with contextlib.suppress(Exception):
            found = client.get_run(name)
            if found.info.lifecycle_stage == "active":
                return as_stored(found)
    token, matching = None, []
    while True:
        page = client.search_runs(experiments, max_results=1000, page_token=token)
        matching += [run for run in page if _is_named(run, name)]
        token = page.token
        if not token:
            break
    if len(matching) == 1:
        return as_stored(matching[0])
    raise _not_one(name, len(matching), uri)


def _check_names(names: Sequence[str], uri: str) -> None:
    """Checks that each name fits one run of a database file, before MLflow is imported: 3 s.

    A database that cannot be read like this is left to MLflow.

    Raises:
        UserError: a name fits no run, or more than one.
    """
    for name in names:
        try:
            number = count_named(database_file(uri), name)
        except sqlite3.Error:
            return
        if number != 1:
            raise _not_one(name, number, uri)


def _not_one(name: str, number: int, uri: str) -> UserError:
    named = f"{number} runs" if number else "no run"
    return UserError(
        f"'{name}' names {named} in {redact(uri)}: expected an ID, the start of exactly one "
        "ID, or a run's name."
    )


def _is_named(run: Any, name: str) -> bool:
    ids = [run.info.run_id, run.data.tags.get(tag.UID, "")]
    return run.info.run_name == name or any(one.startswith(name) for one in ids)


def as_stored(run: Any) -> StoredRun:
    """Returns one of MLflow's own run objects as ours."""
    return StoredRun(
        id=run.info.run_id,
        name=run.info.run_name,
        experiment_id=run.info.experiment_id,
        status=run.info.status,
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        tags=dict(run.data.tags),
    )


def url_of(run_id: str, *, uri: str | None = None) -> str | None:
    """Returns the address of a run in MLflow's pages, if its store is a server."""
    full = store.resolve_uri(uri)
    if not full.startswith(store.SERVERS):
        return None
    found = store.connect(full).get_run(run_id)
    return store.run_url(full, str(found.info.experiment_id), run_id)
