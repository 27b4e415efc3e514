"""The folder of an export: complete or not there, and only replaced if it is an earlier one."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from samerun.errors import UserError
from samerun.raw_model import PREPROCESSING
from samerun.serving.formats import FORMATS

MANIFEST, REQUIREMENTS = "export.json", "requirements.txt"
_SUFFIXES = {Path(one.file).suffix for one in FORMATS.values()} - {""}


def check_target(folder: Path, name: str) -> None:
    """Checks that an export may be written to a folder.

    Args:
        folder: the folder; it may be an earlier export, which is then replaced.
        name: of the format.

    Raises:
        UserError: it is a file, holds something else, or cannot be created.
    """
    if folder.suffix in _SUFFIXES and not folder.is_dir():
        raise UserError(
            f"-o: received the file {folder}, expected a folder for {FORMATS[name].file} and its "
            f"{PREPROCESSING}: -o {folder.with_suffix('')}"
        )
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(f"-o: {folder} exists and is no folder: choose another one.")
    if folder.is_dir():
        others = sorted(set(os.listdir(folder)) - _written(folder))
        if others:
            raise UserError(
                f"-o: {folder} exists and holds {others[0]}, which no earlier export wrote: "
                "choose another folder, or empty this one."
            )
    above = folder.absolute().parent
    while not above.exists():
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UserError(f"-o: {folder} cannot be created: {above} is not writable.")


def _written(folder: Path) -> set[str]:
    """Returns the names in a folder that an earlier export wrote there."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        found = json.loads((folder / MANIFEST).read_text())
        if isinstance(found, dict) and isinstance(files := found.get("files"), list):
            return {MANIFEST, *map(str, files)}
    return set()  # another program's file may have the same name


@contextlib.contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Gives the block an empty folder to write to, which then gets the name of another.

    Args:
        folder: what `check_target` accepted; replaced after the block, and kept if it raises.
    """
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as place:
        made, before = Path(place, "new"), Path(place, "before")
        made.mkdir()
        yield made
        if folder.exists():
            os.replace(folder, before)
        try:
            os.replace(made, folder)
        except OSError:
            if before.exists():
                os.replace(before, folder)
            raise


def size_of(path: Path) -> int:
    """Returns the bytes of all files in a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def names_in(folder: Path) -> list[str]:
    """Returns the names of what is in a folder, sorted."""
    return sorted(os.listdir(folder))
