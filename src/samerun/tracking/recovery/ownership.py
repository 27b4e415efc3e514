"""Which folder on this machine is a run's, and which store a folder is of.

What a store records about folders is not trusted: anyone who may write to it can name any folder of
any machine. A folder is opened for a run only if the folder itself names that run and that store,
and is below the present working folder or below one that the user named.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from urllib.parse import urlsplit

from samerun import tags as tag
from samerun.errors import UserError
from samerun.redaction import redact
from samerun.tracking import store
from samerun.tracking.database import database_file
from samerun.tracking.recovery.folders import RunFacts, check_openable
from samerun.tracking.stored_run import StoredRun


def folder_of(run: StoredRun, *, uri: str | None = None, named: Sequence[Path] = ()) -> Path | None:
    """Returns the folder in which a run ran last, if it is here and is that run's.

    What the store records is not trusted: see above.

    Args:
        run: the run.
        uri: its store, by default that of this folder.
        named: folders that the user named, besides the present working folder.
    """
    return owned_folder(
        run.tags.get(tag.FOLDER, ""),
        run_id=run.id,
        uid=run.tags.get(tag.UID),
        uri=store.resolve_uri(uri),
        named=named,
    )


def store_of(facts: RunFacts, uri: str | None = None) -> str:
    """Returns the complete address of the store that a run's folder names.

    Args:
        facts: what the folder records.
        uri: the store's address, if it is known; by default that of the working folder is tried,
            which has the password, or is where the project was moved to.

    Raises:
        UserError: its password is not known, or its database file does not exist.
    """
    full = None
    with contextlib.suppress(UserError):
        present = store.resolve_uri(uri)
        full = present if is_same_store(facts.uri, present) else None
    full = full or store.resolve_uri(store.full_uri(facts.uri, uri))
    if full.startswith("sqlite"):
        file = database_file(full)
        if not (file.exists() or (facts.id is None and file.parent.is_dir())):
            raise UserError(
                f"The tracking store of run {facts.shown_id}, {file}, does not exist: if the "
                "project was moved, go to its folder; else restore the file."
            )
    return full


def is_same_store(written: str, present: str) -> bool:
    """Whether two addresses are those of one store.

    For SQLite, the same file; or a missing file, since the project was moved together with it. A
    copied project is another store: the file that its run folders name still exists.

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
    """Returns what identifies a server or database, without the user."""
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
        stated: its path in the store.
        run_id: the run.
        uri: the store that holds the run.
        uid: the run's own ID, if the store has one.
        named: folders that the user named, besides the present working folder.
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
    """Whether a folder is that of a run in a store, and is below one of the roots."""
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
    """Whether a folder exists, and is below one of the roots after all links were followed."""
    try:
        real = folder.resolve(strict=True)
        return any(real.is_relative_to(root.resolve()) for root in roots)
    except (OSError, ValueError, RuntimeError):  # no such folder, a NUL, a circle of links
        return False
