"""Which checkpoints `samerun gc` may delete: those of runs that were reproduced exactly."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samerun import checkpoints, retention, tracking
from samerun import tags as tag
from samerun.command_line import line
from samerun.replay.trust import given_here
from samerun.replay.verdict import Agreement
from samerun.tracking import Status, StoredRun
from samerun.tracking.lookup import existing
from samerun.tracking.recovery.lock import try_lock_folder
from samerun.tracking.stored_run import as_stored


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A run of this machine with checkpoints.

    Args:
        run: the run in the store.
        folder: its own folder, which says itself that it is.
        age_seconds: since its end; since now where it has none.
        checkpoint_bytes: what its checkpoints take on this disk.
        other_bytes: what everything else in its folder takes.
        proof: ID of the run that came out EXACT; `None` if there is none.
        kept_because: why its checkpoints stay; `None` if they may go.
    """

    run: StoredRun
    folder: Path
    age_seconds: float
    checkpoint_bytes: int
    other_bytes: int
    proof: str | None
    kept_because: str | None


def survey(*, older_than_seconds: float = 0.0, uri: str | None = None) -> list[Entry]:
    """Returns every run with checkpoints on this machine, the largest first; changes nothing.

    Args:
        older_than_seconds: runs that ended later keep their checkpoints.
        uri: the store, by default that of this folder.

    Raises:
        UserError: there is no store, or it cannot be read.
    """
    runs = list(_all_runs(uri))
    proofs, forks = _proofs(runs), _forks(runs)
    found = []
    for run in runs:
        folder = tracking.folder_of(run)
        files = retention.files_in(folder) + retention.copies_in(folder) if folder else []
        if folder is None or not files:
            continue
        size = retention.size_of(files)
        everything = (path for path in folder.rglob("*") if not path.is_symlink())
        status, ended = retention.end_of(folder)
        age = max(0.0, time.time() - ended / 1000) if status else 0.0
        proof = proofs.get(run.id)
        reason = _reason(run, folder, status, proof)
        if reason is None and age < older_than_seconds:
            reason = "too young"
        if reason is None and not all(_has_start(fork, uri) for fork in forks.get(run.id, ())):
            reason = "a fork needs them: its start.npz is not in the store"
        found.append(
            Entry(
                run=run,
                folder=folder,
                age_seconds=age,
                checkpoint_bytes=size,
                other_bytes=retention.size_of(p for p in everything if p.is_file()) - size,
                proof=proof,
                kept_because=reason,
            )
        )
    return sorted(found, key=lambda entry: -entry.checkpoint_bytes)


def _reason(run: StoredRun, folder: Path, status: str | None, proof: str | None) -> str | None:
    """Returns why checkpoints stay whatever their age."""
    with try_lock_folder(folder) as is_at_rest:
        if not is_at_rest:
            return "its process is alive"
        if run.status != Status.finished or status != Status.finished:
            return f"{run.status}: {line('resume', run.id[:8], trust=given_here(run))} needs them"
        if run.tags.get(tag.UNDELIVERED) or not retention.is_delivered(folder):
            return f"not all of it is in the store: samerun sync {run.id[:8]}"
    again = line("reproduce", run.id[:8], trust=given_here(run))
    return None if proof else f"no proof: {again} would make one"


def _all_runs(uri: str | None) -> Iterator[StoredRun]:
    client = tracking.connect(existing(uri))
    experiments = [e.experiment_id for e in client.search_experiments()]
    token = None
    while experiments:
        page = client.search_runs(experiments, max_results=1000, page_token=token)
        yield from (as_stored(run) for run in page)
        token = page.token
        if not token:
            return


def _proofs(runs: Sequence[StoredRun]) -> dict[str, str]:
    """Returns for each run the one that proves it can be reproduced; two runs prove each other.

    A verdict is a tag, so the digests of the weights have to be equal as well.
    """
    by_id = {run.id: run for run in runs}
    proofs: dict[str, str] = {}
    for second in runs:
        first = by_id.get(second.tags.get(tag.REPRODUCES, ""))
        if first is None or second.tags.get(tag.VERDICT) != Agreement.exact:
            continue
        weights = [run.tags.get(tag.WEIGHTS) for run in (first, second)]
        have_finished = {first.status, second.status} == {Status.finished}
        if have_finished and weights[0] and weights[0] == weights[1]:
            proofs.setdefault(first.id, second.id)
            proofs.setdefault(second.id, first.id)
    return proofs


def _forks(runs: Sequence[StoredRun]) -> Mapping[str, list[StoredRun]]:
    """Returns the runs that started from a checkpoint of another one, by its ID."""
    forks: dict[str, list[StoredRun]] = {}
    for run in runs:
        if run.tags.get(tag.FORKED_AT):
            forks.setdefault(run.tags.get(tag.FORKED_FROM, ""), []).append(run)
    return forks


def _has_start(fork: StoredRun, uri: str | None) -> bool:
    path = f"{retention.CHECKPOINTS}/{checkpoints.START}"
    return path in tracking.list_artifacts(fork, retention.CHECKPOINTS, uri=uri)


def collect(entry: Entry, *, uri: str | None = None) -> int:
    """Drops the checkpoints of a run, on this disk and in the store; returns the bytes freed here.

    The tag that says so is set first: where a kill stops the rest, the next call does it.

    Args:
        entry: of `survey`, with nothing for which they are kept.
        uri: the store, by default that of this folder.
    """
    assert entry.kept_because is None
    run, folder = entry.run, entry.folder
    with try_lock_folder(folder) as is_ours:
        if not is_ours or not _is_finished(run, uri):
            return 0  # it was resumed since the survey
        files = retention.files_in(folder) + retention.copies_in(folder)
        size = retention.size_of(files)
        proof = f"EXACT reproduction {entry.proof}"
        tracking.tag_run(run, {tag.CHECKPOINTS_DROPPED: proof}, uri=uri)
        retention.remove(folder)
        if retention.has_uploads(folder):
            retention.empty_uploads(run, folder, uri=uri)
        left = retention.files_in(folder) + retention.copies_in(folder)
        return size - retention.size_of(left)


def _is_finished(run: StoredRun, uri: str | None) -> bool:
    client: Any = tracking.connect(existing(uri))
    return bool(client.get_run(run.id).info.status == Status.finished)
