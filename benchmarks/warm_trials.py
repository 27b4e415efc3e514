"""Measures what a sweep adds to training: seconds to its first trial, and outside `fit` later.

Trials of one epoch on 64 digits in one worker, without figures, stored models and TensorBoard. A
trial's seconds are those of its worker; what belongs to `fit` (tracing, steps, validation and
callbacks) is in the table of seconds that `tracking.log_seconds` stores. The first trial, which
imports TensorFlow, counts only for the seconds to it: from the start of the command.

    python benchmarks/warm_trials.py [--trials 12] [--repeats 3] [--json FILE]

Fails if a later trial spends more than 0.4 s outside `fit`, or if the first one starts after more
than 5 s, both as medians. A minute on two cores.
"""

import csv
import io
import statistics
import sys
import time
from pathlib import Path

from harness import arguments_of, finish, middle, run, workspace

OUTSIDE, FIRST = 0.4, 5.0
OVERRIDES = (
    *("sweep=optuna", "sweep.workers=1", "sweep.pruner=none", "sweep.study=warm"),
    *("model=mlp", "model.units=[16]", "model.dropout=interval(0,0.6)", "dataset.limit=64"),
    *("training.epochs=1", "tracking.log_figures=false", "tracking.log_model=false"),
    *("tracking.tensorboard=false", "tracking.log_seconds=true"),
)


def is_fit(part: str) -> bool:
    """Whether a part of the table of seconds belongs to `fit`."""
    return part in ("trace", "steps", "validation") or part.startswith("callback ")


def trials(folder: Path) -> list[tuple[float, float, dict[str, float]]]:
    """Returns the start of each trial, its seconds, and the parts of its run, in their order."""
    import mlflow
    import optuna

    from samerun import tracking

    client = tracking.connect(f"sqlite:///{folder}/mlflow.db")
    study = optuna.load_study(study_name="warm", storage=f"sqlite:///{folder}/optuna.db")
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = {
        int(one.data.tags["samerun.trial"]): one.info.artifact_uri
        for one in client.search_runs(experiments)
        if "samerun.trial" in one.data.tags
    }
    found = []
    for trial in study.trials:
        text = mlflow.artifacts.load_text(f"{runs[trial.number]}/seconds.csv")
        parts = {row["part"]: float(row["seconds"]) for row in csv.DictReader(io.StringIO(text))}
        seconds = trial.user_attrs["samerun.seconds"]
        found.append((trial.datetime_complete.timestamp() - seconds, seconds, parts))
    return found


def main() -> int:
    parser = arguments_of(__doc__)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    command = [sys.executable, "-m", "samerun", "train", "-m", *OVERRIDES]
    outside, first, parts = [], [], {}
    for _ in range(given.repeats):
        with workspace() as folder:
            began = time.time()
            run([*command, f"sweep.n_trials={given.trials}"], folder)
            found = trials(folder)
        first.append(found[0][0] - began)
        for _, seconds, table in found[1:]:
            outside.append(seconds - sum(value for name, value in table.items() if is_fit(name)))
            for name, value in table.items():
                parts.setdefault(name, []).append(value)
            parts.setdefault("rest of the trial", []).append(seconds - sum(table.values()))
    print("median seconds of a later trial:")
    medians = {name: statistics.median(values) for name, values in parts.items()}
    for name, value in sorted(medians.items(), key=lambda pair: -pair[1]):
        print(f"  {name:<28}{value:8.3f}{'  fit' if is_fit(name) else ''}")
    figures = [
        middle("seconds of later trials outside fit", outside, OUTSIDE),
        middle("seconds to the first trial", first, FIRST),
    ]
    return finish(figures, given.json, {"parts": medians})


if __name__ == "__main__":
    sys.exit(main())
