"""Runs with seeds or folds that are killed and started again end exactly as others."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import optuna
import psutil
import pytest

from samerun import tags as tag
from samerun import tracking
from samerun.errors import TERMINATED
from samerun.replay.results import read_result
from support.project import PROGRAMS
from support.warm import Warm, is_worker
from support.warm import run as run_warm

QUICK = [
    "training.epochs=2",
    "tracking=lean",
    "model=mlp",
    "model.units=[4]",
    "dataset.limit=60",
    "checkpoint.every_steps=2",
    "training.intra_op_threads=1",
    "training.inter_op_threads=1",
]
LONG = [
    *(word for word in QUICK if not word.startswith("model")),
    *("model=custom", "model.target=slow_epochs:build", "training.epochs=15"),
]
LONG_SEEDS = [*LONG, "seeds=3"]
TRUST = ["--trust", "slow_epochs"]
SLOWLY = {"EPOCH_SECONDS": "0.5"}
SWEEP = [*QUICK, "sweep=grid", "optimizer.learning_rate=0.001,0.01", "sweep.executor=inline"]


def samerun(*arguments):
    """Does what `samerun ARGUMENTS` does and returns what it printed."""
    done = run_warm([sys.executable, "-m", "samerun", *arguments])
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def killed(number, *arguments):
    program = str(PROGRAMS / "instances_kill.py")
    done = run_warm([sys.executable, program, str(number), *arguments])
    assert done.returncode == -9, done.stdout + done.stderr


def end_with_two_workers(arguments, number, code):
    """Sends a signal to a command as soon as two workers have a checkpoint; they end with it."""
    folder = Path.cwd()
    before = {*folder.glob("outputs/*/*")}

    def num_saved():
        files = folder.glob("outputs/*/*/*/checkpoints/last.npz")
        return sum(file.parents[2] not in before for file in files)

    with Warm(
        [sys.executable, "-m", "samerun", *arguments],
        env=os.environ | SLOWLY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while num_saved() < 2:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        workers = [one for one in psutil.Process(process.pid).children() if is_worker(one)]
        process.send_signal(number)
        assert process.wait() == code
    assert len(workers) == 2
    assert psutil.wait_procs(workers, timeout=60)[1] == []


def weights():
    """The digest of the weights of each child, by its parent's name or study and its label."""
    found = {}
    for run in tracking.search_runs(f"tags.`{tag.INSTANCE}` LIKE '%'"):
        (parent,) = tracking.find_runs([run.tags["mlflow.parentRunId"]])
        place = (parent.tags.get(tag.TRIAL, ""), run.tags[tag.INSTANCE])
        assert place not in found
        assert run.status == parent.status == "FINISHED"
        found[place] = run.tags[tag.WEIGHTS]
    return found


def values(name):
    study = optuna.load_study(study_name=name, storage="sqlite:///optuna.db")
    return [trial.values for trial in study.trials]


@pytest.fixture
def whole(project, prepared_database):
    """A folder like the project, for what is not killed."""
    (project / "whole").mkdir()
    shutil.copy(prepared_database, project / "whole" / "mlflow.db")
    return project / "whole"


def train_long():
    shutil.copy(PROGRAMS / "slow_epochs.py", Path.cwd())
    samerun("train", *LONG_SEEDS)


@pytest.fixture
def three_long(recorded_runs):
    """Puts a parent run that nothing ended, with three seeds, into the working folder."""
    return lambda: recorded_runs.copy("three_long", train_long)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["seeds=3", "folds=3"])
def test_a_parent_run_that_is_killed_is_resumed_exactly(project, whole, monkeypatch, what):
    killed(2, "train", *QUICK, what)
    with sqlite3.connect("mlflow.db") as database:
        query = "select run_uuid from tags where key = ?"
        ((parent,),) = database.execute(query, (tag.INSTANCES,)).fetchall()
    samerun("resume", parent)
    found = weights()
    monkeypatch.chdir(whole)
    samerun("train", *QUICK, what)
    assert found == weights()
    assert len(found) == 3


