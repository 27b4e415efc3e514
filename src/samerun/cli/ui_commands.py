"""`samerun ui`, `tensorboard`, `experiments` and `completion`."""

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from samerun.cli.id_argument import ID_HELP
from samerun.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samerun.tracking import StoredRun


def experiments_command(arguments: list[str]) -> int:
    """Lists experiments and search spaces, in a line each or as the gallery's page."""
    parser = argparse.ArgumentParser(
        prog="samerun experiments", description="Lists the experiments included with samerun."
    )
    parser.add_argument("--markdown", action="store_true", help="print the list as Markdown")
    chosen = parser.parse_args(arguments)
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


def ui_command(arguments: list[str]) -> int:
    """Replaces this process by MLflow's own server."""
    parser = argparse.ArgumentParser(
        prog="samerun ui", description="Opens the MLflow UI with the runs of this folder."
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", default=5000, type=int, help="port to listen on (%(default)s)")
    chosen = parser.parse_args(arguments)
    from samerun import tracking

    command, environment = tracking.ui_command(host=chosen.host, port=chosen.port)
    print(
        f"The MLflow UI opens at http://{chosen.host}:{chosen.port} — Ctrl-C ends it.", flush=True
    )
    environment.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    os.execve(sys.executable, [sys.executable, *command], environment)


def tensorboard_command(arguments: list[str]) -> int:
    """Opens TensorBoard with the event files of each run."""
    parser = argparse.ArgumentParser(
        prog="samerun tensorboard", description="Opens TensorBoard with the given runs."
    )
    parser.add_argument(
        "ids",
        nargs="*",
        metavar="ID",
        help=f"{ID_HELP} (default: the latest runs)",
    )
    parser.add_argument("--port", default=6006, type=int, help="port to listen on (%(default)s)")
    chosen = parser.parse_args(arguments)
    from samerun import tracking

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    runs = tracking.find_runs(chosen.ids)
    with tempfile.TemporaryDirectory(prefix="samerun-tensorboard-") as folder:
        if not _link_events(runs, Path(folder)):
            raise UserError(
                "TensorBoard has nothing to show: none of these runs has event files in a folder "
                "of this machine: train with tracking.tensorboard=true, or open `samerun ui`."
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
    """Links the event files of each run that ran in a folder of this machine; returns their number.

    Both the folder and the name come out of the store, where any client may have written them.
    """
    from samerun import tracking
    from samerun.replay.recorded import clean

    num_linked = 0
    for run_id, run in {run.id: run for run in runs}.items():
        own = tracking.folder_of(run)
        events = None if own is None else own / "tensorboard"
        if events is None or not events.is_dir():
            reason = "is in no folder of this machine" if events is None else "has no event files"
            print(f"Run {clean(run.name)} ({clean(run_id)}) {reason}: skipped.", file=sys.stderr)
            continue
        name = re.sub(r"[^\w.=,+-]", "_", clean(run.name, 80)).lstrip(".") or "run"
        (folder / f"{name}-{re.sub(r'[^0-9a-f]', '_', run_id)[:8]}").symlink_to(events.resolve())
        num_linked += 1
    return num_linked


def completion_command(arguments: list[str]) -> int:
    """Prints the completion script for a shell."""
    from samerun.cli.completion import SHELLS, script

    parser = argparse.ArgumentParser(
        prog="samerun completion",
        description='Prints the shell completion script: eval "$(samerun completion)".',
    )
    parser.add_argument("shell", nargs="?", default="bash", choices=SHELLS)
    print(script(parser.parse_args(arguments).shell), end="")
    return 0
