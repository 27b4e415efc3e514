"""Sweeps with real workers: what they leave, what fails in them, and what continues."""

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter

import optuna
import psutil
import pytest

from support import warm
from support.project import PROGRAMS, until
from support.warm import Warm

QUICK = (
    "dataset.limit=64",
    "evaluation.bootstrap_samples=100",
    "tracking=lean",
    "sweep.study=s",
)
MLP = ("-m", "sweep=optuna", "model=mlp", "model.dropout=interval(0,0.6)", *QUICK)


def train(folder, *overrides, run=warm.run):
    """Types the command; twenty minutes are for a machine with much else to do."""
    return python(folder, "-m", "samerun", "train", *overrides, run=run)


def python(folder, *arguments, run=warm.run):
    return run([sys.executable, *arguments], cwd=folder, timeout=1200)


def run_cold(command, **options):
    """Starts a process of its own, for what looks at its imports or at `PYTHONPATH`."""
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def started(folder, *overrides, **environment):
    """Starts the command and does not wait; its output is one stream."""
    return Warm(
        [sys.executable, "-m", "samerun", "train", *overrides],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def study(folder):
    return optuna.load_study(study_name="s", storage=f"sqlite:///{folder}/optuna.db")


def children(folder):
    """The trials' runs by trial number: status, and tags."""
    with sqlite3.connect(folder / "mlflow.db") as database:
        rows = database.execute("select run_uuid, status from runs").fetchall()
        tags = database.execute("select run_uuid, key, value from tags").fetchall()
    database.close()
    found = [
        {"id": run, "status": status} | {k: v for owner, k, v in tags if owner == run}
        for run, status in rows
    ]
    return {int(run["samerun.trial"]): run for run in found if "samerun.trial" in run}


def metrics(folder, run):
    with sqlite3.connect(folder / "mlflow.db") as database:
        query = "select key, step, value from metrics where run_uuid = ? order by key, step"
        rows = database.execute(query, (run,)).fetchall()
    database.close()
    return [row for row in rows if row[0].startswith(("train/", "validation/", "test/"))]


@pytest.mark.slow(seconds=20)
def test_a_sweep_trains_in_workers_and_its_own_process_stays_light(project):
    """And a trial's folder, run and command are those of a run by itself."""
    program = PROGRAMS / "sweep_light.py"
    arguments = [*MLP, "schedule=constant,cosine", "training.epochs=2", "sweep.n_trials=3"]
    done = python(project, str(program), *arguments, "sweep.workers=1", run=run_cold)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "heavy modules here: none"
    found = study(project)
    assert [trial.state.name for trial in found.trials] == ["COMPLETE"] * 3
    assert all(trial.last_step == 2 for trial in found.trials)
    for number in range(3):
        folder = project / "multirun" / "s" / str(number)
        for name in ("config.yaml", "hydra.yaml", "overrides.yaml"):
            assert (folder / ".hydra" / name).is_file()
        assert "epoch 2/2" in (folder / "output.log").read_text()
    one = found.trials[1]
    alone = train(project, *one.user_attrs["samerun.words"])
    assert alone.returncode == 0, alone.stderr
    (folder,) = (project / "outputs").glob("*/*")
    own = metrics(project, json.loads((folder / "run.json").read_text())["id"])
    assert own
    assert own == metrics(project, children(project)[1]["id"])  # bit for bit


@pytest.mark.slow(seconds=40)
def test_trials_that_go_wrong_do_not_touch_the_others(project):
    shutil.copy(PROGRAMS / "faulty_model.py", project / "faulty.py")
    overrides = [
        "model=custom",
        "model.target=faulty:build",
        "+model.params.number=3,4,6,7,9,10,12,13,15,16",
    ]
    overrides += ["sweep.sampler=grid", "sweep.n_trials=10", "sweep.workers=2", "training.epochs=1"]
    overrides += ["sweep.trial_seconds=20", "sweep.faults.on_worker_death=fail"]
    done = train(project, "-m", "sweep=optuna", *overrides, *QUICK)
    assert done.returncode == 0, done.stderr
    expected = {
        3: ("FAILED", "nan", "diverged"),
        6: ("FAILED", "out_of_memory", "no room for the activations"),
        9: ("FAILED", "error", "an unexpected value"),
        12: ("KILLED", "worker_death", "its process was killed"),
        15: ("KILLED", "time_limit", "time limit of 20 s"),
    }
    runs = children(project)
    assert len(runs) == 10
    for trial in study(project).trials:
        run = runs[trial.number]
        fault = expected.get(trial.params["model.params.number"])
        if fault is None:
            assert (trial.state.name, run["status"]) == ("COMPLETE", "FINISHED")
            assert run["samerun.state"] == "complete"
        else:
            assert trial.state.name == "FAIL"
            assert (run["status"], run["samerun.state"]) == fault[:2]
            assert fault[2] in run["samerun.reason"]
            assert fault[2] in trial.user_attrs["samerun.reason"]


@pytest.mark.slow
def test_a_pruned_trial_is_killed_and_records_the_epoch(project):
    """By the pruner that the settings name: a threshold below every loss."""
    overrides = ("sweep.pruner=threshold", "sweep.threshold.upper=0.001", "sweep.n_trials=1")
    done = train(project, *MLP, *overrides, "sweep.executor=inline", "training.epochs=9")
    assert done.returncode == 0, done.stderr
    (trial,) = study(project).trials
    assert (trial.state.name, trial.last_step) == ("PRUNED", 1)
    run = children(project)[0]
    assert (run["status"], run["samerun.state"]) == ("KILLED", "pruned")
    assert run["samerun.reason"] == "pruned at epoch 1"


@pytest.mark.slow
def test_a_stopped_sweep_writes_checkpoints_and_resumes_from_them(project):
    shutil.copy(PROGRAMS / "slow_epochs.py", project)
    overrides = ["-m", "sweep=optuna", "optimizer.learning_rate=interval(0.001,0.01)", *QUICK]
    overrides += ["model=custom", "model.target=slow_epochs:build", "training.epochs=15"]
    overrides += ["sweep.n_trials=2", "sweep.workers=2", "sweep.pruner=none"]
    process = started(project, *overrides, EPOCH_SECONDS="0.5")
    until(lambda: len(trial_files(project, "checkpoints/last.npz")) == 2)
    workers = psutil.Process(process.pid).children(recursive=True)
    for one in [process, *workers]:  # as a terminal does: to every process
        one.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 130, out
    assert "sweep.study=s to resume" in out
    assert "Traceback" not in out
    _, left = psutil.wait_procs(workers, timeout=60)
    assert not [worker for worker in left if worker.status() != psutil.STATUS_ZOMBIE]
    states = [trial.state.name for trial in study(project).trials]
    assert states == ["RUNNING"] * 2
    assert {run["status"] for run in children(project).values()} == {"KILLED"}
    before = {n: len(metrics(project, run["id"])) for n, run in children(project).items()}
    assert min(before.values()) > 0

    done = train(project, *overrides)
    assert done.returncode == 0, done.stderr
    assert [trial.state.name for trial in study(project).trials] == ["COMPLETE"] * 2
    assert len(children(project)) == 2
    for run in children(project).values():
        assert (run["status"], run["samerun.resumed"]) == ("FINISHED", "1")
        steps = [step for key, step, _ in metrics(project, run["id"]) if key == "train/loss"]
        assert steps == list(range(1, 16))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_sweep_at_once(project, number):
    """The first one waits for a checkpoint of a trial that is in an endless loop."""
    shutil.copy(PROGRAMS / "faulty_model.py", project / "faulty.py")
    arguments = ["-m", "sweep=optuna", "model=custom", "model.target=faulty:build", "seed=1,2"]
    arguments += ["+model.params.number=15", "sweep.n_trials=2", "sweep.workers=1", *QUICK]
    process = started(project, *arguments)
    until((project / "looping").exists)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    until(lambda: study(project).user_attrs["samerun.stopped"])
    assert process.poll() is None
    process.send_signal(number)
    out, _ = process.communicate(timeout=40)  # the first alone would take a minute
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number], out
    assert "sweep.study=s to resume" in out
    assert "Traceback" not in out
    _, left = psutil.wait_procs(workers, timeout=60)
    assert not [worker for worker in left if worker.status() != psutil.STATUS_ZOMBIE]
    assert [trial.state.name for trial in study(project).trials] == ["RUNNING"]
    run = children(project)[0]
    assert (run["status"], run["samerun.state"]) == ("KILLED", "stopped")
    assert run["samerun.reason"] == "the sweep was stopped at once"


