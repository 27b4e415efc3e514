"""`samerun init`: a project of your own, with components, an experiment, a sweep and tests."""

import argparse
import keyword
import re
import shlex
from pathlib import Path

from samerun.command_line import program
from samerun.errors import UserError

_SUFFIX = ".in"


def init_command(arguments: list[str]) -> int:
    """Writes a project."""
    parser = argparse.ArgumentParser(
        prog="samerun init",
        description="Writes a project of your own: conf, experiments, a package with a model and a "
        "dataset, tests, a notebook. Nothing is installed.",
    )
    parser.add_argument("path", metavar="PATH", help="a folder that is new or empty")
    path = Path(parser.parse_args(arguments).path)
    package = write_project(path)
    samerun, python = program(path), "python"
    if "/" in samerun:
        python = shlex.quote(samerun.removesuffix("samerun") + "python")
        samerun = shlex.quote(samerun)
    print(f"The project {package} is in {path}. Next:\n  cd {shlex.quote(str(path))}")
    print(f"  {samerun} train experiment=rings")
    print(f"  {python} -m pip install pytest && {python} -m pytest")
    return 0


def write_project(path: Path) -> str:
    """Writes the files of a new project.

    Args:
        path: its folder, which is new or empty; the package has its name.

    Returns:
        The name of its package.

    Raises:
        UserError: the folder is not empty or cannot be written, or its name makes no package.
    """
    name = path.absolute().name
    package = re.sub(r"\W+", "_", name).lower().strip("_")
    if not package.isidentifier() or keyword.iskeyword(package) or package in ("samerun", "tests"):
        raise UserError(
            f"PATH: received '{name}', expected a name for a Python package: letters, digits and "
            "underscores, such as samerun init my_project."
        )
    try:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UserError(
                f"PATH: '{path}' exists and is not an empty folder: give a new one, such as "
                f"samerun init {path}_2."
            )
        for file in sorted(_template().rglob(f"*{_SUFFIX}")):
            place = file.relative_to(_template()).as_posix().removesuffix(_SUFFIX)
            # Git and the wheel leave a folder of the name `mlruns` out.
            target = path / place.replace("PACKAGE", package).replace("RUNS", "mlruns")
            target.parent.mkdir(parents=True, exist_ok=True)
            text = file.read_text(encoding="utf-8").replace("PACKAGE", package)
            target.write_text(text.replace('"NAME"', f'"{package.replace("_", "-")}"'), "utf-8")
    except OSError as error:
        raise UserError(
            f"PATH: '{error.filename}' cannot be written ({error.strerror}): give another folder."
        ) from error
    return package


def _template() -> Path:
    return Path(__file__).parents[1] / "template"
