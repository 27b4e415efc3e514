"""Compares a sweep of trials of very different lengths with Hydra's official Optuna sweeper.

24 trials that sleep for 0.5 to 8 seconds and then train one epoch, on two workers: once with
`sweep=optuna`, which starts a trial the moment a worker is free, and once with the newest official
sweeper (a pre-release) and Hydra's joblib launcher, which wait for the slowest of each batch. Both
run the same trials of the same `samerun train` in the same environment, one after the other.

    python benchmarks/skewed_sweep.py [--trials 24] [--repeats 1]

Makes a virtual environment with the official plug-ins, which need a pre-release of Hydra. Fails
where less than 90 % of the workers' time is spent inside trials, or fewer than 1.4 times as many
trials an hour are run. About four minutes on two cores.
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORKERS = 2
ALLOWED_BUSY, ALLOWED_RATIO = 0.90, 1.4
PLUGINS = ("hydra-core", "hydra-optuna-sweeper", "hydra-joblib-launcher")
PRE_RELEASE = "1.4.0rc3"

SLEEPER = '''
"""A model that takes its time: `position` chooses for how long it sleeps."""

import time

import keras

SECONDS = {seconds}


def build(spec, position=0):
    time.sleep(SECONDS[int(position)])
    return keras.Sequential(
        [keras.Input(spec.input_shape), keras.layers.Flatten(),
         keras.layers.Dense(spec.num_outputs, activation="softmax")]
    )
'''


def lengths(num: int) -> list[float]:
    """Returns lengths from 0.5 to 8 s: every third trial takes 4 s or more, the others up to 1."""
    long = [4 + 4 * index / (num - 1) for index in range(num)]
    short = [0.5 + 0.5 * index / (num - 1) for index in range(num)]
    return [round(short[index] if index % 3 else long[-index - 1], 3) for index in range(num)]


def environment(folder: Path) -> Path:
    """Makes an environment with the official plug-ins on top of this one; returns its Python."""
    python = folder / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "venv", "--system-site-packages", str(folder)], check=True
    )
    here = Path(next(path for path in sys.path if path.endswith("site-packages")))
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "parent.pth").write_text(f"import site; site.addsitedir({str(here)!r})\n")
    wanted = [f"{name}=={PRE_RELEASE}" for name in PLUGINS]
    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--pre", *wanted, "joblib"], check=True
    )
    return python


COMMON = (
    "model=custom",
    "model.target=sleeper:build",
    "dataset.limit=64",
    "training.epochs=1",
    "training.intra_op_threads=1",
    "training.inter_op_threads=1",
    "tracking.log_model=false",
    "tracking.tensorboard=false",
)


def run(python: Path, words: list[str], folder: Path) -> float:
    """Runs a command; returns its seconds."""
    began = time.perf_counter()
    done = subprocess.run(
        [str(python), "-m", "samerun", "train", "-m", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return time.perf_counter() - began


def share_inside_trials(folder: Path, study: str) -> float:
    """Returns which part of the workers' time was spent inside trials.

    A worker's time begins with its first trial, when TensorFlow is imported, and ends with the last
    trial of all.
    """
    import optuna

    found = optuna.load_study(study_name=study, storage=f"sqlite:///{folder}/optuna.db")
    busy: dict[int, list[tuple[float, float]]] = {}
    for trial in found.trials:
        end, seconds = trial.datetime_complete.timestamp(), trial.user_attrs["samerun.seconds"]
        busy.setdefault(trial.user_attrs["samerun.pid"], []).append((end - seconds, end))
    end = max(end for spans in busy.values() for _, end in spans)
    inside = sum(end - began for spans in busy.values() for began, end in spans)
    return inside / sum(end - min(spans)[0] for spans in busy.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=1)
    chosen = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, ", end="")
    print(f"Python {platform.python_version()}, {datetime.date.today()}")
    with tempfile.TemporaryDirectory(prefix="samerun-skewed-") as name:
        folder = Path(name)
        python = environment(folder / "environment")
        (folder / "sleeper.py").write_text(SLEEPER.format(seconds=lengths(chosen.trials)))
        positions = "+model.params.position=" + ",".join(map(str, range(chosen.trials)))
        ours = [*COMMON, "sweep=optuna", "sweep.sampler=grid", f"sweep.workers={WORKERS}"]
        official = [
            *COMMON,
            "hydra/sweeper=optuna",
            "hydra/sweeper/sampler=grid",
            "hydra/launcher=joblib",
            f"hydra.launcher.n_jobs={WORKERS}",
            f"hydra.sweeper.n_jobs={WORKERS}",
            f"hydra.sweeper.n_trials={chosen.trials}",
        ]
        walls: dict[str, list[float]] = {"samerun": [], "official": []}
        busy = []
        for repeat in range(chosen.repeats):
            mine = [*ours, f"sweep.study=skewed-{repeat}", f"sweep.n_trials={chosen.trials}"]
            walls["samerun"].append(run(python, [*mine, positions], folder))
            busy.append(share_inside_trials(folder, f"skewed-{repeat}"))
            walls["official"].append(run(python, [*official, positions], folder))
            print(f"samerun {walls['samerun'][-1]:.1f} s, {busy[-1]:.0%} of the workers' time in ")
            print(f"trials; official {walls['official'][-1]:.1f} s", flush=True)
    ratio = sum(walls["official"]) / sum(walls["samerun"])
    share = sum(busy) / len(busy)
    print(f"trials an hour, samerun / official: {ratio:.2f} (at least {ALLOWED_RATIO})")
    print(f"workers' time inside trials: {share:.2f} (at least {ALLOWED_BUSY})")
    sys.exit(ratio < ALLOWED_RATIO or share < ALLOWED_BUSY)


if __name__ == "__main__":
    main()
