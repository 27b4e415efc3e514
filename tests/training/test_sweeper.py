"""How a sweep runs, with workers that answer at once: every trial is a line of arithmetic.

The real workers, processes that train, are in test_sweeper_faults.py.
"""

import contextlib
import dataclasses
import importlib
import logging
import os
import re
import shutil
import sqlite3
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from hydra.plugins.sweeper import Sweeper
from mlflow import MlflowClient
from omegaconf import OmegaConf
from optuna.exceptions import StorageInternalError

import samerun
from hydra_plugins.samerun_sweeper.samerun_sweeper import SamerunSweeperConf
from samerun import config, identity, search, tracking
from samerun import tags as tag
from samerun.cli import main
from samerun.config.schema import available_cores
from samerun.errors import Infeasible, UserError
from samerun.redaction import redact
from samerun.search import lease
from samerun.search.constraints import check_model
from samerun.search.outcome import EndState, TrialOutcome, outcome_of, write_outcome
from samerun.sweeper import execution, history, ledger, outages
from samerun.sweeper.executors.inline import InlineExecutor
from samerun.sweeper.executors.local import LocalExecutor
from samerun.sweeper.run import Workers
from samerun.sweeper.run import sweep as sweep_from_python
from samerun.sweeper.worker import run_trial
from support.project import until
from support.sweeps import (
    BASE,
    GROUPS,
    SPACE,
    InstantExecutor,
    Killed,
    children,
    plan_of,
    runs,
    states,
    study,
    sweep_in,
)
from support.tables import mostly_slow


