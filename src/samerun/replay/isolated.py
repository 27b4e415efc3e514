"""Other code or another environment for a run: a worktree, a virtual environment, a subprocess."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import samerun
from samerun.errors import UserError
from samerun.replay import environment, rerun, worktree
from samerun.replay.recorded import RecordedRun, clean
from samerun.replay.rerun import Request
from samerun.replay.worktree import Checkout
from samerun.tracking import read_artifact, resolve_uri

_REQUIREMENTS = "provenance/requirements.txt"
_MOST_BYTES = 1_000_000  # a list of packages has some kilobytes
_PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9.!+_-]+")
_NOT_FROM_AN_INDEX = {"samerun", "pip", "setuptools", "wheel"}


def train_isolated(
    recorded: RecordedRun,
    request: Request,
    *,
    recorded_code: bool,
    recorded_packages: bool,
    trusted: Sequence[str],
    out: Console,
) -> str:
    """Trains a run in a process of its own and returns its ID.

    Args:
        recorded: the run that is reproduced.
        request: the run to train.
        recorded_code: with the code of its commit and its uncommitted changes.
        recorded_packages: in a fresh virtual environment with its packages.
        trusted: what the user trusts; `recorded-code` and `recorded-packages`
            stand for what this machine did not record itself.
        out: where to show progress.

    Raises:
        UserError: the code or the packages are unavailable or not trusted, or the run did not
            finish.
    """
    with contextlib.ExitStack() as stack:
        here = Checkout(folder=Path.cwd(), source=worktree.python_path())
        if recorded_code:
            here = stack.enter_context(worktree.checked_out(recorded, trusted))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="samerun-rerun-")))
        python = Path(sys.executable)
        if recorded_packages:
            python = _environment(recorded, folder / "environment", trusted, out)
        file = folder / "request.json"
        file.write_text(request.as_json(), encoding="utf-8")
        source = [*here.source, _only_samerun(folder)]
        code = _run(python, file, here.folder, source)
        answer = file.with_suffix(".id")
        if code or not answer.is_file():
            raise UserError(
                f"The run did not finish (exit code {code}): the reason is printed above."
            )
        return answer.read_text(encoding="utf-8").strip()


def _run(python: Path, file: Path, folder: Path, source: Sequence[Path]) -> int:
    """Runs the program, which shares this process's output and is stopped with it."""
    variables = dict(os.environ)
    variables["PYTHONPATH"] = os.pathsep.join(map(str, source))
    variables["MLFLOW_TRACKING_URI"] = resolve_uri(None)  # it may be relative to this folder
    variables.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # -P: modules are not looked for in the folder of the program.
    command = [str(python), "-P", str(Path(rerun.__file__)), str(file)]
    process = subprocess.Popen(command, cwd=folder, env=variables)
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        process.wait(timeout=60)
        raise


def _only_samerun(folder: Path) -> Path:
    """A folder in which Python finds this samerun and nothing else that is installed beside it."""
    place = folder / "source"
    place.mkdir(exist_ok=True)
    (place / "samerun").symlink_to(Path(samerun.__file__).resolve().parent)
    return place


def _environment(recorded: RecordedRun, folder: Path, trusted: Sequence[str], out: Console) -> Path:
    """Creates a virtual environment with the recorded packages and returns its Python."""
    content = read_artifact(recorded.run, _REQUIREMENTS, most_bytes=_MOST_BYTES)
    text = content.decode("utf-8", "replace")
    worktree.check_recorded_here(
        recorded.run, _REQUIREMENTS, text, trusted, name="recorded-packages"
    )
    return environment.make(folder, pinned(text), out)


def pinned(text: str) -> list[str]:
    """Returns the packages of a recorded list, each with its exact version.

    Args:
        text: lines such as `numpy==2.1.0`.

    Raises:
        UserError: a line is something else, such as an address or an option of pip.
    """
    lines = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        name, separator, version = line.partition("==")
        if not (separator and _PACKAGE.fullmatch(name) and _VERSION.fullmatch(version)):
            raise UserError(
                f"--env: the recorded packages hold the line {clean(line)!r}, expected "
                "NAME==VERSION: it was not written by samerun and nothing is installed."
            )
        if name.lower() not in _NOT_FROM_AN_INDEX:
            lines.append(line)
    return lines
