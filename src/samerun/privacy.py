"""Files of a run are private to the user who trained it, unless a folder is shared on purpose."""

import os
import stat
from pathlib import Path


def is_shared(folder: Path) -> bool:
    """Whether a group shares a folder on purpose.

    Args:
        folder: one with the set-group-ID bit and write permission for the group, as after
            `chmod g+ws FOLDER`, is shared.
    """
    try:
        mode = folder.stat().st_mode
    except OSError:  # it was removed
        return False
    return bool(mode & stat.S_ISGID and mode & stat.S_IWGRP)


def keep_private() -> None:
    """Sets the umask so that only the user can read files of this process and its children.

    For samerun's own processes, not for a program that only imports it. A stricter umask is kept,
    and in a working folder that a group shares the group keeps its access.
    """
    before = os.umask(0o077)
    os.umask(before | (0o007 if is_shared(Path()) else 0o077))


def make_folder(folder: Path) -> None:
    """Creates a folder that only its owner can open, whatever the umask of the process is.

    Args:
        folder: an existing one is not changed; a new one in a shared folder is shared.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o777 if is_shared(folder.parent) else 0o700, exist_ok=True)


def restrict(file: Path) -> None:
    """Removes a file's permissions for all but its owner.

    Args:
        file: a new file; in a shared folder it is not changed.
    """
    if not is_shared(file.parent):
        file.chmod(0o600)
