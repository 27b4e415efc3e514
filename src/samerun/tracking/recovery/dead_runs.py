"""Finds runs whose process died by their lock, and delivers what they left."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from samerun import tags as tag
from samerun.errors import UserError, first_line
from samerun.redaction import redact
from samerun.tracking import store
from samerun.tracking.delivery.sender import Sender
from samerun.tracking.delivery.spool import Spool, now
from samerun.tracking.recovery.folders import check_openable, write_run_file
from samerun.tracking.recovery.lock import lock_folder, try_lock_folder
from samerun.tracking.recovery.ownership import folder_of, store_of
from samerun.tracking.recovery.process import is_gone
from samerun.tracking.run import Status
from samerun.tracking.stored_run import StoredRun, as_stored

DIED = "process died"

_log = logging.getLogger(__name__)


def close_dead_runs(client: Any, experiment_ids: Sequence[str]) -> list[str]:
    """Ends the runs of this machine that the store calls RUNNING but whose process is dead.

    What such a run left in its folder is delivered first; if it had recorded its own end, that
    is its status, otherwise KILLED. A run whose folder is not below this working folder ends only
    if its process certainly no longer exists; what its folder holds stays there for
    `samerun sync`. Nothing here raises: it must not cost a new run its start.

    Returns:
        The identifiers of the runs that were ended.
    """
    condition = f"attributes.status = 'RUNNING' and tags.`{tag.HOST}` = '{store.host()}'"
    ended = []
    try:
        found = client.search_runs(list(experiment_ids), condition, max_results=1000)
    except Exception as error:
        _log.debug("Cannot search for runs whose process died: %s", redact(str(error)))
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
    with try_lock_folder(folder) as is_held:
        # It may have ended between the search and the lock.
        if not is_held or client.get_run(run.id).info.status != "RUNNING":
            return False
        deliver_to(client, client.tracking_uri, folder, Counter())
    return True


def deliver_to(client: Any, uri: str, folder: Path, delivered: Counter[str]) -> None:
    """Delivers what a folder holds; a run without a recorded end is KILLED.

    Args:
        client: an `MlflowClient` of the run's store.
        uri: the store.
        folder: the run's own folder, whose lock the caller holds.
        delivered: gets how many entries of each kind were delivered, also where this raises.

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
    """Counts what waits or was refused: the rest was delivered."""
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
        How many points, parameters, tags, artifacts and other records were delivered.

    Raises:
        UserError: there is no run, its process is running, or its store cannot be used.
    """
    folder = folder.absolute()
    facts = check_openable(folder)
    full = store_of(facts, uri)
    delivered: Counter[str] = Counter()
    with lock_folder(folder):
        client = store.connect(full)
        try:
            deliver_to(client, full, folder, delivered)
        except Exception as error:
            raise UserError(
                f"The store {facts.uri} did not accept all of {folder} ({first_line(error)}): try "
                f"again later with `samerun sync {facts.shown_id[:8]}`, nothing is lost."
            ) from error
    return delivered.total()
