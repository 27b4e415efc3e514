"""Environments of their own, in which other packages are installed than here."""

import subprocess
import sys
import venv
from pathlib import Path

from samerun.replay import environment


def new_environment(folder):
    """Creates an empty environment; returns its Python."""
    venv.create(folder, with_pip=False)
    return folder / "bin" / "python"


def install(python, *arguments):
    """As `make` does: by uv, which looks where pip looks, or else by pip, which takes minutes."""
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    uv, settings = environment.find_uv(), environment._pip_settings(Path(sys.executable))
    if uv is not None and settings is not None:
        command = [uv, "pip", "install", "--quiet", "--python", str(python), *arguments]
        if not subprocess.run(command, env=environment._uv_environment(settings)).returncode:
            return
    subprocess.run([*pip, "install", "--quiet", "--no-compile", *arguments], check=True)
