"""A run that was recorded in another store, written into this one: completely or not at all."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samerun.errors import UserError, first_line
from samerun.tracking import store
from samerun.tracking.delivery.spool import POINTS_A_BATCH, Point

_VALUES_A_BATCH = 100  # the most that MLflow accepts in one request


@dataclass(frozen=True, kw_only=True)
class ImportedRun:
    """A run to write into a store.

    Args:
        name: its name.
        experiment: name of its experiment; created if there is none.
        status: FINISHED, FAILED or KILLED.
        start_time: in milliseconds since 1970.
        end_time: the same.
        params: its parameters.
        tags: its tags.
        points: its metrics.
        artifacts: a folder with its artifacts.
    """

    name: str
    experiment: str
    status: str
    start_time: int | None
    end_time: int | None
    params: Mapping[str, str]
    tags: Mapping[str, str]
    points: Sequence[Point]
    artifacts: Path


def import_run(run: ImportedRun, *, uri: str | None = None) -> str:
    """Writes a run into the store and returns the ID that it has there.

    Args:
        run: the run.
        uri: the store, by default that of this folder; a database is created.

    Raises:
        UserError: the store refuses; the run is deleted again.
    """
    client = store.connect(store.resolve_uri(uri))
    experiment = store.experiment_id(client, run.experiment)
    run_id = ""
    try:
        made = client.create_run(
            experiment, start_time=run.start_time, tags=dict(run.tags), run_name=run.name
        )
        run_id = str(made.info.run_id)
        _log(client, run_id, run)
        client.set_terminated(run_id, status=run.status, end_time=run.end_time)
    except BaseException as error:
        if run_id:
            with contextlib.suppress(Exception):
                client.delete_run(run_id)
        if not isinstance(error, Exception) or isinstance(error, UserError):
            raise
        raise UserError(f"The store refuses the run: {first_line(error)}") from error
    return run_id


def _log(client: Any, run_id: str, run: ImportedRun) -> None:
    from mlflow.entities import Metric, Param

    params = [Param(key, value) for key, value in run.params.items()]
    for at in range(0, len(params), _VALUES_A_BATCH):
        client.log_batch(run_id, params=params[at : at + _VALUES_A_BATCH])
    points = [Metric(one.key, one.value, one.timestamp, one.step) for one in run.points]
    for at in range(0, len(points), POINTS_A_BATCH):
        client.log_batch(run_id, points[at : at + POINTS_A_BATCH])
    client.log_artifacts(run_id, str(run.artifacts))
