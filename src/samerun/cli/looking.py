"""The commands that look at what is there."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from samerun import config


def experiments_command(chosen: argparse.Namespace) -> int:
    """Lists experiments and search spaces, in a line each or as the gallery's page."""
    from samerun.config import gallery

    found, spaces = config.experiments(), gallery.search_spaces()
    if chosen.markdown:
        print(gallery.as_markdown(found, spaces), end="")
        return 0
    for entry in found:
        state = entry.measured or entry.runs or f"download; see {entry.twin}"
        print(f"{entry.name:<28}{entry.what}  [{state}]")
    print(f"\nRun one with: {found[0].command}\n")
    for space in spaces:
        print(f"{space.name:<28}{space.what}  [{space.measured or 'not measured'}]")
    print(f"\nSearch one with: {spaces[0].command}")
    return 0


def ui_command(chosen: argparse.Namespace) -> int:
    """Becomes MLflow's own server, in the foreground."""
    from samerun import tracking

    command = tracking.ui_command(host=chosen.host, port=chosen.port)
    print(
        f"The MLflow UI opens at http://{chosen.host}:{chosen.port} — Ctrl-C ends it.", flush=True
    )
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.execv(sys.executable, [sys.executable, *command])


def tensorboard_command(chosen: argparse.Namespace) -> int:
    """Runs TensorBoard on a folder of links, one named for each run."""
    from samerun import tracking

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory(prefix="samerun-tensorboard-") as folder:
        for run in tracking.find_runs(chosen.ids):
            (Path(folder) / run.name).symlink_to(run.folder / "tensorboard")
        print(f"TensorBoard opens at http://localhost:{chosen.port} — Ctrl-C ends it.", flush=True)
        return os.spawnv(
            os.P_WAIT,
            sys.executable,
            [
                sys.executable,
                "-m",
                "tensorboard.main",
                "--logdir",
                folder,
                "--port",
                str(chosen.port),
            ],
        )
