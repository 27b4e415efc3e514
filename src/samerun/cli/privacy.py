"""Files of a run are private to whoever trained it."""

import os
import stat


def keep_private() -> None:
    """Lets this process, and what it starts, make files that nobody else can read.

    A stricter umask stays as it is. In a folder that a group shares on purpose, one with the
    set-group-ID bit and write permission for the group (`chmod g+ws FOLDER`), the group keeps its
    access. Files of other users' making are not touched.
    """
    try:
        mode = os.stat(".").st_mode
    except OSError:  # the working folder was removed
        mode = 0
    is_shared = mode & stat.S_ISGID and mode & stat.S_IWGRP
    before = os.umask(0o077)
    os.umask(before | (0o007 if is_shared else 0o077))
