"""Measures how long the commands that look at runs take on a large store and on a small one.

Makes MLflow databases with 50 trials of a sweep and 50 single runs in turn, each with 70
parameters, 25 metrics of some epochs and 30 tags, and times each command in a process of its own,
alternating between the stores. Sizes are multiples of 100.

    python benchmarks/large_store.py [--sizes 100 10000] [--epochs 5] [--repeats 5] [--json FILE]

Prints the median and processor time of each command; the goal is at most twice the time on the
smallest store for the list of runs and for a comparison of 20 runs, the most that it takes.
`--folder` keeps the stores. Ends with 1 if a goal is missed, and fails if a command fails.
"""

import random
import sqlite3
import statistics
import sys
import time
import uuid
from pathlib import Path

import numpy as np
from harness import Figure, Ran, arguments_of, finish, run, workspace

from samerun import config, tracking

TRIALS = 50
COMPARED = 20
LIMIT = 2.0
KINDS = {"model": ["cnn", "mlp", "lenet5"], "optimizer": ["adam", "sgd"], "dataset": ["digits"]}
METRICS = [f"{s}/{n}" for s in ("train", "validation") for n in ("accuracy", "loss", "f1_macro")]
FINAL = [f"test/accuracy{end}" for end in ("", "_low", "_high")]
COMMANDS = {
    "samerun runs": ["runs"],
    "samerun runs --all -n 0": ["runs", "--all", "-n", "0"],
    "samerun runs --sort test/accuracy": ["runs", "--sort", "test/accuracy"],
    "samerun runs --csv": ["runs", "--csv"],
    "samerun runs FILTER": ["runs", "metrics.`test/accuracy` > 0.95"],
    "samerun show latest": ["show", "latest"],
    "samerun show best:test/accuracy": ["show", "best:test/accuracy"],
    "samerun show (a wrong ID)": ["show", "zzzz"],
    "samerun compare latest latest~1": ["compare", "latest", "latest~1"],
    "samerun compare … --html": ["compare", "latest", "latest~1", "--html", "page.html"],
    "samerun compare (20 runs)": ["compare", *(f"latest~{n}" for n in range(COMPARED))],
    "samerun --version": ["--version"],
}
EXIT_CODES = {"samerun show (a wrong ID)": 2}
GOALS = ("samerun runs", "samerun compare (20 runs)")
"""Commands whose time has to be nearly independent of the size of the store."""


def values_of(number: int, draw: random.Random) -> tuple[dict[str, str], dict[str, float]]:
    """Returns the 70 parameters and 25 metrics of a run."""
    params = {key: draw.choice(options) for key, options in KINDS.items()}
    params |= {"seed": str(number % 5), "model.dropout": str(draw.random())}
    params |= {f"training.option_{n}": str(n) for n in range(70 - len(params))}
    score = draw.uniform(0.7, 1)
    final = dict(zip(FINAL, (score, score - 0.03, min(1.0, score + 0.03)), strict=True))
    metrics = {name: draw.random() for name in METRICS} | final
    return params, metrics | {f"system/metric_{n}": draw.random() for n in range(25 - len(metrics))}


def make_store(folder: Path, num_runs: int, epochs: int) -> None:
    """Makes the database `mlflow.db` in a folder, and artifacts of the latest runs."""
    file = folder / "mlflow.db"
    client = tracking.connect(f"sqlite:///{file}")
    experiment = int(tracking.experiment_id(client, "samerun"))
    draw, now = random.Random(0), int(time.time() * 1000)
    parent, study = "", ""
    with sqlite3.connect(file) as database:
        for number in range(num_runs):
            run_id = uuid.UUID(int=draw.getrandbits(128)).hex
            start = now - (num_runs - number) * 60_000
            tags = {f"user.tag_{n}": "x" * 40 for n in range(26)} | {"mlflow.user": "a"}
            is_parent = number % (2 * TRIALS) == 0
            if is_parent:
                parent, study = run_id, f"study{number}"
                tags |= {"samerun.study": study, "samerun.objectives": "validation/accuracy"}
            elif number % (2 * TRIALS) <= TRIALS:
                trial = str(number % (2 * TRIALS) - 1)
                tags |= {"samerun.study": study, "samerun.trial": trial}
                tags["mlflow.parentRunId"] = parent
            columns = "user_id, source_type, run_uuid, name, status, start_time, end_time"
            database.execute(
                f"insert into runs ({columns}, lifecycle_stage, experiment_id) "
                f"values ('a', 'LOCAL', ?, ?, 'FINISHED', ?, ?, 'active', {experiment})",
                (run_id, f"run {number}", start, start + 50_000),
            )
            params, metrics = values_of(number, draw)
            for table, pairs in (("params", params), ("tags", tags)):
                rows = [(key, value, run_id) for key, value in pairs.items()]
                database.executemany(
                    f"insert into {table} (key, value, run_uuid) values (?, ?, ?)", rows
                )
            points = [
                (key, value, start + epoch, epoch, 0, run_id)
                for key, value in metrics.items()
                for epoch in range(1, epochs + 1)
            ]
            names = "key, value, timestamp, step, is_nan, run_uuid"
            insert = f"({names}) values (?, ?, ?, ?, ?, ?)"
            database.executemany(f"insert into metrics {insert}", points)
            last = [point for point in points if point[3] == epochs]
            database.executemany(f"insert into latest_metrics {insert}", last)
    database.close()
    for number in range(num_runs - COMPARED, num_runs):
        add_artifacts(folder, number)


