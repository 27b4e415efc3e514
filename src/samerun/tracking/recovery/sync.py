"""Delivers what run folders hold and their stores lack, from any process, at any later time."""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from samerun.errors import UserError, first_line
from samerun.files import write_atomic
from samerun.tracking import store
from samerun.tracking.delivery.faults import is_unavailable
from samerun.tracking.delivery.lines import Line
from samerun.tracking.delivery.spool import METRICS_FILE, OUTBOX_FILE, POSITION_FILE, REFUSED_FILE
from samerun.tracking.recovery.completeness import Completeness, compare, read_refused
from samerun.tracking.recovery.dead_runs import deliver_to
from samerun.tracking.recovery.folders import RunFacts, check_openable, read_facts, run_folders
from samerun.tracking.recovery.lock import is_alive, try_lock_folder
from samerun.tracking.recovery.ownership import store_of

PLACES = ("outputs", "multirun")
"""The folders of a working folder in which Hydra creates the folders of runs."""

_UPLOADS = ("artifact", "dataset", "model")
_LONGEST_END = 40_000  # bytes of the line that says how a run ended: a reason and four numbers
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Synced:
    """The result of delivering a run's folder.

    Args:
        folder: the folder.
        facts: which run it is of.
        delivered: how many entries of each kind were delivered.
        refused: what it refused for good, now.
        is_alive: a process works on the run: nothing was done.
        problem: why not everything could be delivered.
        is_unavailable: the store is unavailable, and may work later.
    """

    folder: Path
    facts: RunFacts
    delivered: Counter[str] = field(default_factory=Counter)
    refused: tuple[Line, ...] = ()
    is_alive: bool = False
    problem: str | None = None
    is_unavailable: bool = False


def project_folders(working_folder: Path | None = None) -> Iterator[Path]:
    """Yields the folders of the runs of a working folder, by default the present one."""
    root = working_folder or Path.cwd()
    for name in PLACES:
        yield from run_folders(root / name)


def undelivered(folders: Iterable[Path]) -> list[Path]:
    """Returns those folders of ended runs of which something waits for delivery.

    Their logs are not opened: their sizes are compared with what was delivered.

    Args:
        folders: folders of runs.
    """
    return [folder for folder in folders if does_wait(folder) and not is_alive(folder)]


def does_wait(folder: Path) -> bool:
    """Whether anything in a run's folder was not delivered, if only that its process died."""
    position = _position(folder)
    for name in (METRICS_FILE, OUTBOX_FILE):
        if _size(folder / name) > position.get(name, 0):
            return True
    return bool(position.get("uploads")) or not _has_end(folder / OUTBOX_FILE)


