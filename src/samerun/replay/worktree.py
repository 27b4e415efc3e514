"""The code of a recorded run in a folder of its own: its commit, and what was not committed."""

import logging
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from samerun import git, uncommitted
from samerun.config import as_dict
from samerun.errors import UserError, see
from samerun.replay.recorded import Provenance, RecordedRun, clean
from samerun.tracking import StoredRun, folder_of

_log = logging.getLogger(__name__)
_PATCH = "provenance/uncommitted.diff"
_LINK, _SUBMODULE = "120000", "160000"
_LFS = ("git-lfs ", "git lfs ")


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A checkout of a recorded state.

    Args:
        folder: what corresponds to the folder in which the run was started.
        source: what Python has to look in first, most important first.
    """

    folder: Path
    source: tuple[Path, ...]


@contextmanager
def checked_out(recorded: RecordedRun, trusted: Sequence[str]) -> Iterator[Checkout]:
    """Checks the recorded code out into a temporary git worktree, which is removed afterwards.

    Args:
        recorded: the run whose code it is.
        trusted: what the user trusts; `recorded-code` stands for a patch
            that this machine did not record itself.

    Raises:
        UserError: no commit was recorded or it is not in this clone, or the patch is not to be
            trusted, leaves the tree, or does not apply.
    """
    top = _top()
    commit = _known_commit(recorded.provenance, recorded.run, top)
    patch = recorded.provenance.patch or ""
    if patch:
        check_recorded_here(recorded.run, _PATCH, patch, trusted, name="recorded-code")
        check_patch(patch, top)
    place = Path(tempfile.mkdtemp(prefix="samerun-code-"))
    tree = place / top.name
    try:
        _git(top, "worktree", "add", "--detach", "--quiet", str(tree), commit)
        if patch:
            _apply(tree, patch)
        below = Path.cwd().resolve().relative_to(top)
        folder = tree / below if (tree / below).is_dir() else tree
        _link_data(_strings(as_dict(recorded.cfg.dataset)), Path.cwd(), folder)
        _link_data(recorded.provenance.left_out, top, tree)
        missing = uncommitted.sentence(recorded.provenance.left_out)
        if missing:
            _log.warning("%s. Those that exist in this checkout are used as they are now.", missing)
        own = [tree / "src"] if (tree / "src").is_dir() else []
        moved = [_moved(entry, top, tree) for entry in python_path()]
        yield Checkout(folder=folder, source=(*own, *moved))
    finally:
        _git(top, "worktree", "remove", "--force", str(tree), check=False)
        shutil.rmtree(place, ignore_errors=True)


def python_path() -> tuple[Path, ...]:
    """Returns the folders of `PYTHONPATH`, absolute."""
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return tuple(Path(folder).resolve() for folder in folders if folder)


def _moved(path: Path, top: Path, tree: Path) -> Path:
    return tree / path.relative_to(top) if path.is_relative_to(top) else path


def check_recorded_here(
    run: StoredRun, path: str, content: str, trusted: Sequence[str], *, name: str
) -> None:
    """Checks that this machine recorded what is about to be executed, or that it is trusted.

    Args:
        run: the run that brings it.
        path: the artifact.
        content: what the store says it holds.
        trusted: what the user trusts.
        name: what to type after `--trust`.

    Raises:
        UserError: neither.
    """
    if name in trusted or _own_copy(run, path) == content:
        return
    raise UserError(
        f"The store's {path} of run {run.id} would be executed, and this machine did not record "
        f"it: read it in the run's artifacts, then give --trust {name}."
        + see("how-to/share-a-run.md#what-a-bundle-cannot-do")
    )


def _own_copy(run: StoredRun, path: str) -> str | None:
    """What the run's folder here holds, if it is that run's and belongs to this user."""
    folder = folder_of(run)
    if folder is None:
        return None
    file = folder / "artifacts" / path
    try:
        owners = {file.stat().st_uid, folder.stat().st_uid}
        if hasattr(os, "getuid") and owners != {os.getuid()}:
            return None
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def check_patch(patch: str, folder: Path) -> None:
    """Checks that a patch stays inside the tree: no path that climbs out, no link, no `.git`.

    git refuses such paths by itself; it would make links, though, and through a link that a patch
    makes the next patch leads anywhere.

    Args:
        patch: the patch.
        folder: where to run git, which reads the paths as it will apply them; nothing is applied.

    Raises:
        UserError: names the first path that does not.
    """
    if re.search(rf"^(new |old |deleted )?(file )?mode ({_LINK}|{_SUBMODULE})", patch, re.M):
        raise _refused("makes or removes a link")
    if re.search(rf"^index [0-9a-f]+\.\.[0-9a-f]+ ({_LINK}|{_SUBMODULE})", patch, re.M):
        raise _refused("changes a link")
    answer = _git(folder, "apply", "--numstat", "-z", "-", check=False, given=patch)
    if answer.returncode:
        raise _unfit(answer)
    counted = os.fsdecode(answer.stdout).split("\0")
    paths = [entry.split("\t", 2)[2] for entry in counted if entry.count("\t") >= 2]
    for path in [*paths, *re.findall(r"^(?:rename|copy) (?:from|to) (.*)$", patch, re.M)]:
        parts = PurePosixPath(path.strip('"').replace("\\", "/"))
        names = {part.lower().rstrip(". ") for part in parts.parts}
        if parts.is_absolute() or ".." in parts.parts or ".git" in names:
            raise _refused(f"touches {clean(path)!r}")


def _refused(what: str) -> UserError:
    return UserError(
        f"The recorded patch {what}, outside of what a checkout holds: it is not applied and "
        "nothing of it runs."
    )


def _apply(tree: Path, patch: str) -> None:
    """Applies a patch, first as a trial."""
    for command in (["apply", "--check"], ["apply", "--whitespace=nowarn"]):
        answer = _git(tree, *command, "-", check=False, given=patch)
        if answer.returncode:
            raise _unfit(answer)


def _unfit(answer: "subprocess.CompletedProcess[bytes]") -> UserError:
    reason = clean((answer.stderr.decode(errors="replace").splitlines() or ["?"])[0])
    return UserError(
        f"The recorded patch does not apply to its commit: git reports {reason!r}; nothing of it "
        "runs."
    )


def _top() -> Path:
    answer = _git(Path.cwd(), "rev-parse", "--show-toplevel", check=False)
    if answer.returncode:
        raise UserError(
            f"--code: {Path.cwd()} is not inside a git checkout: go to the one the run was made in."
        )
    return Path(os.fsdecode(answer.stdout).removesuffix("\n")).resolve()


def _known_commit(provenance: Provenance, run: StoredRun, top: Path) -> str:
    commit = provenance.commit or ""
    if not commit:
        raise UserError(
            f"--code: run {run.id} recorded no commit: it was made outside of a git checkout."
        )
    is_hash = re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", commit) is not None
    if not is_hash or _git(top, "cat-file", "-e", f"{commit}^{{commit}}", check=False).returncode:
        raise UserError(
            f"--code: the run's commit {clean(commit)} is not in the clone {top}: fetch it from "
            "where the run was made."
        )
    return commit


def _link_data(names: Iterable[str], here: Path, there: Path) -> None:
    """Links the data files that git does not keep, so that relative paths mean what they meant."""
    for name in names:
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or len(name) > 500 or "\0" in name:
            continue
        target = there / path
        if (here / path).exists() and not target.exists() and path.parts:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to((here / path).resolve())


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for value in node.values():
            yield from _strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value)
    elif isinstance(node, str):
        yield node


def _git(
    folder: Path, *arguments: str, check: bool = True, given: str | None = None
) -> "subprocess.CompletedProcess[bytes]":
    filters = [] if arguments[0] == "config" else _no_filters(folder)
    answer = subprocess.run(
        git.command(*arguments, settings=["core.symlinks=true", *filters]),
        cwd=folder,
        input=None if given is None else given.encode("utf-8", "surrogateescape"),
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
        capture_output=True,
        check=False,
    )
    if check and answer.returncode:
        reason = clean(answer.stderr.decode(errors="replace").strip())
        raise UserError(f"--code: git {arguments[0]} failed: {reason}")
    return answer


def _no_filters(folder: Path) -> list[str]:
    """Returns settings that switch off every filter but Git LFS's own.

    Which files a filter gets is for the commit to say, in its `.gitattributes`.
    """
    key = r"^filter\..*\.(clean|smudge|process)$"
    answer = _git(folder, "config", "--null", "--get-regexp", key, check=False)
    off: list[str] = []
    for entry in filter(None, os.fsdecode(answer.stdout).split("\0")):
        name, _, command = entry.partition("\n")
        if not command.startswith(_LFS):
            off += [f"{name}=", f"{name.rpartition('.')[0]}.required=false"]
    return off
