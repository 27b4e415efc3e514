"""Sweeps on an executor that answers at once, and what they leave in the stores."""

import contextlib
import copy
import functools
import io
import shutil
import sqlite3
import sys
from concurrent.futures import Future

import optuna
import pytest
from omegaconf import OmegaConf

from samerun.config.composition import parse_sweep
from samerun.errors import exit_code, message
from samerun.folders import package_folder
from samerun.search.outcome import EndState, TrialOutcome
from samerun.sweeper import console
from samerun.sweeper.composition import compose_sweep
from samerun.sweeper.executors.base import Executor
from samerun.sweeper.plan import build_plan
from samerun.sweeper.run import sweep
from samerun.sweeper.worker import build_models

SPACE = ("model.dropout=interval(0,0.6)",)
GROUPS = (*SPACE, "schedule=constant,cosine")
BASE = ("-m", "sweep=optuna", "model=mlp", "sweep.study=s", "dataset.limit=100", "sweep.workers=1")


class Killed(BaseException):
    """Stands for `kill -9`: nothing of ours catches it."""


class InstantExecutor(Executor):
    """One worker that answers at once: the loss is the dropout, as `answer` changes it."""

    def __init__(self):
        self.tasks = []
        self.answer = lambda task, outcome: outcome
        self.before_submit = lambda task: None
        self.when_free = lambda: None

    def sweep(self, *overrides, space=SPACE, n=3):
        """Runs a sweep on this executor; returns the exit code that the command line would have."""
        try:
            sweep([*BASE, *space, f"sweep.n_trials={n}", *overrides], executor=self)
        except Exception as error:
            code = exit_code(error)
            if code is None:
                raise
            print(f"samerun: {message(error)}", file=sys.stderr)
            return code
        return 0

    def num_workers(self):
        return 1

    def free(self):
        self.when_free()
        return 1

    def submit(self, function, *arguments):
        future = Future()
        if function is build_models:
            future.set_result([(10, 1000) for _ in arguments[0]])
            return future
        (task,) = arguments
        self.before_submit(task)
        self.tasks.append(task)
        values = dict.fromkeys(task.objectives.names, float(task.node.model.dropout))
        outcome = TrialOutcome(state=EndState.complete, values=values, epochs=2, seconds=0.1)
        try:
            future.set_result(self.answer(task, outcome))
        except Exception as error:
            future.set_exception(error)
        return future

    def seconds(self, future):
        return 0.0

    def stop(self):
        pass

    def kill(self, future):
        pass

    def is_lost(self, error):
        return isinstance(error, ConnectionError)

    def close(self):
        pass


def instant_executor(monkeypatch):
    """Returns an executor for sweeps without a report, whose figures take a second."""
    monkeypatch.setattr(console, "write_report", lambda *arguments: None)
    return InstantExecutor()


def copy_store(source, target):
    """Copies a project folder; its databases may be open in both places."""
    shutil.rmtree(target / "multirun", ignore_errors=True)
    shutil.copytree(source / "multirun", target / "multirun")
    for name in ("mlflow.db", "optuna.db"):
        with (
            contextlib.closing(sqlite3.connect(source / name)) as found,
            contextlib.closing(sqlite3.connect(target / name)) as copied,
        ):
            found.backup(copied)


def sweep_in(folder, databases, *overrides, answer=None, **options):
    """Runs a sweep in an empty folder, for tests that only read what it leaves there.

    Args:
        folder: an empty one.
        databases: of runs and of studies, without any.
        overrides: of the sweep.
        answer: of the executor.
        options: of `InstantExecutor.sweep`.

    Returns:
        The executor, and what was printed.
    """
    for database in databases:
        shutil.copy(database, folder)
    screen = io.StringIO()
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        worker = instant_executor(patch)
        worker.answer = answer or worker.answer
        with contextlib.redirect_stdout(screen):
            assert worker.sweep(*overrides, **options) == 0
    return worker, screen.getvalue()


def plan_of(*overrides, space=SPACE, base=BASE, checked=lambda _: None):
    """Returns the plan of a sweep that does not run; calls `checked` as `build_plan` does."""
    with compose_sweep([*base, *space, *overrides]) as (context, master, arguments):
        return build_plan(context, master, arguments, checked)


def study(name="s"):
    storage = optuna.storages.RDBStorage(  # checking the tables takes 30 ms
        "sqlite:///optuna.db", skip_compatibility_check=True, skip_table_creation=True
    )
    return optuna.load_study(study_name=name, storage=storage)


def states(name="s"):
    return [trial.state.name for trial in study(name).trials]


def runs():
    """Returns every run in the store: its ID, name, status and tags."""
    with sqlite3.connect("mlflow.db") as database:
        rows = database.execute("select run_uuid, name, status from runs").fetchall()
        tags = database.execute("select run_uuid, key, value from tags").fetchall()
    database.close()
    return [
        {"id": run, "name": name, "status": status}
        | {key: value for owner, key, value in tags if owner == run}
        for run, name, status in rows
    ]


def children():
    """Returns the runs of trials."""
    return [run for run in runs() if "mlflow.parentRunId" in run]


@functools.cache
def _file_of_sweep():
    plain = OmegaConf.load(package_folder("conf") / "sweep" / "optuna.yaml")
    del plain["defaults"]
    return plain


def sweep_settings(**changes):
    """Returns the settings of `sweep=optuna` with some of them changed."""
    plain = copy.deepcopy(_file_of_sweep())
    for name, value in changes.items():
        OmegaConf.update(plain, name, value)
    return parse_sweep(OmegaConf.create({"sweep": plain}))
