"""`samerun tensorboard`: the event files of runs, of this machine or of the store."""

import argparse
import itertools
import os
import re
import sys
import tempfile
import webbrowser
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from samerun.cli.id_argument import ID_HELP
from samerun.cli.web_server import check_port, serve, wait_for
from samerun.errors import UserError, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from samerun.tracking import StoredRun

_FOLDER = "tensorboard"
_MOST_BYTES = 200_000_000  # of one event file
_MOST_FILES = 100  # of a run that is only in the store
_TABS = ("scalars", "images", "histograms", "distributions", "graphs", "hparams", "timeseries")


def tensorboard_command(arguments: list[str]) -> int:
    """Opens TensorBoard with the event files of each run."""
    parser = argparse.ArgumentParser(
        prog="samerun tensorboard", description="Opens TensorBoard with the given runs."
    )
    parser.add_argument(
        "ids", nargs="*", metavar="ID", help=f"{ID_HELP} (default: the latest runs)"
    )
    parser.add_argument("--port", default=6006, type=int, help="port to listen on (%(default)s)")
    parser.add_argument(
        "--tab",
        default=_TABS[0],
        choices=_TABS,
        metavar="TAB",
        help=f"page to open: {listed(_TABS)} (%(default)s)",
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    chosen = parser.parse_args(arguments)
    from samerun import tracking

    check_port("localhost", chosen.port, "tensorboard")
    runs = tracking.find_runs(chosen.ids)
    with tempfile.TemporaryDirectory(prefix="samerun-tensorboard-") as folder:
        if not _collect_events(runs, Path(folder)):
            raise UserError(
                "TensorBoard has nothing to show: none of these runs has event files: train with "
                "tracking.tensorboard=true, or open `samerun ui`."
            )
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", folder]
        command += ["--port", str(chosen.port)]
        environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
        with serve(command, environment, is_quiet=True) as server:
            address = f"http://localhost:{chosen.port}"
            wait_for(server, address, "TensorBoard")
            page = f"{address}/#{chosen.tab}"
            print(f"TensorBoard is at\n{page}\nCtrl-C ends it.", flush=True)
            if not chosen.no_browser and sys.stdout.isatty():
                webbrowser.open(page)
            return server.wait()


def _collect_events(runs: "Sequence[StoredRun]", folder: Path) -> int:
    """Links or downloads the event files of each run; returns the number of runs that have some.

    Both the folder and the name come out of the store, where any client may have written them.
    """
    from samerun import tracking
    from samerun.replay.recorded import clean

    num_found = 0
    for run_id, run in {run.id: run for run in runs}.items():
        name = re.sub(r"[^\w .=,+·…:-]", "_", clean(run.name, 80)).lstrip(". ") or "run"
        target = folder / f"{name}-{re.sub(r'[^0-9a-f]', '_', run_id)[:8]}"
        own = tracking.folder_of(run)
        if own is not None and (own / _FOLDER).is_dir():
            target.symlink_to((own / _FOLDER).resolve())
        elif not _download(run, target):
            print(f"Run {clean(run.name)} ({clean(run_id)}): no event files.", file=sys.stderr)
            continue
        num_found += 1
    return num_found


def _download(run: "StoredRun", target: Path) -> int:
    """Downloads a run's event files from the store; returns their number."""
    from samerun import tracking

    number = 0
    there = tracking.list_artifacts(run, _FOLDER)
    events = (path for path in there if ".tfevents." in PurePosixPath(path).name)
    for path in itertools.islice(events, _MOST_FILES):
        inside = PurePosixPath(path).relative_to(_FOLDER)
        file = target / inside
        file.parent.mkdir(parents=True, exist_ok=True)
        tracking.download_artifact(run, path, file, most_bytes=_MOST_BYTES)
        number += 1
    return number
