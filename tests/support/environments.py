"""Environments of their own, in which other packages are installed than here."""

import contextlib
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from samerun.replay import environment

LOCK = Path(__file__).parents[2] / "requirements.lock"


def new_environment(folder):
    """Creates an empty environment; returns its Python."""
    venv.create(folder, with_pip=False)
    return folder / "bin" / "python"


def variables_of_uv():
    """Returns the environment in which uv looks where pip looks; `None` where pip fails."""
    settings = environment._pip_settings(Path(sys.executable))
    return None if settings is None else environment._uv_environment(settings)


def build_wheel(project, folder):
    """Builds a project's wheel in an environment made by uv, or else by pip, and returns it."""
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(project)]
    variables = variables_of_uv()
    by_uv = subprocess.run([*build, "--installer", "uv"], env=variables, capture_output=True)
    if by_uv.returncode:
        subprocess.run(build, check=True, capture_output=True)
    (file,) = Path(folder).glob("*.whl")
    return file


def locked(folder):
    """Writes the locked versions without their hashes, which pip does not allow for a wheel."""
    lines = LOCK.read_text().splitlines()
    pins = [line.rstrip("\\ ") for line in lines if "==" in line and not line.startswith(" ")]
    file = folder / "constraints.txt"
    file.write_text("\n".join(pins))
    return file


def install(python, *arguments):
    """As `make` does: by uv, which looks where pip looks, or else by pip, which takes minutes."""
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    uv, variables = environment.find_uv(), variables_of_uv()
    if uv is not None and variables is not None:
        command = [uv, "pip", "install", "--quiet", "--python", str(python), *arguments]
        if not subprocess.run(command, env=variables).returncode:
            take_bytecode(python)
            return
    subprocess.run([*pip, "install", "--quiet", "--no-compile", *arguments], check=True)


def take_bytecode(python):
    """Gives an environment the compiled modules of this one, for the files that both have.

    To compile what TensorFlow imports takes half a minute. uv links the same files into each
    environment; where one has another time or size, Python compiles it again.
    """
    here = Path(sysconfig.get_path("purelib"))
    there = python.parents[1] / here.relative_to(sys.prefix)
    for compiled in here.rglob("__pycache__/*.pyc"):
        target = there / compiled.relative_to(here)
        if target.parents[1].is_dir() and not target.exists():
            target.parent.mkdir(exist_ok=True)
            with contextlib.suppress(OSError):  # a folder on another disk
                os.link(compiled, target)
