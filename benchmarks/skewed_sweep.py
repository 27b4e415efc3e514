"""Compares a sweep of trials of very different lengths with Hydra's official Optuna sweeper.

24 trials that train one epoch, on two workers; every fourth sleeps for 6 to 8 seconds first. Once
with `sweep=optuna`, which starts a trial as soon as a worker is free, and once with the newest
official sweeper (a pre-release) and Hydra's joblib launcher, which wait for the slowest of each
batch. Both run the same trials of the same `samerun train` in the same environment, one after the
other; both draw grids, in an order that is shuffled but the same each time.

Trials per hour are counted from the start of the first run to the end of the last one, as recorded
in MLflow; the seconds of the entire command, with imports, checks and report, are printed too.

    python benchmarks/skewed_sweep.py [--trials 24] [--repeats 1] [--json FILE]

Creates a virtual environment with the official plug-ins, which need a pre-release of Hydra. Fails
if workers spend less than 95 % of their time in trials, or if fewer than 1.6 times as many trials
per hour are run. About two minutes on two cores.
"""

import sys
from pathlib import Path

from harness import arguments_of, finish, middle, peer, run, workspace

WORKERS = 2
ALLOWED_BUSY, ALLOWED_RATIO = 0.95, 1.6

SLEEPER = '''
"""A model that sleeps before it trains; `position` determines for how long."""

import time

import keras

SECONDS = {seconds}


class Sleeper(keras.Sequential):
    def fit(self, *arguments, **options):
        time.sleep(self.seconds)
        return super().fit(*arguments, **options)


def build(spec, position=0):
    model = Sleeper(
        [keras.Input(spec.input_shape), keras.layers.Flatten(),
         keras.layers.Dense(spec.num_outputs, activation="softmax")]
    )
    model.seconds = SECONDS[int(position)]
    return model
'''


def lengths(num: int) -> list[float]:
    """Returns for how long trials sleep: every fourth 6 to 8 s, the others not at all."""
    return [0.0 if index % 4 else round(6 + 2 * index / num, 3) for index in range(num)]


COMMON = (
    "model=custom",
    "model.target=sleeper:build",
    "dataset.limit=64",
    "training.epochs=1",
    "training.intra_op_threads=1",
    "training.inter_op_threads=1",
    "tracking.log_figures=false",
    "tracking.log_model=false",
    "tracking.tensorboard=false",
)


def rate(folder: Path, experiment: str) -> float:
    """Returns the trials an hour of an MLflow experiment, without its sweep's own run."""
    from samerun import tracking

    client = tracking.connect(f"sqlite:///{folder}/mlflow.db")
    identifier = client.get_experiment_by_name(experiment).experiment_id
    found = client.search_runs([identifier])
    trials = [run.info for run in found if "samerun.num_parameters" in run.data.tags]
    began, ended = min(run.start_time for run in trials), max(run.end_time for run in trials)
    return 3600e3 * len(trials) / (ended - began)


def seconds_of_workers(folder: Path, study: str) -> dict[str, float]:
    """Returns where the workers' time was spent, in seconds of all workers together.

    A worker's time begins with its first trial, when TensorFlow is imported, and ends with the last
    trial of all, also if no trial was left for it to begin.
    """
    import optuna

    found = optuna.load_study(study_name=study, storage=f"sqlite:///{folder}/optuna.db")
    busy: dict[int, list[tuple[float, float]]] = {}
    for trial in found.trials:
        end, seconds = trial.datetime_complete.timestamp(), trial.user_attrs["samerun.seconds"]
        busy.setdefault(trial.user_attrs["samerun.pid"], []).append((end - seconds, end))
    last = max(end for spans in busy.values() for _, end in spans)
    whole = sum(last - min(spans)[0] for spans in busy.values())
    inside = sum(end - began for spans in busy.values() for began, end in spans)
    after = sum(last - max(end for _, end in spans) for spans in busy.values())
    return {"in trials": inside, "between trials": whole - inside - after, "none left": after}


def main() -> int:
    parser = arguments_of(__doc__)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=1)
    chosen = parser.parse_args()
    with workspace() as folder:
        python = peer("hydra")
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
        rates: dict[str, list[float]] = {"samerun": [], "official": []}
        spent = []
        for repeat in range(chosen.repeats):
            mine = [*ours, f"sweep.study=skewed-{repeat}", f"sweep.n_trials={chosen.trials}"]
            for who, arguments in (("samerun", mine), ("official", official)):
                name = f"{who}-{repeat}"
                overrides = [*arguments, positions, f"tracking.experiment={name}"]
                ran = run([python, "-m", "samerun", "train", "-m", *overrides], folder)
                rates[who].append(rate(folder, name))
                print(f"{who}: {rates[who][-1]:.0f} trials an hour; {ran.seconds:.1f} s in all")
            spent.append(seconds_of_workers(folder, f"skewed-{repeat}"))
            parts = ", ".join(f"{value:.1f} {part}" for part, value in spent[-1].items())
            print(f"samerun: seconds of the workers: {parts}")
    ratios = [a / b for a, b in zip(rates["samerun"], rates["official"], strict=True)]
    busy = [each["in trials"] / sum(each.values()) for each in spent]
    figures = [
        middle("trials an hour, samerun / official", ratios, ALLOWED_RATIO, is_floor=True),
        middle("workers' time inside trials", busy, ALLOWED_BUSY, is_floor=True),
    ]
    return finish(figures, chosen.json, {"trials an hour": rates, "seconds of the workers": spent})


if __name__ == "__main__":
    sys.exit(main())