@pytest.fixture(scope="module")
def ended(prepared_database, prepared_study_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ended")
    return folder, *sweep_in(folder, (prepared_database, prepared_study_database))


@pytest.fixture
def swept(ended, monkeypatch):
    """Trials and screen of a sweep that ended, in its folder, which is only read."""
    folder, worker, screen = ended
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(folder)
    return worker.tasks, screen


def test_a_sweep_makes_a_parent_and_a_child_run_for_each_trial(swept):
    _, out = swept
    assert states() == ["COMPLETE"] * 3
    (parent,) = [run for run in runs() if "mlflow.parentRunId" not in run]
    assert parent["name"] == "s"
    assert parent["status"] == "FINISHED"
    assert [run["samerun.trial"] for run in children()] == ["0", "1", "2"]
    assert {run["mlflow.parentRunId"] for run in children()} == {parent["id"]}
    assert {run["samerun.state"] for run in children()} == {"complete"}
    assert all("dropout=" in run["name"] for run in children())
    assert "samerun reproduce" in out
    assert "model.dropout=" in out
    first = out.splitlines()[0]
    assert first.startswith("sweep s: minimize validation/loss · 3 trials · 1 worker · ")
    assert first.endswith("/optuna.db")
    assert re.search(rf"^sweep +s  {parent['id']}$", out, re.MULTILINE)
    assert re.search(rf"^open .* ui {parent['id'][:8]}$", out, re.MULTILINE)


def test_a_sweeps_own_run_is_not_taken_for_one_that_trained(worker, project, capsys):
    worker.sweep("sweep.study=night")
    best = study("night").best_trial.user_attrs["samerun.run"]
    cfg = config.compose(["model=mlp"])
    with tracking.open_run(cfg.config, project / "alone", name="alone") as run:
        run.log_text(cfg.resolved, "config/resolved.yaml")
    parent = next(run for run in runs() if run["name"] == "night")
    for command in ("reproduce", "reproduce --check", "resume", "resume --fork", "diff alone"):
        for word in ("night", parent["id"][:12]):
            assert main([*command.split(), word]) == 2
            error = capsys.readouterr().err
            assert all(one in error for one in ("'night'", best[:8], "sweep.study=night"))


def test_a_sweep_without_a_best_trial_refers_to_the_list_of_its_trials(worker, project, capsys):
    worker.answer = lambda task, outcome: TrialOutcome(state=EndState.pruned, epochs=1)
    worker.sweep()
    assert main(["reproduce", "s"]) == 2
    (parent,) = [run for run in runs() if "mlflow.parentRunId" not in run]
    line = f"samerun show {parent['id'][:8]}"
    assert f"give one of its trials, see `{line}`; " in capsys.readouterr().err
    assert main(line.split()[1:]) == 0
    assert all(run["id"][:8] in capsys.readouterr().out for run in children()[:1])


def test_counts_and_the_best_so_far_are_metrics_of_the_parent(swept):
    (parent,) = [run for run in runs() if "mlflow.parentRunId" not in run]
    with sqlite3.connect("mlflow.db") as database:
        points = database.execute(
            "select key, step, value from metrics where run_uuid = ?", (parent["id"],)
        ).fetchall()
    database.close()
    best = [value for key, _, value in sorted(points) if key == "sweep/best"]
    assert best == sorted(best, reverse=True)
    assert [value for key, _, value in sorted(points) if key == "sweep/complete"] == [1, 2, 3]


def test_the_same_command_again_adds_nothing_and_more_trials_continue_it(worker, project, capsys):
    worker.sweep()
    assert "finished" not in capsys.readouterr().out
    worker.sweep()
    assert "sweep.n_trials=10" in capsys.readouterr().out
    assert len(worker.tasks) == 3
    worker.sweep(n=5)
    assert " 5 trials (3 finished) " in capsys.readouterr().out
    assert [task.number for task in worker.tasks] == [0, 1, 2, 3, 4]
    assert states() == ["COMPLETE"] * 5
    assert len(children()) == 5


def test_notes_and_the_size_of_each_different_model_come_first(worker, project, capsys):
    groups = ("schedule=constant,cosine",)
    assert worker.sweep("sweep.sampler=grid", space=groups, n=1) == 0
    note, first, size, *_ = capsys.readouterr().out.splitlines()
    assert note.startswith("grid has 2 combinations and sweep.n_trials is 1: ")
    assert first.startswith("sweep s: ")
    assert size == "mlp digits: 10 parameters, under 1 MB in training"
    assert worker.sweep("sweep.sampler=grid", space=groups, n=9) == 0
    assert " 2 trials (1 finished) " in capsys.readouterr().out
    assert worker.sweep("sweep.sampler=grid", space=groups, n=9) == 0
    assert "All 2 combinations" in capsys.readouterr().out


def test_a_search_of_the_loss_itself_is_warned_of_before_it_starts(worker, project, capsys):
    assert worker.sweep(space=("training.label_smoothing=interval(0,0.2)",), n=1) == 0
    note, first, *_ = capsys.readouterr().out.splitlines()
    assert "training.label_smoothing" in note
    assert "sweep.objectives=[validation/accuracy]" in note
    assert first.startswith("sweep s: minimize validation/loss")


def test_log_lines_of_the_model_checks_of_an_inline_sweep_are_not_on_the_screen(
    project, monkeypatch, capsys
):
    def build(configs):
        logging.getLogger("tensorflow").warning("retraces")
        return [(10, 1000) for _ in configs]

    monkeypatch.setattr(execution, "build_models", build)
    hydras = logging.StreamHandler(sys.stdout)
    hydras.setFormatter(logging.Formatter("[HYDRA] %(message)s"))
    logging.root.addHandler(hydras)
    plan = SimpleNamespace(folder=project, models=[("mlp", None)])
    try:
        execution._build(plan, InlineExecutor())
    finally:
        logging.root.removeHandler(hydras)
    assert capsys.readouterr().out == "mlp: 10 parameters, under 1 MB in training\n"
    assert (project / "output.log").read_text() == "[HYDRA] retraces\n"


def test_one_worker_and_a_seed_give_the_same_trials_again_whether_interrupted_or_not(
    worker, project
):
    worker.sweep("sweep.sampler=tpe", "sweep.tpe.startup_trials=2", n=5)
    worker.sweep("sweep.study=t", "sweep.tpe.startup_trials=2", n=3)
    worker.sweep("sweep.study=t", "sweep.tpe.startup_trials=2", n=5)
    first, second = study().trials, study("t").trials
    assert [trial.params for trial in first] == [trial.params for trial in second]
    worker.sweep("sweep.study=u", "seed=1", "sweep.tpe.startup_trials=2", n=1)
    assert study("u").trials[0].params != first[0].params


GAPS = {
    "after the study was asked": (tracking, "create_child"),
    "before the trial is handed over": (InstantExecutor, "before_submit"),
    "before the study is updated": (ledger, "tell"),
    "after the study was updated": (InstantExecutor, "when_free"),
}


@pytest.mark.parametrize(
    "gap",
    mostly_slow(GAPS, "after the study was asked"),
)
def test_a_kill_in_any_gap_loses_and_doubles_nothing(worker, project, monkeypatch, gap):
    owner, name = GAPS[gap]
    owner = worker if owner is InstantExecutor else owner
    real, calls = getattr(owner, name), []

    def killed_at_the_third(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise Killed
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, killed_at_the_third)
        with pytest.raises(Killed):
            worker.sweep(n=4)
    interrupted = {trial.number: trial.params for trial in study().trials}
    assert worker.sweep(n=4) == 0
    assert states() == ["COMPLETE"] * 4
    after = {trial.number: trial.params for trial in study().trials}
    assert all(interrupted[n].items() <= after[n].items() for n in interrupted)
    assert sorted(run["samerun.trial"] for run in children()) == ["0", "1", "2", "3"]
    (parent,) = [run for run in runs() if run["name"] == "s"]
    points = MlflowClient().get_metric_history(parent["id"], "sweep/complete")
    assert [point.value for point in points] == [1, 2, 3, 4]


def write_into_folder(project, task, outcome):
    folder = project / "multirun" / "s" / str(task.number)
    folder.mkdir(parents=True, exist_ok=True)
    write_outcome(folder, outcome)


def test_a_trial_that_ended_before_the_study_was_updated_is_not_trained_again(
    worker, project, client
):
    def written(task, outcome):
        client.set_terminated(task.trial.run, "FINISHED")
        write_into_folder(project, task, outcome)
        raise Killed

    worker.answer = written
    with pytest.raises(Killed):
        worker.sweep()
    assert states() == ["RUNNING"]
    worker.answer = lambda task, outcome: outcome
    worker.sweep()
    assert [task.number for task in worker.tasks] == [0, 1, 2]
    assert states() == ["COMPLETE"] * 3
    assert children()[0]["status"] == "FINISHED"


FAULTS = {
    0: (EndState.nan, "on_nan"),
    1: (EndState.out_of_memory, "on_memory"),
    2: (EndState.error, "on_error"),
    3: (EndState.time_limit, "on_time_limit"),
    4: (EndState.worker_death, "on_worker_death"),
}


def faulty(task, outcome):
    if task.number in FAULTS:
        return TrialOutcome(state=FAULTS[task.number][0], reason="it was injected")
    return outcome


def policy(word):
    return [f"sweep.faults.{key}={word}" for _, key in FAULTS.values()]


def test_faults_fail_by_their_setting_and_the_sweep_continues(worker, project):
    worker.answer = faulty
    assert worker.sweep(*policy("fail"), n=7) == 0
    assert states() == ["FAIL"] * 5 + ["COMPLETE"] * 2
    for run in children()[:5]:
        assert run["samerun.state"] == FAULTS[int(run["samerun.trial"])][0].value
        assert run["samerun.reason"] == "it was injected"
    assert [t.user_attrs["samerun.reason"] for t in study().trials[:5]] == ["it was injected"] * 5


def test_faults_are_tried_again_with_the_same_values_in_the_same_run(worker, project):
    worker.answer = faulty
    assert worker.sweep(*policy("retry"), "sweep.faults.max_retries=2", n=6) == 0
    for number in FAULTS:
        tries = [task for task in worker.tasks if task.number == number]
        assert len(tries) == 3
        assert len({task.trial.run for task in tries}) == 1
        assert len({task.node.model.dropout for task in tries}) == 1
    assert states() == ["FAIL"] * 5 + ["COMPLETE"]
    assert len(children()) == 6


def test_a_fault_stops_the_sweep_by_its_setting(worker, project, capsys):
    worker.answer = faulty
    assert worker.sweep("sweep.faults.on_error=stop", "sweep.faults.on_nan=fail", n=7) == 1
    assert states() == ["FAIL"] * 3
    assert "trial 2 failed (it was injected)" in capsys.readouterr().err


def test_a_diverged_trial_restarts_and_others_resume(worker, project):
    worker.answer = faulty
    worker.sweep(*policy("retry"), "sweep.faults.max_retries=1", n=3)
    asked = [run["samerun.trial"] for run in children() if "samerun.begins_afresh" in run]
    assert asked == ["0"]  # see test_restart.py for what its worker does then


def test_a_lost_worker_costs_no_trial(worker, project):
    lost = []

    def dies_once(task, outcome):
        if task.number == 1 and not lost:
            lost.append(task.number)
            raise ConnectionError
        return outcome

    worker.answer = dies_once
    assert worker.sweep() == 0
    assert states() == ["COMPLETE"] * 3
    assert [task.number for task in worker.tasks] == [0, 1, 1, 2]


def test_a_worker_lost_after_its_trial_ended_keeps_the_trial(worker, project):
    def ends_and_dies(task, outcome):
        write_into_folder(project, task, outcome)
        raise ConnectionError

    worker.answer = ends_and_dies
    assert worker.sweep("sweep.faults.on_worker_death=fail", n=2) == 0
    assert states() == ["COMPLETE"] * 2
    assert [task.number for task in worker.tasks] == [0, 1]


def test_a_worker_is_replaced_after_max_trials_per_worker(project, monkeypatch):
    monkeypatch.setattr(LocalExecutor, "warm_up", lambda self, num: None)
    workers = Workers(None)
    plan_of("sweep.max_trials_per_worker=2", "sweep.workers=3", checked=workers.start)
    assert (workers.executor.num_workers(), workers.executor.max_trials) == (3, 2)
    workers.close()


def test_workers_start_before_the_stores_are_opened_unless_the_study_may_have_ended(
    worker, project, monkeypatch
):
    found = []
    monkeypatch.setattr(LocalExecutor, "warm_up", lambda self, num: found.append(num))
    for _ in ("new", "started before"):
        with contextlib.closing(Workers(None)) as workers:
            plan_of("sweep.n_trials=1", checked=workers.start)
        assert found == [1]
        worker.sweep(n=1)


def test_too_many_failures_end_the_sweep_with_exit_code_1(worker, project, capsys):
    worker.answer = lambda task, outcome: TrialOutcome(state=EndState.error, reason="always")
    assert worker.sweep("sweep.max_failures=1", n=10) == 1
    assert states() == ["FAIL", "FAIL"]
    assert "sweep.max_failures is 1" in capsys.readouterr().err


LOSSES = [0.9, 0.7, 0.8, 0.5, 0.6, 0.5, 0.4, 0.3]


@pytest.mark.parametrize(
    ("word", "num_trials"),
    mostly_slow(
        [
            ("sweep.budget.epochs=4", 2),  # a trial has two
            ("sweep.budget.epochs=5", 3),
            ("sweep.budget.target=0.5", 4),
            ("sweep.budget.patience_trials=2", 6),  # 0.5 again is no better
            ("sweep.budget.seconds=1e-9", 0),
        ],
        "sweep.budget.patience_trials=2",
    ),
)
def test_a_budget_ends_the_sweep_in_good_order(worker, project, capsys, word, num_trials):
    def answer(task, outcome):
        values = dict.fromkeys(outcome.values, LOSSES[task.number])
        return dataclasses.replace(outcome, values=values)

    worker.answer = answer
    assert worker.sweep(word, n=len(LOSSES)) == 0
    assert states() == ["COMPLETE"] * num_trials
    assert word.partition("=")[0] in capsys.readouterr().out


def test_the_run_of_a_sweep_holds_its_space_and_what_all_trials_share(worker, project):
    worker.sweep(space=GROUPS, n=1)
    client = tracking.connect(tracking.resolve_uri(None))
    (child,) = children()
    parent = client.get_run(client.get_run(child["id"]).data.tags["mlflow.parentRunId"])
    params = parent.data.params
    assert params["model.dropout"] == "0 to 0.6"
    assert params["schedule"] == "constant, cosine"
    assert params["dataset"] == "digits"
    assert "schedule.alpha" not in params, "only one of the schedules has it"


def test_points_to_try_first_are_tried_first(worker, project):
    worker.sweep(space=GROUPS, n=1)
    (child,) = children()
    client = tracking.connect(tracking.resolve_uri(None))
    client.log_param(child["id"], "model.dropout", "0.125")
    client.log_param(child["id"], "schedule", "cosine")
    overrides = f"sweep.enqueue=[{{model.dropout:0.25,schedule:constant}},'{child['id']}']"
    assert worker.sweep("sweep.study=e", overrides, space=GROUPS, n=3) == 0
    found = [trial.params for trial in study("e").trials]
    assert found[0] == {"model.dropout": 0.25, "schedule": "constant"}
    assert found[1] == {"model.dropout": 0.125, "schedule": "cosine"}
    assert len(found) == 3


CHANGES = {
    "space": ({"space": ("model.dropout=interval(0,0.5)",)}, "model.dropout"),
    "objective": ({"overrides": ["sweep.objectives=[train/loss]"]}, "train/loss"),
    "base": ({"overrides": ["training.epochs=7"]}, "training.epochs 20 → 7"),
}


@pytest.mark.parametrize(
    "change",
    mostly_slow(CHANGES, "base"),
)
def test_a_study_resumes_only_with_its_original_settings(worker, project, capsys, change):
    worker.sweep(n=2)
    options, message = CHANGES[change]
    overrides = options.get("overrides", [])
    space = options.get("space", SPACE)
    assert worker.sweep(*overrides, space=space, n=4) == 2
    assert message in capsys.readouterr().err
    assert len(states()) == 2


def test_a_change_that_is_meant_is_accepted_and_then_stays(worker, project):
    worker.sweep(n=1)
    assert worker.sweep("training.epochs=7", "sweep.extend=true", n=2) == 0
    assert worker.sweep("training.epochs=7", n=3) == 0
    assert [task.node.training.epochs for task in worker.tasks] == [20, 7, 7]


def test_a_config_edited_during_the_sweep_changes_no_trial(worker, project):
    (project / "extra" / "schedule").mkdir(parents=True)
    file = project / "extra" / "schedule" / "mine.yaml"
    file.write_text("defaults: [constant]\nwarmup_epochs: 1.0\n")

    def edits(task, outcome):
        file.write_text("defaults: [constant]\nwarmup_epochs: 2.0\n")
        return outcome

    worker.answer = edits
    space = ("model.dropout=interval(0,0.6)", "schedule=mine,cosine")
    overrides = ("--config-dir", str(project / "extra"), "sweep.sampler=random")
    assert worker.sweep(*overrides, space=space, n=6) == 0
    mine = [o.node.schedule.warmup_epochs for o in worker.tasks if "schedule=mine" in o.overrides]
    assert len(mine) > 1
    assert set(mine) == {1.0}


def test_a_trial_is_recorded_with_overrides_that_train_it_alone(swept):
    (task, *_), _ = swept
    arguments = list(task.node.hydra.overrides.task)
    assert "model=mlp" in arguments
    assert not any(word.startswith(("sweep", "trial", "hydra")) for word in arguments)
    assert any(word.startswith("training.intra_op_threads=") for word in arguments)
    alone = config.compose(arguments).config
    assert alone.model.dropout == task.node.model.dropout
    assert alone.training.intra_op_threads == available_cores()


def test_threads_of_a_trial_are_its_share_of_the_cores_unless_they_are_chosen(
    worker, project, monkeypatch
):
    monkeypatch.setattr("samerun.sweeper.plan.available_cores", lambda: 8)
    worker.sweep("sweep.workers=4", n=1)
    worker.sweep("sweep.workers=4", "training.intra_op_threads=3", "sweep.study=t", n=1)
    worker.sweep("sweep.workers=2", n=2)  # a study keeps what it was started with
    threads = [task.node.training.intra_op_threads for task in worker.tasks]
    assert threads == [2, 3, 2]


BAD = {
    "no space": ([], (), "sweep: received no search space"),
    "unknown key": ([], ("model.dropuot=interval(0,1)",), "dropuot"),
    "turned around": ([], ("model.dropout=interval(0.6,0)",), "interval(0,0.6)"),
    "log from 0": ([], ("model.l2=tag(log,interval(0,1))",), "above 0"),
    "a range end that the model refuses": ([], ("model.dropout=interval(0,1.5)",), "dropout"),
    "grid without steps": (["sweep.sampler=grid"], SPACE, "grid"),
    "objective": (["sweep.objectives=[validation/acuracy]"], SPACE, "validation/accuracy"),
    "direction": (["sweep.direction=up"], SPACE, "auto, minimize"),
    "no workers": (["sweep.workers=0"], SPACE, "sweep.workers"),
    "pruner with two": (
        ["sweep.objectives=[validation/loss,num_parameters]"],
        SPACE,
        "sweep.pruner=none",
    ),
    "storage unavailable": (
        ["sweep.storage=postgresql://u:secret@127.0.0.1:9/x"],
        SPACE,
        "sweep.storage",
    ),
    "storage of no kind": (["sweep.storage=redis://127.0.0.1"], SPACE, "sweep.storage"),
    "storage of another program": (["sweep.storage=sqlite:///shop.db"], SPACE, "another program"),
    "study name": (["sweep.study=../up"], SPACE, "sweep.study"),
    "enqueued elsewhere": (["sweep.enqueue=[{model.dropout:0.9}]"], SPACE, "sweep.enqueue"),
}


@pytest.mark.parametrize(
    "case", mostly_slow(BAD, "a range end that the model refuses", "storage of another program")
)
def test_a_mistake_is_one_sentence_before_anything_is_written(worker, project, capsys, case):
    overrides, space, message = BAD[case]
    with sqlite3.connect("shop.db") as database:
        database.execute("create table orders (id integer)")
    database.close()
    assert worker.sweep(*overrides, space=space) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "secret" not in err
    assert "Traceback" not in err
    assert runs() == []
    assert worker.tasks == []


def test_a_sweep_without_m_and_an_interval_without_sweep_are_explained(project, capsys):
    assert main(["train", "sweep=optuna", "model.dropout=interval(0,1)"]) == 2
    assert "-m" in capsys.readouterr().err
    assert main(["train", "-m", "model.dropout=interval(0,1)"]) == 2
    assert "sweep=optuna" in capsys.readouterr().err


def test_a_second_sweep_on_the_same_study_is_refused_while_the_first_runs(worker, project, capsys):
    second, codes = InstantExecutor(), []

    def begins_another(task, outcome):
        codes.append(second.sweep(n=1))
        return outcome

    worker.answer = begins_another
    assert worker.sweep(n=1) == 0
    assert codes == [2]
    assert "is running in another process" in capsys.readouterr().err
    assert second.tasks == []
    assert states() == ["COMPLETE"]


@pytest.mark.slow
def test_a_second_sweep_in_another_process_is_refused_too(worker, project, samerun):
    others = []

    def begins_another(task, outcome):
        others.append(samerun("train", *BASE, *SPACE, cwd=project))
        return outcome

    worker.answer = begins_another
    assert worker.sweep(n=1) == 0
    (other,) = others
    assert other.returncode == 2
    assert "is running in another process" in other.stderr
    assert states() == ["COMPLETE"]


def test_a_study_that_a_sweep_on_another_machine_holds_is_refused(
    worker, project, monkeypatch, capsys
):
    def holds(task, outcome):
        holder = study().user_attrs["samerun.holder"]
        assert holder["pid"] == os.getpid()
        return outcome

    worker.answer = holds
    assert worker.sweep(n=1) == 0
    assert study().user_attrs["samerun.holder"] is None  # ended, so anybody may go on
    study().set_user_attr("samerun.holder", {"host": "elsewhere", "pid": 7, "at": time.time()})
    assert worker.sweep(n=2) == 2
    assert "is running on elsewhere (process 7, " in capsys.readouterr().err
    assert states() == ["COMPLETE"]
    long_ago = {"host": "elsewhere", "pid": 7, "at": time.time() - 61}
    study().set_user_attr("samerun.holder", long_ago)
    monkeypatch.setattr(lease, "RENEWED_SECONDS", 0.05)
    assert worker.sweep(n=2) == 0
    assert states() == ["COMPLETE", "COMPLETE"]


def test_a_sweep_renews_its_lease(project, monkeypatch):
    monkeypatch.setattr(lease, "RENEWED_SECONDS", 0.05)
    kept = optuna.create_study(study_name="s", storage="sqlite:///optuna.db")
    with lease.acquire_lease(kept):
        kept.set_user_attr("samerun.holder", None)
        until(lambda: study().user_attrs["samerun.holder"] is not None)
        assert study().user_attrs["samerun.holder"]["pid"] == os.getpid()
    assert study().user_attrs["samerun.holder"] is None


def test_a_study_whose_code_changed_is_refused_with_the_file(worker, project, monkeypatch, capsys):
    files = {"mine.py": "1", "samerun/training.py": "1"}
    monkeypatch.setattr(identity, "code_files", lambda cfg: files)
    assert worker.sweep(n=1) == 0
    files["mine.py"] = "2"
    assert worker.sweep(n=2) == 2
    assert "(the code of mine.py)" in capsys.readouterr().err
    files["samerun/training.py"] = "2"
    assert worker.sweep(n=2) == 2
    assert "(the code of mine.py, samerun)" in capsys.readouterr().err
    assert worker.sweep("sweep.extend=true", n=2) == 0
    assert worker.sweep(n=3) == 0
    assert states() == ["COMPLETE"] * 3


def test_a_study_resumes_on_another_machine(worker, project, client):
    assert worker.sweep(n=1) == 0
    (parent,) = [run for run in runs() if "mlflow.parentRunId" not in run]
    client.set_tag(parent["id"], "samerun.host", "elsewhere")  # which lost its power
    client.update_run(parent["id"], status="RUNNING")
    shutil.rmtree("multirun")
    assert worker.sweep(n=2) == 0
    assert states() == ["COMPLETE"] * 2
    assert [run["samerun.trial"] for run in children()] == ["0", "1"]
    (parent,) = [run for run in runs() if "mlflow.parentRunId" not in run]
    assert parent["status"] == "FINISHED"


def test_a_sweep_that_was_taken_over_ends_and_leaves_the_study_to_the_other(
    worker, project, monkeypatch, capsys
):
    monkeypatch.setattr(lease, "RENEWED_SECONDS", 0.05)
    look, seen = lease.Lease.look, []

    def look_and_show(ours):
        look(ours)
        seen.append(ours.taken_by)

    monkeypatch.setattr(lease.Lease, "look", look_and_show)
    other = {"host": "elsewhere", "pid": 7, "token": "theirs", "at": time.time()}

    def taken():
        study().set_user_attr("samerun.holder", other)  # again, as the other sweep does
        return any(seen)

    def overtake(task, outcome):
        until(taken)
        return outcome

    worker.answer = overtake
    assert worker.sweep(n=3) == 2
    assert "was taken over by a sweep on elsewhere" in capsys.readouterr().err
    assert study().user_attrs["samerun.holder"] == other
    assert len(worker.tasks) == 1


def test_the_folder_of_another_study_is_left_alone(worker, project, capsys):
    assert worker.sweep(n=1) == 0
    before = runs()
    for file in project.glob("optuna.db*"):
        file.unlink()
    assert worker.sweep(n=2) == 2
    assert "holds the trials of another study than 's' in sqlite" in capsys.readouterr().err
    assert worker.sweep("hydra.sweep.dir=here", "sweep.study=a", n=1) == 0
    assert worker.sweep("hydra.sweep.dir=here", "sweep.study=b", n=1) == 2
    assert "holds the trials of another study than 'b'" in capsys.readouterr().err
    assert [run for run in runs() if run["samerun.study"] == "s"] == before


def test_workers_get_the_storages_password_before_they_start(worker, project, monkeypatch):
    monkeypatch.delenv("SAMERUN_STORAGE", raising=False)
    address = "postgresql://me:geheim@127.0.0.1:1/optuna"
    kept = optuna.storages.RDBStorage("sqlite:///optuna.db")
    monkeypatch.setattr(search, "open_storage", lambda url: kept)
    found = []
    worker.warm_up = lambda num: found.append(os.environ.get("SAMERUN_STORAGE"))
    assert worker.sweep(f"sweep.storage={address}", n=1) == 0
    assert found == [address]
    assert worker.tasks[0].trial.storage == "postgresql://me:***@127.0.0.1:1/optuna"
    assert "SAMERUN_STORAGE" not in os.environ


@pytest.mark.parametrize("before", [None, "sqlite:///mine.db"])
def test_a_sweep_that_is_refused_leaves_its_storage_to_no_other(worker, project, before):
    def refuse(url):
        raise UserError(f"{redact(url)} cannot be opened")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "open_storage", refuse)
        patch.delenv("SAMERUN_STORAGE", raising=False)
        if before:
            patch.setenv("SAMERUN_STORAGE", before)
        assert worker.sweep("sweep.storage=postgresql://me:geheim@127.0.0.1:1/optuna") == 2
        assert os.environ.get("SAMERUN_STORAGE") == before


