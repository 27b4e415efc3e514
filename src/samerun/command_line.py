"""Lines that a user can type: how this command was called, and its arguments in quotes."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path


def program(folder: str | os.PathLike[str] = ".") -> str:
    """Returns what to type for `samerun`: its path where the environment is not activated.

    Args:
        folder: in which it is typed.
    """
    if shutil.which("samerun"):
        return "samerun"
    here = Path(sys.orig_argv[1] if len(sys.orig_argv) > 1 else "")
    return os.path.relpath(here, folder) if here.name == "samerun" else "python -m samerun"


def line(*words: str, trust: Sequence[str] = ()) -> str:
    """Returns a line to type.

    Args:
        words: the command and its arguments, such as `show` and `1a2b3c4d`.
        trust: what `--trust` has to name for the command to import the user's own code. A name that
            no module can have is left out; the command then says what is missing.
    """
    flags = [word for name in trust if is_name(name) for word in ("--trust", name)]
    return f"{program()} {shlex.join([*words, *flags])}"


def is_name(text: str) -> bool:
    """Whether a text can be a module, or a function as `package.module:function`.

    Args:
        text: such as a stored config holds; no other text belongs in a line to type.
    """
    return all(part.isidentifier() for part in text.replace(":", ".").split("."))