@pytest.mark.slow
def test_a_sweep_with_lent_trials_that_is_killed_lends_and_trains_each_once(project):
    rates = "optimizer.learning_rate=0.001,0.01"
    given = ["-m", "sweep=grid", "sweep.workers=1", "model=mlp", "training.epochs=1", *QUICK]
    assert train(project, *given, rates, "sweep.study=night").returncode == 0
    arguments = [*given, f"{rates},0.02,0.05", "sweep.learn_from=night"]
    process = started(project, *arguments)
    until(lambda: trial_files(project, "run.json"))  # the first of two trains
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate(timeout=60)  # its workers hold the pipe, and end with it
    psutil.wait_procs(workers, timeout=60)
    before = [trial for trial in study(project).trials if "samerun.lent" in trial.user_attrs]
    done = train(project, *arguments)
    assert done.returncode == 0, done.stderr
    trials = study(project).trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 4
    lent = [trial for trial in trials if "samerun.lent" in trial.user_attrs]
    assert lent == before
    assert sorted(trial.params["optimizer.learning_rate"] for trial in lent) == [0.001, 0.01]
    assert sorted(trial.params["optimizer.learning_rate"] for trial in trials[2:]) == [0.02, 0.05]
    with contextlib.closing(sqlite3.connect(project / "mlflow.db")) as database:
        query = "select value from tags where key = 'samerun.study'"
        names = Counter(name for (name,) in database.execute(query))
    assert names == {"night": 3, "s": 3}  # its own run and two trials each


