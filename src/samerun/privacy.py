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
    """Lets this process and its children create files that only their user can read.

    For processes of samerun's own, not for a program that only imports it. A stricter umask is
    kept, and in a working folder that a group shares the group keeps its access.
    """
    before = os.umask(0o077)
    os.umask(before | (0o007 if is_shared(Path()) else 0o077))


def make_folder(folder: Path) -> None:
    """Creates a folder that only its owner can open, whatever the umask of the process is.

    Args:
        folder: an existing one is left unchanged; a new one in a shared folder is shared.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o777 if is_shared(folder.parent) else 0o700, exist_ok=True)


def restrict(file: Path) -> None:
    """Takes a file's permissions from all but its owner.

    Args:
        file: a new file; in a shared folder it is left unchanged.
    """
    if not is_shared(file.parent):
        file.chmod(0o600)