def add_artifacts(folder: Path, number: int) -> None:
    """Gives a run its config and the predictions for 10,000 test examples, for `compare`."""
    draw = np.random.default_rng(number)
    truth = np.random.default_rng(0).integers(10, size=10_000).astype(np.int32)
    probabilities = draw.dirichlet(np.full(10, 0.2), len(truth)).astype(np.float32)
    with sqlite3.connect(folder / "mlflow.db") as database:
        query = "select run_uuid, experiment_id from runs where name = ?"
        run_id, experiment = database.execute(query, (f"run {number}",)).fetchone()
        place = folder.absolute() / "mlruns" / str(experiment) / run_id / "artifacts"
        change = "update runs set artifact_uri = ? where run_uuid = ?"
        database.execute(change, (str(place), run_id))
        tag = "insert into tags (key, value, run_uuid) values ('samerun.data.test', 'd', ?)"
        database.execute(tag, (run_id,))
    database.close()
    for name in ("config", "evaluation"):
        (place / name).mkdir(parents=True)
    rate = 0.001 * (1 + number % 2)
    resolved = config.compose(["model=mlp", f"optimizer.learning_rate={rate}"]).resolved
    (place / "config" / "resolved.yaml").write_text(resolved)
    np.savez(place / "evaluation" / "predictions.npz", probabilities=probabilities, truth=truth)


def measure(folder: Path, name: str) -> Ran:
    """Runs a command on the store in a folder."""
    command = [sys.executable, "-m", "samerun", *COMMANDS[name]]
    return run(command, folder, code=EXIT_CODES.get(name, 0))


def main() -> int:
    """Makes the stores and times the commands."""
    parser = arguments_of(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 10_000], metavar="RUNS")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    sizes, figures, detail = sorted(chosen.sizes), [], []
    with workspace() as temporary:
        folders = {size: (chosen.folder or temporary) / str(size) for size in sizes}
        for size, folder in folders.items():
            if not (folder / "mlflow.db").exists():
                folder.mkdir(parents=True, exist_ok=True)
                make_store(folder, size, chosen.epochs)
        print(f"{'command':<36}{'runs':>8}{'median s':>10}{'processor s':>13}", flush=True)
        for name in COMMANDS:
            found: dict[int, list[Ran]] = {size: [] for size in sizes}
            for _ in range(chosen.repeats):
                for size, folder in folders.items():
                    found[size].append(measure(folder, name))
            used = {
                size: statistics.median(ran.processor for ran in rans)
                for size, rans in found.items()
            }
            for size, rans in found.items():
                seconds = statistics.median(ran.seconds for ran in rans)
                print(f"{name:<36}{size:>8}{seconds:>10.2f}{used[size]:>13.2f}", flush=True)
                detail.append(
                    {"command": name, "runs": size, "seconds": seconds, "processor": used[size]}
                )
            if name in GOALS and len(sizes) > 1:
                what = f"{name}: processor time on {sizes[-1]} runs, of {sizes[0]} runs"
                figures.append(Figure(what, used[sizes[-1]] / used[sizes[0]], LIMIT))
    return finish(figures, chosen.json, detail)


if __name__ == "__main__":
    sys.exit(main())
