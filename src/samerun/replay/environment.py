"""A virtual environment with exactly the packages of a list, installed by uv or else by pip."""

import ast
import logging
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from samerun.errors import UserError
from samerun.replay.recorded import clean

_log = logging.getLogger(__name__)
_RULES = ("--no-deps", "--only-binary", ":all:", "--no-binary", "antlr4-python3-runtime")
# No dependencies: the list is complete. No source distributions, since building one runs its code;
# the exception is what OmegaConf parses its grammar with, of which there is no wheel.

_UV_VARIABLES = {
    "index-url": "UV_INDEX_URL",
    "extra-index-url": "UV_EXTRA_INDEX_URL",
    "cert": "SSL_CERT_FILE",
}
"""Settings of pip that say where packages come from, and the variables of uv for the same."""


def make(folder: Path, packages: Sequence[str], out: Console) -> Path:
    """Makes a virtual environment and returns its Python.

    uv installs what pip takes minutes for in seconds. Where there is no uv, or where it fails, pip
    installs the packages.

    Args:
        folder: absolute path of the environment, which does not exist yet.
        packages: lines of the form `NAME==VERSION`; nothing else is installed.
        out: where to show progress.

    Raises:
        UserError: the packages cannot be installed.
    """
    started = time.monotonic()
    file = folder.with_suffix(".txt")
    file.write_text("".join(f"{line}\n" for line in packages), encoding="utf-8")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    uv = find_uv()
    name, hint = ("uv", "") if uv else ("pip", ", which takes minutes")
    out.print(f"Installing {len(packages)} recorded packages with {name}{hint} ...")
    reason = _new(folder)
    if reason is None and uv is not None:
        reason = _with_uv(uv, python, file)
        if reason is not None:
            _log.warning("uv failed (%s); pip installs the packages, which takes minutes.", reason)
            reason = _new(folder)  # uv may have installed a part
            uv = None
    if reason is None and uv is None:
        reason = _failure(command(None, python, file))
    if reason is not None:
        raise UserError(f"--env: the recorded packages cannot be installed: {reason}")
    out.print(f"The environment was ready after {time.monotonic() - started:.0f} s.")
    return python


def find_uv() -> Path | None:
    """Returns the uv that is installed beside this Python, else that on `PATH`, else `None`."""
    beside = [sysconfig.get_path("scripts"), str(Path(sys.executable).parent)]
    for places in (os.pathsep.join(beside), None):
        found = shutil.which("uv", path=places)
        if found and Path(found).is_absolute():  # a relative one is in the working folder
            return Path(found)
    return None


def command(uv: Path | None, python: Path, file: Path) -> list[str]:
    """Returns the command line that installs the packages of a list.

    Args:
        uv: the uv to use, `None` for pip.
        python: the Python of the environment.
        file: the list.
    """
    if uv is None:
        return [str(python), "-m", "pip", "install", "--quiet", *_RULES, "-r", str(file)]
    start = [str(uv), "pip", "install", "--quiet", "--python", str(python)]
    return [*start, *_RULES, "-r", str(file)]


def _new(folder: Path) -> str | None:
    """Makes an environment that holds pip only; returns why it failed."""
    return _failure([sys.executable, "-m", "venv", "--clear", str(folder)])


def _with_uv(uv: Path, python: Path, file: Path) -> str | None:
    """Installs the packages with uv; returns why it failed."""
    settings = _pip_settings(python)
    if settings is None:
        return "pip's settings, which name the package index, cannot be read"
    arguments = command(uv, python, file)
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        arguments.append("--no-index")
    # In the root folder: uv would read the `uv.toml` or `pyproject.toml` of the working folder and
    # of every folder above it, and they may name another index. The user's settings still apply.
    return _failure(arguments, _uv_environment(settings), Path(python.anchor))


def _uv_environment(settings: dict[str, str]) -> dict[str, str]:
    """Returns the environment in which uv looks where pip looks; what is set for uv has priority.

    An index may hold a password, so it is not given on the command line, which others can see.
    """
    environment = dict(os.environ)
    for key, name in _UV_VARIABLES.items():
        if settings.get(key):
            environment.setdefault(name, settings[key])
    links = [_absolute(link) for link in settings.get("find-links", "").split()]
    if links:
        environment.setdefault("UV_FIND_LINKS", ",".join(links))
    # As pip does, look for the version in every index, not only in the first that has the name.
    environment.setdefault("UV_INDEX_STRATEGY", "unsafe-first-match")
    return environment


def _absolute(link: str) -> str:
    return str(Path(link).absolute()) if Path(link).exists() else link


def _pip_settings(python: Path) -> dict[str, str] | None:
    """Returns pip's settings from its files and from the environment, `None` where it fails."""
    command_line = [str(python), "-m", "pip", "config", "list"]
    answer = subprocess.run(command_line, capture_output=True, check=False)
    if answer.returncode:
        return None
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in answer.stdout.decode(errors="replace").splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in found:
            found[section][name] = str(ast.literal_eval(value))
    return found["global"] | found["install"] | found[":env:"]


def _failure(
    arguments: Sequence[str], environment: dict[str, str] | None = None, folder: Path | None = None
) -> str | None:
    """Runs a command; returns the line that says why it failed, `None` where it did not."""
    try:
        answer = subprocess.run(
            arguments, env=environment, cwd=folder, capture_output=True, check=False
        )
    except OSError as error:
        return clean(str(error))
    if not answer.returncode:
        return None
    text = (answer.stderr or answer.stdout).decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for number, line in enumerate(lines):
        if line.startswith("ERROR"):  # pip
            return clean(line)
        if line.startswith(("error", "×")):  # uv, which says more in the lines below
            return clean(" ".join(lines[number:]))
    return clean(lines[-1] if lines else f"exit code {answer.returncode}")