def times_out(times, error, function):
    """Returns a function that raises an error `times` times before it succeeds."""
    left = [error] * times

    def call(*args, **kwargs):
        if left:
            raise left.pop()
        return function(*args, **kwargs)

    return call


OUTAGES = {
    "the run of a trial cannot be made": (tracking, "create_child", ConnectionError("gone")),
    "the study cannot be asked": (ledger, "ask", StorageInternalError("gone")),
    "the study cannot be updated": (ledger, "tell", StorageInternalError("gone")),
    "a run cannot be tagged": (ledger.Ledger, "tag", ConnectionError("gone")),
    "a value cannot be chosen": (optuna.Trial, "suggest_float", StorageInternalError("gone")),
}


@pytest.mark.parametrize(
    "outage",
    mostly_slow(OUTAGES, "the study cannot be updated"),
)
def test_a_store_that_is_unavailable_for_a_moment_costs_no_trial(
    outage, worker, project, monkeypatch, caplog
):
    owner, name, error = OUTAGES[outage]
    monkeypatch.setattr(outages, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(owner, name, times_out(3, error, getattr(owner, name)))
    assert worker.sweep() == 0
    assert states() == ["COMPLETE"] * 3
    assert [run["samerun.trial"] for run in children()] == ["0", "1", "2"]
    assert {run["samerun.state"] for run in children()} == {"complete"}
    assert len(worker.tasks) == 3
    text = [record.getMessage() for record in caplog.records if "Store" in record.message]
    assert len(text) == 2
    assert "gone" in text[0]


def test_a_run_whose_creation_was_not_confirmed_is_that_of_its_trial(worker, project, monkeypatch):
    create_run, left = MlflowClient.create_run, [1]

    def create_and_lose_the_answer(client, *arguments, **options):
        made = create_run(client, *arguments, **options)
        if tag.TRIAL in options.get("tags", {}) and left and left.pop():
            raise ConnectionError("the answer was lost")
        return made

    monkeypatch.setattr(MlflowClient, "create_run", create_and_lose_the_answer)
    assert worker.sweep() == 2
    assert left == []
    assert states() == ["RUNNING"]
    assert worker.sweep() == 0
    assert sorted(run["samerun.trial"] for run in children()) == ["0", "1", "2"]


def test_a_trial_of_a_larger_study_reads_no_more(worker, project, monkeypatch):
    search_runs, is_feasible = MlflowClient.search_runs, history.is_feasible
    searched, counted, per_trial = [], [], []

    def search(client, *arguments, **options):
        searched.append(arguments)
        return search_runs(client, *arguments, **options)

    def count(trial):
        counted.append(trial.number)
        return is_feasible(trial)

    monkeypatch.setattr(MlflowClient, "search_runs", search)
    monkeypatch.setattr(history, "is_feasible", count)
    monkeypatch.setattr(ledger.Ledger, "log_recent", ledger.Ledger.log_history)  # after each trial
    worker.before_submit = lambda task: per_trial.append(len(searched))
    assert worker.sweep(n=6) == 0
    assert len(set(per_trial[1:])) == 1  # no run of the study is searched for
    times = Counter(counted)
    assert len(times) == 6
    assert len(set(times.values())) == 1  # each trial is counted once


def test_the_sweep_logs_its_own_metrics_at_most_once_a_second(worker, project, monkeypatch):
    now, logged, log = [0.0], [], history.History.log

    def logging_now(self):
        logged.append(now[0])
        log(self)

    def later(task):
        now[0] += 0.4

    monkeypatch.setattr(ledger, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(history.History, "log", logging_now)
    worker.before_submit = later
    assert worker.sweep(n=6) == 0
    assert [*dict.fromkeys(round(seconds, 1) for seconds in logged)] == [0, 1.2, 2.4]


def test_a_store_that_stays_unavailable_ends_the_sweep_which_can_resume(
    worker, project, monkeypatch, capsys
):
    monkeypatch.setattr(outages, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(outages, "PATIENCE_SECONDS", 0.1)
    with monkeypatch.context() as patch:
        unavailable = times_out(10**6, StorageInternalError("gone"), None)
        patch.setattr(ledger, "tell", unavailable)
        assert worker.sweep() == 2
    assert "sweep.study=s" in capsys.readouterr().err
    assert states() == ["RUNNING"]
    assert worker.sweep() == 0
    assert states() == ["COMPLETE"] * 3
    assert len(children()) == 3


def test_a_trial_that_failed_while_the_store_was_unavailable_is_retried(
    worker, project, monkeypatch
):
    monkeypatch.setattr(outages, "PAUSE_SECONDS", 0.01)
    answers = iter([False, False])
    monkeypatch.setattr(tracking, "answers", lambda client: next(answers, True))

    def fail_first(task, outcome):
        if len(worker.tasks) == 1:
            raise RuntimeError("no server")
        return outcome

    worker.answer = fail_first
    assert worker.sweep() == 0
    assert states() == ["COMPLETE"] * 3
    assert len(worker.tasks) == 4


@pytest.mark.parametrize(
    ("key", "address"),
    mostly_slow([("trial.storage", "grpc://127.0.0.1:1"), ("tracking.uri", "http://127.0.0.1:1")]),
)
def test_a_trial_that_began_where_no_store_answers_is_tried_again(worker, project, key, address):
    """A machine that is cut off for a moment, while the sweep's own reaches the stores."""
    outcomes = []

    def cut_off(task, outcome):
        if task.number == 1 and len(worker.tasks) < 4:
            OmegaConf.update(task.node, key, address)
            outcomes.append(run_trial(task))
            return outcomes[-1]
        return outcome

    worker.answer = cut_off
    assert worker.sweep("sweep.faults.on_error=fail") == 0
    assert [task.number for task in worker.tasks] == [0, 1, 1, 1, 2]
    assert {outcome.state for outcome in outcomes} == {EndState.store_unavailable}
    assert "efused" in outcomes[0].reason or "nothing listens there" in outcomes[0].reason
    assert states() == ["COMPLETE"] * 3


def test_a_study_of_another_program_is_left_alone(worker, project, capsys):
    other = optuna.create_study(study_name="s", storage="sqlite:///optuna.db")
    other.add_trial(optuna.trial.create_trial(value=1.0))
    assert worker.sweep() == 2
    assert "another program" in capsys.readouterr().err
    assert len(study().trials) == 1


def test_a_storage_of_another_version_of_optuna_is_left_alone(worker, project, capsys):
    optuna.create_study(storage="sqlite:///optuna.db")
    with sqlite3.connect("optuna.db") as database:
        database.execute("update alembic_version set version_num = 'v0.9.0.a'")
    database.close()
    assert worker.sweep() == 2
    assert "another version of Optuna" in capsys.readouterr().err


def test_a_storage_that_cannot_be_written_is_one_sentence(worker, project, capsys):
    (project / "optuna.db").write_bytes(b"a letter, not a database" * 100)
    assert worker.sweep() == 2
    err = capsys.readouterr().err
    assert "not an SQLite database" in err
    assert "Traceback" not in err


def test_two_objectives_give_a_pareto_front(worker, project, capsys):
    overrides = ("sweep.objectives=[validation/accuracy,num_parameters]", "sweep.pruner=none")
    assert worker.sweep(*overrides) == 0
    assert [way.name for way in study().directions] == ["MAXIMIZE", "MINIMIZE"]
    assert "front" in capsys.readouterr().out


def refuse_infeasible(task, outcome):
    """Answers as a worker does whose model has as many parameters as its dropout says."""
    try:
        check_model(task.constraints, task.node.model.dropout)
    except Infeasible as error:
        return outcome_of(error)
    return outcome


def test_infeasible_trials_are_recorded_and_never_the_best(worker, project, capsys):
    worker.answer = refuse_infeasible
    overrides = ['sweep.constraints=["num_parameters>=0.3"]', "sweep.objectives=[num_parameters]"]
    assert worker.sweep(*overrides, "sweep.pruner=none", n=8) == 0
    dropouts = [trial.params["model.dropout"] for trial in study().trials]
    refused = [number for number, dropout in enumerate(dropouts) if dropout < 0.3]
    assert 0 < len(refused) < 8
    for trial in study().trials:
        is_refused = trial.number in refused
        assert trial.state.name == ("PRUNED" if is_refused else "COMPLETE")
        assert trial.user_attrs["samerun.epochs"] == (0 if is_refused else 2)
    marked = {run["samerun.trial"]: run["samerun.state"] for run in children()}
    assert [int(number) for number, state in marked.items() if state == "infeasible"] == refused
    reasons = [run["samerun.reason"] for run in children() if run["samerun.state"] == "infeasible"]
    assert all("not >=0.3" in reason for reason in reasons)
    best = study().best_trial
    assert best.params["model.dropout"] == min(value for value in dropouts if value >= 0.3)
    out = capsys.readouterr().out
    assert f"best       trial {best.number} " in out
    assert f"{len(refused)} infeasible" in out
    assert (
        worker.sweep(overrides[0].replace("0.3", "0.2"), overrides[1], "sweep.pruner=none", n=8)
        == 2
    )
    assert "constraints num_parameters>=0.3 → num_parameters>=0.2" in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_with_too_many_parameters_trains_no_epoch(project):
    result = samerun.sweep(
        [
            *("sweep=grid", "model=mlp", "model.units=[4],[64]", "dataset.limit=100"),
            *("training.epochs=1", "tracking=lean", "sweep.study=s", "sweep.executor=inline"),
            'sweep.constraints=["num_parameters<=1000","system/epoch_seconds<=1000"]',
        ]
    )
    small, large = sorted(study().trials, key=lambda trial: trial.params["model.units"] == "[64]")
    assert (small.state.name, small.user_attrs["samerun.epochs"]) == ("COMPLETE", 1)
    assert (large.state.name, large.user_attrs["samerun.epochs"]) == ("PRUNED", 0)
    assert set(small.constraints) == {"num_parameters<=1000", "system/epoch_seconds<=1000"}
    assert "num_parameters is 4,810, not <=1000" in large.user_attrs["samerun.reason"]
    (run,) = tracking.find_runs([result.run_ids[large.number]])
    assert (run.status, run.tags["samerun.state"]) == ("KILLED", "infeasible")
    assert "train/loss" not in tracking.metric_histories(run)
    assert [trial.number for trial in result.best] == [small.number]


def test_a_grid_and_a_random_search_have_a_file_each(worker, project):
    given = ["model=mlp", "dataset.limit=100", "sweep.workers=1", "sweep.study=s"]
    samerun.sweep(["sweep=grid", *given, "model.dropout=0,0.2,0.4", "seed=1,2"], executor=worker)
    points = {(trial.params["model.dropout"], trial.params["seed"]) for trial in study().trials}
    assert len(study().trials) == len(points) == 6
    assert study().user_attrs["samerun.pruner"] == "none"
    plan = plan_of("sweep=random", base=[*given, "sweep.study=r"])
    assert (plan.settings.sampler, plan.settings.pruner) == ("random", "none")


def test_a_key_that_has_no_value_of_its_own_can_be_searched(worker, project, monkeypatch):
    build = "def {}(spec):\n    raise AssertionError('called in the process of the sweep')\n"
    (project / "own_models.py").write_text(build.format("small") + build.format("large"))
    monkeypatch.delitem(sys.modules, "own_models", raising=False)
    base = ["sweep=grid", "dataset.limit=100", "sweep.workers=1", "sweep.study=s"]
    targets = "model.target=own_models:small,own_models:large"
    plan = plan_of("model=custom", targets, space=(), base=base)
    assert [cfg.model.target for _, cfg in plan.models] == ["own_models:small", "own_models:large"]
    for name in ("small", "large"):
        values = {"model.target": f"own_models:{name}"}
        assert plan.configs.composition(values).config.model.target == f"own_models:{name}"
    plan = plan_of(
        "model=mlp,custom",
        "model.target=choice(own_models:small)",
        space=(),
        base=[*base, "sweep.sampler=brute_force"],
    )
    assert {cfg.model.kind for _, cfg in plan.models} == {"mlp", "custom"}


def test_hydra_1_4_finds_the_sweeper_by_its_entry_point():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    points = tomllib.loads(text)["project"]["entry-points"]["hydra.plugins"]
    module, _, name = points["samerun_optuna"].partition(":")
    found = getattr(importlib.import_module(module), name)
    assert issubclass(found, Sweeper)
    assert SamerunSweeperConf()._target_ == f"{module}.{name}"


def test_from_python_a_sweep_returns_what_it_found(worker, project):
    assert samerun.sweep is sweep_from_python
    overrides = [*BASE, *GROUPS, "sweep.n_trials=4"]
    result = samerun.sweep(overrides, executor=worker)
    trials = study().trials
    assert (result.study, result.reason) == ("s", "")
    assert result.run_ids == {int(run["samerun.trial"]): run["id"] for run in children()}
    (best,) = result.best
    assert best.number == study().best_trial.number
    assert best.params == trials[best.number].params
    assert best.values == {"validation/loss": study().best_value}
    assert config.compose(best.overrides).config.model.dropout == best.params["model.dropout"]
    (parent,) = [run for run in runs() if "mlflow.parentRunId" not in run]
    assert result.run_id == parent["id"]
    again = samerun.sweep(overrides, executor=worker)
    assert again == result
    assert len(worker.tasks) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=mlp", *SPACE], "sweep=optuna"),
        (["sweep=optuna", *SPACE, "--cfg", "job"], "--cfg"),
        (["sweep=optuna", "sweep.sampler=tpe,gp", *SPACE], "sweep.sampler"),
        (["sweep=optuna", *SPACE, "trial.number=3"], "trial.number"),
    ],
)
def test_from_python_a_wrong_argument_is_one_sentence(project, arguments, message):
    with pytest.raises(UserError, match=re.escape(message)):
        samerun.sweep(arguments)


@pytest.mark.parametrize("arguments", [["-m", "seed=1,2"], ["sweep=optuna", *SPACE]])
def test_training_one_run_refers_to_the_function_for_many(project, arguments):
    with pytest.raises(UserError, match=r"samerun\.sweep"):
        samerun.train(arguments)
