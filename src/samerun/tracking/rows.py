"""Reads runs from MLflow's database file by SQL: in milliseconds, where MLflow takes 3 s to import.

The file may come from elsewhere: it is opened read-only, its views and triggers call nothing, and a
value of another type than MLflow writes is left out.
"""

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from samerun.tracking.filters import Condition
from samerun.tracking.stored_run import StoredRun, as_logged

_READY = 2
"""Status of a logged model of which everything was uploaded."""
_ACTIVE = "runs.lifecycle_stage = 'active' and experiments.lifecycle_stage = 'active'"


@contextlib.contextmanager
def reading(file: Path) -> Iterator[sqlite3.Connection]:
    """Opens a database file for reading.

    Raises:
        sqlite3.Error: it cannot be read now, or has other tables.
    """
    address = f"{file.as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=1)) as database:
        database.text_factory = lambda text: text.decode(errors="replace")
        database.execute("pragma trusted_schema = off")
        yield database


def read_runs(
    database: sqlite3.Connection,
    *,
    ids: Collection[str] | None = None,
    params: Collection[str] | None = None,
    metrics: Collection[str] | None = None,
    tags: Collection[str] | None = None,
) -> list[StoredRun]:
    """Returns the active runs of a database, the newest first.

    Args:
        database: opened by `reading`.
        ids: of these runs only; `None`: of all.
        params: names of the parameters that are read; `None`: all.
        metrics: names of the metrics that are read, the last value of each; `None`: all.
        tags: names of the tags that are read; `None`: all.

    Raises:
        sqlite3.Error: the database cannot be read now, or has other tables.
    """
    query = f"""
        select run_uuid, runs.name, experiment_id, status, start_time, end_time
        from runs join experiments using (experiment_id)
        where {_ACTIVE} and {_within("run_uuid", ids, "ids")}
        order by start_time desc, run_uuid"""
    runs: dict[str, StoredRun] = {}
    found = database.execute(query, _bound(ids=ids))
    for run_id, name, experiment, status, start, end in found:
        runs[str(run_id)] = StoredRun(
            id=str(run_id),
            name=str(name or ""),
            experiment_id=str(experiment),
            status=str(status),
            params={},
            metrics={},
            tags={},
            start_time=_integer(start),
            end_time=_integer(end),
        )
    for run_id, key, value in _values(database, "params", "value", ids, params):
        if run_id in runs:
            runs[run_id].params[str(key)] = str(value)
    for run_id, key, value in _values(database, "tags", "value", ids, tags):
        if run_id in runs:
            runs[run_id].tags[str(key)] = str(value or "")
    measured = "case when is_nan then null else value end"
    for run_id, key, value in _values(database, "latest_metrics", measured, ids, metrics):
        if run_id in runs:
            runs[run_id].metrics[str(key)] = as_logged(value)
    return list(runs.values())


def run_ids(
    database: sqlite3.Connection, condition: Condition, most: int | None = None
) -> list[str]:
    """Returns the IDs of the active runs that a condition fits, the newest first.

    Args:
        database: opened by `reading`.
        condition: of the runs.
        most: most IDs that are returned; `None`: all.

    Raises:
        sqlite3.Error: the database cannot be read now, or has other tables.
    """
    database.execute("pragma case_sensitive_like = true")  # as MLflow does
    query = f"""
        select run_uuid from runs join experiments using (experiment_id)
        where {_ACTIVE} and {condition.sql}
        order by start_time desc, run_uuid limit ?"""
    limit = -1 if most is None else most
    return [str(one) for (one,) in database.execute(query, (*condition.values, limit))]


def have_runs(database: sqlite3.Connection) -> bool:
    """Whether a database has runs.

    Raises:
        sqlite3.Error: it is not MLflow's.
    """
    query = "select exists (select 1 from runs join experiments using (experiment_id))"
    return bool(database.execute(query).fetchone()[0])


def names(database: sqlite3.Connection) -> tuple[list[str], list[str]]:
    """Returns the names of all metrics and of all parameters, sorted."""
    metrics, params = (
        [str(key) for (key,) in database.execute(f"select distinct key from {table} order by key")]
        for table in ("latest_metrics", "params")
    )
    return metrics, params


def histories(database: sqlite3.Connection, run_id: str) -> dict[str, list[tuple[int, float]]]:
    """Returns the steps and values of each metric of a run, in the order of the steps."""
    query = """
        select key, step, case when is_nan then null else value end from metrics
        where run_uuid = ? order by key, step, timestamp"""
    found: dict[str, list[tuple[int, float]]] = {}
    for key, step, value in database.execute(query, (run_id,)):
        found.setdefault(str(key), []).append((_integer(step) or 0, as_logged(value)))
    return found


def datasets(database: sqlite3.Connection, run_id: str) -> set[str]:
    """Returns the name and digest of each dataset of a run: `digits-train 0123abcd`."""
    query = """
        select datasets.name, datasets.digest from inputs
        join datasets on inputs.source_id = datasets.dataset_uuid
        where source_type = 'DATASET' and destination_type = 'RUN' and destination_id = ?"""
    return {f"{name} {digest}" for name, digest in database.execute(query, (run_id,))}


def is_model_ready(database: sqlite3.Connection, model_id: str) -> bool | None:
    """Whether a logged model is complete by the database; `None` if there is none of this ID."""
    query = "select status from logged_models where model_id = ? and lifecycle_stage = 'active'"
    row = database.execute(query, (model_id,)).fetchone()
    return None if row is None else row[0] == _READY


def experiment_name(database: sqlite3.Connection, experiment_id: str) -> str | None:
    """Returns the name of an experiment."""
    query = "select name from experiments where experiment_id = ?"
    row = database.execute(query, (experiment_id,)).fetchone()
    return None if row is None else str(row[0])


def _values(
    database: sqlite3.Connection,
    table: str,
    value: str,
    ids: Collection[str] | None,
    keys: Collection[str] | None,
) -> Iterator[tuple[str, Any, Any]]:
    if keys is not None and not keys:
        return iter(())
    query = f"""
        select run_uuid, key, {value} from {table}
        where {_within("run_uuid", ids, "ids")} and {_within("key", keys, "keys")}"""
    return database.execute(query, _bound(ids=ids, keys=keys))


def _within(column: str, values: Collection[str] | None, name: str) -> str:
    """Returns the condition that a column is one of the values that are bound to a name."""
    return "1" if values is None else f"{column} in (select value from json_each(:{name}))"


def _bound(**values: Collection[str] | None) -> dict[str, str]:
    """Returns lists of any length as the values of named parameters."""
    return {name: json.dumps(list(given)) for name, given in values.items() if given is not None}


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) else None
