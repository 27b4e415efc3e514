"""Lines that a user can type: how this command was called, and its arguments in quotes."""

import os
import shlex
import shutil
import sys
from pathlib import Path


def program() -> str:
    """Returns what to type for `samerun`: its path where the environment is not activated."""
    if shutil.which("samerun"):
        return "samerun"
    here = Path(sys.orig_argv[1] if len(sys.orig_argv) > 1 else "")
    return os.path.relpath(here) if here.name == "samerun" else "python -m samerun"


def line(*words: str) -> str:
    """Returns a line to type.

    Args:
        words: the command and its arguments, such as `show` and `1a2b3c4d`.
    """
    return f"{program()} {shlex.join(words)}"
