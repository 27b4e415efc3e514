"""The artifacts of a run beside its database file: their sizes, read without MLflow.

The store's own words about where they are is not used: only MLflow's folder next to the database is
looked into, and no link in it is followed.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from samerun import tracking
from samerun.tracking import StoredRun
from samerun.tracking.database import database_file

_PROVENANCE = "provenance/provenance.json"
_MOST_BYTES = 5_000_000
_MOST_FILES = 10_000


def folder_of(run: StoredRun, uri: str) -> Path | None:
    """Returns the folder of a run's artifacts below its database, or `None`."""
    if not uri.startswith("sqlite") or not re.fullmatch("[0-9a-f]{32}", run.id):
        return None
    if not re.fullmatch("[0-9]+", run.experiment_id):
        return None
    home = database_file(uri).parent / "mlruns"
    folder = home / run.experiment_id / run.id / "artifacts"
    is_inside = folder.is_dir() and folder.resolve() == home.resolve() / folder.relative_to(home)
    return folder if is_inside else None


def sizes_of(run: StoredRun, uri: str) -> dict[str, int | None] | None:
    """Returns the size of each artifact of a run, by path; `None` if only MLflow can list them.

    Args:
        run: the run.
        uri: its store; a server is asked through MLflow.
    """
    if uri.startswith("sqlite"):
        folder = folder_of(run, uri)
        return None if folder is None else dict(sorted(_files(folder).items()))
    client = tracking.connect(uri)
    return dict(sorted(tracking.stored.artifact_sizes(client, run).items()))


def provenance_of(run: StoredRun, uri: str) -> dict[str, Any]:
    """Returns what a run recorded about its origin; empty if it is not here or no plain JSON."""
    folder = folder_of(run, uri)
    if folder is None:
        if uri.startswith("sqlite") or _PROVENANCE not in (sizes_of(run, uri) or {}):
            return {}
        content = tracking.read_artifact(run, _PROVENANCE, uri=uri, most_bytes=_MOST_BYTES)
    else:
        file = folder / _PROVENANCE
        is_link = file.is_symlink() or file.parent.is_symlink()
        if is_link or not file.is_file() or file.stat().st_size > _MOST_BYTES:
            return {}
        content = file.read_bytes()
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}


def _files(folder: Path) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for here, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            file = Path(here, name)
            if len(found) < _MOST_FILES and file.is_file() and not file.is_symlink():
                found[file.relative_to(folder).as_posix()] = file.stat().st_size
    return found
