"""Opens a run, and ends it however its block is left."""

import contextlib
import functools
import getpass
import logging
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samerun import __version__
from samerun import tags as tag
from samerun.errors import Cause, UserError, classify, first_line
from samerun.redaction import redact_value
from samerun.tracking import store
from samerun.tracking.delivery.faults import is_unavailable
from samerun.tracking.delivery.spool import now
from samerun.tracking.mlflow_run import MlflowRun
from samerun.tracking.naming import run_name
from samerun.tracking.recovery.dead_runs import close_dead_runs
from samerun.tracking.recovery.folders import RUN_FILE, write_run_file
from samerun.tracking.recovery.lock import lock_folder
from samerun.tracking.recovery.process import process_tags
from samerun.tracking.run import Run, Status

if TYPE_CHECKING:
    from samerun import config

_log = logging.getLogger(__name__)


_KILLED = (
    Cause.interrupted,
    Cause.terminated,
    Cause.pruned,
    Cause.paused,
    Cause.infeasible,
    Cause.time_limit,
    Cause.sweep_stopped,
)


def ending(error: BaseException | None) -> tuple[Status, str | None]:
    """Returns how a run ended, and why, by the exception that ended it."""
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return Status.finished, None
    ended = classify(error)
    return Status.killed if ended.cause in _KILLED else Status.failed, ended.reason


@contextlib.contextmanager
def open_run(
    cfg: "config.Config",
    folder: Path,
    *,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
    describe: Callable[[Run], None] | None = None,
    needs_store: bool = False,
) -> Iterator[Run]:
    """Opens a new run in the store that the config names, and ends it however the block is left.

    If the store is unavailable, the run starts anyway. It has its uid as its ID until the
    store is available, and its start time then is that of this call.

    Args:
        cfg: the run's config.
        folder: the run's own folder; created if missing.
        name: the name of the run; by default `run_name(cfg)`.
        tags: set from the start, besides those of the config.
        describe: logs what the run can be resumed and reproduced from. That is on the disk before
            the store has a run, so that one that is killed at once can be resumed.
        needs_store: raise `StoreUnavailable` instead of starting without the store.

    Raises:
        UserError: the store can never be used like this, or the folder belongs to another run.
    """
    uri = store.uri_of(cfg)
    folder = folder.absolute()
    with lock_folder(folder):
        if (folder / RUN_FILE).exists():
            raise UserError(f"{folder} already holds a run: choose another folder.")
        client, experiment, problem = _reached(cfg, uri, needs_store=needs_store)
        all_tags = {**own_tags(folder), **cfg.tracking.tags, **(tags or {})}
        write = functools.partial(
            write_run_file,
            folder,
            uid=uuid.uuid4().hex,
            name=name or run_name(cfg),
            uri=uri,
            experiment=cfg.tracking.experiment,
        )
        run = _new_run(cfg, folder, client, experiment, write)
        with ended(run):
            run.begin(
                {
                    "name": run.name,
                    "experiment": cfg.tracking.experiment,
                    "tags": {key: str(redact_value(key, str(v))) for key, v in all_tags.items()},
                    "start_time": now(),
                }
            )
            if describe is not None:
                describe(run)
            run.sync_to_disk()
            write(run_id=None, experiment_id=experiment)
            _create(run, problem, needs_store=needs_store)
            yield run


def _new_run(
    cfg: "config.Config",
    folder: Path,
    client: Any | None,
    experiment: str | None,
    write: functools.partial[None],
) -> MlflowRun:
    """Returns a run that no store knows yet; `write` writes its `run.json`."""
    facts = write.keywords

    def created(run_id: str, experiment_id: str) -> str | None:
        write(run_id=run_id, experiment_id=experiment_id)
        return store.run_url(facts["uri"], experiment_id, run_id)

    return MlflowRun(
        client,
        run_id=None,
        name=facts["name"],
        folder=folder,
        experiment_id=experiment,
        url=None,
        uid=facts["uid"],
        uri=facts["uri"],
        created=created,
        patience=cfg.tracking.patience_seconds,
        is_open=False,
    )


def _reached(
    cfg: "config.Config", uri: str, *, needs_store: bool
) -> tuple[Any | None, str | None, Exception | None]:
    """Returns client and experiment ID, or why the store is unavailable."""
    try:
        client = store.connect(uri, patience=cfg.tracking.patience_seconds)
        experiment = store.experiment_id(client, cfg.tracking.experiment)
    except Exception as error:
        if needs_store or not is_unavailable(error):
            raise
        return None, None, error
    close_dead_runs(client, [experiment])
    return client, experiment, None


def _create(run: MlflowRun, problem: Exception | None, *, needs_store: bool) -> None:
    """Creates a run in the store, now or when that is available."""
    if problem is None:
        try:
            run.create()
            return
        except Exception as error:
            is_late = isinstance(error, TimeoutError) or is_unavailable(error)
            if needs_store or not is_late:
                run.abandon()
                (run.folder / RUN_FILE).unlink(missing_ok=True)
                raise UserError(
                    f"tracking: the run cannot be created: {first_line(error)}"
                ) from error
            problem = error
    run.create_later(problem)


@contextlib.contextmanager
def ended(run: MlflowRun) -> Iterator[None]:
    """Ends a run however the block is left."""
    try:
        yield
    except BaseException as error:
        if run.is_abandoned:
            raise
        status, reason = ending(error)
        try:
            run.end(status, reason)
        except BaseException as second:  # a second Ctrl-C must not hide the first reason
            _log.warning("Run %s could not be ended properly: %r", run.name, second)
        raise
    run.end(Status.finished)


def own_tags(folder: Path) -> dict[str, str]:
    """Returns the tags of machine, process and folder."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return {
        **process_tags(),
        tag.FOLDER: str(folder),
        tag.VERSION: __version__,
        tag.SCHEMA: str(tag.SCHEMA_VERSION),
        "mlflow.user": user,
        "mlflow.source.name": "samerun",
        "mlflow.source.type": "LOCAL",
    }
