"""The lines of code by which two recorded states differ, out of git alone: nothing is checked out.

Commit and patch of each side become a tree among objects of their own, in a temporary folder.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from samerun import git
from samerun.errors import UserError
from samerun.replay.recorded import Provenance
from samerun.replay.worktree import check_patch

_MOST_CHARACTERS = 100_000


def between(first: Provenance, second: Provenance, paths: Sequence[str] | None) -> str | None:
    """Returns the difference as a patch, `None` where this clone does not have both states.

    Args:
        first: commit and patch of one side.
        second: those of the other.
        paths: ends of the paths that matter, such as `samerun/models/cnn.py`; `None` for all.
    """
    with tempfile.TemporaryDirectory(prefix="samerun-diff-") as place:
        clone = _Git(Path(place))
        trees = [clone.tree(side) for side in (first, second)]
        if None in trees:
            return None
        options = ["--no-ext-diff", "--no-textconv", "--no-color", *map(str, trees)]
        named = (clone.output("diff", "--name-only", "-z", *options) or "").split("\0")
        chosen = [name for name in named if name and (paths is None or _is_one_of(name, paths))]
        if not chosen:
            return None
        return (clone.output("diff", *options, "--", *chosen) or "")[:_MOST_CHARACTERS]


def _is_one_of(name: str, paths: Sequence[str]) -> bool:
    return any(f"/{name}".endswith(f"/{path}") for path in paths)


class _Git:
    """git in the clone of the working folder, writing objects into another place."""

    def __init__(self, place: Path) -> None:
        self._environment = dict(os.environ, GIT_LITERAL_PATHSPECS="1")
        objects = self.output("rev-parse", "--git-path", "objects")
        top = self.output("rev-parse", "--show-toplevel")
        self.top = Path(top) if top else None
        if objects and top:
            (place / "objects").mkdir()
            self._environment |= {
                "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(Path(objects).absolute()),
                "GIT_OBJECT_DIRECTORY": str(place / "objects"),
            }
        self._place = place

    def output(self, *arguments: str, given: str = "") -> str | None:
        """Returns what git prints, `None` where it fails."""
        top = getattr(self, "top", None)
        try:
            answer = subprocess.run(
                git.command(*arguments),
                cwd=top or Path.cwd(),
                env=self._environment,
                input=given.encode("utf-8", "surrogateescape"),
                capture_output=True,
                check=False,
            )
        except OSError:
            return None
        text = answer.stdout.decode("utf-8", "replace").removesuffix("\n")
        return None if answer.returncode else text

    def tree(self, side: Provenance) -> str | None:
        """Returns the tree of a commit with a patch applied, `None` where it is not to be had."""
        commit = side.commit or ""
        if self.top is None or not re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", commit):
            return None
        self._environment["GIT_INDEX_FILE"] = str(self._place / commit[:8])
        if self.output("read-tree", commit) is None or side.patch is None:
            return None
        if side.patch:
            try:
                check_patch(side.patch, self.top)
            except UserError:
                return None
            if self.output("apply", "--cached", "-", given=side.patch) is None:
                return None
        return self.output("write-tree")
