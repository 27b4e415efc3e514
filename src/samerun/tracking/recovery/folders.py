"""Run folders on this machine: which run each is of, and that nothing in it leads out of it."""

import json
import logging
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from samerun.errors import UserError
from samerun.files import write_atomic
from samerun.redaction import redact

RUN_FILE = "run.json"
ALIVE_LOCK = "alive.lock"

_log = logging.getLogger(__name__)

_NEVER_LINKS = (
    *(RUN_FILE, ALIVE_LOCK, "metrics.jsonl", "outbox.jsonl", "delivered.json", "refused.jsonl"),
    *("artifacts", "checkpoints"),
)
_NOT_SEARCHED = {"artifacts", "checkpoints", "tensorboard", ".hydra"}
_MOST_BYTES = 100_000
_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a run's folder records about its run.

    Args:
        id: the run's ID in the store; `None` while the store has not created it.
        uid: the ID that the run had before the store knew it; `None` in folders of version 0.1.0.
        name: its name.
        uri: the store, without passwords.
        experiment: name of its experiment; `None` in folders of version 0.1.0.
        experiment_id: ID of its experiment; `None` while the store was not reached.
    """

    id: str | None
    uid: str | None
    name: str
    uri: str
    experiment: str | None
    experiment_id: str | None

    @property
    def shown_id(self) -> str:
        """The ID by which the run is found."""
        return self.id or self.uid or ""


def read_facts(folder: Path) -> RunFacts:
    """Returns what the folder of a run records about it.

    Raises:
        UserError: it is not the folder of a run.
    """
    wrong = f"{folder} received a folder without a run, expected one with {RUN_FILE} in it."
    try:
        raw = _read_small(folder / RUN_FILE)
        found = json.loads(raw)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(wrong) from error
    if not isinstance(found, dict) or not _is_of_a_run(found):
        raise UserError(wrong)
    return RunFacts(
        id=found.get("id"),
        uid=found.get("uid"),
        name=found["name"],
        uri=found["uri"],
        experiment=found.get("experiment"),
        experiment_id=found.get("experiment_id"),
    )


def check_openable(folder: Path) -> RunFacts:
    """Returns what a folder records about its run, if nothing in it leads out of it.

    Raises:
        UserError: it is not the folder of a run, or a file of the run is a symbolic link.
    """
    facts = read_facts(folder)
    for name in _NEVER_LINKS:
        if (folder / name).is_symlink():
            raise UserError(
                f"{folder / name} is a symbolic link, expected the file that samerun wrote: "
                "replace the link by the file itself."
            )
    return facts


def _read_small(file: Path) -> bytes:
    """Reads a file of ours: a plain one, and small; never a link, a device or a pipe."""
    if not stat.S_ISREG(file.lstat().st_mode):
        raise OSError(f"{file} is no file")
    with file.open("rb") as opened:
        return opened.read(_MOST_BYTES)


def _is_of_a_run(found: Mapping[str, Any]) -> bool:
    """Whether it is what samerun writes: other tools have files of this name too."""
    ids = [found.get("id"), found.get("uid")]
    texts = [found.get(key, "") or "" for key in ("experiment", "experiment_id")]
    return (
        any(ids)
        and all(one is None or (isinstance(one, str) and _ID.fullmatch(one)) for one in ids)
        and all(isinstance(found.get(key), str) for key in ("name", "uri"))
        and bool(urlsplit(found["uri"]).scheme)
        and all(isinstance(text, str) for text in texts)
    )


def run_folders(root: Path) -> Iterator[Path]:
    """Returns every run's folder below a folder, and itself; links are not followed."""
    waiting = [str(root)]
    while waiting:
        here = waiting.pop()
        inside = []
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.name == RUN_FILE and entry.is_file(follow_symlinks=False):
                        yield Path(here)
                    elif entry.name not in _NOT_SEARCHED and entry.is_dir(follow_symlinks=False):
                        inside.append(entry.path)
        except OSError:  # not to be read, or gone since
            continue
        waiting += sorted(inside, reverse=True)


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
    """Records which run a folder belongs to; never a password.

    Args:
        folder: the run's folder.
        run_id: its ID in the store; `None` while the store has not created it.
        uid: the ID that it had before; `None` for a run of version 0.1.0.
        name: its name.
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
        write_atomic(folder / RUN_FILE, json.dumps(facts, indent=1) + "\n")
    except OSError as error:
        _log.warning("Cannot write %s: %s", folder / RUN_FILE, error)
