"""Run folders on this machine: which run each is of, and whether it may be opened.

What a store says about folders is not believed: anyone who may write to it can name any folder of
any machine. A folder is opened for a run only if the folder itself names that run and that store,
and lies below the present working folder or below one that the person named.
"""

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urlsplit

from samerun.config import UserError
from samerun.redaction import redact
from samerun.tracking.database import database_file

RUN_FILE = "run.json"
ALIVE_LOCK = "alive.lock"

_NEVER_LINKS = (
    *(RUN_FILE, ALIVE_LOCK, "metrics.jsonl", "outbox.jsonl", "delivered.json", "refused.jsonl"),
    *("artifacts", "checkpoints"),
)
_NOT_SEARCHED = {"artifacts", "checkpoints", "tensorboard", ".hydra"}
_MOST_BYTES = 100_000
_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a run's folder says about its run.

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
        """The ID by which a person finds the run."""
        return self.id or self.uid or ""


def read_facts(folder: Path) -> RunFacts:
    """Returns what the folder of a run says about it.

    Raises:
        UserError: it is not the folder of a run.
    """
    wrong = f"{folder} holds no run: expected the folder of one, with {RUN_FILE} in it."
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
    """Returns what a folder says about its run, if nothing in it leads out of it.

    Raises:
        UserError: it is not the folder of a run, or a file of the run is a symbolic link.
    """
    facts = read_facts(folder)
    for name in _NEVER_LINKS:
        if (folder / name).is_symlink():
            raise UserError(
                f"{folder / name} is a symbolic link, expected what samerun wrote there: put the "
                "file itself in its place."
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


def is_same_store(written: str, present: str) -> bool:
    """Whether two addresses are those of one store.

    Of SQLite, one file; or a file that is gone, since the project was moved together with it. A
    copied project is another store: the file that its run folders name is still there.

    Args:
        written: the address in a run's folder, without passwords.
        present: the address of the store in use.
    """
    first, second = urlsplit(written), urlsplit(present)
    if first.scheme.partition("+")[0] != second.scheme.partition("+")[0]:
        return False
    if first.scheme.startswith("sqlite"):
        return _is_same_file(written, present)
    return _place(written) == _place(present)


def _is_same_file(written: str, present: str) -> bool:
    try:
        old, new = database_file(written), database_file(present)
        if old.exists() and new.exists():
            return os.path.samefile(old, new)
        return old == new or (old.name == new.name and new.exists() and _is_not_there(old))
    except (UserError, OSError, ValueError):
        return False


def _is_not_there(file: Path) -> bool:
    """Whether a file does not exist; one in a folder that may not be read may well exist."""
    try:
        file.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    return False


def _place(uri: str) -> tuple[str, str, str, str]:
    """Returns what makes out a server or database: never who logs in to it."""
    parts = urlsplit(redact(uri))
    scheme = parts.scheme.partition("+")[0]
    usual = {"http": ":80", "https": ":443", "postgresql": ":5432", "mysql": ":3306"}
    host = parts.netloc.rpartition("@")[2].lower().removesuffix(usual.get(scheme, ":none"))
    return scheme, host, parts.path.rstrip("/"), parts.query


def owned_folder(
    stated: str,
    *,
    run_id: str,
    uri: str,
    uid: str | None = None,
    named: Sequence[Path] = (),
) -> Path | None:
    """Returns the folder of a run on this machine, also after its project was moved.

    Args:
        stated: where the store says it is.
        run_id: the run.
        uri: the store that holds the run.
        uid: the run's own ID, if the store has one.
        named: folders that the person named, besides the present working folder.
    """
    roots = [Path.cwd(), *named]
    for folder in _candidates(stated, roots):
        if is_owned(folder, run_id=run_id, uid=uid, uri=uri, roots=roots):
            return folder
    return None


def _candidates(stated: str, roots: Sequence[Path]) -> Iterator[Path]:
    """Returns where the folder may be: as stated, or the end of that below one of the roots."""
    path = PurePath(stated)
    if not stated or "\0" in stated or not path.is_absolute() or ".." in path.parts:
        return
    yield Path(stated)
    for root in roots:
        for start in range(1, len(path.parts)):
            yield root.joinpath(*path.parts[start:])


def is_owned(
    folder: Path, *, run_id: str, uid: str | None, uri: str, roots: Sequence[Path]
) -> bool:
    """Whether a folder is that of a run in a store, and lies below one of the roots."""
    if not is_below(folder, roots):
        return False
    try:
        facts = check_openable(folder)
    except (UserError, OSError):
        return False
    is_its_run = facts.id == run_id or (facts.id is None and facts.uid == uid)
    is_its_uid = facts.uid is None or uid is None or facts.uid == uid
    return is_its_run and is_its_uid and is_same_store(facts.uri, uri)


def is_below(folder: Path, roots: Sequence[Path]) -> bool:
    """Whether a folder is there, and below one of the roots after all links were followed."""
    try:
        real = folder.resolve(strict=True)
        return any(real.is_relative_to(root.resolve()) for root in roots)
    except (OSError, ValueError, RuntimeError):  # no such folder, a NUL, a circle of links
        return False


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
