"""Runs whose process is gone: found by their lock, told to the store as far as they got."""

import contextlib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from samerun.config import UserError, redact
from samerun.tracking import store
from samerun.tracking.delivery import Delivery
from samerun.tracking.folders import ALIVE_LOCK, RUN_FILE, check_openable, owned_folder, read_facts
from samerun.tracking.lookup import StoredRun, as_stored
from samerun.tracking.process import is_gone
from samerun.tracking.run import Status
from samerun.tracking.spool import Spool, now, write_whole
from samerun.tracking.store import full_uri

DIED = "process died"

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds the lock of a run's folder; the system frees it however the process ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ALIVE_LOCK)
        lock.acquire(timeout=2)  # `close_dead_runs` of others may hold it for a moment
    except Timeout as error:
        raise UserError(f"{folder} belongs to a run that is alive: wait for its end.") from error
    except OSError as error:
        raise UserError(
            f"The run's folder {folder} cannot be written ({error.strerror}): choose another one."
        ) from error
    try:
        yield
    finally:
        lock.release()


def is_alive(folder: Path) -> bool:
    """Whether a process of this machine holds the lock of a run's folder."""
    if not (folder / ALIVE_LOCK).exists():
        return False
    lock = FileLock(folder / ALIVE_LOCK)
    try:
        lock.acquire(timeout=2)
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def write_run_file(folder: Path, run_id: str, name: str, uri: str, experiment: str) -> None:
    """Writes down which run a folder belongs to; never a password."""
    facts = {"id": run_id, "name": name, "uri": redact(uri), "experiment_id": experiment}
    try:
        write_whole(folder / RUN_FILE, json.dumps(facts, indent=1) + "\n")
    except OSError as error:
        _log.warning("Cannot write %s: %s", folder / RUN_FILE, error)


def read_run_file(folder: Path) -> dict[str, str]:
    """Returns what `write_run_file` wrote.

    Raises:
        UserError: it is not the folder of a run.
    """
    try:
        facts: dict[str, str] = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} holds no run: expected the folder of one, with {RUN_FILE} in it."
        ) from error
    return facts


def folder_of(
    run: StoredRun, *, uri: str | None = None, named: Sequence[Path] = ()
) -> Path | None:
    """Returns the folder in which a run ran last, if it is here and is that run's.

    What the store says is not believed: see `folders`.

    Args:
        run: the run.
        uri: its store, by default that of this folder.
        named: folders that the person named, besides the present working folder.
    """
    return owned_folder(
        run.tags.get("samerun.folder", ""),
        run_id=run.id,
        uid=run.tags.get("samerun.uid"),
        uri=store.resolve_uri(uri),
        named=named,
    )


def run_in(folder: Path) -> str | None:
    """Returns the ID of the run that a folder is of; `None` if it is of none."""
    try:
        return read_facts(folder).id
    except UserError:
        return None


def close_dead_runs(client: Any, experiment_ids: Sequence[str]) -> list[str]:
    """Ends the runs of this machine that say RUNNING but whose process is gone.

    What such a run left in its folder is delivered first; if it had written down its own end, that
    is how it ends, otherwise KILLED. A run whose folder is not below this working folder ends only
    if it is certain that its process is gone; what its folder holds stays there for
    `samerun sync`. Nothing here raises: it must not cost a new run its start.

    Returns:
        The identifiers of the runs that were ended.
    """
    condition = f"attributes.status = 'RUNNING' and tags.`samerun.host` = '{store.host()}'"
    ended = []
    try:
        found = client.search_runs(list(experiment_ids), condition, max_results=1000)
    except Exception as error:
        _log.debug("No look for dead runs: %s", redact(str(error)))
        return []
    for run in found:
        try:
            if _end_if_dead(client, as_stored(run)):
                ended.append(str(run.info.run_id))
        except Exception as error:
            _log.debug("Run %s could not be closed: %s", run.info.run_id, redact(str(error)))
    return ended


def _end_if_dead(client: Any, run: StoredRun) -> bool:
    folder = folder_of(run, uri=client.tracking_uri)
    if folder is None:
        if not is_gone(run.tags):
            return False
        client.set_tag(run.id, "samerun.reason", DIED)
        client.set_terminated(run.id, str(Status.killed))
        return True
    lock = FileLock(folder / ALIVE_LOCK)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return False
    try:
        # It may have ended between the search and the lock.
        if client.get_run(run.id).info.status != "RUNNING":
            return False
        _deliver(client, folder, run.id, run.experiment_id)
    finally:
        lock.release()
    return True


def _deliver(client: Any, folder: Path, run_id: str, experiment: str) -> int:
    spool = Spool(folder)
    if not spool.has_ended():
        spool.add("end", status=str(Status.killed), timestamp=now(), reason=DIED)
    try:
        return Delivery(client, run_id, experiment, spool).deliver()
    finally:
        spool.close()


def deliver(folder: Path, *, uri: str | None = None) -> int:
    """Sends what a dead or offline run left in its folder: points, artifacts and its end.

    Args:
        folder: the run's folder.
        uri: the store's address, needed only if it holds a password that is not in
            `MLFLOW_TRACKING_URI`.

    Returns:
        How many points and other lines were delivered.

    Raises:
        UserError: there is no run, its process is alive, or its store cannot be used.
    """
    folder = folder.absolute()
    check_openable(folder)
    facts = read_run_file(folder)
    full = full_uri(facts["uri"], uri)
    with held(folder):
        client = store.connect(full)
        try:
            return _deliver(client, folder, facts["id"], facts["experiment_id"])
        except Exception as error:
            words = redact(str(error)).splitlines() or [type(error).__name__]
            raise UserError(
                f"The store {facts['uri']} did not take all of {folder} ({words[0][:200]}): try "
                "again later, nothing is lost."
            ) from error
