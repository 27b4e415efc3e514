"""Measures the cost of `training.deterministic=true`: seconds per epoch, with and without it.

Each workload runs in pairs of fresh processes, one after another, because TensorFlow cannot disable
determinism again. It compares the fastest epochs after the first, which includes the tracing.

    python benchmarks/determinism.py [--pairs 3]

Prints one ratio per workload; fails if one is above 1.5. About five minutes on two cores.
"""

import argparse
import datetime
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ALLOWED = 1.5
WORKLOADS = {
    "CNN on digits": ("experiment=digits_cnn", "training.epochs=6"),
    "CNN, augmented images": ("experiment=digits_cnn_augmented", "training.epochs=6"),
    "bidirectional LSTM on texts": ("experiment=docstrings_bilstm", "training.epochs=3"),
    "GRU on a series": ("experiment=google_gru", "training.epochs=6"),
}
QUIET = (
    "tracking.log_figures=false",
    "tracking.log_model=false",
    "tracking.tensorboard=false",
    "checkpoint.every_epochs=null",
)


def fastest_epoch(overrides: tuple[str, ...], deterministic: bool, folder: Path) -> float:
    """Trains once in a separate process; returns the seconds of the fastest later epoch."""
    from samerun import tracking

    name = f"run-{len(list(folder.iterdir()))}"  # a number alone could be the start of an ID
    flag = f"training.deterministic={str(deterministic).lower()}"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "samerun", "train", *overrides, *QUIET, flag),
            f"tracking.run_name={name}",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(overrides)} failed:\n{done.stderr[-2000:]}")
    uri = f"sqlite:///{folder}/mlflow.db"
    client = tracking.connect(uri)
    (run,) = tracking.find_runs([name], uri=uri)
    points = client.get_metric_history(run.id, "speed/epoch_seconds")
    (folder / f"done-{name}").touch()
    return min(point.value for point in points if point.step > 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3)
    chosen = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"Python {platform.python_version()}, {datetime.date.today()}")
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="samerun-determinism-") as name:
        for workload, arguments in WORKLOADS.items():
            ratios = []
            for _ in range(chosen.pairs):
                on, off = (fastest_epoch(arguments, flag, Path(name)) for flag in (True, False))
                ratios.append(on / off)
            middle = statistics.median(ratios)
            worst = max(worst, middle)
            print(
                f"{workload:<28} on / off {middle:.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
                flush=True,
            )
    sys.exit(worst > ALLOWED)


if __name__ == "__main__":
    main()
