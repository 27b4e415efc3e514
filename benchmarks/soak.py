"""Trains short runs in one process and measures whether memory, file handles or threads grow.

    python benchmarks/soak.py [--minutes 30] [--runs 0] [--json FILE]

Every run is one of several kinds (other models, a schedule, figures, the stored model), trained and
recorded as `samerun train` does, in a temporary folder, one after another in the same process, as
in a worker of a sweep. Prints the slope of each quantity per run, by least squares over all runs
after the first ten. Exits with 1 if a slope is above its limit, if the memory at the end is more
than 3 % above that after the tenth run, or if runs with equal overrides do not have equal weights.
"""

import contextlib
import gc
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from harness import Figure, arguments_of, finish

WARM_UP = 10
LIMITS = {"memory, MB": 0.5, "file handles": 0.02, "threads": 0.02, "CPU seconds": 0.05}
"""Maximum slope per run, in the unit of each quantity. Seconds are processor time, which, unlike
wall-clock time, does not depend on other programs of the machine."""
OVERRIDES = ("debug=fast", "dataset.limit=200", "evaluation.bootstrap_samples=100")
KINDS = (
    ("model=mlp", "tracking.log_model=false", "tracking.log_figures=false"),
    ("model=cnn", "tracking.log_model=false", "tracking.log_figures=false"),
    ("model=mlp", "schedule=cosine", "tracking.log_model=false"),
    ("model=mlp", "optimizer=sgd", "tracking.log_figures=false"),
)


def handles(process: psutil.Process) -> int:
    """Returns how many files, sockets and pipes a process has open."""
    return process.num_fds() if hasattr(process, "num_fds") else len(process.open_files())


def measured(process: psutil.Process, seconds: float) -> tuple[float, ...]:
    """Returns the quantities of `LIMITS`."""
    gc.collect()
    memory = process.memory_info().rss / 1e6
    return memory, float(handles(process)), float(threading.active_count()), seconds


def soak(minutes: float, most: int) -> tuple[np.ndarray, set[str]]:
    """Trains runs until the time is over; returns a row for each and the kinds that differed."""
    import samerun

    process = psutil.Process()
    rows, weights, differing = [], {}, set()
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end and (not most or len(rows) < most):
        overrides = (*OVERRIDES, *KINDS[len(rows) % len(KINDS)])
        began = time.process_time()
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            result = samerun.train(list(overrides))
        rows.append(measured(process, time.process_time() - began))
        digest = b"".join(part.tobytes() for part in result.model.get_weights())
        if weights.setdefault(overrides, digest) != digest:
            differing.add(" ".join(overrides))
        del result
        if len(rows) % 20 == 0:
            print(f"{len(rows)} runs: {rows[-1][0]:.0f} MB", file=sys.stderr, flush=True)
    return np.array(rows), differing


def main() -> int:
    """Soaks, prints the table, returns 1 where something grows."""
    parser = arguments_of(__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--runs", type=int, default=0, help="at most this number; 0: no limit")
    asked = parser.parse_args()
    file = None if asked.json is None else asked.json.absolute()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        began = time.monotonic()
        rows, differing = soak(asked.minutes, asked.runs)
        minutes = (time.monotonic() - began) / 60
        os.chdir("/")
    if len(rows) < WARM_UP + 2:
        raise SystemExit(f"{len(rows)} runs are too few for a slope: give more --minutes.")
    print(f"{len(rows)} runs in {minutes:.1f} minutes in one process")
    print("| quantity | after 10 runs | at the end |")
    print("|---|---|---|")
    figures, later = [], rows[WARM_UP:]
    for index, (name, limit) in enumerate(LIMITS.items()):
        slope = float(np.polyfit(np.arange(len(later)), later[:, index], 1)[0])
        print(f"| {name} | {later[0, index]:.1f} | {later[-1, index]:.1f} |")
        figures.append(Figure(f"{name}, slope per run over {len(rows)} runs", slope, limit))
    growth = float(later[-1, 0] / later[0, 0]) - 1
    figures.append(Figure(f"memory after {len(rows)} runs / after the tenth, - 1", growth, 0.03))
    print(f"\nsame overrides, different weights: {', '.join(sorted(differing)) or 'none'}")
    figures.append(Figure("kinds of runs with different weights", len(differing), 0))
    return finish(figures, file)


if __name__ == "__main__":
    sys.exit(main())
