"""The commands that look at what is there."""

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from samerun import config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samerun.tracking import StoredRun


def experiments_command(chosen: argparse.Namespace) -> int:
    """Lists experiments and search spaces, in a line each or as the gallery's page."""
    from samerun import experiments

    found, spaces = experiments.load_experiments(), experiments.load_search_spaces()
    if chosen.markdown:
        print(experiments.as_markdown(found, spaces), end="")
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

    command, environment = tracking.ui_command(host=chosen.host, port=chosen.port)
    print(
        f"The MLflow UI opens at http://{chosen.host}:{chosen.port} — Ctrl-C ends it.", flush=True
    )
    environment.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.execve(sys.executable, [sys.executable, *command], environment)


def tensorboard_command(chosen: argparse.Namespace) -> int:
    """Runs TensorBoard on a folder of links, one named for each run."""
    from samerun import tracking

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    runs = tracking.find_runs(chosen.ids)
    with tempfile.TemporaryDirectory(prefix="samerun-tensorboard-") as folder:
        if not _link_events(runs, Path(folder)):
            raise config.UserError(
                "TensorBoard has nothing to show: none of these runs has event files in a folder "
                "of this machine: train with tracking.tensorboard=true, or look with `samerun ui`."
            )
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


def _link_events(runs: "Sequence[StoredRun]", folder: Path) -> int:
    """Links the event files of each run that ran in a folder of this machine; returns how many.

    Both the folder and the name come out of the store, where anybody may have written them.
    """
    from samerun import tracking
    from samerun.replay.origin import clean

    num_linked = 0
    for run_id, run in {run.id: run for run in runs}.items():
        own = tracking.folder_of(run)
        events = None if own is None else own / "tensorboard"
        if events is None or not events.is_dir():
            reason = "is in no folder of this machine" if events is None else "has no event files"
            print(f"Run {clean(run.name)} ({clean(run_id)}) {reason}: left out.", file=sys.stderr)
            continue
        name = re.sub(r"[^\w.=,+-]", "_", clean(run.name, 80)).lstrip(".") or "run"
        (folder / f"{name}-{re.sub(r'[^0-9a-f]', '_', run_id)[:8]}").symlink_to(events.resolve())
        num_linked += 1
    return num_linked
