"""git commands that run no hook or program named by a clone's configuration."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

_SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "submodule.recurse=false",
    "protocol.ext.allow=never",
    "core.quotePath=false",
)
# They also apply to the git that git starts in a submodule.


def command(*arguments: str, settings: Sequence[str] = ()) -> list[str]:
    """Returns a git command line that runs no hook and no file system monitor.

    Filters and external diff programs are not covered: see `--no-ext-diff`, `--no-textconv`.

    Args:
        arguments: the arguments of git.
        settings: more settings, such as `core.symlinks=true`.
    """
    return ["git", *(part for value in (*_SAFE, *settings) for part in ("-c", value)), *arguments]


def output(folder: Path, *arguments: str) -> str | None:
    """Returns what git prints, or `None` if git or the checkout is missing.

    Args:
        folder: where to run it.
        arguments: the arguments of git.
    """
    try:
        answer = subprocess.run(
            command(*arguments), cwd=folder, capture_output=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    # `git diff --no-index` answers 1 when there is a difference.
    if answer.returncode not in (0, 1) or (answer.returncode == 1 and not answer.stdout):
        return None
    return answer.stdout.decode(errors="surrogateescape").removesuffix("\n")
