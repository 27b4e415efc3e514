"""Which files a bundle may have as data, and where in the working folder they may be.

What a bundle writes into the working folder must not be read as anything but data: a config file in
`conf/` would be found by name and could run any function, without `--trust`.
"""

from pathlib import Path, PurePosixPath

from samerun.config.project import FOLDERS, config_folders, settings, source_folder
from samerun.errors import UserError

ENDINGS = (
    *(".csv", ".tsv", ".txt", ".npz", ".jpg", ".jpeg", ".png"),
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".gif"),
)
"""Endings of the files that datasets read. None of them is configuration or code."""
_FOLDERS = (*FOLDERS, "mlruns", "mlartifacts", "outputs", "multirun")


def is_data(path: str) -> bool:
    """Whether a file has the ending of one that datasets read."""
    return PurePosixPath(path).suffix.lower() in ENDINGS


def check_place(path: str) -> None:
    """Checks that a file of the working folder is not where config files, code or runs are.

    Args:
        path: of a file of the data, relative to the working folder.

    Raises:
        UserError: it is.
    """
    here = Path.cwd().resolve()
    target = _lower(here / path)
    folders = [here / name for name in _FOLDERS] + [one.resolve() for one in config_folders()]
    if package := settings().package:
        folders.append(source_folder().resolve().joinpath(*package.split(".")))
    for folder in folders:
        if folder != here and target.is_relative_to(_lower(folder)):
            name = folder.relative_to(here) if folder.is_relative_to(here) else folder
            raise UserError(
                f"{path}: no data of a bundle is written into {name}, a folder of config files, "
                "code or runs: the data has to be in a folder of its own, such as data."
            )


def _lower(path: Path) -> Path:
    """Some file systems do not distinguish `conf` from `CONF`."""
    return Path(str(path).lower())