def _position(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / POSITION_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    wrong = [name for name in (METRICS_FILE, OUTBOX_FILE) if type(found.get(name, 0)) is not int]
    return {} if wrong else found


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _has_end(outbox: Path) -> bool:
    """Whether the last line is the end of the run."""
    try:
        with outbox.open("rb") as file:
            file.seek(max(_size(outbox) - _LONGEST_END, 0))
            last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
        return bool(json.loads(last)["kind"] == "end")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def find_folders(names: Sequence[str]) -> list[Path]:
    """Returns the folders of the runs that are named.

    Args:
        names: folders; or IDs, starts of IDs or names of runs of the working folder.

    Raises:
        UserError: there is none, or a name is that of several runs.
    """
    found: list[Path] = []
    known: list[tuple[Path, RunFacts]] | None = None
    for name in names:
        if Path(name).is_dir():
            check_openable(Path(name))
            found.append(Path(name).absolute())
            continue
        known = list(_known()) if known is None else known
        found += _named(name, known)
    return list(dict.fromkeys(found))


def _known() -> Iterator[tuple[Path, RunFacts]]:
    for folder in project_folders():
        try:
            yield folder, read_facts(folder)
        except UserError:
            continue


def _named(name: str, known: Sequence[tuple[Path, RunFacts]]) -> list[Path]:
    matching = [
        (folder, facts)
        for folder, facts in known
        if name
        and (any(one and one.startswith(name) for one in (facts.id, facts.uid)))
        or facts.name == name
    ]
    if len({facts.id or facts.uid for _, facts in matching}) == 1:
        return [folder for folder, _ in matching]  # of a run that was resumed there are several
    number = "no run" if not matching else f"{len(matching)} runs"
    raise UserError(
        f"'{name}' names {number} in outputs/ and multirun/ of this folder: expected an ID, the "
        "beginning of exactly one ID, a run's name, or the run's own folder."
    )


def sync(folders: Iterable[Path]) -> Iterator[Synced]:
    """Delivers what waits in the folders of runs whose processes have ended.

    A run without a recorded end is KILLED. A store that is unavailable is asked once.

    Args:
        folders: folders of runs, named by the user or below the working folder.

    Yields:
        The result for each one in which something waited.
    """
    clients: dict[str, Any] = {}
    for folder, facts in _openable(folders):
        if does_wait(folder) or read_refused(folder):
            yield _synced(folder, facts, clients)


def _openable(folders: Iterable[Path]) -> Iterator[tuple[Path, RunFacts]]:
    """Yields the folders that may be opened; warns of the others."""
    for folder in folders:
        try:
            facts = check_openable(folder)
        except UserError as error:
            _log.warning("%s", error)
            continue
        yield folder, facts


def _synced(folder: Path, facts: RunFacts, clients: dict[str, Any]) -> Synced:
    with try_lock_folder(folder) as is_held:
        if not is_held:
            return Synced(folder=folder, facts=facts, is_alive=True)
        before = read_refused(folder)
        counts: Counter[str] = Counter()
        problem, unavailable = None, False
        try:
            client, uri = _connected(facts, clients)
            _offer_refused(folder, before)
            deliver_to(client, uri, folder, counts)
        except Exception as error:
            problem, unavailable = first_line(error), is_unavailable(error)
        refused = tuple(read_refused(folder))
        return Synced(
            folder=folder,
            facts=read_facts(folder),
            delivered=counts,
            refused=refused,
            problem=problem,
            is_unavailable=unavailable,
        )


def _offer_refused(folder: Path, refused: Sequence[Line]) -> None:
    """Lets what a store refused wait again: a limit or a permission may have changed.

    Metrics, params and tags are delivered from the start, which adds nothing twice.
    """
    if not refused:
        return
    state = _position(folder)
    uploads = [line for line in state.get("uploads", []) if isinstance(line, dict)]
    kinds = {line.get("kind") for line in refused}
    own = [line["entry"] for line in refused if line.get("kind") in _UPLOADS and "entry" in line]
    state["uploads"] = uploads + [entry for entry in own if entry not in uploads]
    if "metric" in kinds:
        state[METRICS_FILE] = 0
    if kinds - {"metric", *_UPLOADS}:
        state[OUTBOX_FILE] = 0
    write_atomic(folder / POSITION_FILE, json.dumps(state))
    (folder / REFUSED_FILE).unlink(missing_ok=True)


def _connected(facts: RunFacts, clients: dict[str, Any]) -> tuple[Any, str]:
    """Returns the client of a run's store, connected once; an error is raised again."""
    if facts.uri not in clients:
        try:
            uri = store_of(facts)
            clients[facts.uri] = (store.connect(uri), uri)
        except Exception as error:
            clients[facts.uri] = error
    found = clients[facts.uri]
    if isinstance(found, Exception):
        raise found
    client, uri = found
    return client, uri


def _client(facts: RunFacts, clients: dict[str, Any]) -> Any:
    return _connected(facts, clients)[0]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The result of comparing a run's folder with its store.

    Args:
        folder: the folder.
        facts: which run it is of.
        rows: the records of both, by kind.
        refused: what the store refused for good.
        is_alive: a process works on the run: nothing was compared.
        problem: why it could not be compared.
        is_unavailable: the store is unavailable, and may work later.
    """

    folder: Path
    facts: RunFacts
    rows: tuple[Completeness, ...] = ()
    refused: tuple[Line, ...] = ()
    is_alive: bool = False
    problem: str | None = None
    is_unavailable: bool = False


def check(folders: Iterable[Path]) -> Iterator[Checked]:
    """Compares folders of ended runs with their stores; changes nothing in either.

    Args:
        folders: folders of runs, named by the user or below the working folder.

    Yields:
        The result for each.
    """
    clients: dict[str, Any] = {}
    for folder, facts in _openable(folders):
        if is_alive(folder):
            yield Checked(folder=folder, facts=facts, is_alive=True)
            continue
        refused = tuple(read_refused(folder))
        try:
            connected = partial(_client, facts, clients)
            rows = tuple(compare(folder, facts, store_of(facts), connected))
            yield Checked(folder=folder, facts=facts, rows=rows, refused=refused)
        except Exception as error:
            yield Checked(
                folder=folder,
                facts=facts,
                problem=first_line(error),
                is_unavailable=is_unavailable(error),
            )