@pytest.mark.slow(seconds=25)
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, TERMINATED)], ids=["kill", "term"]
)
def test_workers_end_with_their_parent_run_which_is_resumed_exactly(
    project, whole, three_long, monkeypatch, number, code
):
    shutil.copy(PROGRAMS / "slow_epochs.py", project)
    end_with_two_workers(["train", *LONG_SEEDS, "workers=2"], number, code)
    runs = tracking.search_runs(f"tags.`{tag.INSTANCE}` LIKE '%'")
    assert sorted(run.tags[tag.INSTANCE] for run in runs) == ["seed 0", "seed 1"]
    # Those that SIGTERM reached have ended in order; after SIGKILL nothing could be recorded.
    assert {run.status for run in runs} == {"KILLED" if number == signal.SIGTERM else "RUNNING"}
    (parent,) = {run.tags["mlflow.parentRunId"] for run in runs}
    printed = samerun("resume", parent, "workers=3", *TRUST)
    assert [line for line in printed.splitlines() if line.startswith(("1/3", "2/3", "3/3"))]
    assert "epoch " not in printed  # it is in the file of each worker
    for child in range(2):
        (file,) = project.glob(f"outputs/*/*/{child}/output.log")
        assert "resuming after epoch" in file.read_text()
    found = weights()
    monkeypatch.chdir(whole)
    three_long()
    assert found == weights()
    assert len(found) == len(set(found.values())) == 3


@pytest.mark.slow(seconds=20)
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, TERMINATED)], ids=["kill", "term"]
)
def test_workers_of_a_reproduction_end_with_it_and_it_is_exact_the_next_time(
    project, three_long, number, code
):
    three_long()
    (parent,) = tracking.search_runs(f"tags.`{tag.INSTANCES}` = 'seeds'")
    end_with_two_workers(["reproduce", parent.id, *TRUST, "workers=2"], number, code)
    begun = tracking.search_runs(f"tags.`{tag.REPRODUCES}` LIKE '%'")
    statuses = {run.status for run in begun if tag.INSTANCE in run.tags}
    assert statuses == {"KILLED" if number == signal.SIGTERM else "RUNNING"}
    assert not any(tag.VERDICT in run.tags for run in begun)
    printed = samerun("reproduce", parent.id, "--exact", "workers=3", *TRUST)
    assert printed.count("EXACT: bit-for-bit identical") == 3
    assert printed.splitlines()[-1] == "EXACT: the 3 runs as a whole"
    assert "epoch " not in printed  # it is in the file of each worker


@pytest.mark.slow(seconds=30)
@pytest.mark.parametrize("what", ["seeds=3", "folds=3"])
def test_a_sweep_that_is_killed_inside_a_trial_is_resumed_exactly(
    project, whole, monkeypatch, what
):
    command = ["train", "-m", *SWEEP, what, "sweep.study=one"]
    killed(3 + 2, *command)  # in the second run of the second trial
    samerun(*command)
    found, scores = weights(), values("one")
    for trial_number, (score,) in enumerate(scores):
        (trial,) = tracking.search_runs(f"tags.`{tag.TRIAL}` = '{trial_number}'")
        below = tracking.search_runs(f"tags.`mlflow.parentRunId` = '{trial.id}'")
        best = [read_result(run).objective for run in below]
        assert score == pytest.approx(sum(best) / 3, rel=1e-12)
        assert trial.metrics["validation/loss"] == pytest.approx(score, rel=1e-12)
    monkeypatch.chdir(whole)
    samerun(*command)
    assert found == weights()
    assert len(found) == 2 * 3
    assert scores == values("one")


@pytest.mark.slow(seconds=50)
def test_a_confirmation_that_is_killed_inside_a_seed_is_continued_exactly(
    project, whole, monkeypatch
):
    confirm = ["sweep.confirm.top=2", "sweep.confirm.seeds=2"]
    command = ["train", "-m", *SWEEP, *confirm, "sweep.study=one"]
    killed(4, *command)  # in the second run with a fresh seed; the search has trained two
    samerun(*command)
    found, scores = weights(), values("one-confirm-1000-1001")
    (sweep,) = tracking.search_runs(f"tags.`{tag.N_TRIALS}` LIKE '%'")
    assert sweep.tags[tag.RESULT].startswith("confirmed: trial ")
    monkeypatch.chdir(whole)
    samerun(*command)
    assert found == weights()
    assert len(found) == 4
    assert scores == values("one-confirm-1000-1001")
