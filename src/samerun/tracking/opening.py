"""A run from its first to its last moment: opened, and ended whatever happens."""

import contextlib
import getpass
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from samerun import __version__, config
from samerun.config import UserError, redact
from samerun.tracking import store
from samerun.tracking.mlflow_run import MlflowRun
from samerun.tracking.naming import run_name
from samerun.tracking.process import process_tags
from samerun.tracking.recovery import (
    RUN_FILE,
    close_dead_runs,
    held,
    write_run_file,
)
from samerun.tracking.run import Run, Status, Terminated

_log = logging.getLogger(__name__)


def ending(error: BaseException | None) -> tuple[Status, str | None]:
    """Returns how a run ended, and why, by the exception that left it."""
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return Status.finished, None
    if isinstance(error, KeyboardInterrupt):
        return Status.killed, "interrupted (Ctrl-C)"
    if isinstance(error, Terminated):
        return Status.killed, "terminated (SIGTERM)"
    kind = type(error).__name__
    first = (str(error).strip().splitlines() or [""])[0]
    if kind == "TrialPruned":
        return Status.killed, f"pruned: {first}".rstrip(": ")
    if kind in ("TimeLimit", "SweepStopped"):
        return Status.killed, first or "the sweep was stopped"
    if isinstance(error, MemoryError) or kind == "ResourceExhaustedError":
        return Status.failed, f"out of memory: {first}".rstrip(": ")
    return Status.failed, f"{kind}: {first}".rstrip(": ")


@contextlib.contextmanager
def open_run(
    cfg: config.Config,
    folder: Path,
    *,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Iterator[Run]:
    """Opens a new run in the store the config names, and ends it however the block is left.

    Args:
        cfg: the run's config.
        folder: the run's own folder; made if it is not there.
        name: what the run is called; by default `run_name(cfg)`.
        tags: set from the start, besides those of the config.

    Raises:
        UserError: the store cannot be used, or the folder belongs to another run.
    """
    uri = store.uri_of(cfg)
    folder = folder.absolute()
    with held(folder):
        if (folder / RUN_FILE).exists():
            raise UserError(f"{folder} holds a run already: give the new one a folder of its own.")
        client = store.connect(uri)
        experiment = store.experiment_id(client, cfg.tracking.experiment)
        close_dead_runs(client, [experiment])
        called = name or run_name(cfg)
        all_tags = {**own_tags(folder), **cfg.tracking.tags, **(tags or {})}
        safe = {key: redact(str(value)) for key, value in all_tags.items()}
        try:
            made = client.create_run(experiment, run_name=called, tags=safe)
        except Exception as error:
            raise UserError(f"tracking: the run cannot be made: {redact(str(error))}") from error
        run_id = str(made.info.run_id)
        write_run_file(folder, run_id, called, uri, experiment)
        run = MlflowRun(
            client,
            run_id=run_id,
            name=called,
            folder=folder,
            experiment_id=experiment,
            url=store.run_url(uri, experiment, run_id),
        )
        with ended(run):
            yield run


@contextlib.contextmanager
def ended(run: MlflowRun) -> Iterator[None]:
    """Ends a run however the block is left."""
    try:
        yield
    except BaseException as error:
        status, reason = ending(error)
        try:
            run.end(status, reason)
        except BaseException as second:  # a second Ctrl-C must not hide the first reason
            _log.warning("Run %s could not be ended properly: %r", run.name, second)
        raise
    run.end(Status.finished)


def own_tags(folder: Path) -> dict[str, str]:
    """Returns the tags that say where a run is: machine, process, folder."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return {
        **process_tags(),
        "samerun.folder": str(folder),
        "samerun.version": __version__,
        "mlflow.user": user,
        "mlflow.source.name": "samerun",
        "mlflow.source.type": "LOCAL",
    }
