"""Existing runs: resumed here or on another machine, or created for a worker."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samerun import tags as tag
from samerun.errors import UserError, first_line, see
from samerun.redaction import redact, redact_value
from samerun.tracking import store
from samerun.tracking.delivery.spool import write_known
from samerun.tracking.lookup import search
from samerun.tracking.mlflow_run import PATIENCE_SECONDS, MlflowRun
from samerun.tracking.opening import ended, own_tags
from samerun.tracking.recovery.dead_runs import deliver
from samerun.tracking.recovery.folders import RUN_FILE, RunFacts, check_openable, write_run_file
from samerun.tracking.recovery.lock import is_alive, lock_folder
from samerun.tracking.recovery.ownership import folder_of, store_of
from samerun.tracking.recovery.process import is_gone, last_heard_of
from samerun.tracking.run import Run
from samerun.tracking.stored import points_of
from samerun.tracking.stored_run import StoredRun, as_stored

if TYPE_CHECKING:
    from samerun import config


@contextlib.contextmanager
def reopen_run(
    folder: Path,
    *,
    run_id: str | None = None,
    uri: str | None = None,
    tags: Mapping[str, str] | None = None,
    take_over: bool = False,
    patience: float = PATIENCE_SECONDS,
) -> Iterator[Run]:
    """Resumes a run: the same run in the store, RUNNING again.

    A step that has a value keeps it, so an epoch that is repeated after an exact resume leaves one
    value per step. The earlier end of the run is replaced by its new one.

    Args:
        folder: the run's folder, or an empty one if `run_id` is given.
        run_id: the run to resume in an empty folder, from what the store holds.
        uri: the store's address; without `run_id` needed only if it holds a password that is not
            in `MLFLOW_TRACKING_URI`.
        tags: set from the start.
        take_over: the run is RUNNING on another machine, which no longer exists.
        patience: most seconds for which the end of the run waits for the store.

    Raises:
        UserError: there is no run, its process is running, or its store cannot be used.
    """
    folder = folder.absolute()
    facts: RunFacts | None = None
    if run_id is None or (folder / RUN_FILE).exists():
        facts = check_openable(folder)
        if facts.id is None:  # the store was unavailable when the run started
            deliver(folder, uri=uri)
            facts = check_openable(folder)
        if run_id not in (None, facts.id):
            raise UserError(f"{folder} holds run {facts.id}: give {run_id} an empty folder.")
    full = store_of(facts, uri) if facts else store.resolve_uri(uri)
    with lock_folder(folder):
        client = store.connect(full, patience=patience)
        stored_id = str(facts.id if facts else run_id)
        stored = as_stored(_stored(client, stored_id, full, folder))
        check_at_rest(stored, uri=full, folder=folder, take_over=take_over)
        if facts is None:
            _deliver_from_before(stored, full)
        points = points_of(client, stored_id, None if stored.is_started else ())
        name, experiment = stored.name, stored.experiment_id
        if facts is None:
            write_run_file(
                folder,
                run_id=stored_id,
                uid=stored.tags.get(tag.UID),
                name=name,
                uri=full,
                experiment=str(client.get_experiment(experiment).name),
                experiment_id=experiment,
            )
            write_known(folder, points)
        run = MlflowRun(
            client,
            run_id=stored_id,
            name=name,
            folder=folder,
            experiment_id=experiment,
            url=store.run_url(full, experiment, stored_id),
            known=points,
            uid=stored.tags.get(tag.UID),
            patience=patience,
        )
        client.update_run(stored_id, status="RUNNING")
        run.set_tags({tag.REASON: "", **own_tags(folder), **(tags or {})})
        with ended(run):
            yield run


def _deliver_from_before(run: StoredRun, uri: str) -> None:
    """Sends what a folder of this machine still holds of a run that is resumed in another one."""
    before = folder_of(run, uri=uri)
    if before is not None:
        deliver(before, uri=uri)


def _stored(client: Any, run_id: str, uri: str, folder: Path) -> Any:
    try:
        found = client.get_run(run_id)
    except Exception as error:
        raise UserError(
            f"Run {run_id} of {folder} is not in the store {redact(uri)}: {first_line(error)}"
        ) from error
    if found.info.lifecycle_stage != "active":
        raise UserError(
            f"Run {run_id} was deleted: restore it with `mlflow runs restore --run-id {run_id}`."
        )
    newer = tag.newer_schema(found.data.tags)
    if newer:
        raise UserError(f"Run {run_id} was {newer}{see('how-to/upgrade.md#recorded-runs')}")
    return found


def check_at_rest(
    run: StoredRun,
    *,
    uri: str | None = None,
    folder: Path | None = None,
    take_over: bool = False,
) -> None:
    """Refuses a run on which a process may be working.

    Args:
        run: the run.
        uri: its store, by default that of this folder.
        folder: a folder whose lock the caller holds.
        take_over: it is RUNNING where that cannot be checked, and that is known to be wrong.

    Raises:
        UserError: it is running, or that cannot be checked from here.
    """
    host = run.tags.get(tag.HOST)
    if not host or tag.FOLDER not in run.tags:
        return  # created for a worker that has not started yet
    own = folder_of(run, uri=uri, named=[folder] if folder else [])
    if own is not None and own != folder and is_alive(own):
        raise UserError(f"Run {run.id} is running in {own}: wait until it ends.")
    if run.status != "RUNNING" or take_over:
        return
    if not (host == store.host() and own is not None) and not is_gone(run.tags):
        heard = last_heard_of(run.tags)
        raise UserError(
            f"Run {run.id} says it is RUNNING on {host}{heard}, which cannot be checked from here: "
            "wait until it ends, or give --take-over if its process no longer exists."
        )


def create_child(
    cfg: "config.Config",
    parent_id: str,
    *,
    name: str,
    tags: Mapping[str, str],
    is_new: bool = False,
    client: Any = None,
    experiment_id: str = "",
) -> str:
    """Creates a child run for a worker, which opens it later with `reopen_run`.

    A run under the same parent that has the same `samerun.study` and `samerun.trial` is
    reused instead, with its tags updated: a trial that is retried stays one run. Its status is
    kept until it is opened, for it may have ended without the study knowing.

    Args:
        cfg: the config that names store and experiment.
        parent_id: the run above it.
        name: its name.
        tags: set from the start, besides those of the config.
        is_new: there is no such run yet, and the store is not searched for it, which takes longer
            the more trials a study has.
        client: an `MlflowClient`, if the caller has one already.
        experiment_id: the experiment of the run above it, if the caller knows it.

    Returns:
        The ID of the run.

    Raises:
        UserError: the run cannot be created.
        ConnectionError: the store does not answer.
    """
    client = client or store.connect(store.uri_of(cfg))
    own = {key: value for key, value in own_tags(Path()).items() if key.startswith("mlflow.")}
    everything = {**own, **cfg.tracking.tags, **tags, "mlflow.parentRunId": parent_id}
    safe = {key: str(redact_value(key, str(value))) for key, value in everything.items()}
    same = ("mlflow.parentRunId", tag.STUDY, tag.TRIAL)
    try:
        found = []
        experiment = experiment_id or store.experiment_id(client, cfg.tracking.experiment)
        if not is_new and all(key in safe for key in same):
            found = search(client, [experiment], {key: safe[key] for key in same})
        if not found:
            made = client.create_run(experiment, run_name=name, tags=safe)
            return str(made.info.run_id)
        run_id = str(found[0].info.run_id)
        for key, value in safe.items():
            client.set_tag(run_id, key, value)
    except UserError:
        raise
    except Exception as error:
        message = f"tracking: the run cannot be created: {redact(str(error))}"
        raise (UserError if store.answers(client) else ConnectionError)(message) from error
    return run_id
