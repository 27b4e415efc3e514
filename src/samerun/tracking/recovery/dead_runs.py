"""Runs whose process is gone: found by their lock, and delivered as far as they got."""

import contextlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from samerun import tags as tag
from samerun.config import UserError
from samerun.privacy import make_folder
from samerun.redaction import redact
from samerun.tracking import store
from samerun.tracking.database import database_file
from samerun.tracking.delivery.faults import first_line
from samerun.tracking.delivery.lines import write_whole
from samerun.tracking.delivery.sender import Sender
from samerun.tracking.delivery.spool import Spool, now
from samerun.tracking.lookup import StoredRun, as_stored
from samerun.tracking.recovery.folders import (
    ALIVE_LOCK,
    RUN_FILE,
    RunFacts,
    check_openable,
    is_same_store,
    owned_folder,
    read_facts,
)
from samerun.tracking.recovery.process import is_gone
from samerun.tracking.run import Status
from samerun.tracking.store import full_uri

DIED = "process died"

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds the lock of a run's folder; the system frees it however the process ends."""
    try:
        make_folder(folder)
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


@contextlib.contextmanager
def held_if_free(folder: Path) -> Iterator[bool]:
    """Holds the lock of a run's folder if no process does; tells whether that is so."""
    lock = FileLock(folder / ALIVE_LOCK)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        yield False
        return
    try:
        yield True
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


def write_run_file(
    folder: Path,
    *,
    run_id: str | None,
    uid: str | None,
    name: str,
    uri: str,
    experiment: str,
    experiment_id: str | None,
) -> None:
    """Writes down which run a folder belongs to; never a password.

    Args:
        folder: the run's folder.
        run_id: its ID in the store; `None` while the store has not created it.
        uid: the ID that it had before; `None` for a run of version 0.1.0.
        name: what people call it.
        uri: the store.
        experiment: name of its experiment.
        experiment_id: ID of its experiment; `None` while the store has not been asked.
    """
    facts = {
        "id": run_id,
        "uid": uid,
        "name": name,
        "uri": redact(uri),
        "experiment": experiment,
        "experiment_id": experiment_id,
    }
    try:
        write_whole(folder / RUN_FILE, json.dumps(facts, indent=1) + "\n")
    except OSError as error:
        _log.warning("Cannot write %s: %s", folder / RUN_FILE, error)


def folder_of(run: StoredRun, *, uri: str | None = None, named: Sequence[Path] = ()) -> Path | None:
    """Returns the folder in which a run ran last, if it is here and is that run's.

    What the store says is not believed: see `folders`.

    Args:
        run: the run.
        uri: its store, by default that of this folder.
        named: folders that the person named, besides the present working folder.
    """
    return owned_folder(
        run.tags.get(tag.FOLDER, ""),
        run_id=run.id,
        uid=run.tags.get(tag.UID),
        uri=store.resolve_uri(uri),
        named=named,
    )


def run_in(folder: Path) -> str | None:
    """Returns the ID of the run that a folder is of; `None` if it is of none.

    While the store has not created the run, that is its uid.
    """
    try:
        return read_facts(folder).shown_id
    except UserError:
        return None


def is_created(folder: Path) -> bool:
    """Whether the store has created the run of a folder."""
    try:
        return read_facts(folder).id is not None
    except UserError:
        return False


def store_of(facts: RunFacts, uri: str | None = None) -> str:
    """Returns the whole address of the store that a run's folder names.

    Args:
        facts: what the folder says.
        uri: the store's address, if it is known; by default that of the working folder is tried,
            which has the password, or is where the project was moved to.

    Raises:
        UserError: its password is not known, or its database file is gone.
    """
    full = None
    with contextlib.suppress(UserError):
        present = store.resolve_uri(uri)
        full = present if is_same_store(facts.uri, present) else None
    full = full or store.resolve_uri(full_uri(facts.uri, uri))
    if full.startswith("sqlite"):
        file = database_file(full)
        if not (file.exists() or (facts.id is None and file.parent.is_dir())):
            raise UserError(
                f"The tracking store of run {facts.shown_id}, {file}, does not exist: if the "
                "project was moved, go to its folder; else restore the file."
            )
    return full


