"""Runs whose process is gone: found by their lock, told to the store as far as they got."""

import contextlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from samerun.config import UserError, redact
from samerun.tracking import store
from samerun.tracking.delivery import Delivery
from samerun.tracking.faults import first_line
from samerun.tracking.lines import write_whole
from samerun.tracking.lookup import StoredRun
from samerun.tracking.run import Status
from samerun.tracking.spool import Spool, now
from samerun.tracking.store import full_uri

ALIVE_LOCK = "alive.lock"
RUN_FILE = "run.json"
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


def read_run_file(folder: Path) -> dict[str, Any]:
    """Returns what `write_run_file` wrote; in a folder of version 0.1.0, `uid` is `None`.

    Raises:
        UserError: it is not the folder of a run.
    """
    try:
        facts = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        known = {"id": None, "uid": None, "experiment": "", "experiment_id": None, **facts}
        optional = [known[key] for key in ("id", "uid", "experiment_id") if known[key] is not None]
        texts = [known["name"], known["uri"], known["experiment"], *optional]
        if not all(isinstance(text, str) for text in texts) or not (known["id"] or known["uid"]):
            raise ValueError("not what samerun writes")
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f"{folder} holds no run: expected the folder of one, with {RUN_FILE} in it."
        ) from error
    return known


def folder_of(run: StoredRun) -> Path | None:
    """Returns the folder in which a run ran last, if it is on this machine and is that run's.

    What the store says is not believed: a folder that does not say so itself is not the run's.
    """
    try:
        facts = read_run_file(run.folder)
    except UserError:
        return None
    uid = run.tags.get("samerun.uid")
    is_same = facts["id"] == run.id or (facts["id"] is None and uid and facts["uid"] == uid)
    return run.folder if is_same else None


def run_in(folder: Path) -> str | None:
    """Returns the ID of the run that a folder is of; `None` if it is of none.

    While the store has not created the run, that is its uid.
    """
    try:
        facts = read_run_file(folder)
    except UserError:
        return None
    return str(facts["id"] or facts["uid"])


def is_created(folder: Path) -> bool:
    """Whether the store has created the run of a folder."""
    try:
        return read_run_file(folder)["id"] is not None
    except UserError:
        return False


def close_dead_runs(client: Any, experiment_ids: Sequence[str]) -> list[str]:
    """Ends the runs of this machine that say RUNNING but whose process is gone.

    What such a run left in its folder is delivered first; if it had written down its own end, that
    is how it ends, otherwise KILLED. Nothing here raises: it must not cost a new run its start.

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
        folder = Path(run.data.tags.get("samerun.folder", ""))
        try:
            if _end_if_dead(client, run, folder):
                ended.append(str(run.info.run_id))
        except Exception as error:
            _log.debug("Run %s could not be closed: %s", run.info.run_id, redact(str(error)))
    return ended


def _end_if_dead(client: Any, run: Any, folder: Path) -> bool:
    if not folder.is_dir():
        pid = run.data.tags.get("samerun.pid", "")
        if pid.isdecimal() and _process_exists(int(pid)):
            return False
        client.set_tag(run.info.run_id, "samerun.reason", DIED)
        client.set_terminated(run.info.run_id, str(Status.killed))
        return True
    lock = FileLock(folder / ALIVE_LOCK)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return False
    try:
        # It may have ended between the search and the lock.
        if client.get_run(run.info.run_id).info.status != "RUNNING":
            return False
        facts = read_run_file(folder)
        known = {"id": str(run.info.run_id), "experiment_id": str(run.info.experiment_id)}
        _deliver(client, folder, facts["uri"], {**facts, **known})
    finally:
        lock.release()
    return True


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _deliver(client: Any, folder: Path, uri: str, facts: dict[str, Any]) -> int:
    """Delivers what a folder holds, whose lock the caller holds; `facts` are its run file's."""
    spool = Spool(folder)
    if not spool.has_ended():
        spool.add("end", status=str(Status.killed), timestamp=now(), reason=DIED)

    def created(run_id: str, experiment_id: str) -> None:
        keys = ("uid", "name", "uri", "experiment")
        known = {key: facts[key] for key in keys}
        write_run_file(folder, run_id=run_id, experiment_id=experiment_id, **known)

    delivery = Delivery(
        client,
        facts["id"],
        facts["experiment_id"],
        spool,
        uri=uri,
        uid=facts["uid"],
        created=created,
    )
    try:
        return delivery.deliver()
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
    facts = read_run_file(folder)
    full = full_uri(facts["uri"], uri)
    with held(folder):
        client = store.connect(full)
        try:
            return _deliver(client, folder, full, facts)
        except Exception as error:
            raise UserError(
                f"The store {facts['uri']} did not take all of {folder} ({first_line(error)}): try "
                "again later, nothing is lost."
            ) from error