def trial_files(project, name):
    return list((project / "multirun" / "s").glob(f"*/{name}"))


@pytest.mark.slow(seconds=55)
def test_kills_at_many_moments_lose_and_double_nothing(project):
    # `python tests/programs/sweep_kill.py --parents 20 --workers 20` takes eight minutes.
    killed(project, parents=2, workers=2, trials=4)


def killed(folder, *, parents, workers, trials):
    arguments = ["--parents", str(parents), "--workers", str(workers), "--trials", str(trials)]
    arguments += ["--folder", str(folder), "--longest", "8"]
    done = python(folder, str(PROGRAMS / "sweep_kill.py"), *arguments)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert f"{parents} parents killed" in done.stdout
    assert f"{workers} workers killed; the contract held every time" in done.stdout


@pytest.mark.slow(seconds=35)
def test_trials_killed_while_they_are_paused_continue_with_the_same_bits(project):
    # `python tests/programs/promote_kill.py 20 --trials 12` shows it for twenty trials.
    # With a factor of 3 none of four trials completes without a pause: one study is enough.
    arguments = ["1", "--trials", "4", "--factor", "3", "--folder", str(project)]
    done = python(project, str(PROGRAMS / "promote_kill.py"), *arguments)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    thawed, same, sweeps, workers = map(int, re.findall(r"\d+", done.stdout.splitlines()[-1])[:4])
    assert thawed == same >= 1
    assert sweeps + workers >= 1


@pytest.mark.slow(seconds=50)
def test_many_trials_in_one_worker_leave_no_memory_and_no_names_behind(project):
    num = 20  # of 100, which take longer, the last had 1.2 % more than the tenth
    overrides = [*MLP, "training.epochs=1", f"sweep.n_trials={num}", "sweep.workers=1"]
    done = train(project, *overrides, "sweep.pruner=none")
    assert done.returncode == 0, done.stderr
    trials = study(project).trials
    assert len({trial.user_attrs["samerun.pid"] for trial in trials}) == 1
    memory = [trial.user_attrs["samerun.memory_bytes"] for trial in trials]
    assert memory[-1] <= 1.05 * memory[9], [round(size / 1e6) for size in memory]
    summaries = set()
    for number in range(num):
        folder = project / "multirun" / "s" / str(number) / "artifacts"
        summaries.add((folder / "model_summary.txt").read_text())
    assert len(summaries) == 1  # layers are named as in a new process


@pytest.mark.slow
def test_another_launcher_runs_trials_in_batches_and_reports_it(project, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(PROGRAMS / "other_launcher"))
    overrides = [*MLP, "training.epochs=1", "sweep.n_trials=3", "sweep.workers=2"]
    done = train(project, *overrides, "hydra/launcher=one_by_one")
    assert done.returncode == 0, done.stderr
    assert "runs trials in batches of 2" in done.stdout + done.stderr
    assert [trial.state.name for trial in study(project).trials] == ["COMPLETE"] * 3
    assert {run["status"] for run in children(project).values()} == {"FINISHED"}
    assert (project / "multirun" / "s" / "2" / ".hydra" / "config.yaml").is_file()


PRE_RELEASE = ("hydra-core==1.4.0rc3", "omegaconf==2.4.1rc1")


@pytest.mark.slow(seconds=50)
def test_the_sweeper_runs_on_the_pre_release_of_hydra_too(project, tmp_path_factory, monkeypatch):
    """Put before this environment's own Hydra on the path, as an environment on top of it has."""
    target = tmp_path_factory.mktemp("hydra")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target)]
    got = subprocess.run([*pip, *PRE_RELEASE], capture_output=True, text=True, check=False)
    if "Could not find a version" in got.stderr:  # no index, or one without it
        pytest.skip(f"the pre-release cannot be had here: {got.stderr.strip()[-200:]}")
    assert got.returncode == 0, got.stderr
    monkeypatch.setenv("PYTHONPATH", str(target))
    arguments = [*MLP, "schedule=constant,cosine", "training.epochs=1", "sweep.n_trials=2"]
    done = train(project, *arguments, "sweep.workers=1", run=run_cold)
    assert done.returncode == 0, done.stderr
    assert [trial.state.name for trial in study(project).trials] == ["COMPLETE"] * 2
    assert {run["status"] for run in children(project).values()} == {"FINISHED"}
    text = (project / "multirun" / "s" / "0" / ".hydra" / "hydra.yaml").read_text()
    assert "version: 1.4.0rc3" in text
