"""All runs of a store, of which no more is read than is asked for."""

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, final

from samerun import tags as tag
from samerun.errors import UserError, first_line
from samerun.escaping import one_line
from samerun.redaction import redact
from samerun.tracking import ids, rows, store
from samerun.tracking.database import database_file
from samerun.tracking.filters import as_condition
from samerun.tracking.stored_run import PARENT, StoredRun, as_logged, as_stored

if TYPE_CHECKING:
    from pathlib import Path

TAGS = (
    *(*ids.READ_TAGS, tag.BEST, tag.OBJECTIVES, tag.INSTANCES, tag.LEARNED_FROM),
    *(tag.REPRODUCES, tag.VERDICT, tag.FORKED_FROM, tag.STATE, tag.DATASET),
)
"""The tags of every run that a catalog reads: those by which runs are related and sorted."""
_PAGE = 1000
_Result = TypeVar("_Result")


@final
class Catalog:
    """All runs of a store.

    A database file is read by SQL, without MLflow, which takes 3 s to import. Every other store, or
    a file that cannot be read like this, is asked through MLflow.

    Args:
        uri: the store's complete address; it exists.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.address = redact(uri)
        self._file: Path | None = database_file(uri) if uri.startswith("sqlite") else None

    @cached_property
    def runs(self) -> list[StoredRun]:
        """All active runs, the newest first: of a database file without metrics and parameters."""
        found = self._read(lambda it: rows.read_runs(it, params=(), metrics=(), tags=TAGS))
        return [as_stored(run) for run in self.pages()] if found is None else found

    @property
    def is_file(self) -> bool:
        """Whether its runs are read from a database file, which takes milliseconds."""
        return self._file is not None and self._read(rows.have_runs) is not None

    def choose(self, name: str) -> StoredRun:
        """Returns the run that a text names, completely: see `samerun.tracking.ids`.

        Raises:
            UserError: it names no run, or several.
        """
        if self._file is None and ids.is_complete(name):
            found = self._by_id(name)
            if found is not None:
                return found
        metric = ids.best_metric(name)
        runs = self.runs if metric is None else self.with_metric(metric)
        return self.complete([ids.choose(name, runs, self.address).id])[0]

    def _by_id(self, run_id: str) -> StoredRun | None:
        """Returns the active run of an ID as MLflow has it."""
        with contextlib.suppress(Exception):
            found = self._client.get_run(run_id)
            if found.info.lifecycle_stage == "active":
                return as_stored(found)
        return None

    def with_metric(self, metric: str, *more: str) -> list[StoredRun]:
        """Returns all runs with the last value of a metric, or with all if no run has it.

        Args:
            metric: its name.
            more: names of other metrics that are read too.

        Raises:
            UserError: a name is no text that a store can hold.
        """
        for one in (metric, *more):
            _check_text("metric", one)

        def read(it: sqlite3.Connection) -> list[StoredRun]:
            found = rows.read_runs(it, params=(), metrics=(metric, *more), tags=TAGS)
            if any(metric in run.metrics for run in found):
                return found
            return rows.read_runs(it, params=(), tags=TAGS)

        found = self._read(read)
        return self.runs if found is None else found

    def with_parameter(self, key: str) -> list[StoredRun]:
        """Returns all runs with the value of a parameter.

        Raises:
            UserError: its name is no text that a store can hold.
        """
        _check_text("parameter", key)
        found = self._read(lambda it: rows.read_runs(it, params=(key,), metrics=(), tags=TAGS))
        return self.runs if found is None else found

    def names(self) -> tuple[list[str], list[str]]:
        """Returns the names of all metrics and of all parameters, sorted."""
        found = self._read(rows.names)
        if found is None:
            metrics = {key for run in self.runs for key in run.metrics}
            params = {key for run in self.runs for key in run.params}
            return sorted(metrics), sorted(params)
        return found

    def children(self, run: StoredRun) -> list[StoredRun]:
        """Returns the runs directly below a run, completely, the newest first."""
        if not ids.is_complete(run.id):
            return []
        found = self.search(f"tags.`{PARENT}` = '{run.id}'")
        return [one for one in found if one.id != run.id]

    def search(self, filter: str, most: int | None = None) -> list[StoredRun]:
        """Returns the runs that a filter fits, completely, the newest first.

        Args:
            filter: in MLflow's filter language.
            most: most runs that are returned; `None`: all.

        Raises:
            UserError: MLflow does not understand the filter, or it is not UTF-8.
        """
        found = self._fitting(filter, most)
        if found is not None:
            return self.complete(found)
        return [as_stored(run) for run in self.pages(filter, most)]

    def search_ids(self, filter: str, most: int | None = None) -> list[str]:
        """Returns the IDs of the runs that `search` returns, which is faster."""
        found = self._fitting(filter, most)
        return [one.id for one in self.search(filter, most)] if found is None else found

    def _fitting(self, filter: str, most: int | None) -> list[str] | None:
        """Returns the IDs of the runs that a filter fits; `None` if MLflow has to be asked."""
        _check_text("filter", filter)
        condition = as_condition(filter)
        if condition is None:
            return None
        return self._read(lambda it: rows.run_ids(it, condition, most))

    def complete(self, wanted: Sequence[str]) -> list[StoredRun]:
        """Returns runs with all of their parameters, metrics and tags.

        Args:
            wanted: their IDs. One that the store does not have is left out.
        """
        found = self._read(lambda it: rows.read_runs(it, ids=set(wanted)))
        if found is None and "runs" in self.__dict__:
            found = self.runs
        if found is None:  # the usual case needs no search over all runs
            found = [run for run in map(self._by_id, dict.fromkeys(wanted)) if run is not None]
        known = {run.id: run for run in found}
        return [known[one] for one in wanted if one in known]

    def histories(self, run_id: str) -> dict[str, list[tuple[int, float]]]:
        """Returns the steps and values of each metric of a run, in the order of the steps."""
        found = self._read(lambda it: rows.histories(it, run_id))
        if found is not None:
            return found
        points: dict[str, list[tuple[int, float]]] = {}
        for key in sorted(self._client.get_run(run_id).data.metrics):
            history = self._client.get_metric_history(run_id, key)
            ordered = sorted(history, key=lambda point: (point.step, point.timestamp))
            points[key] = [(int(point.step), as_logged(point.value)) for point in ordered]
        return points

    def experiment_name(self, experiment_id: str) -> str:
        """Returns the name of an experiment, or its ID if the store has none."""
        found = self._read(lambda it: rows.experiment_name(it, experiment_id))
        if self._file is None:
            found = str(self._client.get_experiment(experiment_id).name)
        return found or experiment_id

    def pages(self, filter: str = "", most: int | None = None) -> list[Any]:
        """Returns MLflow's own objects of the runs that a filter fits, the newest first.

        Args:
            filter: in MLflow's filter language.
            most: most runs that are returned; `None`: all.

        Raises:
            UserError: MLflow does not understand the filter.
        """
        from mlflow.exceptions import MlflowException

        experiments = [e.experiment_id for e in self._client.search_experiments()]
        found: list[Any] = []
        token = None
        while most is None or len(found) < most:
            try:
                page = self._client.search_runs(
                    experiments,
                    filter,
                    max_results=_PAGE if most is None else min(_PAGE, most - len(found)),
                    order_by=["attributes.start_time DESC"],
                    page_token=token,
                )
            except MlflowException as error:
                if not filter or error.error_code != "INVALID_PARAMETER_VALUE":
                    raise
                raise _not_understood(filter, error) from error
            found += page
            token = page.token
            if not token:
                break
        return found

    @cached_property
    def _client(self) -> Any:
        return store.connect(self.uri)

    def _read(self, read: Callable[[sqlite3.Connection], _Result]) -> _Result | None:
        """Returns what is read from the database file; `None` if MLflow has to be asked."""
        if self._file is None:
            return None
        try:
            with rows.reading(self._file) as database:
                return read(database)
        except sqlite3.Error:
            self._file = None  # locked, or of another version: MLflow says which
            return None


def _check_text(what: str, text: str) -> None:
    """Refuses the bytes of a command line that are not UTF-8, which Python keeps as surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{what}: received '{one_line(text)}', expected text in UTF-8.") from None


def _not_understood(filter: str, error: Exception) -> UserError:
    reason = one_line(first_line(error).partition(". ")[0].rstrip("."))
    return UserError(
        f"filter: MLflow does not understand '{one_line(filter)}' ({reason}): expected one such as "
        '\'metrics."test/accuracy" > 0.9 and params.model = "cnn"\'.'
    )