def close_dead_runs(client: Any, experiment_ids: Sequence[str]) -> list[str]:
    """Ends the runs of this machine that say RUNNING but whose process is gone.

    What such a run left in its folder is delivered first; if it had written down its own end, that
    is how it ends, otherwise KILLED. A run whose folder is not below this working folder ends only
    if it is certain that its process is gone; what its folder holds stays there for
    `samerun sync`. Nothing here raises: it must not cost a new run its start.

    Returns:
        The identifiers of the runs that were ended.
    """
    condition = f"attributes.status = 'RUNNING' and tags.`{tag.HOST}` = '{store.host()}'"
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
        client.set_tag(run.id, tag.REASON, DIED)
        client.set_terminated(run.id, str(Status.killed))
        return True
    with held_if_free(folder) as is_held:
        # It may have ended between the search and the lock.
        if not is_held or client.get_run(run.id).info.status != "RUNNING":
            return False
        deliver_to(client, client.tracking_uri, folder, Counter())
    return True


def deliver_to(client: Any, uri: str, folder: Path, delivered: Counter[str]) -> None:
    """Delivers what a folder holds; a run that did not write down its end is KILLED.

    Args:
        client: an `MlflowClient` of the run's store.
        uri: the store.
        folder: the run's own folder, whose lock the caller holds.
        delivered: gets how many entries of each kind the store took, also where this raises.

    Raises:
        Exception: the store is unavailable, or not all artifacts were taken.
    """
    facts = check_openable(folder)
    spool = Spool(folder)

    def created(run_id: str, experiment_id: str) -> None:
        write_run_file(
            folder,
            run_id=run_id,
            uid=facts.uid,
            name=facts.name,
            uri=uri,
            experiment=facts.experiment or "",
            experiment_id=experiment_id,
        )

    try:
        if not spool.has_ended():
            spool.add("end", status=str(Status.killed), timestamp=now(), reason=DIED)
        waited = _waiting(spool)
        delivery = Sender(
            client,
            facts.id,
            facts.experiment_id,
            spool,
            uri=uri,
            uid=facts.uid,
            created=created,
        )
        try:
            delivery.deliver()
        finally:
            delivered.update(waited - _waiting(spool))
    finally:
        spool.close()


def _waiting(spool: Spool) -> Counter[str]:
    """Counts what waits or was refused: what is neither any more was delivered."""
    count = Counter(point=spool.num_points_waiting())
    for line in [*(line for line, _ in spool.entries_waiting()), *spool.uploads()]:
        values = line.get("values")
        count[line["kind"].removesuffix("s")] += len(values) if isinstance(values, dict) else 1
    for line in spool.refused():
        count["point" if line["kind"] == "metric" else line["kind"]] += 1
    del count["start"]
    return count


def deliver(folder: Path, *, uri: str | None = None) -> int:
    """Delivers what an ended run left in its folder: points, artifacts and its end.

    Args:
        folder: the run's folder.
        uri: the store's address, needed only if it holds a password that is not in
            `MLFLOW_TRACKING_URI`.

    Returns:
        How many points, parameters, tags, artifacts and others the store took.

    Raises:
        UserError: there is no run, its process is alive, or its store cannot be used.
    """
    folder = folder.absolute()
    facts = check_openable(folder)
    full = store_of(facts, uri)
    delivered: Counter[str] = Counter()
    with held(folder):
        client = store.connect(full)
        try:
            deliver_to(client, full, folder, delivered)
        except Exception as error:
            raise UserError(
                f"The store {facts.uri} did not take all of {folder} ({first_line(error)}): try "
                f"again later with `samerun sync {facts.shown_id[:8]}`, nothing is lost."
            ) from error
    return delivered.total()
