"""The folders with config files that come with samerun."""

from pathlib import Path


def package_folder(name: str) -> Path:
    """Returns the folder `conf` or `experiments` of the installed package or of the checkout."""
    package = Path(__file__).resolve().parent
    installed = package / name
    return installed if installed.is_dir() else package.parents[1] / name
