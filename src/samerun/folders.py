"""The folders with config files that come with samerun, and that of data passed in from Python."""

from pathlib import Path

PASSED_IN = Path("data", "from_python")
"""Below the working folder: a file of data passed in, named after its digest. Git ignores it, and
a run's folder may be removed without it."""


def was_passed_in(path: str | Path) -> bool:
    """Whether a `dataset.path` is that of data passed in from Python."""
    return Path(path).parent == PASSED_IN


def package_folder(name: str) -> Path:
    """Returns the folder `conf` or `experiments` of the installed package or of the checkout."""
    package = Path(__file__).resolve().parent
    installed = package / name
    return installed if installed.is_dir() else package.parents[1] / name
