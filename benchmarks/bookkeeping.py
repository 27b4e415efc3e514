"""Measures what a trial costs besides its training, in small and large studies.

Runs sweeps of trials that end at once, and Optuna's own `study.optimize` with the same search
space, sampler and kind of storage: processor time of this process per trial, from the first trial
to the last, without the start of the sweep and its report. What a sweep does more than `optimize`
is an MLflow run for each trial, and all that resumes it after `kill -9`. To tell the two apart,
`optimize` is also measured with a bare MLflow run for each trial: created, one batch, ended.

    python benchmarks/bookkeeping.py [--sizes 100 1000] [--sampler random] [--storage URL]

`--storage` is a database server, such as postgresql://…, which has no study of these names yet;
without it, each study has an SQLite file of its own. Goals: at most 1.5 times `study.optimize`, and
the last tenth of the trials at most 1.5 times the first. Prints the figures; `--json FILE` writes
them; ends with 1 if a goal is missed.
"""

import contextlib
import io
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, final

import optuna
from harness import Figure, arguments_of, finish, workspace
from mlflow.entities import Metric, RunTag

from samerun import tracking
from samerun.search.outcome import EndState, TrialOutcome
from samerun.search.storage import open_storage
from samerun.sweeper import console
from samerun.sweeper.executors.base import Executor
from samerun.sweeper.run import sweep
from samerun.sweeper.worker import build_models

LIMIT = 1.5


@final
class NoTraining(Executor):
    """Answers at once; remembers the processor time at the start of each trial."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def num_workers(self) -> int:
        """Returns 1."""
        return 1

    def free(self) -> int:
        """Returns 1: none is ever busy."""
        return 1

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Returns the answer."""
        future: Future[Any] = Future()
        if function is build_models:
            future.set_result([(10, 1000) for _ in arguments[0]])
            return future
        self.times.append(time.process_time())
        (task,) = arguments
        values = dict.fromkeys(task.objectives.names, float(task.node.model.dropout))
        future.set_result(TrialOutcome(state=EndState.complete, values=values, epochs=1))
        return future

    def seconds(self, future: "Future[Any]") -> float:
        """Returns 0."""
        return 0.0

    def stop(self) -> None:
        """Does nothing."""

    def kill(self, future: "Future[Any]") -> None:
        """Does nothing."""

    def is_lost(self, error: BaseException) -> bool:
        """Returns False: there is no worker."""
        return False

    def close(self) -> None:
        """Does nothing."""


def of_samerun(size: int, sampler: str, storage: str) -> list[float]:
    """Returns the processor seconds of each trial of a sweep."""
    executor = NoTraining()
    given = ["sweep=optuna", "sweep.pruner=none", f"sweep.sampler={sampler}"]
    given += [
        "model=mlp",
        "model.dropout=interval(0,0.9)",
        "optimizer.learning_rate=interval(0.001,1)",
    ]
    given += [f"sweep.n_trials={size}", f"sweep.study=ours-{size}", f"sweep.storage={storage}"]
    console.write_report = lambda *arguments: None  # type: ignore[assignment]  # is no bookkeeping
    with contextlib.redirect_stdout(io.StringIO()):
        sweep([*given, "tracking=lean"], executor=executor)
    return differences([*executor.times, time.process_time()])


def of_optuna(
    size: int, sampler: str, storage: str, after: Callable[[int], object] = lambda number: None
) -> list[float]:
    """Returns the processor seconds of each trial of `study.optimize`.

    Args:
        size: number of trials.
        sampler: its name.
        storage: of the study.
        after: what else each trial does, by its number.
    """
    samplers = {"random": optuna.samplers.RandomSampler, "tpe": optuna.samplers.TPESampler}
    study = optuna.create_study(
        study_name=f"plain-{uuid.uuid4().hex}",
        storage=open_storage(storage),
        sampler=samplers[sampler](seed=0),
        pruner=optuna.pruners.NopPruner(),
    )
    times = []

    def objective(trial: optuna.Trial) -> float:
        times.append(time.process_time())
        trial.suggest_float("optimizer.learning_rate", 0.001, 1)
        value = trial.suggest_float("model.dropout", 0, 0.9)
        after(trial.number)
        return value

    study.optimize(objective, n_trials=size)
    return differences([*times, time.process_time()])


def of_optuna_with_runs(size: int, sampler: str, storage: str) -> list[float]:
    """Returns the same where each trial is a bare MLflow run, in a database file of its own."""
    # Absolute: MLflow opens each address once, and each size has a folder of its own.
    client = tracking.connect(f"sqlite:///{Path('runs.db').absolute()}")
    experiment = tracking.experiment_id(client, "bare")

    def record(number: int) -> None:
        run_id = client.create_run(experiment, run_name=f"trial {number}").info.run_id
        points = [Metric("value", 0.0, int(time.time() * 1000), 0)]
        client.log_batch(run_id, metrics=points, tags=[RunTag("state", "complete")])
        client.set_terminated(run_id)

    return of_optuna(size, sampler, storage, record)


def differences(times: Sequence[float]) -> list[float]:
    """Returns what lies between consecutive times."""
    return [later - earlier for earlier, later in zip(times, times[1:], strict=False)]


def mean(seconds: Sequence[float]) -> float:
    """Returns the mean without the slowest twentieth, in which garbage is collected."""
    kept = sorted(seconds)[: max(1, len(seconds) * 19 // 20)]
    return statistics.fmean(kept)


def main() -> int:
    """Measures both in studies of each size."""
    parser = arguments_of(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1000], metavar="TRIALS")
    parser.add_argument("--sampler", choices=("random", "tpe"), default="random")
    parser.add_argument("--storage", help="a database server; without it SQLite")
    chosen = parser.parse_args()
    figures, detail = [], []
    for size in chosen.sizes:
        with workspace() as folder, contextlib.chdir(folder):
            found = {}
            measures = {
                "optimize": of_optuna,
                "with an MLflow run": of_optuna_with_runs,
                "samerun": of_samerun,
            }
            for name, measure in measures.items():
                storage = chosen.storage or f"sqlite:///{Path(folder) / f'{name}.db'}"
                seconds = measure(size, chosen.sampler, storage)
                tenth = max(1, size // 10)
                first, last = mean(seconds[:tenth]), mean(seconds[-tenth:])
                found[name] = mean(seconds)
                ms = [1000 * value for value in (found[name], first, last)]
                print(
                    f"{size:>6} trials {name:<20}{ms[0]:8.1f} ms per trial, first tenth "
                    f"{ms[1]:.1f}, last tenth {ms[2]:.1f}",
                    flush=True,
                )
                detail.append({"trials": size, "what": name, "mean_first_last_ms": ms})
        ratio = found["samerun"] / found["optimize"]
        figures.append(Figure(f"{size} trials: time per trial, of `study.optimize`", ratio, LIMIT))
        growth = last / first  # of samerun, which came last
        figures.append(Figure(f"{size} trials: last tenth, of the first tenth", growth, LIMIT))
    return finish(figures, chosen.json, detail)


if __name__ == "__main__":
    sys.exit(main())
